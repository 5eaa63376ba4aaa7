//! Tenants, their API keys, products, policies and webhook secrets; and authentication, the one door to a
//! [`TenantScope`].

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::id::{ApiKeyId, ClusterId, ProductId, TenantId};
use crate::domain::policy::Policy;
use crate::domain::product::Product;
use crate::domain::scope::Scopes;
use crate::domain::time::Timestamp;

use super::entity::{api_key, cluster_defect, product, tenant};
use super::error::StoreError;
use super::sql_types::JsonText;
use super::{Page, Reader, Store, TenantScope, Txn};

/// An organisation.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub display_name: String,
    /// When it was created.
    pub create_time: Timestamp,
}

/// A credential, without its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub display_name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it ends by itself.
    pub expire_time: Option<Timestamp>,
    /// When it was revoked.
    pub revoke_time: Option<Timestamp>,
}

/// A key as stored, and the right it gives once its secret has been verified.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Its facts.
    pub key: ApiKey,
    /// SHA-256 of its secret, in hexadecimal.
    pub secret_hash: String,
    /// Whose rows it may touch. Use it only after comparing the hash.
    pub scope: TenantScope,
}

/// The secrets that sign a tenant's webhooks.
#[derive(Debug, Clone, Default)]
pub struct WebhookSecrets {
    /// Signs.
    pub current: Option<String>,
    /// Signs too, until it expires.
    pub previous: Option<(String, Timestamp)>,
}

fn key_from_row(row: api_key::Model) -> StoredKey {
    StoredKey {
        scope: TenantScope::new(row.tenant_id),
        secret_hash: row.secret_hash,
        key: ApiKey {
            id: row.id,
            display_name: row.display_name,
            scopes: row.scopes.0,
            create_time: row.create_time,
            expire_time: row.expire_time,
            revoke_time: row.revoke_time,
        },
    }
}

fn tenant_from_row(row: tenant::Model) -> Tenant {
    Tenant { id: row.id, display_name: row.display_name, create_time: row.create_time }
}

/// Looks a key up by its public id, for authentication.
pub async fn find_key_for_authentication(store: &Store, id: ApiKeyId) -> Result<Option<StoredKey>, StoreError> {
    Ok(api_key::Entity::find_by_id(id).one(&store.read).await?.map(key_from_row))
}

/// The scope of every tenant: for the passes that keep all of them current.
pub async fn all_scopes(store: &Store) -> Result<Vec<TenantScope>, StoreError> {
    let ids: Vec<TenantId> = tenant::Entity::find()
        .select_only()
        .column(tenant::Column::Id)
        .order_by_asc(tenant::Column::Id)
        .into_tuple()
        .all(&store.read)
        .await?;
    Ok(ids.into_iter().map(TenantScope::new).collect())
}

/// Creates a tenant, unless a try that broke off did so before; its first events and keys are written through the scope
/// that is returned.
pub async fn insert(
    store: &Store,
    id: TenantId,
    display_name: &str,
    now: Timestamp,
) -> Result<TenantScope, StoreError> {
    let db = store.begin_write().await?;
    let row = tenant::ActiveModel {
        id: Set(id),
        display_name: Set(display_name.to_owned()),
        policy: Set(JsonText(Policy::default())),
        policy_version: Set(1),
        webhook_secret: Set(None),
        previous_webhook_secret: Set(None),
        previous_webhook_secret_expire_time: Set(None),
        event_sequence: Set(0),
        create_time: Set(now),
    };
    tenant::Entity::insert(row)
        .on_conflict(OnConflict::column(tenant::Column::Id).do_nothing().to_owned())
        .exec_without_returning(&db)
        .await?;
    db.commit().await?;
    Ok(TenantScope::new(id))
}

/// The tenant of a scope.
pub async fn get(db: &Reader<'_>) -> Result<Tenant, StoreError> {
    let row = tenant::Entity::find_by_id(db.tenant()).one(db.db()).await?;
    row.map(tenant_from_row).ok_or_else(|| StoreError::Unfit(format!("tenant {} is gone", db.tenant())))
}

/// A page of all tenants, oldest first. For operators.
pub async fn list_all(store: &Store, after: Option<TenantId>, size: u64) -> Result<Page<Tenant, TenantId>, StoreError> {
    let mut query = tenant::Entity::find().order_by_asc(tenant::Column::Id).limit(size + 1);
    if let Some(after) = after {
        query = query.filter(tenant::Column::Id.gt(after));
    }
    let rows = query.all(&store.read).await?;
    Ok(Page::cut(rows.into_iter().map(tenant_from_row).collect(), size, |tenant: &Tenant| tenant.id))
}

