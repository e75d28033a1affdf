//! One pass over a message's head that notes where the headers stand that routing needs.
//!
//! memchr for each line looked simpler. A line of a SIP head has some forty bytes, too few for a call that prepares itself for
//! thousands; so line ends are found 64 bytes at a time, and most lines are passed over by their first letter alone.

use super::Span;
use super::header::name::{self, HeaderName};
use super::line_ends::LineEnds;
use super::start_line::{self, StartLine};
use arrayvec::ArrayVec;

/// The most noted headers in one message. A message may take 70 hops (§16.6 item 3), each with a Via line of its own.
pub const MAX_FIELDS: usize = 160;

/// One noted header.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Which header it is.
    pub name: HeaderName,
    /// The whole header: its name, all its folded lines and the last line's end.
    pub line: Span,
    /// Its value, without the white space round it; line ends of a folded value stand in it as they came.
    pub value: Span,
}

impl Field {
    /// The header that begins on `line`, which stands at `start` without its line end; the next line stands at `next`. Its
    /// value begins `value_at` bytes into it.
    #[inline]
    pub(super) fn on_line(name: HeaderName, line: &[u8], start: usize, next: usize, value_at: usize) -> Self {
        let value = Span::new(start + value_at, start + end_of_text(line));
        Field { name, line: Span::new(start, next), value }
    }

    /// Takes in a continuation line, given as to [`Field::on_line`] (§7.3.1).
    pub(super) fn fold(&mut self, line: &[u8], start: usize, next: usize) {
        self.line.end = next as u32;
        if line.trim_ascii().is_empty() {
            return;
        }
        if self.value.is_empty() {
            let blanks = line.len() - line.trim_ascii_start().len();
            self.value.start = (start + blanks) as u32;
        }
        self.value.end = (start + line.trim_ascii_end().len()) as u32;
    }
}

/// The head of one message: its first line and its noted headers. Made once and used for message after message, so
/// that its three kilobytes are neither laid out nor copied anew.
#[derive(Debug)]
pub struct Head {
    /// The first line.
    pub start: StartLine,
    /// Where the first line begins, behind any empty lines above it (§7.5).
    pub message_start: u32,
    /// Where the body begins: behind the empty line.
    pub body_start: u32,
    /// Where the empty line begins.
    head_end: u32,
    /// Some line ends by a line feed alone.
    has_bare_line_feed: bool,
    fields: ArrayVec<Field, MAX_FIELDS>,
    /// By name, one more than the index in `fields` of the first of that name; 0 where there is none.
    first: [u8; HeaderName::COUNT],
    repeated: Option<HeaderName>,
}

/// Why a message cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The first line is not SIP's.
    NotSip,
    /// More noted headers than [`MAX_FIELDS`].
    TooManyHeaders,
    /// No empty line ends the headers.
    NoEndOfHead,
}

impl Default for Head {
    fn default() -> Self {
        Head {
            start: StartLine::BadResponse,
            message_start: 0,
            body_start: 0,
            head_end: 0,
            has_bare_line_feed: false,
            fields: ArrayVec::new(),
            first: [0; HeaderName::COUNT],
            repeated: None,
        }
    }
}

impl Head {
    /// Reads the head of `message`. Every byte of it is looked at once; nothing is copied.
    pub fn scan(&mut self, message: &[u8]) -> Result<(), Unreadable> {
        self.fields.clear();
        self.first = [0; HeaderName::COUNT];
        self.repeated = None;
        let start = message.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let mut line_ends = LineEnds::new(message, start);
        let first_end = line_ends.next().ok_or(Unreadable::NoEndOfHead)?;
        let first_line = without_cr(&message[start..first_end]);
        self.message_start = start as u32;
        self.has_bare_line_feed = first_line.len() == first_end - start;
        self.start = start_line::parse(first_line, start).ok_or(Unreadable::NotSip)?;
        self.scan_fields(message, first_end + 1, line_ends)
    }

    fn scan_fields(&mut self, message: &[u8], from: usize, ends: LineEnds<'_>) -> Result<(), Unreadable> {
        let mut line_start = from;
        let mut in_noted = false;
        for end in ends {
            let first = message[line_start];
            self.has_bare_line_feed |= message[end - 1] != b'\r';
            // Not a match on all kinds at once: that becomes a jump to a place that the processor must foresee, at each line.
            if MAY_BEGIN_A_NAME[usize::from(first)] {
                in_noted = self.note(message, line_start, end)?;
            } else if first > b' ' {
                in_noted = false;
            } else {
                let line = without_cr(&message[line_start..end]);
                if line.is_empty() {
                    (self.head_end, self.body_start) = (line_start as u32, end as u32 + 1);
                    return Ok(());
                }
                in_noted &= matches!(first, b' ' | b'\t');
                if in_noted {
                    self.fold(line, line_start, end + 1);
                }
            }
            line_start = end + 1;
        }
        Err(Unreadable::NoEndOfHead)
    }

    /// Notes the header that begins on the line from `start` to the line feed at `end`, if it is one of ours.
    #[inline]
    fn note(&mut self, message: &[u8], start: usize, end: usize) -> Result<bool, Unreadable> {
        let Some((name, name_len)) = name::recognise(&message[start..]) else { return Ok(false) };
        let line = without_cr(&message[start..end]);
        let Some(value_at) = name::value_start(line, name_len) else { return Ok(false) };
        let field = Field::on_line(name, line, start, end + 1, value_at);
        self.fields.try_push(field).map_err(|_| Unreadable::TooManyHeaders)?;
        let first = &mut self.first[name as usize];
        if *first == 0 {
            *first = self.fields.len() as u8;
        } else if !may_repeat(name) {
            self.repeated = self.repeated.or(Some(name));
        }
        Ok(true)
    }

