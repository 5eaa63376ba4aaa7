//! Tenants and keys here; products and policies in files of their own.
//!
//! A key's text and a webhook's secret are shown once, by the call that made them: neither is stored, so a replay answers
//! without it.

mod calibration;
mod policy;
mod product;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngCore;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::domain::event::{EventKind, NewEvent, SYSTEM};
use crate::domain::id::{ApiKeyId, TenantId};
use crate::domain::scope::{Scope, Scopes};
use crate::domain::time::Timestamp;
use crate::domain::violation::Violations;
use crate::store::dirty::{self, Subject};
use crate::store::tenant::{self, ApiKey, Tenant, WebhookSecrets};
use crate::store::{Page, TenantScope, Txn};

use super::{App, Call, Error, Once, Resource, auth, remembered};

pub use policy::{PolicyChange, PolicyValues, VersionedPolicy};
pub use product::{NewProduct, UpsertedProduct};

/// A key that was just made, or a replay of that.
#[derive(Debug, Clone)]
pub struct CreatedKey {
    /// Its facts.
    pub key: ApiKey,
    /// The key itself; empty in a replay.
    pub secret: String,
}

/// A tenant that was just made, with its first key.
#[derive(Debug, Clone)]
pub struct CreatedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its first key.
    pub first_key: CreatedKey,
}

/// What the first start of a server shows, once.
#[derive(Debug)]
pub struct FirstKey {
    /// The tenant that was made.
    pub tenant: TenantId,
    /// Its key, with scope `operator`.
    pub text: String,
}

/// A key to make.
#[derive(Debug, Clone, Serialize)]
pub struct NewApiKey {
    /// What it is for.
    pub display_name: String,
    /// What it may do, by name.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub expire_time: Option<Timestamp>,
}

/// A webhook secret that was just made, or a replay of that.
#[derive(Debug, Clone)]
pub struct RotatedSecret {
    /// The secret; empty in a replay.
    pub secret: String,
    /// When the one before stops signing; `None` if there was none.
    pub previous_expire_time: Option<Timestamp>,
}

/// The tenant that a new server begins with. A fixed id (a UUIDv7 of 1970), so that replicas that start together on an
/// empty database make one and not several.
const DEFAULT_TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000));
/// How long the secret before still signs: a day for receivers to take over the new one.
const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3600);
const SECRET_BYTES: usize = 32;
/// Longest name of a tenant or a key, in characters.
pub const MAX_DISPLAY_NAME: usize = 256;

impl NewApiKey {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        violations.required_text("display_name", &self.display_name, MAX_DISPLAY_NAME);
        self.scopes(violations);
    }

    fn scopes(&self, violations: &mut Violations) -> Scopes {
        if self.scopes.is_empty() {
            violations.add("scopes", "is required; name at least one scope");
        }
        let mut scopes = Vec::new();
        for (index, name) in self.scopes.iter().enumerate() {
            match name.parse::<Scope>() {
                Ok(scope) if scopes.contains(&scope) => {}
                Ok(scope) => scopes.push(scope),
                Err(_) => {
                    let known: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
                    violations
                        .add(format!("scopes[{index}]"), format!("is not a scope; use one of {}", known.join(", ")));
                }
            }
        }
        Scopes(scopes)
    }
}

/// Makes a key and stores it with its event.
pub(crate) async fn make_key(
    txn: &mut Txn,
    display_name: &str,
    scopes: Scopes,
    expire_time: Option<Timestamp>,
) -> Result<CreatedKey, Error> {
    let fresh = auth::fresh_key();
    let key = ApiKey {
        id: fresh.id,
        display_name: display_name.to_owned(),
        scopes,
        create_time: txn.now(),
        expire_time,
        revoke_time: None,
    };
    tenant::insert_key(txn, &key, &fresh.secret_hash).await?;
    txn.record(NewEvent::new(EventKind::ApiKeyCreated, key.id).data(json!({ "scopes": key.scopes })));
    Ok(CreatedKey { key, secret: fresh.text })
}

/// Ends a key's life, with its event. Replicas that still know it ask again within seconds.
pub(crate) async fn end_key(txn: &mut Txn, id: ApiKeyId) -> Result<(), Error> {
    tenant::revoke_key(txn, id).await?;
    txn.record(NewEvent::new(EventKind::ApiKeyRevoked, id));
    Ok(())
}

