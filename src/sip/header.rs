//! The headers that are noted, and the small values in them.

use super::Span;
use super::cursor::{Cursor, decimal, is_lws};

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
fn candidates(first: u8) -> &'static [(&'static [u8], HeaderName)] {
    match first.to_ascii_lowercase() {
        b'v' => &[(b"via", HeaderName::Via), (b"v", HeaderName::Via)],
        b'r' => &[
            (b"route", HeaderName::Route),
            (b"record-route", HeaderName::RecordRoute),
            (b"replaces", HeaderName::Replaces),
        ],
        b'm' => &[(b"max-forwards", HeaderName::MaxForwards), (b"m", HeaderName::Contact)],
        b'f' => &[(b"from", HeaderName::From), (b"f", HeaderName::From)],
        b't' => &[(b"to", HeaderName::To), (b"t", HeaderName::To), (b"target-dialog", HeaderName::TargetDialog)],
        b'i' => &[(b"i", HeaderName::CallId)],
        b'c' => &[
            (b"cseq", HeaderName::CSeq),
            (b"call-id", HeaderName::CallId),
            (b"contact", HeaderName::Contact),
            (b"content-length", HeaderName::ContentLength),
        ],
        b'l' => &[(b"l", HeaderName::ContentLength)],
        b'p' => &[(b"path", HeaderName::Path), (b"proxy-require", HeaderName::ProxyRequire)],
        b's' => &[(b"supported", HeaderName::Supported)],
        b'k' => &[(b"k", HeaderName::Supported)],
        b'j' => &[(b"join", HeaderName::Join)],
        _ => &[],
    }
}

/// The noted header that a line begins with, and where in the line its value begins (behind colon and white space).
pub(super) fn recognise(line: &[u8]) -> Option<(HeaderName, usize)> {
    candidates(*line.first()?).iter().find_map(|(name, header)| {
        let start = line.get(..name.len())?;
        if !start.eq_ignore_ascii_case(name) {
            return None;
        }
        let colon = skip_blanks(line, name.len());
        (line.get(colon) == Some(&b':')).then(|| (*header, skip_blanks(line, colon + 1)))
    })
}

