//! Exact keys: what two reports must share to be the same without any scoring.
//!
//! A signature is a digest of a product and of one of three things: the caller's fingerprint, the normalised text, a
//! stack trace ([`stack`]). It names the version of the normalisation
//! that made it, so keys of two versions never meet by chance and old ones can be told from new ones in the database.
//!
//! The first two are certain. A trace is strong evidence and no more: one fault can show several traces, and two faults the
//! same one.

mod frame_name;
pub(super) mod stack;

use std::fmt;

use sha2::{Digest, Sha256};

use self::stack::StackTrace;
use super::VERSION;
use crate::domain::id::ProductId;

/// A versioned exact key of a text, or of a fingerprint, within one product.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    version: u32,
    digest: [u8; 16],
}

impl Signature {
    /// How many bytes [`Signature::to_bytes`] gives.
    pub const LENGTH: usize = 20;

    /// The key of a normalised text.
    pub(super) fn of_text(product: Option<ProductId>, title: &str, body: &str) -> Self {
        Self::of(b"text", product, &[title, body])
    }

    /// The key of a caller's fingerprint, which is taken as it came.
    pub(super) fn of_fingerprint(product: Option<ProductId>, fingerprint: &str) -> Self {
        Self::of(b"fingerprint", product, &[fingerprint])
    }

    /// The key of a stack trace; `None` if the trace says too little to be one problem's.
    pub(super) fn of_stack(product: Option<ProductId>, trace: &StackTrace) -> Option<Self> {
        let mut parts = vec![trace.exception.as_deref().unwrap_or_default()];
        parts.extend(trace.frames.iter().map(String::as_str));
        trace.is_distinctive().then(|| Self::of(b"stack", product, &parts))
    }

    fn of(kind: &[u8], product: Option<ProductId>, parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(kind);
        hasher.update([0]);
        if let Some(product) = product {
            hasher.update(product.uuid().as_bytes());
        }
        for part in parts {
            // The length stands before each part, so no two lists of parts read the same.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Self { version: VERSION, digest }
    }

    /// Which version of the normalisation made it.
    pub const fn version(self) -> u32 {
        self.version
    }

    /// The beginning of the digest: an order that has nothing to do with when it came.
    pub(super) fn prefix(self) -> u64 {
        self.digest.iter().take(8).fold(0, |prefix, &byte| prefix << 8 | u64::from(byte))
    }

    /// Its form in the database: the version, big-endian, and the digest.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&self.version.to_be_bytes());
        bytes[4..].copy_from_slice(&self.digest);
        bytes
    }

    /// Reads back what [`Signature::to_bytes`] wrote; `None` if the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, digest) = bytes.split_first_chunk::<4>()?;
        Some(Self { version: u32::from_be_bytes(*version), digest: digest.try_into().ok()? })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}:", self.version)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
