//! What the matcher was not sure of, waiting for a person's word. Reports that were suggested before get theirs.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, double, text, text_null, uuid, uuid_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Alias::new("suggestion"))
            .col(uuid("id").primary_key())
            .col(uuid("tenant_id"))
            .col(uuid("report_id"))
            .col(uuid("cluster_id"))
            .col(double("score"))
            .col(text("signals"))
            .col(text("state"))
            .col(uuid_null("operation_id"))
            .col(text_null("actor"))
            .col(big_integer("create_time"))
            .col(big_integer_null("resolve_time"))
            .to_owned();
        manager.create_table(table).await?;
        for (name, columns, is_unique) in [
            ("ux_suggestion_report", &["report_id", "cluster_id"][..], true),
            ("ix_suggestion_tenant", &["tenant_id", "state", "id"][..], false),
            ("ix_suggestion_operation", &["operation_id"][..], false),
        ] {
            let mut index = Index::create();
            index.name(name).table(Alias::new("suggestion"));
            for &column in columns {
                index.col(Alias::new(column));
            }
            if is_unique {
                index.unique();
            }
            manager.create_index(index).await?;
        }
        // The report's own id serves as the suggestion's: each has one at most.
        let earlier = "INSERT INTO suggestion \
             (id, tenant_id, report_id, cluster_id, score, signals, state, create_time) \
             SELECT id, tenant_id, id, suggested_cluster_id, decision_score, signals, 'PENDING', create_time \
             FROM report WHERE suggested_cluster_id IS NOT NULL";
        manager.get_connection().execute_unprepared(earlier).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Alias::new("suggestion")).to_owned()).await
    }
}
