//! Answered requests, by their ids: a retry gets the answer of the first call (law 2).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::time::Timestamp;

use super::entity;
use super::error::StoreError;
use super::sql_types::JsonText;
use super::{Store, Txn, chunks};

/// A hash for every field of a request's body, by the field's path: tells which fields differ without keeping them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Of a body. Objects are taken apart, lists are taken whole.
    pub fn of<T: Serialize>(body: &T) -> Self {
        let mut fields = BTreeMap::new();
        let value = serde_json::to_value(body).expect("request bodies have string keys and no failing serializer");
        flatten("", &value, &mut fields);
        Self(fields)
    }

    /// The fields in which two bodies differ.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let fields: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        fields.into_iter().filter(|&field| self.0.get(field) != other.0.get(field)).cloned().collect()
    }
}

fn flatten(path: &str, value: &serde_json::Value, fields: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, fields);
            }
        }
        serde_json::Value::Null => {}
        other => {
            let hash = Sha256::digest(other.to_string());
            fields.insert(path.to_owned(), hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

/// A request that was answered before.
#[derive(Debug, Clone)]
pub struct Answered {
    /// What it asked.
    pub fingerprint: Fingerprint,
    /// What is needed to answer it again.
    pub result: serde_json::Value,
}

/// The answer to an earlier request of this id.
pub async fn find(txn: &Txn, method: &str, request_id: Uuid) -> Result<Option<Answered>, StoreError> {
    let key = (txn.scope().tenant(), request_id, method.to_owned());
    let row = entity::request::Entity::find_by_id(key).one(txn.db()).await?;
    Ok(row.map(|row| Answered { fingerprint: row.fingerprint.0, result: row.result.0 }))
}

/// The answers to earlier requests of these ids.
pub async fn find_many(txn: &Txn, method: &str, request_ids: Vec<Uuid>) -> Result<HashMap<Uuid, Answered>, StoreError> {
    let mut answered = HashMap::new();
    for chunk in chunks(request_ids) {
        let rows = entity::request::Entity::find()
            .filter(entity::request::Column::TenantId.eq(txn.scope().tenant()))
            .filter(entity::request::Column::RequestId.is_in(chunk))
            .filter(entity::request::Column::Method.eq(method))
            .all(txn.db())
            .await?;
        let rows = rows
            .into_iter()
            .map(|row| (row.request_id, Answered { fingerprint: row.fingerprint.0, result: row.result.0 }));
        answered.extend(rows);
    }
    Ok(answered)
}

/// Remembers an answer together with what it did.
pub async fn remember(
    txn: &Txn,
    method: &str,
    request_id: Uuid,
    fingerprint: Fingerprint,
    result: serde_json::Value,
) -> Result<(), StoreError> {
    remember_many(txn, method, vec![(request_id, Answered { fingerprint, result })]).await
}

/// Remembers the answers to many requests.
pub async fn remember_many(txn: &Txn, method: &str, answers: Vec<(Uuid, Answered)>) -> Result<(), StoreError> {
    let rows: Vec<_> = answers
        .into_iter()
        .map(|(request_id, answered)| entity::request::ActiveModel {
            tenant_id: Set(txn.scope().tenant()),
            request_id: Set(request_id),
            method: Set(method.to_owned()),
            fingerprint: Set(JsonText(answered.fingerprint)),
            result: Set(JsonText(answered.result)),
            create_time: Set(txn.now()),
        })
        .collect();
    for chunk in chunks(rows) {
        entity::request::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Forgets answers older than this.
pub async fn forget_before(store: &Store, time: Timestamp) -> Result<u64, StoreError> {
    let db = store.begin_write().await?;
    let deleted =
        entity::request::Entity::delete_many().filter(entity::request::Column::CreateTime.lt(time)).exec(&db).await?;
    db.commit().await?;
    Ok(deleted.rows_affected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_2_the_fields_that_differ_are_named() {
        let first = Fingerprint::of(&serde_json::json!({"a": 1, "b": {"c": "x", "d": [1]}}));
        let second = Fingerprint::of(&serde_json::json!({"a": 1, "b": {"c": "y"}, "e": true}));
        assert_eq!(first.differences(&second), ["b.c", "b.d", "e"]);
        assert!(first.differences(&first).is_empty());
    }
}
