//! Everything the first loop needs.
//!
//! Times are microseconds since 1970 as 64-bit integers, which sort the same everywhere. Enums and JSON are text. Ids
//! are UUIDs: 16 bytes on SQLite, `uuid` on Postgres.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, double, integer, text, text_null, uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// A table with an id of its own and a tenant.
fn owned(name: &'static str) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name)).col(uuid("id").primary_key()).col(uuid("tenant_id"));
    table
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(Alias::new(table));
    for &column in columns {
        index.col(Alias::new(column));
    }
    index
}

fn unique(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    index(name, table, columns).unique().to_owned()
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table(Alias::new("tenant"))
            .col(uuid("id").primary_key())
            .col(text("display_name"))
            .col(text("policy"))
            .col(big_integer("policy_version"))
            .col(text_null("webhook_secret"))
            .col(text_null("previous_webhook_secret"))
            .col(big_integer_null("previous_webhook_secret_expire_time"))
            .col(big_integer("event_sequence"))
            .col(big_integer("create_time"))
            .to_owned(),
        owned("api_key")
            .col(text("display_name"))
            .col(text("secret_hash"))
            .col(text("scopes"))
            .col(big_integer("create_time"))
            .col(big_integer_null("expire_time"))
            .col(big_integer_null("revoke_time"))
            .to_owned(),
        owned("product")
            .col(text("key"))
            .col(text("display_name"))
            .col(text("version_scheme"))
            .col(text("lines"))
            .col(big_integer("version"))
            .col(big_integer("create_time"))
            .to_owned(),
        owned("customer")
            .col(text_null("external_id"))
            .col(text("display_name"))
            .col(text("locale"))
            .col(text("time_zone"))
            .col(boolean("opted_out"))
            .col(big_integer("version"))
            .col(big_integer("create_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("contact_point")
            .col(uuid("customer_id"))
            .col(text("channel"))
            .col(text("address"))
            .col(text("canonical_address"))
            .col(text("state"))
            .col(text("unsubscribe_token"))
            .col(integer("position"))
            .col(big_integer("create_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("installation")
            .col(uuid("customer_id"))
            .col(uuid("product_id"))
            .col(text_null("version"))
            .col(text("platform"))
            .col(text("environment"))
            .col(text_null("region"))
            .col(text_null("ring"))
            .col(big_integer("create_time"))
            .col(big_integer("last_seen_time"))
            .to_owned(),
        owned("report")
            .col(text("source"))
            .col(text("external_id"))
            .col(uuid("customer_id"))
            .col(uuid_null("product_id"))
            .col(text("title"))
            .col(text("body"))
            .col(text_null("version"))
            .col(text_null("platform"))
            .col(text_null("environment"))
            .col(text_null("region"))
            .col(text_null("ring"))
            .col(text_null("fingerprint"))
            .col(text("labels"))
            .col(big_integer_null("occurred_time"))
            .col(big_integer("create_time"))
            .col(text("decision"))
            .col(double("decision_score"))
            .col(uuid("decision_cluster_id"))
            .col(uuid_null("suggested_cluster_id"))
            .col(text("signals"))
            .col(text("loop_state"))
            .col(text("loop_reason"))
            .to_owned(),
        // One row for each report, by its primary key: one home is not a rule that code could forget (law 3).
        Table::create()
            .table(Alias::new("membership"))
            .col(uuid("report_id").primary_key())
            .col(uuid("tenant_id"))
            .col(uuid("cluster_id"))
            .col(uuid("customer_id"))
            .col(double("score"))
            .col(text("origin"))
            .col(text_null("actor"))
            .col(text("reason"))
            .col(uuid_null("operation_id"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("cluster")
            .col(text("title"))
            .col(text("state"))
            .col(uuid_null("product_id"))
            .col(text("workaround"))
            .col(text("guidance"))
            .col(big_integer("report_count"))
            .col(big_integer("reporter_count"))
            .col(uuid_null("merged_into_cluster_id"))
            .col(big_integer("sweep_time"))
            .col(big_integer("version"))
            .col(big_integer("create_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("operation")
            .col(text("kind"))
            .col(uuid("from_cluster_id"))
            .col(uuid("to_cluster_id"))
            .col(boolean("created_cluster"))
            .col(big_integer("report_count"))
            .col(text("actor"))
            .col(text("reason"))
            .col(big_integer_null("undo_time"))
            .col(big_integer("create_time"))
            .to_owned(),
        Table::create()
            .table(Alias::new("operation_member"))
            .col(uuid("operation_id"))
            .col(uuid("report_id"))
            .col(double("score"))
            .col(text("origin"))
            .col(text_null("actor"))
            .col(text("reason"))
            .col(uuid_null("previous_operation_id"))
            .primary_key(Index::create().col(Alias::new("operation_id")).col(Alias::new("report_id")))
            .to_owned(),
        owned("placement_constraint")
            .col(uuid("report_id"))
            .col(uuid("cluster_id"))
            .col(uuid("operation_id"))
            .col(uuid_null("lifted_by_operation_id"))
            .col(big_integer("create_time"))
            .to_owned(),
        Table::create()
            .table(Alias::new("cluster_defect"))
            .col(uuid("cluster_id"))
            .col(uuid("defect_id"))
            .col(uuid("tenant_id"))
            .col(uuid_null("operation_id"))
            .col(text("actor"))
            .col(big_integer("create_time"))
            .primary_key(Index::create().col(Alias::new("cluster_id")).col(Alias::new("defect_id")))
            .to_owned(),
        owned("defect")
            .col(text("tracker"))
            .col(text("key"))
            .col(text("title"))
            .col(text("url"))
            .col(text("state"))
            .col(integer("reopen_count"))
            .col(big_integer("version"))
            .col(big_integer("create_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("release")
            .col(uuid("product_id"))
            .col(text("version"))
            .col(text_null("line"))
            .col(text("platforms"))
            .col(text("state"))
            .col(text("yank_reason"))
            .col(big_integer("sequence"))
            .col(big_integer_null("release_time"))
            .col(big_integer_null("yank_time"))
            .col(big_integer("row_version"))
            .col(big_integer("create_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        Table::create()
            .table(Alias::new("release_fix"))
            .col(uuid("release_id"))
            .col(uuid("defect_id"))
            .col(uuid("tenant_id"))
            .col(integer("round"))
            .col(big_integer("create_time"))
            .primary_key(Index::create().col(Alias::new("release_id")).col(Alias::new("defect_id")))
            .to_owned(),
        owned("deployment")
            .col(uuid("release_id"))
            .col(uuid("product_id"))
            .col(text("environment"))
            .col(text("region"))
            .col(text("ring"))
            .col(integer("percent"))
            .col(text("state"))
            .col(text("roll_back_reason"))
            .col(big_integer("sequence"))
            .col(big_integer("create_time"))
            .col(big_integer_null("full_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("statement")
            .col(uuid("customer_id"))
            .col(uuid("defect_id"))
            .col(text("stage"))
            .col(integer("ordinal"))
            .col(text("state"))
            .col(text("reason"))
            .col(uuid("cluster_id"))
            .col(uuid_null("announcement_id"))
            .col(uuid_null("delivery_id"))
            .col(uuid_null("release_id"))
            .col(text("version"))
            .col(text_null("verdict"))
            .col(text("rule"))
            .col(big_integer_null("told_time"))
            .col(big_integer_null("withdraw_time"))
            .col(big_integer("create_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("announcement")
            .col(uuid("cluster_id"))
            .col(text("stage"))
            .col(text("state"))
            .col(text("plan_digest"))
            .col(big_integer("recipient_count"))
            .col(big_integer("told_count"))
            .col(text_null("approved_by"))
            .col(text("cancel_reason"))
            .col(big_integer("create_time"))
            .col(big_integer_null("approve_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("delivery")
            .col(uuid("announcement_id"))
            .col(uuid("cluster_id"))
            .col(uuid("customer_id"))
            .col(text("stage"))
            .col(uuid("contact_point_id"))
            .col(text("channel"))
            .col(text("state"))
            .col(text("reason"))
            .col(text_null("verdict"))
            .col(uuid_null("release_id"))
            .col(text("version"))
            .col(integer("attempt_count"))
            .col(integer("contact_attempt_count"))
            .col(integer("unknown_count"))
            .col(big_integer("next_attempt_time"))
            .col(big_integer("lease_token"))
            .col(big_integer_null("lease_expire_time"))
            .col(big_integer("create_time"))
            .col(big_integer_null("finish_time"))
            .col(big_integer("update_time"))
            .to_owned(),
        owned("attempt")
            .col(uuid("delivery_id"))
            .col(integer("number"))
            .col(uuid("contact_point_id"))
            .col(big_integer("lease_token"))
            .col(text("outcome"))
            .col(text("detail"))
            .col(big_integer("start_time"))
            .col(big_integer_null("finish_time"))
            .to_owned(),
        Table::create()
            .table(Alias::new("event"))
            .col(uuid("tenant_id"))
            .col(big_integer("sequence"))
            .col(uuid("id"))
            .col(text("kind"))
            .col(text("subject"))
            .col(text("actor"))
            .col(uuid_null("cluster_id"))
            .col(uuid_null("customer_id"))
            .col(text("data"))
            .col(big_integer("time"))
            .primary_key(Index::create().col(Alias::new("tenant_id")).col(Alias::new("sequence")))
            .to_owned(),
        Table::create()
            .table(Alias::new("request"))
            .col(uuid("tenant_id"))
            .col(text("method"))
            .col(uuid("request_id"))
            .col(text("fingerprint"))
            .col(text("result"))
            .col(big_integer("create_time"))
            .primary_key(
                Index::create().col(Alias::new("tenant_id")).col(Alias::new("request_id")).col(Alias::new("method")),
            )
            .to_owned(),
        Table::create()
            .table(Alias::new("dirty_mark"))
            .col(uuid("tenant_id"))
            .col(text("kind"))
            .col(uuid("subject"))
            .col(big_integer("due_time"))
            .col(big_integer("mark_count"))
            .col(uuid_null("page_cursor"))
            .primary_key(Index::create().col(Alias::new("kind")).col(Alias::new("subject")))
            .to_owned(),
    ]
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("ix_api_key_tenant", "api_key", &["tenant_id", "id"]),
        unique("ux_product_key", "product", &["tenant_id", "key"]),
        unique("ux_customer_external_id", "customer", &["tenant_id", "external_id"]),
        unique("ux_contact_point_address", "contact_point", &["tenant_id", "channel", "canonical_address"]),
        index("ix_contact_point_customer", "contact_point", &["customer_id"]),
        unique("ux_contact_point_token", "contact_point", &["unsubscribe_token"]),
        unique("ux_installation_place", "installation", &["customer_id", "product_id", "platform", "environment"]),
        unique("ux_report_reference", "report", &["tenant_id", "source", "external_id"]),
        index("ix_report_customer", "report", &["customer_id"]),
        index("ix_report_tenant", "report", &["tenant_id", "id"]),
        index("ix_membership_cluster", "membership", &["cluster_id", "customer_id"]),
        index("ix_membership_customer", "membership", &["customer_id"]),
        index("ix_cluster_tenant", "cluster", &["tenant_id", "id"]),
        index("ix_cluster_impact", "cluster", &["tenant_id", "report_count", "id"]),
        index("ix_operation_tenant", "operation", &["tenant_id", "id"]),
        index("ix_operation_member_report", "operation_member", &["report_id"]),
        index("ix_constraint_tenant", "placement_constraint", &["tenant_id"]),
        index("ix_cluster_defect_defect", "cluster_defect", &["defect_id"]),
        unique("ux_defect_key", "defect", &["tenant_id", "tracker", "key"]),
        index("ix_defect_tenant", "defect", &["tenant_id", "id"]),
        unique("ux_release_version", "release", &["tenant_id", "product_id", "version"]),
        index("ix_release_tenant", "release", &["tenant_id", "id"]),
        index("ix_release_fix_defect", "release_fix", &["defect_id"]),
        unique("ux_deployment_place", "deployment", &["release_id", "environment", "region", "ring"]),
        index("ix_deployment_product", "deployment", &["product_id"]),
        // Told at most once: whoever comes second finds the slot taken (law 9).
        unique("ux_statement_slot", "statement", &["tenant_id", "customer_id", "defect_id", "stage", "ordinal"]),
        index("ix_statement_delivery", "statement", &["delivery_id"]),
        index("ix_announcement_cluster", "announcement", &["cluster_id", "stage"]),
        index("ix_announcement_tenant", "announcement", &["tenant_id", "id"]),
        index("ix_delivery_announcement", "delivery", &["announcement_id", "id"]),
        index("ix_delivery_customer", "delivery", &["customer_id"]),
        unique("ux_attempt_number", "attempt", &["delivery_id", "number"]),
        index("ix_event_customer", "event", &["customer_id", "sequence"]),
        index("ix_dirty_mark_due", "dirty_mark", &["due_time"]),
        index("ix_request_age", "request", &["create_time"]),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // Finished deliveries outnumber the due ones by far: only these are in the index that workers read.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX ix_delivery_due ON delivery (next_attempt_time, id) \
                 WHERE state IN ('PENDING', 'SENDING')",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables().into_iter().rev() {
            let Some(name) = table.get_table_name() else { continue };
            manager.drop_table(Table::drop().table(name.clone()).to_owned()).await?;
        }
        Ok(())
    }
}