/// Has everything looked at again that a policy or a product can concern.
async fn mark_linked_clusters(txn: &Txn) -> Result<(), Error> {
    let clusters = tenant::linked_clusters(&txn.read()).await?;
    dirty::mark(txn, clusters.into_iter().map(Subject::Cluster), txn.now()).await?;
    Ok(())
}

impl App {
    /// Creates a tenant with a first key of scope `admin`.
    ///
    /// Two tenants are written to, so this is two transactions. The first one remembers the new tenant's id under the
    /// caller's request id, before there is such a tenant. If we stop in between, a retry finds the id and finishes the
    /// work; if the work was finished, it finds the first key and says so. Without a request id nobody can retry, and a
    /// tenant that nobody has a key for is all that can be left behind.
    pub async fn create_tenant(&self, call: &Call, display_name: &str) -> Result<Once<CreatedTenant>, Error> {
        const METHOD: &str = "CreateTenant";
        let mut violations = Violations::new();
        violations.required_text("display_name", display_name, MAX_DISPLAY_NAME);
        violations.into_result()?;

        let body = json!({ "display_name": display_name });
        let txn = self.begin(call).await?;
        let id = match self.earlier(&txn, call, METHOD, &body).await? {
            Some(earlier) => remembered(&earlier, "tenant_id")?,
            None => {
                let id = TenantId::new();
                self.remember(&txn, call, METHOD, &body, json!({ "tenant_id": id })).await?;
                id
            }
        };
        txn.commit().await?; // Ended in either case: the next one needs the writer.
        let scope = tenant::insert(&self.store, id, display_name, call.now).await?;
        let (tenant, fresh, first) = self.first_key(scope, &call.actor(), call.now, "first key", Scope::Admin).await?;
        let first_key = CreatedKey { key: first, secret: fresh.clone().unwrap_or_default() };
        Ok(Once { result: CreatedTenant { tenant, first_key }, replayed: fresh.is_none() })
    }

    /// Gives a tenant its first key, unless it has one: the tenant, the new key's text if it is new, the first key.
    async fn first_key(
        &self,
        scope: TenantScope,
        actor: &str,
        now: Timestamp,
        display_name: &str,
        may: Scope,
    ) -> Result<(Tenant, Option<String>, ApiKey), Error> {
        let mut txn = self.store.begin(scope, actor, now).await?;
        let tenant = tenant::get(&txn.read()).await?;
        if let Some(first) = tenant::list_keys(&txn.read(), None, 1).await?.items.pop() {
            return Ok((tenant, None, first));
        }
        let data = json!({ "display_name": tenant.display_name });
        txn.record(NewEvent::new(EventKind::TenantCreated, tenant.id).data(data));
        let made = make_key(&mut txn, display_name, Scopes(vec![may]), None).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok((tenant, Some(made.secret), made.key))
    }

    /// On an empty database, creates the tenant `default` with a key of scope `operator`. Every start asks; of several
    /// replicas that start together, one gets the key.
    pub async fn bootstrap(&self) -> Result<Option<FirstKey>, Error> {
        let others = tenant::all_scopes(&self.store).await?;
        if others.iter().any(|scope| scope.tenant() != DEFAULT_TENANT) {
            return Ok(None);
        }
        let now = self.clock.now();
        let scope = tenant::insert(&self.store, DEFAULT_TENANT, "default", now).await?;
        let (tenant, text, _) = self.first_key(scope, SYSTEM, now, "first key", Scope::Operator).await?;
        Ok(text.map(|text| FirstKey { tenant: tenant.id, text }))
    }

    /// The caller's own tenant.
    pub async fn get_tenant(&self, call: &Call) -> Result<Tenant, Error> {
        Ok(tenant::get(&self.read(call)).await?)
    }

    /// A page of all tenants, oldest first. For operators.
    pub async fn list_tenants(
        &self,
        call: &Call,
        after: Option<TenantId>,
        size: u64,
    ) -> Result<Page<Tenant, TenantId>, Error> {
        call.need(Scope::Operator)?;
        Ok(tenant::list_all(&self.store, after, size).await?)
    }

