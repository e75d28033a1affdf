//! Which headers are noted, and how a line is known to begin with one.
//!
//! A perfect hash over all names looked better. Most lines of a message begin with none of these; they are told by their
//! first letter, before anything is hashed.

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

/// Names by their first letter, compact forms too (§7.3.3). A short list each, so that a line costs one look and most
/// lines are passed over by their first letter alone.
const fn candidates(first: u8) -> &'static [Candidate] {
    use HeaderName::*;
    match first.to_ascii_lowercase() {
        b'v' => const { &[Candidate::new("via", Via), Candidate::new("v", Via)] },
        b'r' => {
            const {
                &[
                    Candidate::new("route", Route),
                    Candidate::new("record-route", RecordRoute),
                    Candidate::new("replaces", Replaces),
                ]
            }
        }
        b'm' => const { &[Candidate::new("max-forwards", MaxForwards), Candidate::new("m", Contact)] },
        b'f' => const { &[Candidate::new("from", From), Candidate::new("f", From)] },
        b't' => {
            const { &[Candidate::new("to", To), Candidate::new("t", To), Candidate::new("target-dialog", TargetDialog)] }
        }
        b'i' => const { &[Candidate::new("i", CallId)] },
        b'c' => {
            const {
                &[
                    Candidate::new("cseq", CSeq),
                    Candidate::new("call-id", CallId),
                    Candidate::new("contact", Contact),
                    Candidate::new("content-length", ContentLength),
                ]
            }
        }
        b'l' => const { &[Candidate::new("l", ContentLength)] },
        b'p' => const { &[Candidate::new("path", Path), Candidate::new("proxy-require", ProxyRequire)] },
        b's' => const { &[Candidate::new("supported", Supported)] },
        b'k' => const { &[Candidate::new("k", Supported)] },
        b'j' => const { &[Candidate::new("join", Join)] },
        _ => &[],
    }
}

/// Whether a noted header may begin with that byte.
pub(in crate::sip) const fn may_begin(first: u8) -> bool {
    !candidates(first).is_empty()
}

/// A name as one word, so that it is compared in one step whatever its case.
struct Candidate {
    header: HeaderName,
    len: usize,
    /// The name in small letters.
    word: u128,
    /// What makes capitals small; nothing at a hyphen, which no other byte may stand for.
    fold: u128,
    /// All bits of the bytes that the name has.
    mask: u128,
}

impl Candidate {
    /// Of a name in small letters with at most 16 bytes.
    const fn new(name: &str, header: HeaderName) -> Self {
        let name = name.as_bytes();
        let mut candidate = Candidate { header, len: name.len(), word: 0, fold: 0, mask: 0 };
        let mut index = 0;
        while index < name.len() {
            let shift = 8 * index;
            candidate.word |= (name[index] as u128) << shift;
            candidate.fold |= (if name[index] == b'-' { 0 } else { 0x20 }) << shift;
            candidate.mask |= 0xff << shift;
            index += 1;
        }
        candidate
    }

    /// The first half is compared first: it tells most names apart.
    fn begins(&self, word: u128) -> bool {
        (word as u64 | self.fold as u64) & self.mask as u64 == self.word as u64
            && (word | self.fold) & self.mask == self.word
    }
}

/// The noted header that a line begins with, and where in the line its value begins (behind colon and white space).
/// `rest` is the message from the line's beginning on.
#[inline]
pub(in crate::sip) fn recognise(line: &[u8], rest: &[u8]) -> Option<(HeaderName, usize)> {
    let candidates = candidates(*line.first()?);
    // What stands behind a short line's end is no part of a name: there is a line end between.
    let word = match rest.first_chunk() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u128::from(*byte)),
    };
    candidates
        .iter()
        .filter(|candidate| candidate.begins(word))
        .find_map(|candidate| value_start(line, candidate.len).map(|start| (candidate.header, start)))
}

/// Where the value begins behind a name of that length: behind the colon and any white space round it.
fn value_start(line: &[u8], name_len: usize) -> Option<usize> {
    match line.get(name_len..name_len + 3) {
        // As nearly everybody writes it.
        Some([b':', b' ', first]) if *first > b' ' => Some(name_len + 2),
        _ => {
            let colon = skip_blanks(line, name_len);
            (line.get(colon) == Some(&b':')).then(|| skip_blanks(line, colon + 1))
        }
    }
}

fn skip_blanks(line: &[u8], from: usize) -> usize {
    from + line[from..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_place() {
        for (place, name) in HeaderName::ALL.into_iter().enumerate() {
            assert_eq!(name as usize, place);
            let line = format!("{}: x", name.name());
            assert_eq!(recognise(line.as_bytes(), line.as_bytes()), Some((name, line.len() - 1)));
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
        ] {
            assert_eq!(recognise(line, line), Some((name, at)));
        }
        for line in [&b"Viag: x"[..], b"Via", b"", b"X-Via: y", b"Content-Type: z", b"To-Do: q"] {
            assert_eq!(recognise(line, line), None);
        }
    }
}
