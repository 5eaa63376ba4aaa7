//! The schema, one change a file, on SQLite and Postgres alike. Changes only add: the previous release must survive
//! them while replicas are replaced one by one.

use sea_orm_migration::prelude::*;

mod m20261122_000001_initial;
mod m20261123_000002_suggestions;
mod m20261129_000003_indexes;
mod m20261129_000004_report_vectors;
mod m20261129_000005_second_look;
mod m20261130_000006_grounds;

/// Every change, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_initial::Migration),
            Box::new(m20261123_000002_suggestions::Migration),
            Box::new(m20261129_000003_indexes::Migration),
            Box::new(m20261129_000004_report_vectors::Migration),
            Box::new(m20261129_000005_second_look::Migration),
            Box::new(m20261130_000006_grounds::Migration),
        ]
    }
}
