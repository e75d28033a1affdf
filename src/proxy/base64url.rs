//! Bytes as text that may stand in a token and in a user part: base64's URL-safe alphabet without padding (RFC 4648 §5),
//! but for `q`, in whose place stands a dot.
//!
//! Without `q` no text of ours holds `CSeq`. SIPp takes the first `CSeq` anywhere in a message for the header field, and
//! gives up the call whose Record-Route happens to have those letters: one call in some hundred thousand.
//!
//! The base64 crate looked better, as everybody knows it. It is made for long texts: the eleven to seventy characters of
//! ours, of which each message has three or four, took it five times as many instructions.

use arrayvec::ArrayVec;

/// Appends the text of `bytes`; `false`, and only a part is appended, where there is no room.
#[inline]
pub(super) fn push<const N: usize>(text: &mut ArrayVec<u8, N>, bytes: &[u8]) -> bool {
    let (groups, rest) = bytes.as_chunks::<3>();
    let whole = groups.iter().all(|&[a, b, c]| text.try_extend_from_slice(&quad([a, b, c])).is_ok());
    whole
        && match *rest {
            [a, b] => text.try_extend_from_slice(&quad([a, b, 0])[..3]).is_ok(),
            [a] => text.try_extend_from_slice(&quad([a, 0, 0])[..2]).is_ok(),
            _ => true,
        }
}

/// The bytes that `text` stands for. `None` for any other text than [`push`] writes, and where they are more than there is
/// room for.
#[inline]
pub(super) fn read<const N: usize>(text: &[u8]) -> Option<ArrayVec<u8, N>> {
    let (groups, rest) = text.as_chunks::<4>();
    let mut bytes = ArrayVec::new();
    for group in groups {
        bytes.try_extend_from_slice(&triple(*group)?).ok()?;
    }
    let (padded, len) = match *rest {
        [] => return Some(bytes),
        [a, b] => ([a, b, ZERO, ZERO], 1),
        [a, b, c] => ([a, b, c, ZERO], 2),
        _ => return None,
    };
    let triple = triple(padded)?;
    let (taken, left_over) = triple.split_at(len);
    // Bits that no byte has room for must be zero, or several texts would stand for the same bytes.
    (left_over.iter().all(|byte| *byte == 0) && bytes.try_extend_from_slice(taken).is_ok()).then_some(bytes)
}

#[inline]
fn quad([a, b, c]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, a, b, c]);
    [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63])
}

#[inline]
fn triple(characters: [u8; 4]) -> Option<[u8; 3]> {
    let [a, b, c, d] = characters.map(|character| u32::from(DIGITS[usize::from(character)]));
    let [_, bytes @ ..] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
    ((a | b | c | d) & u32::from(NO_DIGIT) == 0).then_some(bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop.rstuvwxyz0123456789-_";

/// The character that stands for six zero bits.
const ZERO: u8 = ALPHABET[0];

/// A bit that no digit has.
const NO_DIGIT: u8 = 64;

/// The place of each character in the alphabet.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut place = 0;
    while place < ALPHABET.len() {
        digits[ALPHABET[place] as usize] = place as u8;
        place += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::alphabet::Alphabet;
    use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn every_tool() -> GeneralPurpose {
        GeneralPurpose::new(&Alphabet::new(str::from_utf8(ALPHABET).unwrap()).unwrap(), NO_PAD)
    }

    proptest! {
        #[test]
        fn bytes_are_written_as_every_tool_writes_them_and_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut text = ArrayVec::<u8, 80>::new();
            prop_assert!(push(&mut text, &bytes));
            prop_assert_eq!(text.to_vec(), every_tool().encode(&bytes).into_bytes());
            let read = read::<50>(&text).unwrap();
            prop_assert_eq!(&read[..], &bytes[..]);
        }

        #[test]
        fn a_text_is_read_just_where_every_tool_reads_it(text in "[A-D_=+. é-]{0,20}|[A-Za-z0-9_.-]{0,20}") {
            let read = read::<20>(text.as_bytes()).map(|bytes| bytes.to_vec());
            prop_assert_eq!(read, every_tool().decode(&text).ok());
        }
    }

    #[test]
    fn no_text_holds_the_name_of_a_header_field_that_others_look_for_anywhere() {
        assert!(!ALPHABET.contains(&b'q'), "CSeq");
    }

    #[test]
    fn where_there_is_no_room_nothing_is_claimed() {
        assert!(!push(&mut ArrayVec::<u8, 3>::new(), b"abc"));
        assert!(read::<2>(b"YWJj").is_none());
    }
}
