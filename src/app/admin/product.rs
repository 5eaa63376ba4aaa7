//! Products: found by the tenant's own key, and never made to forget a line.

use serde::Serialize;
use serde_json::json;

use crate::app::{App, Call, Error, Once, Resource, remembered};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::ProductId;
use crate::domain::product::{Lines, Product};
use crate::domain::version::VersionScheme;
use crate::domain::violation::Violations;
use crate::store::{Page, Reader, Txn, tenant};

use super::mark_linked_clusters;

const MAX_LINES: usize = 64;

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

impl NewProduct {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
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

async fn find_product(db: &Reader<'_>, key_or_id: &str) -> Result<Product, Error> {
    let found = match key_or_id.parse::<ProductId>() {
        Ok(id) => tenant::products(db, [id]).await?.pop(),
        Err(_) => tenant::find_product_by_key(db, key_or_id).await?,
    };
    found.ok_or_else(|| Error::not_found(Resource::Product, key_or_id))
}

impl App {
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
        let known_version = before.as_ref().map(|before| before.version);
        let product = match before {
            Some(before) => change_product(&mut txn, before, &input).await?,
            None => create_product(&mut txn, &input).await?,
        };
        let result = json!({ "product_id": product.id, "created": created });
        self.remember(&txn, call, METHOD, &input, result).await?;
        txn.commit().await?;
        self.wake.committed();
        let replayed = known_version == Some(product.version);
        Ok(Once { result: UpsertedProduct { product, created }, replayed })
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