/// Stores a key.
pub async fn insert_key(txn: &Txn, key: &ApiKey, secret_hash: &str) -> Result<(), StoreError> {
    let row = api_key::ActiveModel {
        id: Set(key.id),
        tenant_id: Set(txn.scope().tenant()),
        display_name: Set(key.display_name.clone()),
        secret_hash: Set(secret_hash.to_owned()),
        scopes: Set(JsonText(key.scopes.clone())),
        create_time: Set(key.create_time),
        expire_time: Set(key.expire_time),
        revoke_time: Set(key.revoke_time),
    };
    api_key::Entity::insert(row).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// One key of the tenant.
pub async fn find_key(db: &Reader<'_>, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let row = api_key::Entity::find_by_id(id).filter(api_key::Column::TenantId.eq(db.tenant())).one(db.db()).await?;
    Ok(row.map(|row| key_from_row(row).key))
}

/// A page of the tenant's keys, oldest first.
pub async fn list_keys(
    db: &Reader<'_>,
    after: Option<ApiKeyId>,
    size: u64,
) -> Result<Page<ApiKey, ApiKeyId>, StoreError> {
    let mut query = api_key::Entity::find()
        .filter(api_key::Column::TenantId.eq(db.tenant()))
        .order_by_asc(api_key::Column::Id)
        .limit(size + 1);
    if let Some(after) = after {
        query = query.filter(api_key::Column::Id.gt(after));
    }
    let rows = query.all(db.db()).await?;
    Ok(Page::cut(rows.into_iter().map(|row| key_from_row(row).key).collect(), size, |key: &ApiKey| key.id))
}

/// Ends a key's life.
pub async fn revoke_key(txn: &Txn, id: ApiKeyId) -> Result<(), StoreError> {
    api_key::Entity::update_many()
        .col_expr(api_key::Column::RevokeTime, Expr::value(txn.now()))
        .filter(api_key::Column::Id.eq(id))
        .filter(api_key::Column::TenantId.eq(txn.scope().tenant()))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// The policy and its version.
pub async fn policy(db: &Reader<'_>) -> Result<(Policy, i64), StoreError> {
    let row = tenant::Entity::find_by_id(db.tenant()).one(db.db()).await?;
    row.map(|row| (row.policy.0, row.policy_version))
        .ok_or_else(|| StoreError::Unfit(format!("tenant {} is gone", db.tenant())))
}

/// Stores a policy and returns its new version.
pub async fn update_policy(txn: &Txn, policy: &Policy) -> Result<(), StoreError> {
    tenant::Entity::update_many()
        .col_expr(tenant::Column::Policy, Expr::value(JsonText(policy.clone())))
        .col_expr(tenant::Column::PolicyVersion, Expr::col(tenant::Column::PolicyVersion).add(1))
        .filter(tenant::Column::Id.eq(txn.scope().tenant()))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// The secrets that sign the tenant's webhooks.
pub async fn webhook_secrets(db: &Reader<'_>) -> Result<WebhookSecrets, StoreError> {
    let row = tenant::Entity::find_by_id(db.tenant()).one(db.db()).await?;
    Ok(row.map_or_else(WebhookSecrets::default, |row| WebhookSecrets {
        current: row.webhook_secret,
        previous: row.previous_webhook_secret.zip(row.previous_webhook_secret_expire_time),
    }))
}

/// Puts new secrets in place.
pub async fn update_webhook_secrets(txn: &Txn, secrets: &WebhookSecrets) -> Result<(), StoreError> {
    let (previous, expire_time) = match &secrets.previous {
        Some((secret, time)) => (Some(secret.clone()), Some(*time)),
        None => (None, None),
    };
    tenant::Entity::update_many()
        .col_expr(tenant::Column::WebhookSecret, Expr::value(secrets.current.clone()))
        .col_expr(tenant::Column::PreviousWebhookSecret, Expr::value(previous))
        .col_expr(tenant::Column::PreviousWebhookSecretExpireTime, Expr::value(expire_time))
        .filter(tenant::Column::Id.eq(txn.scope().tenant()))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// A product by the tenant's own key.
pub async fn find_product_by_key(db: &Reader<'_>, key: &str) -> Result<Option<Product>, StoreError> {
    let row = product::Entity::find()
        .filter(product::Column::TenantId.eq(db.tenant()))
        .filter(product::Column::Key.eq(key))
        .one(db.db())
        .await?;
    Ok(row.map(Product::from))
}

/// Products by their ids.
pub async fn products(db: &Reader<'_>, ids: impl IntoIterator<Item = ProductId>) -> Result<Vec<Product>, StoreError> {
    let rows = product::Entity::find()
        .filter(product::Column::TenantId.eq(db.tenant()))
        .filter(product::Column::Id.is_in(ids))
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Product::from).collect())
}

/// A page of the tenant's products, newest first.
pub async fn list_products(
    db: &Reader<'_>,
    after: Option<ProductId>,
    size: u64,
) -> Result<Page<Product, ProductId>, StoreError> {
    let mut query = product::Entity::find()
        .filter(product::Column::TenantId.eq(db.tenant()))
        .order_by_desc(product::Column::Id)
        .limit(size + 1);
    if let Some(after) = after {
        query = query.filter(product::Column::Id.lt(after));
    }
    let rows = query.all(db.db()).await?;
    Ok(Page::cut(rows.into_iter().map(Product::from).collect(), size, |product: &Product| product.id))
}

/// Stores a new product.
pub async fn insert_product(txn: &Txn, product: Product) -> Result<(), StoreError> {
    product::Entity::insert(product::ActiveModel::from(product)).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// Stores a product's new values.
pub async fn update_product(txn: &Txn, product: Product) -> Result<(), StoreError> {
    product::ActiveModel::from(product).reset_all().update(txn.db()).await?;
    Ok(())
}

/// Every cluster that is linked to a defect: what a change of the policy or of a product's lines can concern.
pub async fn linked_clusters(db: &Reader<'_>) -> Result<Vec<ClusterId>, StoreError> {
    let ids: Vec<ClusterId> = cluster_defect::Entity::find()
        .select_only()
        .column(cluster_defect::Column::ClusterId)
        .distinct()
        .filter(cluster_defect::Column::TenantId.eq(db.tenant()))
        .into_tuple()
        .all(db.db())
        .await?;
    Ok(ids)
}
