//! Random draws for tags, branches and Call-IDs: a keyed hash of a counter, so that nobody foresees them (RFC 3261
//! §19.3) and a test can repeat them.

use std::hash::Hasher;
use std::ops::Range;
use std::time::Duration;

use siphasher::sip::SipHasher24;

/// A source of random numbers.
#[derive(Clone, Debug)]
pub struct Draws {
    key: (u64, u64),
    drawn: u64,
}

impl Draws {
    /// Draws that always come in the same order.
    pub fn from_key(key: (u64, u64)) -> Self {
        Draws { key, drawn: 0 }
    }

    /// Draws by a key from the kernel.
    pub fn from_system() -> Result<Self, getrandom::Error> {
        Ok(Draws::from_key((getrandom::u64()?, getrandom::u64()?)))
    }

    /// A number.
    pub fn number(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// A number as 16 hexadecimal digits: for tags and Call-IDs.
    pub fn word(&mut self) -> String {
        format!("{:016x}", self.number())
    }

    /// A branch, with its magic cookie (RFC 3261 §8.1.1.7).
    pub fn branch(&mut self) -> String {
        format!("z9hG4bK{:016x}", self.number())
    }

    /// A duration in that range of milliseconds.
    pub fn duration(&mut self, range_ms: Range<u64>) -> Duration {
        let width_ms = (range_ms.end - range_ms.start).max(1);
        Duration::from_millis(range_ms.start + self.number() % width_ms)
    }
}