fn skip_blanks(line: &[u8], from: usize) -> usize {
    from + line[from..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// A CSeq value (§20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31 (§8.1.1.5).
    pub number: u32,
    /// The method as written.
    pub method: Span,
}

/// Reads a CSeq value; `None` where the number is too large or something is missing or left over.
pub fn parse_cseq(message: &[u8], value: Span) -> Option<CSeq> {
    let mut cursor = Cursor::new(message, value);
    let digits = cursor.token()?;
    let number = decimal(digits.of(message)).filter(|number| *number < 1 << 31)?;
    let spaced = cursor.skip_lws();
    let method = cursor.token()?;
    (spaced && cursor.is_at_end()).then_some(CSeq { number, method })
}

/// Reads a value that is one whole number (Max-Forwards, Content-Length).
pub fn parse_number(message: &[u8], value: Span) -> Option<u32> {
    decimal(value.of(message))
}

/// Reads a Call-ID: one word, with no white space in it (§20.8). It is compared byte by byte, case and all.
pub fn parse_call_id(message: &[u8], value: Span) -> Option<&[u8]> {
    let bytes = value.of(message);
    (!bytes.is_empty() && !bytes.iter().any(|byte| *byte <= b' ' || *byte == 0x7f)).then_some(bytes)
}

/// The tag of a From or To value (§20.20, §20.39): `Err` where the value is no address, `Ok(None)` where it has no tag.
pub fn parse_tag(message: &[u8], value: Span) -> Result<Option<&[u8]>, MalformedAddress> {
    let mut cursor = Cursor::new(message, value);
    skip_address(&mut cursor)?;
    while cursor.take_separator(b';') {
        let name = cursor.token().ok_or(MalformedAddress)?;
        let mut tag = None;
        if cursor.take_separator(b'=') {
            tag = cursor.parameter_value();
        }
        if name.of(message).eq_ignore_ascii_case(b"tag") {
            return Ok(tag.map(|span| span.of(message)).filter(|tag| !tag.is_empty()));
        }
    }
    if cursor.is_at_end() { Ok(None) } else { Err(MalformedAddress) }
}

/// The URI in a From, To or Contact value: between the brackets, or up to the parameters where there are none (§20.10).
pub fn address_uri(message: &[u8], value: Span) -> Option<Span> {
    let mut cursor = Cursor::new(message, value);
    cursor.skip_lws();
    if cursor.peek() == Some(b'"') {
        cursor.quoted()?;
    }
    let before = cursor;
    cursor.take_while(|byte| !matches!(byte, b'<' | b';' | b','));
    if cursor.take(b'<') {
        let uri = cursor.take_while(|byte| byte != b'>');
        return (!uri.is_empty() && cursor.take(b'>')).then_some(uri);
    }
    let mut bare = before;
    let uri = bare.take_while(|byte| !matches!(byte, b';' | b',') && !is_lws(byte));
    (!uri.is_empty()).then_some(uri)
}

/// Whether a list of option tags has this one (§20.37).
pub fn has_option_tag(message: &[u8], value: Span, tag: &str) -> bool {
    value.of(message).split(|byte| *byte == b',').any(|item| {
        let trimmed: &[u8] = item.trim_ascii();
        trimmed.eq_ignore_ascii_case(tag.as_bytes())
    })
}

/// The Call-ID that a Replaces, Join or Target-Dialog value names: what stands before its parameters (RFC 3891 §6.1, RFC
/// 3911 §7.1, RFC 4538 §7).
pub fn named_call_id(message: &[u8], value: Span) -> Option<&[u8]> {
    let named = value.of(message).split(|byte| *byte == b';').next()?.trim_ascii();
    (!named.is_empty()).then_some(named)
}

/// A value that should be a name-addr or an addr-spec is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedAddress;

/// Passes `"Display" <uri>` or a bare URI; leaves the cursor at the header parameters.
fn skip_address(cursor: &mut Cursor<'_>) -> Result<(), MalformedAddress> {
    cursor.skip_lws();
    if cursor.peek() == Some(b'"') {
        cursor.quoted().ok_or(MalformedAddress)?;
    }
    let before = *cursor;
    cursor.take_while(|byte| byte != b'<' && byte != b';');
    if cursor.take(b'<') {
        let uri = cursor.take_while(|byte| byte != b'>');
        return if !uri.is_empty() && cursor.take(b'>') { Ok(()) } else { Err(MalformedAddress) };
    }
    *cursor = before;
    let bare = cursor.take_while(|byte| byte != b';' && !is_lws(byte));
    if bare.is_empty() { Err(MalformedAddress) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(value: &[u8]) -> Span {
        Span::new(0, value.len())
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
            assert_eq!(recognise(line), Some((name, at)));
        }
        for line in [&b"Viag: x"[..], b"Via", b"", b"X-Via: y", b"Content-Type: z", b"To-Do: q"] {
            assert_eq!(recognise(line), None);
        }
    }

    #[test]
    fn a_cseq_is_a_number_below_two_to_the_31_and_a_method() {
        let parse = |value: &'static [u8]| parse_cseq(value, whole(value)).map(|c| (c.number, c.method.of(value)));
        assert_eq!(parse(b"1 INVITE"), Some((1, &b"INVITE"[..])));
        assert_eq!(parse(b"0009\r\n  INVITE"), Some((9, &b"INVITE"[..])));
        assert_eq!(parse(b"2147483647 ACK"), Some((2147483647, &b"ACK"[..])));
        for value in
            [&b"2147483648 ACK"[..], b"36893488147419103232 REGISTER", b"1", b"INVITE", b"1 INVITE x", b"-1 BYE"]
        {
            assert_eq!(parse(value), None);
        }
    }

    #[test]
    fn a_uri_is_found_with_and_without_brackets() {
        let uri = |value: &'static str| {
            address_uri(value.as_bytes(), whole(value.as_bytes())).map(|uri| uri.of(value.as_bytes()))
        };
        assert_eq!(uri("\"A, <B>\" <sip:a@b;x>;expires=1, <sip:c>"), Some(&b"sip:a@b;x"[..]));
        assert_eq!(uri("sip:a@b;expires=1"), Some(&b"sip:a@b"[..]));
        assert_eq!(uri("*"), Some(&b"*"[..]));
        assert_eq!(uri("<sip:a"), None);
    }

    #[test]
    fn option_tags_and_named_dialogs_are_found() {
        let value = b"100rel , PATH,\r\n outbound";
        assert!(["path", "outbound", "100rel"].iter().all(|tag| has_option_tag(value, whole(value), tag)));
        assert!(!has_option_tag(value, whole(value), "out"));
        let value = b"98732@sip.example.com ;from-tag=r33th4x0r;to-tag=ff87ff";
        assert_eq!(named_call_id(value, whole(value)), Some(&b"98732@sip.example.com"[..]));
    }

    #[test]
    fn a_tag_is_found_wherever_the_grammar_puts_it() {
        let tag = |value: &'static str| {
            parse_tag(value.as_bytes(), whole(value.as_bytes())).map(|t| t.map(|t| std::str::from_utf8(t).unwrap()))
        };
        assert_eq!(tag("Bob <sip:bob@b.com;tag=no>;tag=yes"), Ok(Some("yes")));
        assert_eq!(tag("\"B; tag=1 <\\\" x\" <sip:b>;a=b; TAG = 7"), Ok(Some("7")));
        assert_eq!(tag("sip:bob@b.com;tag=x"), Ok(Some("x")));
        assert_eq!(tag("sip:bob@b.com\r\n ;tag=x;y"), Ok(Some("x")));
        assert_eq!(tag("<sip:b@c>"), Ok(None));
        for value in ["\"open <sip:b>", "<sip:b", "", "<>", "<sip:b> junk"] {
            assert_eq!(tag(value), Err(MalformedAddress), "{value}");
        }
    }
}
