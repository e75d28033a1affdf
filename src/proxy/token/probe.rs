//! The mark of a probe: in the branch of its only Via, so that an answer to it is known, and known to be one.

use crate::balance::backend::BackendId;
use crate::balance::key::Key;
use crate::sip::Transport;

use super::{Bytes, Token, read, write};

/// What a mark begins with.
pub const PREFIX: u8 = b'h';

/// Which backend is asked, and by which question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeMark {
    /// The backend, by its name.
    pub backend: BackendId,
    /// The transport that it is asked over.
    pub transport: Transport,
    /// Tells one question from the others, and one process's from those of the rest of its fleet.
    pub number: u32,
}

impl ProbeMark {
    /// The mark's text, all of whose characters may stand in a branch.
    pub fn sign(&self, key: &Key) -> Token {
        let mut bytes = Bytes::new();
        bytes.push(self.transport.index() as u8);
        bytes.extend(self.backend.0.get().to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        let signature = signature(key, &bytes);
        write(&[PREFIX], bytes, signature)
    }

    /// Reads a mark back; `None` where it was not signed with this key.
    pub fn verify(key: &Key, text: &[u8]) -> Option<Self> {
        let (bytes, signed) = read(text.strip_prefix(&[PREFIX])?)?;
        if signature(key, &bytes) != signed {
            return None;
        }
        let (&transport, rest) = bytes.split_first()?;
        let (backend, number) = rest.split_first_chunk::<4>()?;
        Some(ProbeMark {
            backend: BackendId::new(u32::from_be_bytes(*backend))?,
            transport: *Transport::ALL.get(usize::from(transport))?,
            number: u32::from_be_bytes(number.try_into().ok()?),
        })
    }
}

fn signature(key: &Key, bytes: &[u8]) -> u64 {
    key.over_fields().field(b"probe").field(bytes).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_the_way_there_and_back_and_nothing_of_it_can_be_changed() {
        let (key, other) = (Key::new([1; 16]), Key::new([2; 16]));
        for transport in Transport::ALL {
            let mark = ProbeMark { backend: BackendId::of_name("a"), transport, number: 0xfeed_0001 };
            let text = mark.sign(&key);
            assert_eq!(ProbeMark::verify(&key, &text), Some(mark));
            assert_eq!(ProbeMark::verify(&other, &text), None);
            for place in 0..text.len() {
                let mut forged = text.to_vec();
                forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
                assert_eq!(ProbeMark::verify(&key, &forged), None);
            }
        }
        for text in [&b""[..], b"h", b"hAAAA", &[b'A'; 300]] {
            assert_eq!(ProbeMark::verify(&key, text), None);
        }
    }
}
