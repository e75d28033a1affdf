//! One key for each purpose, from the fleet's secret.

use std::fmt;

use arrayvec::ArrayVec;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::balance::key::Key;

/// The fewest bytes that make a secret: 128 bits, if they are drawn well.
pub const MIN_SECRET_BYTES: usize = 16;

/// The most secrets that are accepted beside the one that signs.
pub const MAX_OLDER: usize = 3;

/// The keys of a fleet. All its members must have the same, or they disagree about every call.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Places Call-IDs on backends.
    pub table: Key,
    /// Chooses the calls whose messages are copied for a collector. It stays the same for as long as `table` does.
    pub sample: Key,
    /// The one that signs, and behind it those that are still accepted.
    signing: ArrayVec<SigningKeys, { MAX_OLDER + 1 }>,
}

/// The keys made of one secret to write into messages and to find again.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    /// Makes branches.
    pub branch: Key,
    /// Signs return paths.
    pub path: Key,
    /// Makes the To tags of our own answers.
    pub tag: Key,
    /// Signs dialog pins.
    pub pin: Key,
    /// Signs flows.
    pub flow: Key,
    /// Signs the marks of probes.
    pub probe: Key,
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
    /// Keys of one secret.
    pub fn derive(secret: &[u8]) -> Result<Self, SecretTooShort> {
        Self::rotating(secret, &[], secret)
    }

    /// Keys of a secret that signs, of older ones that are still accepted (at most [`MAX_OLDER`]; more are left out), and
    /// of the one that places Call-IDs, which may stay the same while the others change.
    pub fn rotating(secret: &[u8], older: &[Vec<u8>], table: &[u8]) -> Result<Self, SecretTooShort> {
        let mut signing = ArrayVec::new();
        signing.push(SigningKeys::derive(secret)?);
        for older in older.iter().take(MAX_OLDER) {
            signing.push(SigningKeys::derive(older)?);
        }
        Ok(Keys { table: derive(table, "table")?, sample: derive(table, "sample")?, signing })
    }

    /// The keys that sign.
    pub fn current(&self) -> &SigningKeys {
        &self.signing[0]
    }

    /// The first thing that `verify` finds with one of the accepted keys; the current ones are tried first.
    pub fn find<T>(&self, verify: impl Fn(&SigningKeys) -> Option<T>) -> Option<T> {
        self.signing.iter().find_map(verify)
    }
}

impl SigningKeys {
    fn derive(secret: &[u8]) -> Result<Self, SecretTooShort> {
        let key = |purpose| derive(secret, purpose);
        Ok(SigningKeys {
            branch: key("branch")?,
            path: key("path")?,
            tag: key("tag")?,
            pin: key("pin")?,
            flow: key("flow")?,
            probe: key("probe")?,
        })
    }
}

/// A key by HKDF-SHA-256 (RFC 5869), so that none tells anything of the secret or of another.
fn derive(secret: &[u8], purpose: &str) -> Result<Key, SecretTooShort> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(SecretTooShort);
    }
    let mut bytes = [0; 16];
    let hkdf = Hkdf::<Sha256>::new(Some(b"viaduct keys 1"), secret);
    // 16 bytes are within the 255 hashes that HKDF can give, so this never fails.
    hkdf.expand(purpose.as_bytes(), &mut bytes).expect("16 bytes are a length HKDF can give");
    Ok(Key::new(bytes))
}
