//! How far a message on a stream reaches (§18.3): where its head ends, and how long its body is by its Content-Length.
//!
//! To have [`Head`](super::scan::Head) read the whole head looked better, as a message's headers would be read in one place. It
//! notes fifteen headers that framing has no use for, and costs more than half as much again (`cargo bench --bench frame`). So only
//! Content-Length is read here, by the same functions, and both see the same head, the same header and the same value.

use super::header::name::{self, HeaderName};
use super::header::parse_number;
use super::line_ends::LineEnds;
use super::scan::{Field, without_cr};
use super::start_line;

/// What the bytes of a stream tell about the message that begins with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The first line is not SIP's, or can no longer become SIP's.
    NotSip,
    /// The first line has not ended.
    StartLine,
    /// The head has not ended.
    Head,
    /// The head is whole.
    Whole {
        /// Its length, with the empty line.
        head_bytes: usize,
        /// The length of the body behind it.
        body_bytes: Result<u32, LengthFault>,
    },
}

/// Why the length of a message on a stream is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthFault {
    /// There is no Content-Length.
    Missing,
    /// It is no decimal number below 2^32.
    Malformed,
    /// It stands twice, be the values equal or not: who reads the other one frames another message.
    Repeated,
}

/// Measures the message that begins with `bytes`; the first of them is no line end. Every byte of the head is looked at
/// once.
pub fn measure(bytes: &[u8]) -> Extent {
    let mut ends = LineEnds::new(bytes, 0);
    let Some(first_end) = ends.next() else {
        return if may_begin(bytes) { Extent::StartLine } else { Extent::NotSip };
    };
    if !is_start_line(&bytes[..first_end]) {
        return Extent::NotSip;
    }
    let mut length = ContentLength::default();
    let mut start = first_end + 1;
    for end in ends {
        match bytes[start] {
            _ if may_be_content_length(bytes, start) => length.note(bytes, start, end),
            b' ' | b'\t' => length.fold(bytes, start, end),
            b'\r' | b'\n' if without_cr(&bytes[start..end]).is_empty() => {
                return Extent::Whole { head_bytes: end + 1, body_bytes: length.read(bytes) };
            }
            _ => length.is_open = false,
        }
        start = end + 1;
    }
    Extent::Head
}

/// Where in `bytes` the head ends whose beginning is `before`, where it did not end. Only `bytes` are searched, so that a head
/// that comes byte by byte costs no more than one that comes whole.
pub fn head_end(before: &[u8], bytes: &[u8]) -> Option<usize> {
    let byte_before = |place: usize, distance: usize| match place.checked_sub(distance) {
        Some(place) => bytes.get(place).copied(),
        None => before.len().checked_sub(distance - place).and_then(|place| before.get(place).copied()),
    };
    let ends_head = |end: &usize| match byte_before(*end, 1) {
        Some(b'\n') => true,
        Some(b'\r') => byte_before(*end, 2) == Some(b'\n'),
        _ => false,
    };
    LineEnds::new(bytes, 0).find(ends_head).map(|end| end + 1)
}

/// Whether a message on a stream may begin with these bytes, of which none is a line feed.
pub fn may_begin(bytes: &[u8]) -> bool {
    start_line::may_begin(bytes)
}

/// Whether that is the first line of a message on a stream; given without its line feed.
pub fn is_start_line(line: &[u8]) -> bool {
    start_line::may_begin(line) && start_line::parse(without_cr(line), 0).is_some()
}

/// Whether the line from `start` on may begin with Content-Length or its compact form. Told by two letters at once, without a
/// branch between them: a quarter of a head's names begin with C, in an order that no processor foresees.
#[inline]
fn may_be_content_length(bytes: &[u8], start: usize) -> bool {
    let letter = |place: usize| bytes.get(place).map_or(0, |byte| byte | 0x20);
    (letter(start) == b'l') | ((letter(start) == b'c') & (letter(start + "Content-".len()) == b'l'))
}

/// The Content-Length headers of one head.
#[derive(Default)]
struct ContentLength {
    field: Option<Field>,
    repeated: bool,
    /// Whether the next line may continue it.
    is_open: bool,
}

