//! Tenants, keys, products and policies.
//!
//! A key's text and a webhook's secret are shown once, by the call that made them: neither is stored, so a replay answers
//! without it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngCore;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::domain::event::{EventKind, NewEvent, SYSTEM};
use crate::domain::id::{ApiKeyId, ProductId, TenantId};
use crate::domain::policy::{MultiDefect, Policy, QuietHours};
use crate::domain::product::{Lines, Product};
use crate::domain::scope::{Scope, Scopes};
use crate::domain::time::Timestamp;
use crate::domain::version::VersionScheme;
use crate::domain::violation::Violations;
use crate::store::dirty::{self, Subject};
use crate::store::tenant::{self, ApiKey, Tenant, WebhookSecrets};
use crate::store::{Page, TenantScope, Txn};

use super::{App, Call, Error, Once, Resource, auth, remembered};

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

/// A product to make or to change.
#[derive(Debug, Clone, Serialize)]
pub struct NewProduct {
    /// The tenant's own key for it.
    pub key: String,
    /// Its name; empty takes the key, or leaves what there is.
    pub display_name: String,
    /// How its versions compare; `None`: SEMVER, or what it was.
    pub version_scheme: Option<VersionScheme>,
    /// Lines to add.
    pub lines: Vec<String>,
}

/// A product that was made or changed.
#[derive(Debug, Clone)]
pub struct UpsertedProduct {
    /// The product.
    pub product: Product,
    /// It is new.
    pub created: bool,
}

/// New values of a policy. Which of them count is said beside.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyValues {
    /// Say ACKNOWLEDGED when a defect is linked.
    pub acknowledge: bool,
    /// When a cluster has several defects.
    pub multi_defect: MultiDefect,
    /// Announcements to more recipients wait for a person; `None`: none does.
    pub approval_threshold: Option<u64>,
    /// How long a fix must have stood, in seconds.
    #[serde(rename = "settle_delay")]
    pub settle_delay_seconds: u64,
    /// Tell customers whose version is unknown in conditional words.
    pub tell_unknown_conditionally: bool,
    /// Minutes after local midnight.
    pub quiet_start_minute: Option<u16>,
    /// Minutes after local midnight.
    pub quiet_end_minute: Option<u16>,
    /// Time zone of customers who have none; empty takes UTC.
    pub time_zone: String,
    /// The version that was read; empty: whatever it is.
    pub etag: String,
}

/// A change of the policy.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyChange {
    /// The new values.
    pub policy: PolicyValues,
    /// Which of them count.
    pub update_mask: Vec<String>,
}

/// A policy and its version.
#[derive(Debug, Clone)]
pub struct VersionedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Rises with every change.
    pub version: i64,
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
const MAX_LINES: usize = 64;

impl NewApiKey {
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
                    violations.add(format!("scopes[{index}]"), format!("is not a scope; use one of {}", known.join(", ")));
                }
            }
        }
        Scopes(scopes)
    }
}

impl NewProduct {
    fn check(&self, violations: &mut Violations) {
        violations.required_text("key", &self.key, 128);
        if self.key.parse::<ProductId>().is_ok() {
            violations.add("key", "looks like an id of this server; choose a key of your own");
        }
        violations.text("display_name", &self.display_name, 256);
        if self.lines.len() > MAX_LINES {
            violations.add("lines", format!("has {} lines; send at most {MAX_LINES}", self.lines.len()));
        }
        for (index, line) in self.lines.iter().enumerate() {
            violations.required_text(&format!("lines[{index}]"), line, 64);
        }
    }
}

impl PolicyChange {
    /// The policy with the values that count, and the names of the fields that become different.
    fn apply(&self, before: &Policy, violations: &mut Violations) -> (Policy, Vec<&'static str>) {
        let (values, mut after) = (&self.policy, before.clone());
        let quiet = before.quiet_hours;
        let (mut quiet_start, mut quiet_end) = (quiet.map(|quiet| quiet.start_minute), quiet.map(|quiet| quiet.end_minute));
        if self.update_mask.is_empty() {
            violations.add("update_mask", "is required; name the fields of the policy to change");
        }
        for path in &self.update_mask {
            match path.as_str() {
                "acknowledge" => after.acknowledge = values.acknowledge,
                "multi_defect" => after.multi_defect = values.multi_defect,
                "approval_threshold" => after.approval_threshold = values.approval_threshold,
                "settle_delay" => after.settle_delay_seconds = values.settle_delay_seconds,
                "tell_unknown_conditionally" => after.tell_unknown_conditionally = values.tell_unknown_conditionally,
                "quiet_start_minute" => quiet_start = values.quiet_start_minute,
                "quiet_end_minute" => quiet_end = values.quiet_end_minute,
                "time_zone" if values.time_zone.is_empty() => after.time_zone = Policy::default().time_zone,
                "time_zone" => after.time_zone.clone_from(&values.time_zone),
                unknown => violations.add(
                    "update_mask",
                    format!(
                        "has the path {unknown:?}; use acknowledge, multi_defect, approval_threshold, settle_delay, \
                         tell_unknown_conditionally, quiet_start_minute, quiet_end_minute, time_zone"
                    ),
                ),
            }
        }
        match (quiet_start, quiet_end) {
            (Some(start_minute), Some(end_minute)) => after.quiet_hours = Some(QuietHours { start_minute, end_minute }),
            (None, None) => after.quiet_hours = None,
            (None, Some(_)) => violations.add("policy.quiet_start_minute", "is required with quiet_end_minute; set both or neither"),
            (Some(_), None) => violations.add("policy.quiet_end_minute", "is required with quiet_start_minute; set both or neither"),
        }
        after.check(violations);
        let fields = [
            ("acknowledge", after.acknowledge != before.acknowledge),
            ("multi_defect", after.multi_defect != before.multi_defect),
            ("approval_threshold", after.approval_threshold != before.approval_threshold),
            ("settle_delay", after.settle_delay_seconds != before.settle_delay_seconds),
            ("tell_unknown_conditionally", after.tell_unknown_conditionally != before.tell_unknown_conditionally),
            ("quiet_hours", after.quiet_hours != before.quiet_hours),
            ("time_zone", after.time_zone != before.time_zone),
        ];
        (after, fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect())
    }
}