    /// Creates a key. Only an operator can make another one.
    pub async fn create_api_key(&self, call: &Call, input: NewApiKey) -> Result<Once<CreatedKey>, Error> {
        const METHOD: &str = "CreateApiKey";
        let mut violations = Violations::new();
        violations.required_text("display_name", &input.display_name, MAX_DISPLAY_NAME);
        let scopes = input.scopes(&mut violations);
        violations.into_result()?;
        if scopes.0.contains(&Scope::Operator) {
            call.need(Scope::Operator)?;
        }

        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &input).await? {
            let id: ApiKeyId = remembered(&earlier, "api_key_id")?;
            let key = tenant::find_key(&txn.read(), id).await?.ok_or_else(|| Error::not_found(Resource::ApiKey, id))?;
            return Ok(Once { result: CreatedKey { key, secret: String::new() }, replayed: true });
        }
        // Not before: a retry that comes late is still answered.
        if input.expire_time.is_some_and(|time| time <= call.now) {
            return Err(Error::invalid("expire_time", "is not in the future; send a later time, or none"));
        }
        let made = make_key(&mut txn, &input.display_name, scopes, input.expire_time).await?;
        self.remember(&txn, call, METHOD, &input, json!({ "api_key_id": made.key.id })).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: made, replayed: false })
    }

    /// A page of the tenant's keys, oldest first.
    pub async fn list_api_keys(
        &self,
        call: &Call,
        after: Option<ApiKeyId>,
        size: u64,
    ) -> Result<Page<ApiKey, ApiKeyId>, Error> {
        Ok(tenant::list_keys(&self.read(call), after, size).await?)
    }

    /// Ends a key's life: here at once, on other replicas as soon as they look again.
    pub async fn revoke_api_key(&self, call: &Call, id: ApiKeyId) -> Result<Once<ApiKey>, Error> {
        const METHOD: &str = "RevokeApiKey";
        let body = json!({ "api_key_id": id });
        let mut txn = self.begin(call).await?;
        let earlier = self.earlier(&txn, call, METHOD, &body).await?;
        let found = tenant::find_key(&txn.read(), id).await?;
        let mut key = found.ok_or_else(|| Error::not_found(Resource::ApiKey, id))?;
        if earlier.is_some() || key.revoke_time.is_some() {
            return Ok(Once { result: key, replayed: true });
        }
        end_key(&mut txn, id).await?;
        key.revoke_time = Some(txn.now());
        self.remember(&txn, call, METHOD, &body, json!({ "api_key_id": id })).await?;
        txn.commit().await?;
        self.auth.forget(id);
        self.wake.committed();
        Ok(Once { result: key, replayed: false })
    }

    /// Makes a new secret that signs the tenant's webhooks. The one before signs beside it for a day; one that is older
    /// still stops at once.
    pub async fn rotate_webhook_secret(&self, call: &Call) -> Result<Once<RotatedSecret>, Error> {
        const METHOD: &str = "RotateWebhookSecret";
        let body = json!({});
        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &body).await? {
            let previous_expire_time = remembered(&earlier, "previous_expire_time")?;
            return Ok(Once { result: RotatedSecret { secret: String::new(), previous_expire_time }, replayed: true });
        }
        let mut bytes = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let secret = format!("whsec_{}", BASE64_STANDARD.encode(bytes));
        let before = tenant::webhook_secrets(&txn.read()).await?;
        let previous = before.current.map(|before| (before, txn.now() + SECRET_OVERLAP));
        let previous_expire_time = previous.as_ref().map(|(_, time)| *time);
        tenant::update_webhook_secrets(&txn, &WebhookSecrets { current: Some(secret.clone()), previous }).await?;
        txn.record(NewEvent::new(EventKind::WebhookSecretRotated, txn.scope().tenant()));
        let result = json!({ "previous_expire_time": previous_expire_time });
        self.remember(&txn, call, METHOD, &body, result).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: RotatedSecret { secret, previous_expire_time }, replayed: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_known_scopes() {
        let key = |scopes: &[&str]| NewApiKey {
            display_name: "x".to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            expire_time: None,
        };
        let mut violations = Violations::new();
        assert_eq!(key(&["admin", "admin"]).scopes(&mut violations), Scopes(vec![Scope::Admin]));
        assert!(violations.is_empty());
        key(&[]).scopes(&mut violations);
        key(&["admin", "reports.delete"]).scopes(&mut violations);
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["scopes", "scopes[1]"]);
    }
}
