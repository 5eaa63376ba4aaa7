//! Products as callers name them: by the tenant's own key or by our id.

use crate::domain::id::ProductId;
use crate::domain::product::Product;
use crate::store::{Reader, tenant};

use super::Error;

/// Finds the product that a request's field names.
pub(crate) async fn resolve(db: &Reader<'_>, field: &str, text: &str) -> Result<Product, Error> {
    let found = match text.parse::<ProductId>() {
        Ok(id) => tenant::products(db, [id]).await?.pop(),
        // No key has a NUL, and Postgres does not take one even to look for it.
        Err(_) if text.contains('\0') => None,
        Err(_) => tenant::find_product_by_key(db, text).await?,
    };
    found.ok_or_else(|| {
        Error::invalid(
            field,
            format!("{text:?} names no product; create it with AdminService.UpsertProduct, or correct it"),
        )
    })
}
