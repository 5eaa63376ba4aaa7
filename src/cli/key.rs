//! `hearback key`: API keys, directly in the configured database. For the first keys, for lost ones, and for scripts
//! that set a server up. A running server takes notice within seconds.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::Globals;
use super::output::{OutputFormat, Table, print_json, print_line, visible};
use crate::app::admin::{self, CreatedKey, MAX_DISPLAY_NAME};
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
        let quiet = self.quiet;
        let CreatedKey { key, secret } = self.make(store, now).await?;
        match (globals.output, quiet) {
            (_, true) => print_line(&secret)?,
            (OutputFormat::Json, false) => {
                let mut facts = facts(&key);
                facts["api_key"] = secret.into();
                print_json(&facts)?;
            }
            (OutputFormat::Table, false) => {
                print_line(&format!("Made {}. The key, shown only now:\n\n  {secret}\n", key.id))?;
            }
        }
        Ok(())
    }

    async fn make(self, store: &Store, now: Timestamp) -> anyhow::Result<CreatedKey> {
        let mut scopes = Vec::new();
        for scope in self.scopes {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > MAX_DISPLAY_NAME || name.contains(char::is_control) {
            bail!("--name needs 1 to {MAX_DISPLAY_NAME} printable characters");
        }
        let expire_time = self.expires_in.map(|after| expire_time(now, after)).transpose()?;
        let scope = self.tenant.find(store).await?;
        let mut txn = store.begin(scope, ACTOR, now).await?;
        let made = admin::make_key(&mut txn, name, Scopes(scopes), expire_time).await?;
        txn.commit().await?;
        Ok(made)
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
    end(store, id, tenant, now).await?;
    match globals.output {
        OutputFormat::Json => print_json(&json!({ "id": id, "revoked": true }))?,
        OutputFormat::Table => print_line(&format!("{id} is revoked. Running servers obey within seconds."))?,
    }
    Ok(())
}

async fn end(store: &Store, id: ApiKeyId, tenant: &TenantArg, now: Timestamp) -> anyhow::Result<()> {
    let mut txn = store.begin(tenant.find(store).await?, ACTOR, now).await?;
    let key = tenant::find_key(&txn.read(), id).await?.with_context(|| format!("{id} is not a key of this tenant"))?;
    // Once revoked, the moment does not change any more.
    if key.revoke_time.is_none() {
        admin::end_key(&mut txn, id).await?;
    }
    txn.commit().await?;
    Ok(())
}

/// The moment so long after now, as far as there are moments.
fn expire_time(now: Timestamp, after: Duration) -> anyhow::Result<Timestamp> {
    // A thousand years; beyond that the calendar ends.
    const LONGEST: Duration = Duration::from_secs(1_000 * 365 * 24 * 3_600);
    if after.is_zero() || after > LONGEST {
        bail!("--expires-in needs more than nothing and at most 1000 years; leave it out for a key that never ends");
    }
    Ok(now + after)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;
    use crate::domain::id::TenantId;
    use crate::store::event;

    #[tokio::test]
    async fn what_is_done_beside_a_server_stands_in_the_history_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
        let now = Timestamp::from_micros(0);
        let scope = tenant::insert(&store, TenantId::new(), "ours", now).await.expect("a tenant");
        let create = Create {
            name: " ci ".to_owned(),
            scopes: vec![Scope::ReportsRead, Scope::ReportsRead],
            expires_in: None,
            quiet: false,
            tenant: TenantArg { tenant: None },
        };
        let key = create.make(&store, now).await.expect("a key").key;
        assert_eq!((key.display_name.as_str(), words(&key.scopes)), ("ci", vec!["reports.read"]));
        for _ in 0..2 {
            end(&store, key.id, &TenantArg { tenant: None }, now).await.expect("it ends, once");
        }
        let history = event::after(&store.reader(scope), 0, 10).await.expect("readable");
        let said: Vec<_> =
            history.iter().map(|event| (event.kind, event.subject.clone(), event.actor.clone())).collect();
        let id = key.id.to_string();
        let expected = [EventKind::ApiKeyCreated, EventKind::ApiKeyRevoked];
        assert_eq!(said, expected.map(|kind| (kind, id.clone(), ACTOR.to_owned())));
    }

    #[test]
    fn a_key_ends_at_a_moment_that_there_is() {
        let now = Timestamp::from_micros(0);
        assert_eq!(expire_time(now, Duration::from_secs(1)).ok(), Some(now + Duration::from_secs(1)));
        assert!(expire_time(now, Duration::ZERO).is_err());
        assert!(expire_time(now, Duration::MAX).is_err());
    }
}
