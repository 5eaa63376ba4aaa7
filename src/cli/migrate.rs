//! `hearback migrate`: brings the schema up to date without serving, for those who want to do that first.

use std::time::Instant;

use serde_json::json;

use super::Globals;
use super::output::{OutputFormat, print_json, print_line};
use crate::config::StoreConfig;
use crate::{server, telemetry};

pub(super) async fn run(globals: &Globals) -> anyhow::Result<()> {
    let config = globals.config()?;
    // Each migration that is applied has a line in the log.
    telemetry::init(config.log.format, &config.log.filter, true)?;
    let begin = Instant::now();
    let store = server::open_store(&config).await?;
    store.close().await?;
    let database = match &config.store {
        StoreConfig::Sqlite { path } => format!("sqlite {}", path.display()),
        StoreConfig::Postgres { .. } => "postgres".to_owned(),
    };
    let elapsed_ms = u64::try_from(begin.elapsed().as_millis())?;
    match globals.output {
        OutputFormat::Json => print_json(&json!({ "database": database, "elapsed_ms": elapsed_ms }))?,
        OutputFormat::Table => print_line(&format!("The schema of {database} is up to date ({elapsed_ms} ms)."))?,
    }
    Ok(())
}
