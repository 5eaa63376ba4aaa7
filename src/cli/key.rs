//! `hearback key`: API keys, directly in the configured database. For the first keys, for lost ones, and for scripts
//! that set a server up. A running server takes notice within seconds.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::Globals;
use super::output::{OutputFormat, Table, print_json, print_line, visible};
use crate::app::auth::{self, FreshKey};
use crate::clock::Clock;
use crate::domain::id::ApiKeyId;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::time::Timestamp;
use crate::server;
use crate::store::tenant::{self, ApiKey};
use crate::store::{Store, TenantScope};

/// Who the history names for what is done here.
const ACTOR: &str = "operator";
/// Keys read at once.
const PAGE: u64 = 500;

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and show it, once.
    Create(Create),
    /// List a tenant's keys. Secrets are not kept and cannot be shown.
    List {
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// End a key's life.
    Revoke {
        /// The key's id, `key_…`.
        id: ApiKeyId,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

/// Whose keys.
#[derive(Debug, clap::Args)]
pub(crate) struct TenantArg {
    /// The tenant, by id or name; needed only where there are several.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

/// A key to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it may do; may be repeated.
    #[arg(long = "scope", required = true, value_parser = read_scope, value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// After how long it ends by itself, as `90d`; without it, never.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    expires_in: Option<Duration>,
    /// Print the key and nothing else.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    tenant: TenantArg,
}

fn read_scope(text: &str) -> Result<Scope, String> {
    Scope::from_str(text).map_err(|_| {
        let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("there is no such scope; there are {}", known.join(", "))
    })
}

pub(super) async fn run(command: KeyCommand, globals: &Globals) -> anyhow::Result<()> {
    let store = server::open_store(&globals.config()?).await?;
    let now = Clock::system().now();
    let result = match command {
        KeyCommand::Create(create) => create.run(&store, now, globals).await,
        KeyCommand::List { tenant } => list(&store, &tenant, globals).await,
        KeyCommand::Revoke { id, tenant } => revoke(&store, id, &tenant, now, globals).await,
    };
    store.close().await?;
    result
}

impl Create {
    async fn run(self, store: &Store, now: Timestamp, globals: &Globals) -> anyhow::Result<()> {
        if self.name.trim().is_empty() || self.name.chars().count() > 200 || self.name.contains(char::is_control) {
            bail!("--name needs 1 to 200 printable characters");
        }
        let scope = self.tenant.find(store).await?;
        let FreshKey { id, text, secret_hash } = auth::fresh_key();
        let key = ApiKey {
            id,
            display_name: self.name,
            scopes: Scopes(self.scopes),
            create_time: now,
            expire_time: self.expires_in.map(|after| now + after),
            revoke_time: None,
        };
        let txn = store.begin(scope, ACTOR, now).await?;
        tenant::insert_key(&txn, &key, &secret_hash).await?;
        txn.commit().await?;
        match (globals.output, self.quiet) {
            (_, true) => print_line(&text)?,
            (OutputFormat::Json, false) => {
                let mut facts = facts(&key);
                facts["api_key"] = text.into();
                print_json(&facts)?;
            }
            (OutputFormat::Table, false) => print_line(&format!("Made {id}. The key, shown only now:\n\n  {text}\n"))?,
        }
        Ok(())
    }
}

async fn list(store: &Store, tenant: &TenantArg, globals: &Globals) -> anyhow::Result<()> {
    let reader = store.reader(tenant.find(store).await?);
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = tenant::list_keys(&reader, after, PAGE).await?;
        keys.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if globals.output == OutputFormat::Json {
        print_json(&json!({ "api_keys": keys.iter().map(facts).collect::<Vec<_>>() }))?;
        return Ok(());
    }
    let mut table = Table::new(["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "REVOKED"]);
    let moment = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    for key in keys {
        table.row([
            key.id.to_string(),
            visible(&key.display_name),
            words(&key.scopes).join(" "),
            key.create_time.to_string(),
            moment(key.expire_time),
            moment(key.revoke_time),
        ]);
    }
    Ok(table.print()?)
}

async fn revoke(
    store: &Store,
    id: ApiKeyId,
    tenant: &TenantArg,
    now: Timestamp,
    globals: &Globals,
) -> anyhow::Result<()> {
    let txn = store.begin(tenant.find(store).await?, ACTOR, now).await?;
    let key = tenant::find_key(&txn.read(), id).await?.with_context(|| format!("{id} is not a key of this tenant"))?;
    // Once revoked, the moment does not change any more.
    if key.revoke_time.is_none() {
        tenant::revoke_key(&txn, id).await?;
    }
    txn.commit().await?;
    match globals.output {
        OutputFormat::Json => print_json(&json!({ "id": id, "revoked": true }))?,
        OutputFormat::Table => print_line(&format!("{id} is revoked. Running servers obey within seconds."))?,
    }
    Ok(())
}

fn words(scopes: &Scopes) -> Vec<&'static str> {
    scopes.0.iter().map(|scope| scope.as_str()).collect()
}

fn facts(key: &ApiKey) -> serde_json::Value {
    json!({
        "id": key.id,
        "display_name": key.display_name,
        "scopes": words(&key.scopes),
        "create_time": key.create_time.to_string(),
        "expire_time": key.expire_time.map(|time| time.to_string()),
        "revoke_time": key.revoke_time.map(|time| time.to_string()),
    })
}

impl TenantArg {
    /// The tenant meant.
    async fn find(&self, store: &Store) -> anyhow::Result<TenantScope> {
        let scopes = tenant::all_scopes(store).await?;
        let Some(wanted) = &self.tenant else {
            return match scopes.as_slice() {
                [only] => Ok(*only),
                [] => bail!("there is no tenant yet: run `hearback serve` once, which makes one"),
                several => bail!("there are {} tenants; name one with --tenant", several.len()),
            };
        };
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = tenant::list_all(store, after, PAGE).await?;
            let called = page.items.iter().filter(|one| one.id.to_string() == *wanted || one.display_name == *wanted);
            found.extend(called.map(|tenant| tenant.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        match found.as_slice() {
            [only] => scopes.into_iter().find(|scope| scope.tenant() == *only).context("the tenant is gone"),
            [] => bail!("there is no tenant {wanted:?}"),
            _ => bail!("several tenants are called {wanted:?}; name one by its id"),
        }
    }
}