/// Makes a key and stores it with its event.
async fn make_key(
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

/// Has everything looked at again that a policy or a product can concern.
async fn mark_linked_clusters(txn: &Txn) -> Result<(), Error> {
    let clusters = tenant::linked_clusters(&txn.read()).await?;
    dirty::mark(txn, clusters.into_iter().map(Subject::Cluster), txn.now()).await?;
    Ok(())
}

async fn find_product(db: &crate::store::Reader<'_>, key_or_id: &str) -> Result<Product, Error> {
    let found = match key_or_id.parse::<ProductId>() {
        Ok(id) => tenant::products(db, [id]).await?.pop(),
        Err(_) => tenant::find_product_by_key(db, key_or_id).await?,
    };
    found.ok_or_else(|| Error::not_found(Resource::Product, key_or_id))
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
        violations.required_text("display_name", display_name, 256);
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
        let (tenant, fresh, first) =
            self.first_key(scope, &call.actor(), call.now, "first key", Scope::Admin).await?;
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
        violations.required_text("display_name", &input.display_name, 256);
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
        tenant::revoke_key(&txn, id).await?;
        key.revoke_time = Some(txn.now());
        txn.record(NewEvent::new(EventKind::ApiKeyRevoked, id));
        self.remember(&txn, call, METHOD, &body, json!({ "api_key_id": id })).await?;
        txn.commit().await?;
        self.auth.forget(id);
        self.wake.committed();
        Ok(Once { result: key, replayed: false })
    }

    /// Creates a product, or changes its name and adds lines to it.
    pub async fn upsert_product(&self, call: &Call, input: NewProduct) -> Result<Once<UpsertedProduct>, Error> {
        const METHOD: &str = "UpsertProduct";
        let mut violations = Violations::new();
        input.check(&mut violations);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &input).await? {
            let product = find_product(&txn.read(), &input.key).await?;
            let result = UpsertedProduct { product, created: remembered(&earlier, "created")? };
            return Ok(Once { result, replayed: true });
        }
        let before = tenant::find_product_by_key(&txn.read(), &input.key).await?;
        let created = before.is_none();
        let product = match before {
            Some(before) => change_product(&mut txn, before, &input).await?,
            None => create_product(&mut txn, &input).await?,
        };
        let result = json!({ "product_id": product.id, "created": created });
        self.remember(&txn, call, METHOD, &input, result).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: UpsertedProduct { product, created }, replayed: false })
    }

    /// One product, by the tenant's own key or by id.
    pub async fn get_product(&self, call: &Call, key_or_id: &str) -> Result<Product, Error> {
        find_product(&self.read(call), key_or_id).await
    }

    /// A page of the tenant's products, newest first.
    pub async fn list_products(
        &self,
        call: &Call,
        after: Option<ProductId>,
        size: u64,
    ) -> Result<Page<Product, ProductId>, Error> {
        Ok(tenant::list_products(&self.read(call), after, size).await?)
    }

    /// What the tenant lets be said, and how.
    pub async fn get_policy(&self, call: &Call) -> Result<VersionedPolicy, Error> {
        let (policy, version) = tenant::policy(&self.read(call)).await?;
        Ok(VersionedPolicy { policy, version })
    }

    /// Changes what the tenant lets be said. Everything it can concern is looked at again.
    pub async fn update_policy(&self, call: &Call, input: PolicyChange) -> Result<Once<VersionedPolicy>, Error> {
        const METHOD: &str = "UpdatePolicy";
        let mut txn = self.begin(call).await?;
        let earlier = self.earlier(&txn, call, METHOD, &input).await?;
        let (before, version) = tenant::policy(&txn.read()).await?;
        if earlier.is_some() {
            return Ok(Once { result: VersionedPolicy { policy: before, version }, replayed: true });
        }
        let mut violations = Violations::new();
        let (policy, fields) = input.apply(&before, &mut violations);
        violations.into_result()?;
        let tenant = txn.scope().tenant();
        if !input.policy.etag.is_empty() && input.policy.etag != version.to_string() {
            return Err(Error::StaleEtag { resource: Resource::Policy, id: tenant.to_string() });
        }
        let mut result = VersionedPolicy { policy, version };
        if !fields.is_empty() {
            tenant::update_policy(&txn, &result.policy).await?;
            result.version += 1;
            txn.record(NewEvent::new(EventKind::PolicyUpdated, tenant).data(json!({ "fields": fields })));
            mark_linked_clusters(&txn).await?;
        }
        self.remember(&txn, call, METHOD, &input, json!({ "version": result.version })).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
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

async fn create_product(txn: &mut Txn, input: &NewProduct) -> Result<Product, Error> {
    let mut lines = Lines::default();
    add_lines(&mut lines, &input.lines);
    let display_name = if input.display_name.is_empty() { &input.key } else { &input.display_name };
    let product = Product {
        id: ProductId::new(),
        tenant_id: txn.scope().tenant(),
        key: input.key.clone(),
        display_name: display_name.clone(),
        version_scheme: input.version_scheme.unwrap_or(VersionScheme::Semver),
        lines,
        version: 1,
        create_time: txn.now(),
    };
    tenant::insert_product(txn, product.clone()).await?;
    let data = json!({ "key": product.key, "version_scheme": product.version_scheme, "lines": product.lines });
    txn.record(NewEvent::new(EventKind::ProductCreated, product.id).data(data));
    Ok(product)
}

async fn change_product(txn: &mut Txn, before: Product, input: &NewProduct) -> Result<Product, Error> {
    if input.version_scheme.is_some_and(|scheme| scheme != before.version_scheme) {
        // Every verdict that was ever given about this product rests on it.
        let scheme = before.version_scheme.as_str();
        return Err(Error::invalid("version_scheme", format!("is {scheme} and cannot change; leave it out")));
    }
    let mut product = before.clone();
    if !input.display_name.is_empty() {
        product.display_name.clone_from(&input.display_name);
    }
    add_lines(&mut product.lines, &input.lines);
    if product == before {
        return Ok(before);
    }
    product.version += 1;
    tenant::update_product(txn, product.clone()).await?;
    let data = json!({ "key": product.key, "lines": product.lines });
    txn.record(NewEvent::new(EventKind::ProductUpdated, product.id).data(data));
    if product.lines != before.lines {
        mark_linked_clusters(txn).await?; // A new line can change which fixes reach whom.
    }
    Ok(product)
}

fn add_lines(lines: &mut Lines, more: &[String]) {
    for line in more {
        if !lines.0.contains(line) {
            lines.0.push(line.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(update_mask: &[&str], edit: impl FnOnce(&mut PolicyValues)) -> PolicyChange {
        let mut policy = PolicyValues {
            acknowledge: false,
            multi_defect: MultiDefect::All,
            approval_threshold: None,
            settle_delay_seconds: 0,
            tell_unknown_conditionally: false,
            quiet_start_minute: None,
            quiet_end_minute: None,
            time_zone: String::new(),
            etag: String::new(),
        };
        edit(&mut policy);
        PolicyChange { policy, update_mask: update_mask.iter().map(|&path| path.to_owned()).collect() }
    }

    fn wrong(change: &PolicyChange, before: &Policy) -> Vec<String> {
        let mut violations = Violations::new();
        change.apply(before, &mut violations);
        violations.iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn only_what_the_mask_names_is_changed() {
        let before = Policy { acknowledge: true, approval_threshold: Some(5), ..Policy::default() };
        let change = change(&["approval_threshold", "settle_delay"], |policy| policy.settle_delay_seconds = 60);
        let mut violations = Violations::new();
        let (after, fields) = change.apply(&before, &mut violations);
        assert!(violations.is_empty());
        assert_eq!(after, Policy { approval_threshold: None, settle_delay_seconds: 60, ..before });
        assert_eq!(fields, ["approval_threshold", "settle_delay"]);
    }

    #[test]
    fn an_empty_or_unknown_mask_is_refused() {
        let before = Policy::default();
        assert_eq!(wrong(&change(&[], |_| {}), &before), ["update_mask"]);
        assert_eq!(wrong(&change(&["acknowledge", "etag", "policy.acknowledge"], |_| {}), &before).len(), 2);
    }

    #[test]
    fn quiet_hours_have_both_ends_or_none() {
        let quiet = Policy { quiet_hours: Some(QuietHours { start_minute: 60, end_minute: 120 }), ..Policy::default() };
        let one = change(&["quiet_start_minute"], |policy| policy.quiet_start_minute = Some(30));
        assert_eq!(wrong(&one, &Policy::default()), ["policy.quiet_end_minute"]);
        assert!(wrong(&one, &quiet).is_empty(), "the other end is there already");
        let none = change(&["quiet_start_minute"], |_| {});
        assert_eq!(wrong(&none, &quiet), ["policy.quiet_start_minute"]);
        let zone = change(&["time_zone"], |policy| policy.time_zone = "Mars/Olympus".to_owned());
        assert_eq!(wrong(&zone, &quiet), ["policy.time_zone"]);
    }

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
