//! Indexes for what is asked all the time. Without statistics SQLite takes every tenant for a small one and reads all
//! of its rows, unless an index goes on from the tenant to what is asked for; a test in `store` looks at every plan.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

const INDEXES: [(&str, &str, &[&str]); 13] = [
    ("ix_customer_tenant", "customer", &["tenant_id", "id"]),
    ("ix_contact_point_of", "contact_point", &["tenant_id", "customer_id"]),
    ("ix_report_loop", "report", &["tenant_id", "loop_state", "id"]),
    ("ix_statement_carried", "statement", &["tenant_id", "delivery_id"]),
    ("ix_announcement_of", "announcement", &["tenant_id", "cluster_id", "id"]),
    ("ix_delivery_cluster", "delivery", &["cluster_id", "id"]),
    ("ix_delivery_plan", "delivery", &["announcement_id", "customer_id", "id"]),
    ("ix_delivery_state", "delivery", &["announcement_id", "state"]),
    ("ix_dirty_mark_kind", "dirty_mark", &["kind", "due_time"]),
    ("ix_operation_from", "operation", &["tenant_id", "from_cluster_id", "id"]),
    ("ix_operation_to", "operation", &["tenant_id", "to_cluster_id", "id"]),
    ("ix_constraint_report", "placement_constraint", &["tenant_id", "report_id"]),
    ("ix_constraint_operation", "placement_constraint", &["tenant_id", "operation_id"]),
];

/// Few rows are concerned, and the others are not to be found by them.
const PARTIAL_INDEXES: [(&str, &str, &str); 2] = [
    ("ix_report_regressed", "report", "(id) WHERE loop_reason = 'regression_reported'"),
    (
        "ix_constraint_lifted",
        "placement_constraint",
        "(lifted_by_operation_id) WHERE lifted_by_operation_id IS NOT NULL",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, columns) in INDEXES {
            let mut index = Index::create();
            index.name(name).table(Alias::new(table));
            for &column in columns {
                index.col(Alias::new(column));
            }
            manager.create_index(index).await?;
        }
        for (name, table, rows) in PARTIAL_INDEXES {
            manager.get_connection().execute_unprepared(&format!("CREATE INDEX {name} ON {table} {rows}")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let names = INDEXES.map(|(name, table, _)| (name, table)).into_iter();
        for (name, table) in names.chain(PARTIAL_INDEXES.map(|(name, table, _)| (name, table))) {
            manager.drop_index(Index::drop().name(name).table(Alias::new(table)).to_owned()).await?;
        }
        Ok(())
    }
}