impl ContentLength {
    #[inline]
    fn note(&mut self, bytes: &[u8], start: usize, end: usize) {
        let line = without_cr(&bytes[start..end]);
        let value_at = name::recognise(&bytes[start..])
            .filter(|(name, _)| *name == HeaderName::ContentLength)
            .and_then(|(_, name_len)| name::value_start(line, name_len));
        self.is_open = value_at.is_some();
        if let Some(value_at) = value_at {
            self.repeated |= self.field.is_some();
            self.field = Some(Field::on_line(HeaderName::ContentLength, line, start, end + 1, value_at));
        }
    }

    fn fold(&mut self, bytes: &[u8], start: usize, end: usize) {
        if let Some(field) = self.field.as_mut().filter(|_| self.is_open) {
            field.fold(without_cr(&bytes[start..end]), start, end + 1);
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<u32, LengthFault> {
        let field = self.field.as_ref().ok_or(LengthFault::Missing)?;
        if self.repeated {
            return Err(LengthFault::Repeated);
        }
        parse_number(bytes, field.value).ok_or(LengthFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_bytes(headers: &str) -> Result<u32, LengthFault> {
        let head = format!("OPTIONS sip:b SIP/2.0\r\nVia: x\r\n{headers}\r\nContact: <sip:c>\r\n\r\n");
        let Extent::Whole { head_bytes, body_bytes } = measure(head.as_bytes()) else { panic!("a whole head") };
        assert_eq!(head_bytes, head.len());
        body_bytes
    }

    #[test]
    fn a_content_length_is_read_in_any_dress() {
        for header in
            ["Content-Length: 5", "l:5", "L : 5 ", "CONTENT-length\t:\r\n 5", "Content-Length: 005", "l: \r\n\t5"]
        {
            assert_eq!(body_bytes(header), Ok(5), "{header:?}");
        }
        assert_eq!(body_bytes("l: 4294967295"), Ok(u32::MAX));
    }

    #[test]
    fn a_content_length_that_is_no_number_is_malformed() {
        for value in ["-1", "+5", "0x10", "4294967296", "", "5 5", "5;x", "5,5", "5.0", "5\r\n 5", "five", "\u{c}5"] {
            assert_eq!(body_bytes(&format!("Content-Length: {value}")), Err(LengthFault::Malformed), "{value:?}");
        }
    }

    #[test]
    fn a_content_length_that_is_missing_or_repeated_is_told() {
        for header in ["X-Content-Length: 5", "Content-Length", "Content-Type: l: 5", "X: a\r\n l: 5", "Length: 5"] {
            assert_eq!(body_bytes(header), Err(LengthFault::Missing), "{header:?}");
        }
        for headers in ["l: 5\r\nContent-Length: 6", "l: 5\r\nl: 5", "l: 5\r\nX: y\r\nl: x"] {
            assert_eq!(body_bytes(headers), Err(LengthFault::Repeated), "{headers:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        for head in
            ["A sip:b SIP/2.0\r\nX: y\r\n\r\n", "A sip:b SIP/2.0\n\n", "A sip:b SIP/2.0\r\nX: y\n\r\n", "A sip:b\n\n"]
        {
            let bytes = format!("{head}\r\n\r\nbody");
            for cut in 0..head.len() {
                let (before, rest) = bytes.as_bytes().split_at(cut);
                assert_eq!(head_end(before, rest), Some(head.len() - cut), "{head:?} cut at {cut}");
                assert_eq!(head_end(b"", before), None);
            }
        }
    }

    #[test]
    fn what_is_not_sip_is_known_early() {
        for bytes in [&b"\x16\x03\x01\x02"[..], b" INVITE", b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", &[b'A'; 65], b"\0"]
        {
            assert_eq!(measure(bytes), Extent::NotSip, "{bytes:?}");
        }
        let long = [b"A ", &[b'x'; 5000][..]].concat();
        assert_eq!(measure(&long), Extent::NotSip);
        for bytes in [&b"INV"[..], b"SIP/2.0 200", b"GET / HTTP/1.1", &[b'A'; 64], &long[..4096]] {
            assert_eq!(measure(bytes), Extent::StartLine);
        }
        assert_eq!(measure(b"SIP/2.0 200 OK\r\nVia: x\r\n"), Extent::Head);
    }
}
