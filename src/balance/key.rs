//! The keyed hash that places Call-IDs, frozen: the same bytes and key give the same number for ever, everywhere.
//!
//! An in-process hash such as ahash looked better, because it is faster. It differs between its versions and between
//! CPUs, so two replicas would disagree about a call. An unkeyed hash would let anybody who chooses Call-IDs aim all
//! of them at one backend. SipHash-2-4 (Aumasson and Bernstein, 2012) is keyed, has published vectors, and takes some
//! thirty nanoseconds for a Call-ID.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// A SipHash key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Key(bytes)
    }

    /// SipHash-2-4 of `bytes`.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher24::new_with_key(&self.0).hash(bytes)
    }

    /// Begins a hash over several fields.
    pub fn over_fields(&self) -> FieldHasher {
        FieldHasher(SipHasher24::new_with_key(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// SipHash-2-4 over several fields, each behind its length, so that no two lists of fields give the same bytes.
#[derive(Clone, Debug)]
pub struct FieldHasher(SipHasher24);

impl FieldHasher {
    /// Takes a field in.
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.write(&(bytes.len() as u32).to_le_bytes());
        self.0.write(bytes);
        self
    }

    /// Takes a number in.
    pub fn number(mut self, number: u64) -> Self {
        self.0.write(&number.to_le_bytes());
        self
    }

    /// The hash of all that was taken in.
    pub fn finish(self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let key = Key::new([7; 16]);
        let hash = |fields: &[&[u8]]| fields.iter().fold(key.over_fields(), |h, f| h.field(f)).finish();
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", Key::new([65; 16])), "Key(secret)");
    }
}
