//! What an embedder beside the built-in table says of reports, so that it is asked once.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, blob, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("report_vector")
            .col(uuid("tenant_id"))
            .col(uuid("report_id"))
            .col(text("embedder"))
            .col(text("text_hash"))
            .col(blob("vector"))
            .col(big_integer("create_time"))
            .primary_key(Index::create().col("tenant_id").col("report_id").col("embedder"))
            .to_owned();
        manager.create_table(table).await?;
        let mut by_text = Index::create();
        by_text.name("ix_report_vector_text").table("report_vector");
        by_text.col("tenant_id").col("embedder").col("text_hash");
        manager.create_index(by_text).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("report_vector").to_owned()).await
    }
}
