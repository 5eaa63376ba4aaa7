//! Page tokens: opaque, bound to the list and filter they came from. They give no authority: the tenant is the
//! caller's own in every page.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::Error;

/// Rows of a page that names no size.
const DEFAULT_SIZE: u64 = 50;
/// Rows of a page at most.
const MAX_SIZE: u64 = 500;

/// The size asked for.
pub(crate) fn page_size(asked: i32) -> Result<u64, Error> {
    match u64::try_from(asked) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Error::invalid("page_size", "is negative; send 0 for the default of 50, or up to 500")),
    }
}

/// What a token is bound to: the list, its filter and its order.
fn binding(list: &str, filter: &str, order_by: &str) -> u32 {
    crc32fast::hash(format!("{list}\0{filter}\0{order_by}").as_bytes())
}

/// The token of the next page; empty at the end.
pub(crate) fn encode<K: Serialize>(list: &str, filter: &str, order_by: &str, next: Option<K>) -> String {
    let Some(key) = next else { return String::new() };
    let text = serde_json::to_string(&(binding(list, filter, order_by), key)).expect("keys are plain data");
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// The key that a token continues after; `None` for the first page.
pub(crate) fn decode<K: DeserializeOwned>(
    list: &str,
    filter: &str,
    order_by: &str,
    token: &str,
) -> Result<Option<K>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let invalid = || {
        Error::invalid(
            "page_token",
            "is not a token of this list with this filter and order; send the next_page_token of the page before, unchanged",
        )
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let (bound, key): (u32, K) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if bound == binding(list, filter, order_by) { Ok(Some(key)) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_its_own_list_only() {
        let token = encode("reports", "a = b", "", Some(7));
        assert_eq!(decode("reports", "a = b", "", &token).expect("its own"), Some(7));
        assert!(decode::<i32>("reports", "a = c", "", &token).is_err());
        assert!(decode::<i32>("clusters", "a = b", "", &token).is_err());
        assert!(decode::<i32>("reports", "a = b", "", "garbage!").is_err());
        assert_eq!(decode::<i32>("reports", "", "", "").expect("first page"), None);
        assert_eq!(encode::<i32>("reports", "", "", None), "");
    }
}
