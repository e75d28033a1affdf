//! One key for each purpose, from the fleet's secret.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;

use crate::balance::key::Key;

/// The fewest bytes that make a secret: 128 bits, if they are drawn well.
pub const MIN_SECRET_BYTES: usize = 16;

/// The keys of a fleet. All its members must have the same, or they disagree about every call.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Places Call-IDs on backends.
    pub table: Key,
    /// Makes branches.
    pub branch: Key,
    /// Signs return paths.
    pub path: Key,
    /// Makes the To tags of our own answers.
    pub tag: Key,
}

/// A secret of fewer than [`MIN_SECRET_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretTooShort;

impl fmt::Display for SecretTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has fewer than {MIN_SECRET_BYTES} bytes")
    }
}

impl std::error::Error for SecretTooShort {}

impl Keys {
    /// Derives the keys by HKDF-SHA-256 (RFC 5869), so that none tells anything of the secret or of another.
    pub fn derive(secret: &[u8]) -> Result<Self, SecretTooShort> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(SecretTooShort);
        }
        let hkdf = Hkdf::<Sha256>::new(Some(b"viaduct keys 1"), secret);
        let key = |purpose: &str| {
            let mut bytes = [0; 16];
            // 16 bytes are within the 255 hashes that HKDF can give, so this never fails.
            hkdf.expand(purpose.as_bytes(), &mut bytes).expect("16 bytes are a length HKDF can give");
            Key::new(bytes)
        };
        Ok(Keys { table: key("table"), branch: key("branch"), path: key("path"), tag: key("tag") })
    }
}
