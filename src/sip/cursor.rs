//! A reader over one header value, where white space may be folded (§7.3.1).

use memchr::{memchr, memchr2};

use super::Span;

/// The longest host name (RFC 1035 §2.3.4), with a dot at its end.
const MAX_HOST_BYTES: usize = 256;

/// Reads a part of a message from left to right. Never reads outside the span it was made for.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// The message, up to the end of what may be read.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(message: &'a [u8], span: Span) -> Self {
        let end = (span.end as usize).min(message.len());
        Cursor { bytes: &message[..end], at: (span.start as usize).min(end) }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Takes one byte if it is `wanted`.
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes these bytes if they stand here.
    pub(super) fn take_all(&mut self, wanted: &[u8]) -> bool {
        let found = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(wanted));
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    /// Passes spaces, tabs and the line ends inside a folded value; says whether there were any.
    #[inline]
    pub(super) fn skip_lws(&mut self) -> bool {
        self.peek().is_some_and(is_lws) && !self.take_while(is_lws).is_empty()
    }

    /// Takes `wanted` with any white space round it.
    pub(super) fn take_separator(&mut self, wanted: u8) -> bool {
        let before = self.at;
        if !self.take(wanted) {
            // Only where white space stands can it stand behind it.
            if !self.peek().is_some_and(is_lws) {
                return false;
            }
            self.skip_lws();
            if !self.take(wanted) {
                self.at = before;
                return false;
            }
        }
        self.skip_lws();
        true
    }

    /// Takes the bytes up to the first that `accepts` refuses.
    pub(super) fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> Span {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !accepts(*byte)).unwrap_or(rest.len());
        Span::new(start, self.at)
    }

    /// Takes the bytes up to the first `wanted`; `None`, and nothing is taken, where there is none.
    pub(super) fn take_until(&mut self, wanted: u8) -> Option<Span> {
        let start = self.at;
        self.at += memchr(wanted, self.bytes.get(start..)?)?;
        Some(Span::new(start, self.at))
    }

    /// Takes the bytes up to the first of either, or all where there is neither.
    pub(super) fn take_until_any(&mut self, one: u8, other: u8) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += memchr2(one, other, rest).unwrap_or(rest.len());
    }

    /// Takes the bytes up to the first that is not of that class.
    #[inline]
    fn take_class(&mut self, class: u8) -> Span {
        let start = self.at;
        self.at += length_of(class, self.bytes.get(start..).unwrap_or_default());
        Span::new(start, self.at)
    }

    /// Takes a token (§25.1); `None` where there is not one character of one.
    pub(super) fn token(&mut self) -> Option<Span> {
        let span = self.take_class(TOKEN);
        (!span.is_empty()).then_some(span)
    }

    /// Takes a quoted string with its quotes; `None` where it does not begin here or does not end.
    pub(super) fn quoted(&mut self) -> Option<Span> {
        let start = self.at;
        if !self.take(b'"') {
            return None;
        }
        loop {
            self.at += memchr2(b'"', b'\\', self.bytes.get(self.at..)?)?;
            if self.take(b'"') {
                return Some(Span::new(start, self.at));
            }
            // A backslash, and the character that it escapes.
            self.at = (self.at + 2).min(self.bytes.len());
        }
    }

    /// Takes a parameter's value: a quoted string, or whatever stands before white space, `;`, `,` or `>`.
    pub(super) fn parameter_value(&mut self) -> Option<Span> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        Some(self.take_class(PARAMETER_VALUE))
    }

    /// Takes a host: an IPv6 reference with its brackets, a name or an IPv4 address (§25.1).
    pub(super) fn host(&mut self) -> Option<Span> {
        let start = self.at;
        if self.take(b'[') {
            self.take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            return self.take(b']').then(|| Span::new(start, self.at)).filter(|span| span.len() <= MAX_HOST_BYTES);
        }
        let span = self.take_class(HOST);
        (1..=MAX_HOST_BYTES).contains(&span.len()).then_some(span)
    }

    /// Takes a port; `Err` where the digits are none or too many.
    pub(super) fn port(&mut self) -> Option<u16> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        u16::try_from(decimal(digits.of(self.bytes))?).ok()
    }
}

/// White space, and the line ends of a folded value.
pub(super) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The characters of a token (§25.1).
pub(super) fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const PARAMETER_VALUE: u8 = 4;

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// How many bytes at the beginning are of that class. Four at a time, because most values are longer.
#[inline]
fn length_of(class: u8, bytes: &[u8]) -> usize {
    let of = |byte: &u8| CLASSES[usize::from(*byte)];
    let mut len = 0;
    for [a, b, c, d] in bytes.as_chunks::<4>().0 {
        if of(a) & of(b) & of(c) & of(d) & class == 0 {
            break;
        }
        len += 4;
    }
    while bytes.get(len).is_some_and(|byte| is(*byte, class)) {
        len += 1;
    }
    len
}

/// What each byte may be part of. A table, because it is asked for every byte of every parameter.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < classes.len() {
        let byte = index as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        if alphanumeric || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
            classes[index] |= TOKEN;
        }
        if alphanumeric || matches!(byte, b'.' | b'-' | b'_') {
            classes[index] |= HOST;
        }
        if !is_lws(byte) && !matches!(byte, b';' | b',' | b'>' | b'"') {
            classes[index] |= PARAMETER_VALUE;
        }
        index += 1;
    }
    classes
};

/// A whole decimal number; `None` where it is empty, not of digits alone, or above 2^32 - 1.
pub(super) fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    let value = digits
        .iter()
        .try_fold(0u64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))?;
    u32::try_from(value).ok()
}
