//! Signs outgoing webhooks after Standard Webhooks 1.0: an HMAC-SHA256 over `id.timestamp.body` for each secret.
//!
//! While a secret is rotated the previous one signs as well, so a receiver may change over whenever it likes. Verifying is
//! the receiver's part and not here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// What a secret's text form begins with; the rest is base64.
const PREFIX: &str = "whsec_";

/// How many bytes a secret may have.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a message cannot be signed. Says which secret, never what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is nothing to sign with.
    #[error("the endpoint has no signing secret")]
    NoSecret,
    /// One of the secrets cannot be read.
    #[error("signing secret {position} is not `whsec_` and base64 of 24 to 64 bytes")]
    MalformedSecret {
        /// Which one, counted from 1.
        position: usize,
    },
}

/// The text form of a new secret made of random bytes.
pub fn signing_secret(random: &[u8; 32]) -> SecretString {
    format!("{PREFIX}{}", STANDARD.encode(random)).into()
}

/// The value of `webhook-signature`: `v1,<base64>` for every secret, separated by spaces.
///
/// `timestamp` is in Unix seconds and goes out as `webhook-timestamp`; `body` is exactly what is sent.
pub fn sign(secrets: &[SecretString], id: &str, timestamp: i64, body: &[u8]) -> Result<String, SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    let mut signatures = Vec::with_capacity(secrets.len());
    for (index, secret) in secrets.iter().enumerate() {
        let key = key(secret).ok_or(SignatureError::MalformedSecret { position: index + 1 })?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("an HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    Ok(signatures.join(" "))
}

fn key(secret: &SecretString) -> Option<Vec<u8>> {
    let encoded = secret.expose_secret().strip_prefix(PREFIX)?;
    STANDARD.decode(encoded).ok().filter(|key| LENGTHS.contains(&key.len()))
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    /// HMAC written out by hand (RFC 2104), so that the golden value does not rest on the crate under test.
    fn hmac_by_hand(key: &[u8], text: &[u8]) -> String {
        let padded = |pad: u8| (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
        let inner = Sha256::digest([padded(0x36).as_slice(), text].concat());
        STANDARD.encode(Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()))
    }

    const ID: &str = "dlv_0192f3c4000070008000000000000001";
    const BODY: &[u8] = br#"{"type":"fix.announced"}"#;

    #[test]
    fn a_signature_equals_one_computed_by_hand() {
        let secret = signing_secret(&[7; 32]);
        let by_hand = hmac_by_hand(&[7; 32], format!("{ID}.1760000000.{{\"type\":\"fix.announced\"}}").as_bytes());
        assert_eq!(sign(&[secret], ID, 1_760_000_000, BODY).unwrap(), format!("v1,{by_hand}"));
    }

    #[test]
    fn the_golden_signature_never_changes() {
        let secret = SecretString::from("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        assert_eq!(
            sign(&[secret], ID, 1_760_000_000, BODY).unwrap(),
            "v1,oF9SZwAymrKDnGu4q3zGtY6E5jSNvsYuS1nd550dYlU="
        );
    }

    #[test]
    fn during_rotation_both_secrets_sign() {
        let (new, old) = (signing_secret(&[1; 32]), signing_secret(&[2; 32]));
        let both = sign(&[new.clone(), old.clone()], ID, 5, BODY).unwrap();
        let each = [new, old].map(|secret| sign(&[secret], ID, 5, BODY).unwrap());
        assert_eq!(both, each.join(" "));
        assert_ne!(each[0], each[1]);
    }

    #[test]
    fn every_part_is_signed() {
        let secret = [signing_secret(&[3; 32])];
        let signed = sign(&secret, ID, 5, BODY).unwrap();
        for (id, timestamp, body) in [("dlv_x", 5, BODY), (ID, 6, BODY), (ID, 5, b"{}".as_slice())] {
            assert_ne!(sign(&secret, id, timestamp, body).unwrap(), signed);
        }
    }

    #[test]
    fn a_weak_or_broken_secret_signs_nothing() {
        assert_eq!(sign(&[], ID, 5, BODY), Err(SignatureError::NoSecret));
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        let bare = STANDARD.encode([1; 32]);
        let spaced = format!("whsec_ {}", STANDARD.encode([1; 32]));
        for wrong in ["", "whsec_", "whsec_%%%", &short, &long, &bare, &spaced] {
            let secrets = [signing_secret(&[1; 32]), SecretString::from(wrong)];
            assert_eq!(sign(&secrets, ID, 5, BODY), Err(SignatureError::MalformedSecret { position: 2 }), "{wrong:?}");
        }
    }
}
