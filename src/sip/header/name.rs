//! Which headers are noted, and how a line is known to begin with one.
//!
//! A match on the name as text looked simpler. It compares byte after byte and branches on each; a name fits a machine word.

use wide::i8x16;

/// A header that routing, validation or a reply of our own reads. All others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HeaderName {
    Via,
    Route,
    RecordRoute,
    MaxForwards,
    From,
    To,
    CallId,
    CSeq,
    ContentLength,
    ProxyRequire,
    Supported,
    Contact,
    Path,
    Replaces,
    Join,
    TargetDialog,
}

impl HeaderName {
    /// Every one, in the order of its discriminant.
    pub const ALL: [HeaderName; 16] = [
        HeaderName::Via,
        HeaderName::Route,
        HeaderName::RecordRoute,
        HeaderName::MaxForwards,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::ContentLength,
        HeaderName::ProxyRequire,
        HeaderName::Supported,
        HeaderName::Contact,
        HeaderName::Path,
        HeaderName::Replaces,
        HeaderName::Join,
        HeaderName::TargetDialog,
    ];

    /// How many there are.
    pub const COUNT: usize = HeaderName::ALL.len();

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            HeaderName::Via => "via",
            HeaderName::Route => "route",
            HeaderName::RecordRoute => "record_route",
            HeaderName::MaxForwards => "max_forwards",
            HeaderName::From => "from",
            HeaderName::To => "to",
            HeaderName::CallId => "call_id",
            HeaderName::CSeq => "cseq",
            HeaderName::ContentLength => "content_length",
            HeaderName::ProxyRequire => "proxy_require",
            HeaderName::Supported => "supported",
            HeaderName::Contact => "contact",
            HeaderName::Path => "path",
            HeaderName::Replaces => "replaces",
            HeaderName::Join => "join",
            HeaderName::TargetDialog => "target_dialog",
        }
    }

    /// The full name (§20).
    pub fn name(self) -> &'static str {
        match self {
            HeaderName::Via => "Via",
            HeaderName::Route => "Route",
            HeaderName::RecordRoute => "Record-Route",
            HeaderName::MaxForwards => "Max-Forwards",
            HeaderName::From => "From",
            HeaderName::To => "To",
            HeaderName::CallId => "Call-ID",
            HeaderName::CSeq => "CSeq",
            HeaderName::ContentLength => "Content-Length",
            HeaderName::ProxyRequire => "Proxy-Require",
            HeaderName::Supported => "Supported",
            HeaderName::Contact => "Contact",
            HeaderName::Path => "Path",
            HeaderName::Replaces => "Replaces",
            HeaderName::Join => "Join",
            HeaderName::TargetDialog => "Target-Dialog",
        }
    }
}

/// The names in small letters, compact forms too (§7.3.3).
const NAMES: [(&str, HeaderName); 23] = {
    use HeaderName::*;
    [
        ("via", Via),
        ("v", Via),
        ("route", Route),
        ("record-route", RecordRoute),
        ("max-forwards", MaxForwards),
        ("from", From),
        ("f", From),
        ("to", To),
        ("t", To),
        ("call-id", CallId),
        ("i", CallId),
        ("cseq", CSeq),
        ("content-length", ContentLength),
        ("l", ContentLength),
        ("proxy-require", ProxyRequire),
        ("supported", Supported),
        ("k", Supported),
        ("contact", Contact),
        ("m", Contact),
        ("path", Path),
        ("replaces", Replaces),
        ("join", Join),
        ("target-dialog", TargetDialog),
    ]
};

/// Whether a noted header may begin with that byte.
pub(in crate::sip) const fn may_begin(first: u8) -> bool {
    let mut index = 0;
    while index < NAMES.len() {
        if NAMES[index].0.as_bytes()[0] == first.to_ascii_lowercase() {
            return true;
        }
        index += 1;
    }
    false
}

/// How many bytes of a line are looked at for a name: more than the longest has, with its colon.
const LOOKED_AT: usize = 16;

/// The noted header that begins `rest`, a message from a line's beginning on, and the length of its name. The colon is yet
/// to be looked for ([`value_start`]).
///
/// The name is taken as two words and looked up in one step: a walk over names that begin alike would be as
/// unforeseeable for the processor as the order of a message's headers is.
#[inline]
pub(in crate::sip) fn recognise(rest: &[u8]) -> Option<(HeaderName, usize)> {
    // What stands behind a short line's end is no part of a name: there is a line end between.
    let bytes = match rest.first_chunk::<LOOKED_AT>() {
        Some(bytes) => *bytes,
        None => padded(rest),
    };
    let len = name_len(&bytes)?;
    let [first, second] = words(&bytes);
    let mask = &MASKS[len];
    let words = [in_small_letters(first & mask[0]), in_small_letters(second & mask[1])];
    let name = &TABLE.names[TABLE.place(words)];
    (words == name.words).then_some((name.header, len))
}

#[inline]
fn words(bytes: &[u8; LOOKED_AT]) -> [u64; 2] {
    let (halves, _) = bytes.as_chunks::<8>();
    [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]
}

/// All bytes from `@` to `_` become those 32 above, capitals among them. No name has one that another than its capital
/// becomes.
const fn in_small_letters(word: u64) -> u64 {
    word | ((word & (u64::MAX / 0xff * 0x40)) >> 1)
}

