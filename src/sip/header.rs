//! The headers that are noted, and the small values in them.
//!
//! | module | charge |
//! | --- | --- |
//! | [`name`] | which headers are noted, and how a line is known to begin with one |

pub mod name;

pub use name::HeaderName;

use super::Span;
use super::cursor::{Cursor, decimal, is_lws};

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

/// The seconds that a Retry-After value names (§20.33), at most 2^32 - 1. A comment, and for how long the peer can be reached then,
/// are passed over. `None` where it is malformed.
pub fn parse_retry_after(message: &[u8], value: Span) -> Option<u32> {
    let mut cursor = Cursor::new(message, value);
    let digits = cursor.take_while(|byte| byte.is_ascii_digit()).of(message);
    let more = |number: u32, digit: &u8| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    let seconds = digits.iter().fold(0, more);
    cursor.skip_lws();
    if cursor.peek() == Some(b'(') {
        cursor.comment()?;
    }
    while cursor.take_separator(b';') {
        cursor.token()?;
        if cursor.take_separator(b'=') {
            cursor.parameter_value()?;
        }
    }
    cursor.skip_lws();
    (!digits.is_empty() && cursor.is_at_end()).then_some(seconds)
}

/// Reads a Call-ID: one word, with no white space in it (§20.8). It is compared byte by byte, case and all.
pub fn parse_call_id(message: &[u8], value: Span) -> Option<&[u8]> {
    let bytes = value.of(message);
    // All bytes are looked at whatever is found, so that the compiler can look at many at a time.
    let blank = bytes.iter().fold(false, |found, byte| found | (*byte <= b' ') | (*byte == 0x7f));
    ((1..=MAX_CALL_ID_BYTES).contains(&bytes.len()) && !blank).then_some(bytes)
}

/// The longest Call-ID: ten times what user agents write. It is hashed for each token in a message.
pub const MAX_CALL_ID_BYTES: usize = 1024;

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

/// Whether a From or To value is an address, with or without parameters: all that a proxy needs of it (§16.3 item 1).
pub fn is_address(message: &[u8], value: Span) -> bool {
    let mut cursor = Cursor::new(message, value);
    if skip_address(&mut cursor).is_err() {
        return false;
    }
    cursor.skip_lws();
    matches!(cursor.peek(), None | Some(b';'))
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
    cursor.take_until_any(b'<', b';');
    if cursor.take(b'<') {
        let uri = cursor.take_until(b'>').filter(|uri| !uri.is_empty());
        return if uri.is_some() && cursor.take(b'>') { Ok(()) } else { Err(MalformedAddress) };
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
    fn a_retry_after_is_a_number_with_a_comment_and_parameters_behind_it() {
        let parse = |value: &'static str| parse_retry_after(value.as_bytes(), whole(value.as_bytes()));
        for (value, seconds) in [
            ("18000;duration=3600", 18_000),
            ("120 (I'm in a meeting)", 120),
            ("5(a (nested \\) \\( one) more)\r\n ; duration = 7 ; x", 5),
            ("0", 0),
            ("007", 7),
            ("99999999999999999999999", u32::MAX),
        ] {
            assert_eq!(parse(value), Some(seconds), "{value}");
        }
        for value in
            ["", "-1", "x", "3 4", "3 (open", "3 (open \\)", "3;", "3,4", "(c) 3", "Fri, 01 Jan 2027 00:00:00 GMT"]
        {
            assert_eq!(parse(value), None, "{value}");
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
