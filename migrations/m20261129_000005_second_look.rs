//! What a second look at clusters leaves behind: derived titles and key terms, and proposals beside what was asked about
//! single reports. A cluster is due for a look when it changed since the last one; those that are due have an index of
//! their own, so that nobody has to look for them among all.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, boolean, text, uuid_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The other columns have what they had. Titles that a person may have set stay a person's: those that were changed,
/// and those of clusters that a split made, which could be given one.
const EARLIER: [&str; 2] = [
    "UPDATE cluster SET title_by_person = TRUE WHERE id IN \
     (SELECT cluster_id FROM event WHERE kind = 'cluster.updated' AND data LIKE '%\"title\"%')",
    "UPDATE cluster SET title_by_person = TRUE WHERE id IN (SELECT to_cluster_id FROM operation WHERE kind = 'SPLIT')",
];

const INDEXES: [(&str, &str); 4] = [
    // One question for each report and cluster, as before; what a second look finds has another key.
    ("ux_suggestion_placement", "UNIQUE INDEX {} ON suggestion (report_id, cluster_id) WHERE kind = 'PLACEMENT'"),
    ("ix_suggestion_cluster", "INDEX {} ON suggestion (tenant_id, cluster_id, kind, state)"),
    ("ix_suggestion_from", "INDEX {} ON suggestion (tenant_id, from_cluster_id, kind)"),
    // The condition is the one that `store::second_look` asks by.
    (
        "ix_cluster_unlooked",
        "INDEX {} ON cluster (tenant_id, id) \
         WHERE looked_version <> version OR report_count > looked_report_count + looked_report_count / 8",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [
            ("cluster", text("derived_title").default("").to_owned()),
            ("cluster", boolean("title_by_person").default(false).to_owned()),
            ("cluster", text("key_terms").default("[]").to_owned()),
            ("cluster", big_integer("looked_version").default(0).to_owned()),
            ("cluster", big_integer("looked_report_count").default(0).to_owned()),
            ("suggestion", text("kind").default("PLACEMENT").to_owned()),
            ("suggestion", uuid_null("from_cluster_id").to_owned()),
            ("suggestion", text("report_ids").default("[]").to_owned()),
        ];
        for (table, column) in columns {
            let alter = Table::alter().table(Alias::new(table)).add_column(column).to_owned();
            manager.alter_table(alter).await?;
        }
        let database = manager.get_connection();
        for statement in EARLIER {
            database.execute_unprepared(statement).await?;
        }
        database.execute_unprepared("DROP INDEX ux_suggestion_report").await?;
        for (name, index) in INDEXES {
            database.execute_unprepared(&format!("CREATE {}", index.replace("{}", name))).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let database = manager.get_connection();
        for (name, _) in INDEXES {
            database.execute_unprepared(&format!("DROP INDEX {name}")).await?;
        }
        database.execute_unprepared("DELETE FROM suggestion WHERE kind <> 'PLACEMENT'").await?;
        let unique = "CREATE UNIQUE INDEX ux_suggestion_report ON suggestion (report_id, cluster_id)";
        database.execute_unprepared(unique).await?;
        for (table, column) in [
            ("suggestion", "report_ids"),
            ("suggestion", "from_cluster_id"),
            ("suggestion", "kind"),
            ("cluster", "looked_report_count"),
            ("cluster", "looked_version"),
            ("cluster", "key_terms"),
            ("cluster", "title_by_person"),
            ("cluster", "derived_title"),
        ] {
            let alter = Table::alter().table(Alias::new(table)).drop_column(Alias::new(column)).to_owned();
            manager.alter_table(alter).await?;
        }
        Ok(())
    }
}