/// Where the value begins in the line `line`, whose name has that length: behind the colon and any white space round it.
/// `None` where there is no colon.
#[inline]
pub(in crate::sip) fn value_start(line: &[u8], name_len: usize) -> Option<usize> {
    match line.get(name_len..) {
        // As nearly everybody writes it.
        Some([b':', b' ', first, ..]) if *first > b' ' => Some(name_len + 2),
        _ => spaced_value_start(line, name_len),
    }
}

/// The length of the name: up to the colon, or to the white space before it.
#[inline]
fn name_len(bytes: &[u8; LOOKED_AT]) -> Option<usize> {
    let lanes = i8x16::new(bytes.map(|byte| byte as i8));
    let of = |byte: u8| lanes.simd_eq(i8x16::splat(byte as i8)).to_bitmask();
    let ends = (of(b':') | of(b' ') | of(b'\t')).trailing_zeros() as usize;
    (1..LOOKED_AT).contains(&ends).then_some(ends)
}

/// All bits of the first bytes, by how many they are.
static MASKS: [[u64; 2]; LOOKED_AT] = {
    let mut masks = [[0; 2]; LOOKED_AT];
    let mut len = 1;
    while len < LOOKED_AT {
        masks[len] = halves(u128::MAX >> (u128::BITS as usize - 8 * len));
        len += 1;
    }
    masks
};

const fn halves(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

#[cold]
fn padded(rest: &[u8]) -> [u8; LOOKED_AT] {
    let mut bytes = [0; LOOKED_AT];
    bytes[..rest.len()].copy_from_slice(rest);
    bytes
}

/// A name as two machine words.
#[derive(Clone, Copy)]
struct Name {
    header: HeaderName,
    /// The name in small letters.
    words: [u64; 2],
}

/// All names, each at a place of its own.
struct Table {
    names: [Name; 1 << PLACE_BITS],
    multiplier: u64,
}

const PLACE_BITS: u32 = 6;

static TABLE: Table = Table::new();

impl Table {
    /// Tries multipliers until no two names have the same place. This runs when the program is compiled.
    const fn new() -> Self {
        let nobody = Name { header: HeaderName::Via, words: [u64::MAX; 2] };
        let mut multiplier = 0x9e37_79b9_7f4a_7c15u64;
        loop {
            let mut table = Table { names: [nobody; 1 << PLACE_BITS], multiplier };
            let mut index = 0;
            while index < NAMES.len() {
                let name = Name::new(NAMES[index].0, NAMES[index].1);
                let place = table.place(name.words);
                if table.names[place].words[0] != u64::MAX {
                    break;
                }
                table.names[place] = name;
                index += 1;
            }
            if index == NAMES.len() {
                return table;
            }
            multiplier = multiplier.wrapping_mul(0xd129_0f4c_56b7_4a91).wrapping_add(2);
        }
    }

    /// Where a name in small letters stands.
    const fn place(&self, [first, second]: [u64; 2]) -> usize {
        let mixed = (first ^ second.rotate_left(23)).wrapping_mul(self.multiplier);
        (mixed >> (u64::BITS - PLACE_BITS)) as usize
    }
}

impl Name {
    const fn new(name: &str, header: HeaderName) -> Self {
        let bytes = name.as_bytes();
        let mut word = 0u128;
        let mut index = 0;
        while index < bytes.len() {
            word |= (bytes[index] as u128) << (8 * index);
            index += 1;
        }
        Name { header, words: halves(word) }
    }
}

#[cold]
fn spaced_value_start(line: &[u8], name_len: usize) -> Option<usize> {
    let colon = skip_blanks(line, name_len);
    (line.get(colon) == Some(&b':')).then(|| skip_blanks(line, colon + 1))
}

fn skip_blanks(line: &[u8], from: usize) -> usize {
    from + line.get(from..).unwrap_or_default().iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &[u8]) -> Option<(HeaderName, usize)> {
        recognise(line).and_then(|(name, len)| Some((name, value_start(line, len)?)))
    }

    #[test]
    fn every_name_has_its_place() {
        for (place, name) in HeaderName::ALL.into_iter().enumerate() {
            assert_eq!(name as usize, place);
            let line = format!("{}: x", name.name());
            assert_eq!(found(line.as_bytes()), Some((name, line.len() - 1)));
        }
    }

    #[test]
    fn names_are_recognised_in_any_case_compact_and_with_blanks_before_the_colon() {
        for (line, name, at) in [
            (&b"Via: x"[..], HeaderName::Via, 5),
            (b"v:x", HeaderName::Via, 2),
            (b"VIA \t:  x", HeaderName::Via, 8),
            (b"Call-Id:x", HeaderName::CallId, 8),
            (b"I: x", HeaderName::CallId, 3),
            (b"max-FORWARDS: 70", HeaderName::MaxForwards, 14),
            (b"L:0", HeaderName::ContentLength, 2),
            (b"content-length\t : 0", HeaderName::ContentLength, 18),
            (b"t:", HeaderName::To, 2),
        ] {
            assert_eq!(found(line), Some((name, at)));
        }
        for line in [
            &b"Viag: x"[..],
            b"Via",
            b"",
            b"X-Via: y",
            b"Content-Type: z",
            b"To-Do: q",
            b": x",
            b"max\rforwards: 1",
            b"CALL ID: x",
        ] {
            assert_eq!(found(line), None);
        }
    }
}
