//! What the matcher went by when it decided about a report, beside its reasons: so that a decision can be explained when
//! thresholds and scorer are others. Reports that are there have none.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::text_null;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("report").add_column(text_null("grounds")).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("report").drop_column("grounds").to_owned()).await
    }
}
