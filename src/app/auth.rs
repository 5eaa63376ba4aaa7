//! Who calls: API keys, and the one way from a key to a [`TenantScope`].
//!
//! A key reads `hb_<id>_<secret><checksum>`: the id is public and found in lists and events; the secret is 192 random
//! bits in hexadecimal, of which only the SHA-256 is stored; the checksum is the CRC-32 of all before it, so that a
//! mistyped key is told apart without a look into the database. Verified keys are remembered for [`TRUST`]: a
//! revocation is obeyed at once by the process that did it, and within that time by every other replica.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::RngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::id::ApiKeyId;
use crate::domain::time::Timestamp;
use crate::store::TenantScope;
use crate::store::tenant::{self, StoredKey};

use super::{App, Call, Error};

/// How long a key that was verified is trusted without another look. Streams look once a second, and so obey a
/// revocation within 5 seconds, too.
const TRUST: Duration = Duration::from_secs(4);
/// Keys remembered at most; more than a tenant's integrations, fewer than an attacker's guesses.
const MAX_REMEMBERED: usize = 10_000;
const SECRET_BYTES: usize = 24;

/// A new key: what is shown once, and what is stored.
#[derive(Debug)]
pub struct FreshKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The whole key.
    pub text: String,
    /// SHA-256 of the secret, in hexadecimal.
    pub secret_hash: String,
}

/// Makes a key.
pub fn fresh_key() -> FreshKey {
    let id = ApiKeyId::new();
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let secret = hex(&bytes);
    let body = format!("hb_{}_{secret}", id.uuid().simple());
    let text = format!("{body}{:08x}", crc32fast::hash(body.as_bytes()));
    FreshKey { id, text, secret_hash: hash(&secret) }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// Takes a key apart: its id and its secret. `None` if it was mistyped.
fn parse(text: &str) -> Option<(ApiKeyId, &str)> {
    let checksum_at = text.len().checked_sub(8)?;
    let (body, checksum) = (text.get(..checksum_at)?, text.get(checksum_at..)?);
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != checksum {
        return None;
    }
    let (id, secret) = body.strip_prefix("hb_")?.split_once('_')?;
    let id = format!("{}_{id}", ApiKeyId::PREFIX).parse().ok()?;
    (secret.len() == 2 * SECRET_BYTES).then_some((id, secret))
}

/// Keys that were looked up a moment ago.
#[derive(Default)]
pub(super) struct KeyCache {
    keys: Mutex<HashMap<ApiKeyId, (Instant, StoredKey)>>,
}

impl KeyCache {
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn get(&self, id: ApiKeyId) -> Option<StoredKey> {
        self.look(id, StoredKey::clone)
    }

    fn look<T>(&self, id: ApiKeyId, look: impl FnOnce(&StoredKey) -> T) -> Option<T> {
        let keys = self.keys.lock().expect("nobody panics while holding it");
        keys.get(&id).filter(|(looked_up, _)| looked_up.elapsed() < TRUST).map(|(_, key)| look(key))
    }

    fn put(&self, key: &StoredKey) {
        let mut keys = self.keys.lock().expect("nobody panics while holding it");
        if keys.len() >= MAX_REMEMBERED {
            keys.clear();
        }
        keys.insert(key.key.id, (Instant::now(), key.clone()));
    }

    /// Forgets a key whose revocation was just committed.
    pub(super) fn forget(&self, id: ApiKeyId) {
        self.keys.lock().expect("nobody panics while holding it").remove(&id);
    }
}

fn is_valid(stored: &StoredKey, now: Timestamp) -> bool {
    stored.key.revoke_time.is_none() && stored.key.expire_time.is_none_or(|expire| expire > now)
}

impl App {
    /// Who is behind this key. `request_id` is filled in later, by the handler that knows it.
    pub async fn authenticate(&self, text: &str, now: Timestamp) -> Result<Call, Error> {
        let (id, secret) = parse(text).ok_or(Error::CredentialsInvalid)?;
        let stored = match self.auth.get(id) {
            Some(stored) => stored,
            None => {
                let found = tenant::find_key_for_authentication(&self.store, id).await?;
                let stored = found.ok_or(Error::CredentialsInvalid)?;
                self.auth.put(&stored);
                stored
            }
        };
        let matches: bool = hash(secret).as_bytes().ct_eq(stored.secret_hash.as_bytes()).into();
        if !matches || !is_valid(&stored, now) {
            return Err(Error::CredentialsInvalid);
        }
        Ok(Call { scope: stored.scope, key: id, scopes: stored.key.scopes, request_id: None, now })
    }

    /// Looks again at the key of a stream, which outlives the call that began it: an error once the key is revoked or
    /// has expired.
    pub async fn check_key(&self, scope: TenantScope, id: ApiKeyId) -> Result<(), Error> {
        let now = self.clock.now();
        let valid = match self.auth.look(id, |stored| is_valid(stored, now)) {
            Some(valid) => valid,
            None => match tenant::find_key_for_authentication(&self.store, id).await? {
                Some(stored) if stored.scope.tenant() == scope.tenant() => {
                    self.auth.put(&stored);
                    is_valid(&stored, now)
                }
                _ => false,
            },
        };
        if valid { Ok(()) } else { Err(Error::CredentialsInvalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_apart_and_a_mistyped_one_is_not() {
        let key = fresh_key();
        let (id, secret) = parse(&key.text).expect("a fresh key");
        assert_eq!((id, hash(secret)), (key.id, key.secret_hash));
        let mut mistyped = key.text.clone();
        mistyped.replace_range(40..41, if &mistyped[40..41] == "0" { "1" } else { "0" });
        assert!(parse(&mistyped).is_none());
        for wrong in ["", "hb_", "hb__00000000", "ключ", "Bearer x"] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