    /// Takes a continuation line into the header above it.
    fn fold(&mut self, line: &[u8], start: usize, next: usize) {
        if let Some(field) = self.fields.last_mut() {
            field.fold(line, start, next);
        }
    }

    /// Whether some line of the head ends by a line feed alone, which §7 does not allow and many accept. Who does not finds
    /// another end of the head, and on a stream another next message.
    pub fn has_bare_line_feed(&self) -> bool {
        self.has_bare_line_feed
    }

    /// The place before the empty line that ends the head: where a header is put in below all others.
    pub fn empty_line(&self) -> Span {
        Span { start: self.head_end, end: self.head_end }
    }

    /// The first header of that name.
    pub fn first(&self, name: HeaderName) -> Option<&Field> {
        match self.first[name as usize] {
            0 => None,
            place => self.fields.get(usize::from(place) - 1),
        }
    }

    /// The first header of that name below `field`.
    pub fn below(&self, field: &Field) -> Option<&Field> {
        let from = self.fields.partition_point(|other| other.line.start <= field.line.start);
        self.fields[from..].iter().find(|other| other.name == field.name)
    }

    /// All headers of that name, from the top.
    pub fn all(&self, name: HeaderName) -> impl Iterator<Item = &Field> {
        let from = match self.first[name as usize] {
            0 => self.fields.len(),
            place => usize::from(place) - 1,
        };
        self.fields[from..].iter().filter(move |field| field.name == name)
    }

    /// A header that stands twice though it may stand only once (§7.3.1): two readings of it would differ.
    pub fn repeated(&self) -> Option<HeaderName> {
        self.repeated
    }
}

/// Whether a noted header may begin with that byte.
static MAY_BEGIN_A_NAME: [bool; 256] = {
    let mut may_begin = [false; 256];
    let mut byte = 0;
    while byte < may_begin.len() {
        may_begin[byte] = name::may_begin(byte as u8);
        byte += 1;
    }
    may_begin
};

/// Only what must stand once and is read here is held to it; the rest is the backends' to judge.
fn may_repeat(name: HeaderName) -> bool {
    use HeaderName::{CSeq, CallId, ContentLength, From, MaxForwards, To};
    !matches!(name, MaxForwards | From | To | CallId | CSeq | ContentLength)
}

/// The length of a line without the white space at its end.
fn end_of_text(line: &[u8]) -> usize {
    match line.last() {
        Some(last) if *last > b' ' => line.len(),
        _ => line.trim_ascii_end().len(),
    }
}

/// A line without the carriage return at its end.
pub(super) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(message: &[u8]) -> Result<Head, Unreadable> {
        let mut head = Head::default();
        head.scan(message).map(|()| head)
    }

    fn values(message: &[u8], name: HeaderName) -> Vec<&str> {
        let head = head(message).unwrap();
        head.all(name).map(|field| std::str::from_utf8(field.value.of(message)).unwrap()).collect()
    }

    #[test]
    fn headers_are_found_in_any_dress() {
        let message = b"INVITE sip:b SIP/2.0\r\nv: one\nVia :two\r\nTo:\r\n bob\r\nX: v: no\r\n v: no\r\nvIA: three \t\r\n\tfour\r\n\r\nVia: body";
        assert_eq!(values(message, HeaderName::Via), ["one", "two", "three \t\r\n\tfour"]);
        assert_eq!(values(message, HeaderName::To), ["bob"]);
        let head = head(message).unwrap();
        assert_eq!(&message[head.body_start as usize..], b"Via: body");
        assert_eq!(head.first(HeaderName::Via).unwrap().line.of(message), b"v: one\n");
        assert!(head.first(HeaderName::CallId).is_none());
    }

    #[test]
    fn empty_lines_before_the_first_line_are_passed_over() {
        assert_eq!(head(b"\r\n\r\nSIP/2.0 200 OK\r\n\r\n").unwrap().message_start, 4);
    }

    #[test]
    fn a_head_that_does_not_end_is_unreadable() {
        for message in [&b"OPTIONS sip:b SIP/2.0\r\nVia: x\r\n"[..], b"", b"\r\n\r\n", b"OPTIONS sip:b SIP/2.0"] {
            assert_eq!(head(message).unwrap_err(), Unreadable::NoEndOfHead);
        }
    }

    #[test]
    fn more_headers_than_the_limit_are_unreadable() {
        let mut message = b"OPTIONS sip:b SIP/2.0\r\n".to_vec();
        message.extend(b"v: x\r\n".repeat(MAX_FIELDS + 1));
        message.extend(b"\r\n");
        assert_eq!(head(&message).unwrap_err(), Unreadable::TooManyHeaders);
    }

    #[test]
    fn a_header_that_may_stand_once_is_told_when_it_stands_twice() {
        let repeated = |extra: &str| {
            let message = format!("BYE sip:b SIP/2.0\r\nCall-ID: a\r\nVia: v\r\n{extra}\r\n\r\n");
            head(message.as_bytes()).unwrap().repeated()
        };
        assert_eq!(repeated("i: a"), Some(HeaderName::CallId));
        assert_eq!(repeated("Via: w"), None);
    }
}
