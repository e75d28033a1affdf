//! The first line: a request's method and URI (§7.1), or a response's status code (§7.2).

use super::Span;
use super::cursor::{decimal, is_token};

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine {
    /// `INVITE sip:bob@example.com SIP/2.0`
    Request {
        /// The method, if it is one that is counted by name.
        method: Method,
        /// The method as written: to be compared with CSeq's.
        method_span: Span,
        /// The Request-URI.
        uri: Span,
    },
    /// `SIP/2.0 200 OK`
    Response {
        /// The status code, from 100 to 699.
        status: u16,
    },
    /// A request that can be refused but not forwarded.
    BadRequest {
        /// The method, to be counted; an ACK is not answered.
        method: Method,
        /// What is wrong with the line.
        fault: RequestLineFault,
    },
    /// It begins with `SIP/`, but no status code of a known version follows.
    BadResponse,
}

/// What is wrong with a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestLineFault {
    /// Another SIP version than 2.0 (RFC 4475 §3.1.2.16).
    Version,
    /// Superfluous spaces, or no URI.
    Malformed,
}

/// The methods that are counted by name; all others are forwarded alike (§16.3: unknown methods are no error).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Cancel,
    Bye,
    Options,
    Register,
    Prack,
    Subscribe,
    Notify,
    Publish,
    Info,
    Refer,
    Message,
    Update,
    Other,
}

impl Method {
    /// Every method, in the order of its discriminant.
    pub const ALL: [Method; 15] = [
        Method::Invite,
        Method::Ack,
        Method::Cancel,
        Method::Bye,
        Method::Options,
        Method::Register,
        Method::Prack,
        Method::Subscribe,
        Method::Notify,
        Method::Publish,
        Method::Info,
        Method::Refer,
        Method::Message,
        Method::Update,
        Method::Other,
    ];

    /// How many there are.
    pub const COUNT: usize = Method::ALL.len();

    /// The method of that name. Names are case-sensitive (§7.1).
    pub fn from_name(name: &[u8]) -> Method {
        match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"CANCEL" => Method::Cancel,
            b"BYE" => Method::Bye,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"PUBLISH" => Method::Publish,
            b"INFO" => Method::Info,
            b"REFER" => Method::Refer,
            b"MESSAGE" => Method::Message,
            b"UPDATE" => Method::Update,
            _ => Method::Other,
        }
    }

    /// As written in a request; `OTHER` for what is not counted by name.
    pub fn label(self) -> &'static str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Cancel => "CANCEL",
            Method::Bye => "BYE",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Publish => "PUBLISH",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Message => "MESSAGE",
            Method::Update => "UPDATE",
            Method::Other => "OTHER",
        }
    }
}

/// Reads the first line, given without its line end; `None` where it is not SIP. `at` is where it begins in the message.
pub(super) fn parse(line: &[u8], at: usize) -> Option<StartLine> {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
        return Some(parse_status(line).map_or(StartLine::BadResponse, |status| StartLine::Response { status }));
    }
    parse_request(line, at)
}

/// The longest first line on a stream: ten times what user agents write.
const MAX_LINE_BYTES: usize = 4096;

/// The longest first word on a stream: a method (§7.1) or a version. IANA's registry has none above 9 bytes.
const MAX_WORD_BYTES: usize = 64;

/// Whether a stream's first line may begin with these bytes, of which none is a line feed. What may not is known after its
/// first byte (TLS), its first word, or [`MAX_LINE_BYTES`].
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let begins = bytes.first().is_none_or(|first| is_token(*first));
    let word_ends = bytes.iter().take(MAX_WORD_BYTES + 1).any(|byte| !is_token(*byte));
    begins && (word_ends || bytes.len() <= MAX_WORD_BYTES) && bytes.len() <= MAX_LINE_BYTES
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.get(..8).filter(|version| version.eq_ignore_ascii_case(b"SIP/2.0 ")).map(|_| &line[8..])?;
    let ends = matches!(rest.get(3), None | Some(b' '));
    let status = decimal(rest.get(..3)?).filter(|status| ends && (100..=699).contains(status))?;
    Some(status as u16)
}

fn parse_request(line: &[u8], at: usize) -> Option<StartLine> {
    let method_end = line.iter().position(|byte| !is_token(*byte)).filter(|end| *end > 0)?;
    let trimmed = line.trim_ascii_end();
    let version_start = memchr::memrchr(b' ', trimmed)? + 1;
    let version = &trimmed[version_start..];
    if !version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) {
        return None;
    }
    let method = Method::from_name(&line[..method_end]);
    let uri = line.get(method_end + 1..version_start - 1).unwrap_or_default();
    let well_formed = trimmed.len() == line.len() && line[method_end] == b' ' && !uri.is_empty();
    // All bytes are looked at whatever is found, so that the compiler can look at many at a time.
    let blank = uri.iter().fold(false, |found, byte| found | (*byte <= b' '));
    if !well_formed || blank {
        return Some(StartLine::BadRequest { method, fault: RequestLineFault::Malformed });
    }
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Some(StartLine::BadRequest { method, fault: RequestLineFault::Version });
    }
    Some(StartLine::Request {
        method,
        method_span: Span::new(at, at + method_end),
        uri: Span::new(at + method_end + 1, at + version_start - 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_gives_its_method_and_uri() {
        let line = b"INVITE sip:bob@example.com SIP/2.0";
        let Some(StartLine::Request { method, uri, .. }) = parse(line, 0) else { panic!("a request") };
        assert_eq!((method, uri.of(line)), (Method::Invite, &b"sip:bob@example.com"[..]));
    }

    #[test]
    fn methods_are_case_sensitive_and_versions_are_not() {
        let Some(StartLine::Request { method, .. }) = parse(b"invite sip:b sip/2.0", 0) else { panic!("a request") };
        assert_eq!(method, Method::Other);
    }

    #[test]
    fn a_status_line_gives_its_code_even_without_a_reason() {
        for line in [&b"SIP/2.0 200 OK"[..], b"sip/2.0 200", b"SIP/2.0 200 "] {
            assert_eq!(parse(line, 0), Some(StartLine::Response { status: 200 }));
        }
        for line in ["SIP/2.0 99 Low", "SIP/2.0 700 High", "SIP/2.0 2000 Long", "SIP/3.0 200 OK", "SIP/2.0 2x0 OK"] {
            assert_eq!(parse(line.as_bytes(), 0), Some(StartLine::BadResponse), "{line}");
        }
    }

    #[test]
    fn a_request_line_that_is_wrong_still_tells_its_method() {
        let bad = |fault| Some(StartLine::BadRequest { method: Method::Invite, fault });
        assert_eq!(parse(b"INVITE sip:b SIP/7.0", 0), bad(RequestLineFault::Version));
        for line in ["INVITE  sip:b SIP/2.0", "INVITE sip:b  SIP/2.0", "INVITE sip:b SIP/2.0 ", "INVITE SIP/2.0"] {
            assert_eq!(parse(line.as_bytes(), 0), bad(RequestLineFault::Malformed), "{line}");
        }
    }

    #[test]
    fn every_method_has_its_place_and_its_name() {
        for (place, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, place);
            assert_eq!(Method::from_name(method.label().as_bytes()), method);
        }
    }

    #[test]
    fn what_is_not_sip_is_nothing() {
        for line in ["GET / HTTP/1.1", "", "INVITE sip:b", "  SIP/2.0"] {
            assert_eq!(parse(line.as_bytes(), 0), None, "{line}");
        }
    }
}
