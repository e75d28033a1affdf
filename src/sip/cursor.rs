//! A reader over one header value, where white space may be folded (§7.3.1).
//!
//! What may be long or is rare is left to functions over bytes, so that a cursor's address is never taken: its place stays in
//! a register, where each step would wait for the last one's store otherwise.
//!
//! memchr looked better for what stands before some byte, as it is there. It prepares itself for thousands of bytes, and here are
//! ten to thirty; so they are looked at sixteen at a time.

use wide::i8x16;

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
    #[inline]
    pub(super) fn new(message: &'a [u8], span: Span) -> Self {
        let end = (span.end as usize).min(message.len());
        Cursor { bytes: &message[..end], at: (span.start as usize).min(end) }
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// What has not been taken.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Takes so many bytes, which stand here.
    #[inline]
    pub(super) fn take_len(&mut self, len: usize) -> Span {
        let start = self.at;
        self.at += len;
        Span::new(start, self.at)
    }

    /// Takes one byte if it is `wanted`.
    #[inline]
    pub(super) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes these bytes if they stand here.
    #[inline]
    pub(super) fn take_all(&mut self, wanted: &[u8]) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// Passes spaces, tabs and the line ends inside a folded value; says whether there were any.
    #[inline]
    pub(super) fn skip_lws(&mut self) -> bool {
        let found = self.peek().is_some_and(is_lws);
        if found {
            self.at += lws_len(self.rest());
        }
        found
    }

    /// Takes `wanted` with any white space round it.
    #[inline]
    pub(super) fn take_separator(&mut self, wanted: u8) -> bool {
        let before = self.at;
        // Only where white space stands can it stand behind it.
        let found = self.take(wanted) || self.skip_lws() && self.take(wanted);
        if found {
            self.skip_lws();
        } else {
            self.at = before;
        }
        found
    }

    /// Takes the bytes up to the first that `accepts` refuses.
    #[inline]
    pub(super) fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> Span {
        let rest = self.rest();
        self.take_len(rest.iter().position(|byte| !accepts(*byte)).unwrap_or(rest.len()))
    }

    /// Takes the bytes up to the first `wanted`; `None`, and nothing is taken, where there is none.
    #[inline]
    pub(super) fn take_until(&mut self, wanted: u8) -> Option<Span> {
        let rest = self.rest();
        let len = length_before([wanted], rest);
        (len < rest.len()).then(|| self.take_len(len))
    }

    /// Takes the bytes up to the first of either, or all where there is neither.
    #[inline]
    pub(super) fn take_until_any(&mut self, one: u8, other: u8) {
        self.at += length_before([one, other], self.rest());
    }

    /// Takes a token (§25.1); `None` where there is not one character of one.
    #[inline]
    pub(super) fn token(&mut self) -> Option<Span> {
        let span = self.take_len(length_of(TOKEN, self.rest()));
        (!span.is_empty()).then_some(span)
    }

    /// Takes a quoted string with its quotes; `None` where it does not begin here or does not end.
    #[inline]
    pub(super) fn quoted(&mut self) -> Option<Span> {
        let len = quoted_len(self.rest())?;
        Some(self.take_len(len))
    }

    /// Takes a comment with its parentheses and those within it; `None` where it does not begin here or does not end.
    pub(super) fn comment(&mut self) -> Option<Span> {
        let len = comment_len(self.rest())?;
        Some(self.take_len(len))
    }

    /// Takes a parameter's value: a quoted string, or whatever stands before white space, `;`, `,` or `>`.
    #[inline]
    pub(super) fn parameter_value(&mut self) -> Option<Span> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            _ => Some(self.take_len(length_of(PARAMETER_VALUE, self.rest()))),
        }
    }

    /// Takes a host: an IPv6 reference with its brackets, a name or an IPv4 address (§25.1).
    #[inline]
    pub(super) fn host(&mut self) -> Option<Span> {
        let len = match self.peek() {
            Some(b'[') => reference_len(self.rest())?,
            _ => length_of(HOST, self.rest()),
        };
        (1..=MAX_HOST_BYTES).contains(&len).then(|| self.take_len(len))
    }

    /// Takes a port; `Err` where the digits are none or too many.
    #[inline]
    pub(super) fn port(&mut self) -> Option<u16> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        u16::try_from(decimal(digits.of(self.bytes))?).ok()
    }
}

/// How many bytes of white space are at the beginning.
fn lws_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_lws(**byte)).count()
}

/// The length of the quoted string at the beginning, with its quotes; `None` where there is none or it does not end.
fn quoted_len(bytes: &[u8]) -> Option<usize> {
    let mut len = usize::from(bytes.first() == Some(&b'"'));
    while 0 < len && len < bytes.len() {
        len += length_before([b'"', b'\\'], &bytes[len..]);
        if bytes.get(len) == Some(&b'"') {
            return Some(len + 1);
        }
        // A backslash, and the character that it escapes.
        len += 2;
    }
    None
}

/// The length of the comment at the beginning, with its parentheses (§25.1); `None` where there is none or it does not end.
fn comment_len(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut is_escaped) = (0usize, false);
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            _ if std::mem::take(&mut is_escaped) => {}
            b'\\' => is_escaped = true,
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (place > 0).then_some(place + 1);
        }
    }
    None
}

/// The length of the IPv6 reference at the beginning, with its brackets; `None` where it does not end.
fn reference_len(bytes: &[u8]) -> Option<usize> {
    let inside = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let len = 1 + bytes.iter().skip(1).take_while(inside).count();
    (bytes.get(len) == Some(&b']')).then_some(len + 1)
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

/// How many bytes stand before the first of `stops`; all where there is none.
#[inline]
fn length_before<const N: usize>(stops: [u8; N], bytes: &[u8]) -> usize {
    let (blocks, tail) = bytes.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        let block = i8x16::new(block.map(|byte| byte as i8));
        let equal = stops.map(|stop| block.simd_eq(i8x16::splat(stop as i8)));
        let found = equal.into_iter().fold(i8x16::ZERO, |found, equal| found | equal).to_bitmask();
        if found != 0 {
            return 16 * index + found.trailing_zeros() as usize;
        }
    }
    bytes.len() - tail.len() + tail.iter().take_while(|byte| !stops.contains(byte)).count()
}

/// How many bytes at the beginning are of that class. Four at a time, because most values are longer; and not sixteen, since then
/// each step of a Via's parameters would wait for what the last one found, where a branch is foreseen. Always inlined, because a
/// class that is known when this is compiled is an operand in the place of a register.
#[inline(always)]
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
    let mut value = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    u32::try_from(value).ok()
}
