//! The keyed hash that places Call-IDs, frozen: the same bytes and key give the same number for ever, everywhere.
//!
//! An in-process hash such as ahash looked better, because it is faster. It differs between its versions and between
//! CPUs, so two replicas would disagree about a call. An unkeyed hash would let anybody who chooses Call-IDs aim all
//! of them at one backend. SipHash-2-4 (Aumasson and Bernstein, 2012) is keyed, has published vectors, and takes some
//! thirty nanoseconds for a Call-ID.

use std::fmt;

use arrayvec::ArrayVec;
use siphasher::sip::{SipHasher13, SipHasher24};

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
        FieldHasher { key: *self, gathered: ArrayVec::new() }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// SipHash over several fields, each behind its length, so that no two lists of fields give the same bytes.
///
/// Fields are gathered and hashed at once, because each write to the hash costs as much as hashing thirty bytes. They are gathered
/// in place: handed on by value, the room for them would be copied with each.
#[derive(Clone, Debug)]
pub struct FieldHasher {
    key: Key,
    gathered: ArrayVec<u8, GATHERED_BYTES>,
}

/// What the fields of a usual branch take: a host, a branch and a Call-ID.
const GATHERED_BYTES: usize = 256;

impl FieldHasher {
    /// Takes a field in.
    #[inline]
    pub fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.write(&(bytes.len() as u32).to_le_bytes());
        self.write(bytes);
        self
    }

    /// The same of the field in small letters.
    #[inline]
    pub fn field_in_small_letters(&mut self, bytes: &[u8]) -> &mut Self {
        self.write(&(bytes.len() as u32).to_le_bytes());
        // Most are in small letters. They are not changed where they have just been written: a processor waits long to read that.
        if bytes.len() > GATHERED_BYTES || bytes.iter().any(u8::is_ascii_uppercase) {
            self.write_in_small_letters(bytes);
        } else {
            self.write(bytes);
        }
        self
    }

    /// Takes a number in.
    #[inline]
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.write(&number.to_le_bytes());
        self
    }

    /// SipHash-2-4 of all that was taken in.
    #[inline]
    pub fn finish(&self) -> u64 {
        self.key.hash(&self.gathered)
    }

    /// SipHash-1-3 of all that was taken in: at half the price, for what only our own backends see and send back.
    #[inline]
    pub fn finish_quick(&self) -> u64 {
        SipHasher13::new_with_key(&self.key.0).hash(&self.gathered)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.gathered.try_extend_from_slice(bytes).is_err() {
            self.condense(bytes);
        }
    }

    #[cold]
    fn write_in_small_letters(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(GATHERED_BYTES) {
            let mut small: ArrayVec<u8, GATHERED_BYTES> = chunk.iter().copied().collect();
            small.make_ascii_lowercase();
            self.write(&small);
        }
    }

    /// More than there is room for: the hashes of both stand for them.
    #[cold]
    fn condense(&mut self, bytes: &[u8]) {
        let hashes = [self.key.hash(&self.gathered), self.key.hash(bytes)];
        self.gathered.clear();
        self.gathered.extend(hashes.into_iter().flat_map(u64::to_le_bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let key = Key::new([7; 16]);
        let hash = |fields: &[&[u8]]| {
            let mut hasher = key.over_fields();
            for field in fields {
                hasher.field(field);
            }
            hasher.finish()
        };
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
    }

    #[test]
    fn every_byte_counts_however_many_there_are() {
        let key = Key::new([7; 16]);
        for len in [1, 100, 251, 252, 253, 256, 257, 1000] {
            let mut long = vec![b'x'; len];
            let hash = |bytes: &[u8]| {
                let mut hasher = key.over_fields();
                hasher.field(bytes).number(9).field(b"end");
                hasher
            };
            let before = (hash(&long).finish(), hash(&long).finish_quick());
            for place in [0, len / 2, len - 1] {
                long[place] = b'y';
                assert_ne!((hash(&long).finish(), hash(&long).finish_quick()), before, "{place} of {len}");
                long[place] = b'x';
            }
            assert_eq!((hash(&long).finish(), hash(&long).finish_quick()), before);
        }
    }

    #[test]
    fn a_field_in_small_letters_is_the_same_whatever_its_case_and_length() {
        let key = Key::new([7; 16]);
        for len in [0, 1, 100, 251, 252, 253, 256, 257, 1000] {
            let hash = |bytes: &[u8]| key.over_fields().number(1).field_in_small_letters(bytes).field(b"end").finish();
            assert_eq!(hash(&vec![b'X'; len]), hash(&vec![b'x'; len]));
            assert_ne!(hash(&vec![b'x'; len]), hash(&vec![b'y'; len + 1]));
        }
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", Key::new([65; 16])), "Key(secret)");
    }
}
