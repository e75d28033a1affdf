//! Via values: reading one, and what a server adds to the topmost (§18.2.1, RFC 3581 §4).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::cursor::{Cursor, decimal};
use super::draft::{Draft, DraftFull};
use super::text::{decimal_text, ip_text};
use super::{Span, Transport};

/// The start of every branch made by an element that follows RFC 3261 (§8.1.1.7).
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// One Via value: a hop that a message took.
#[derive(Clone, Copy, Debug)]
pub struct Via {
    /// The whole value, without the white space and the comma round it.
    pub value: Span,
    /// The transport as written: `UDP`.
    pub transport: Span,
    /// The host of sent-by, an IPv6 address with its brackets.
    pub host: Span,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// The branch, with its cookie.
    pub branch: Option<Span>,
    /// Where the next value begins, if a comma follows in the same header line.
    pub next: Option<u32>,
    received: Option<Parameter>,
    rport: Option<Parameter>,
    /// Our own parameter: see [`OWN_PARAMETER`].
    pub own: Option<Span>,
    /// Our stamp of time: see [`TIME_PARAMETER`].
    pub own_time: Option<Span>,
    /// The value of `oc`, where it has one: see [`LossReport`](super::overload::LossReport).
    pub oc: Option<Span>,
}

/// The via-extension that carries the return path in a Via that Viaduct wrote (§20.42 allows extensions).
pub const OWN_PARAMETER: &str = "vd";

/// The via-extension that tells when Viaduct sent the request.
pub const TIME_PARAMETER: &str = "vt";

/// A parameter's place: `whole` from its semicolon on, `value` behind its equals sign.
#[derive(Clone, Copy, Debug)]
struct Parameter {
    whole: Span,
    /// Empty where there is none.
    value: Span,
}

impl Via {
    /// Reads the value that begins `values`, which runs to the end of its header. `None` where it is malformed.
    pub fn parse(message: &[u8], values: Span) -> Option<Via> {
        let mut cursor = Cursor::new(message, values);
        cursor.skip_lws();
        let start = cursor.at();
        let transport = take_protocol(message, &mut cursor)?;
        let host = cursor.host()?;
        let port = if cursor.take_separator(b':') { Some(cursor.port()?) } else { None };
        let end = cursor.at();
        let mut via = Via {
            value: Span::new(start, end),
            transport,
            host,
            port,
            branch: None,
            next: None,
            received: None,
            rport: None,
            own: None,
            own_time: None,
            oc: None,
        };
        via.parse_parameters(message, &mut cursor)?;
        Some(via)
    }

    #[inline]
    fn parse_parameters(&mut self, message: &[u8], cursor: &mut Cursor<'_>) -> Option<()> {
        loop {
            let at = cursor.at();
            self.value.end = at as u32;
            if cursor.take_separator(b';') {
                self.parse_parameter(message, cursor, at)?;
            } else if cursor.take_separator(b',') {
                self.next = Some(cursor.at() as u32);
                return Some(());
            } else {
                cursor.skip_lws();
                return cursor.is_at_end().then_some(());
            }
        }
    }

    #[inline]
    fn parse_parameter(&mut self, message: &[u8], cursor: &mut Cursor<'_>, start: usize) -> Option<()> {
        let name = Name::take(message, cursor)?;
        let mut end = cursor.at();
        let mut value = Span::default();
        if cursor.take_separator(b'=') {
            value = cursor.parameter_value()?;
            end = cursor.at();
        }
        let parameter = Parameter { whole: Span::new(start, end), value };
        match name {
            Name::Branch => once(&mut self.branch, unless_empty(value)),
            Name::Received => once(&mut self.received, Some(parameter)),
            Name::Rport => once(&mut self.rport, Some(parameter)),
            Name::Own => once(&mut self.own, unless_empty(value)),
            Name::OwnTime => once(&mut self.own_time, unless_empty(value)),
            Name::Load => {
                self.oc = self.oc.or(unless_empty(value));
                Some(())
            }
            Name::Other => Some(()),
        }
    }

    /// The branch, if it was made by RFC 3261's rules: with the cookie and something behind it.
    pub fn rfc3261_branch<'a>(&self, message: &'a [u8]) -> Option<&'a [u8]> {
        let branch = self.branch?.of(message);
        let (cookie, rest) = branch.split_at_checked(MAGIC_COOKIE.len())?;
        (is(cookie, MAGIC_COOKIE) && !rest.is_empty()).then_some(branch)
    }

    /// The host of sent-by, where it is an address.
    pub fn sent_by_ip(&self, message: &[u8]) -> Option<IpAddr> {
        parse_ip(self.host.of(message))
    }

    /// The port of sent-by, or its transport's default.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(Transport::Udp.default_port())
    }

    /// Where the response to a request that came from `peer` with this Via on top is to be sent over UDP (§18.2.2,
    /// RFC 3581 §4): always to the source's address; to its port where `rport` asks for it, else to that of sent-by.
    ///
    /// A `maddr` is not followed: it would let a stranger choose who is sent the response.
    pub fn answer_address(&self, peer: SocketAddr) -> SocketAddr {
        let mut to = peer;
        to.set_port(if self.rport.is_some() { peer.port() } else { self.port_or_default() });
        to
    }

    /// The same address, read from a Via that [`Via::stamp`] has completed; `None` where it names no address.
    pub fn stamped_address(&self, message: &[u8]) -> Option<SocketAddr> {
        let host = match self.received.and_then(|received| unless_empty(received.value)) {
            Some(received) => received,
            None => self.host,
        };
        let port = match self.rport.and_then(|rport| unless_empty(rport.value)) {
            Some(rport) => u16::try_from(decimal(rport.of(message))?).ok()?,
            None => self.port_or_default(),
        };
        Some(SocketAddr::new(parse_ip(host.of(message))?, port))
    }

    /// Writes `received` and `rport` for a request that came from `peer` (§18.2.1, RFC 3581 §4): `received` where
    /// sent-by is a name or another address or `rport` is asked for; `rport` only where it is asked for. What the
    /// sender already put there is replaced, because it would steer the response.
    ///
    /// `sent_by` is sent-by's host, where it is an address ([`Via::sent_by_ip`]).
    pub fn stamp(&self, sent_by: Option<IpAddr>, peer: SocketAddr, draft: &mut Draft) -> Result<(), DraftFull> {
        if sent_by != Some(peer.ip()) || self.rport.is_some() {
            draft.insert(self.value.after(), [b";received=", &ip_text(peer.ip())])?;
        }
        if let Some(received) = self.received {
            draft.delete(received.whole)?;
        }
        if let Some(rport) = self.rport {
            draft.replace(rport.whole, [b";rport=", &decimal_text(peer.port().into())])?;
        }
        Ok(())
    }
}

/// A parameter's name.
#[derive(Clone, Copy)]
enum Name {
    Branch,
    Received,
    Rport,
    Own,
    OwnTime,
    Load,
    Other,
}

impl Name {
    /// Takes a parameter's name; `None` where there is none.
    #[inline]
    fn take(message: &[u8], cursor: &mut Cursor<'_>) -> Option<Name> {
        // As nearly everybody writes them: the equals sign tells that no more of the name follows.
        let (name, len) = match cursor.rest() {
            rest if rest.starts_with(b"branch=") => (Name::Branch, "branch".len()),
            rest if rest.starts_with(b"rport=") => (Name::Rport, "rport".len()),
            rest if rest.starts_with(b"received=") => (Name::Received, "received".len()),
            rest if rest.starts_with(b"vd=") => (Name::Own, OWN_PARAMETER.len()),
            rest if rest.starts_with(b"vt=") => (Name::OwnTime, TIME_PARAMETER.len()),
            _ => return cursor.token().map(|name| Name::of(name.of(message))),
        };
        cursor.take_len(len);
        Some(name)
    }

    fn of(name: &[u8]) -> Name {
        match name {
            name if name.eq_ignore_ascii_case(b"branch") => Name::Branch,
            name if name.eq_ignore_ascii_case(b"rport") => Name::Rport,
            name if name.eq_ignore_ascii_case(b"received") => Name::Received,
            name if name.eq_ignore_ascii_case(OWN_PARAMETER.as_bytes()) => Name::Own,
            name if name.eq_ignore_ascii_case(TIME_PARAMETER.as_bytes()) => Name::OwnTime,
            name if name.eq_ignore_ascii_case(b"oc") => Name::Load,
            _ => Name::Other,
        }
    }
}

/// Takes `SIP/2.0/UDP` and the white space behind it; gives the place of the transport.
#[inline]
fn take_protocol(message: &[u8], cursor: &mut Cursor<'_>) -> Option<Span> {
    const PLAIN: &[u8] = b"SIP/2.0/UDP ";
    let start = cursor.at();
    if cursor.take_all(PLAIN) {
        cursor.skip_lws();
        return Some(Span::new(start + 8, start + 11));
    }
    let protocol = cursor.token()?;
    let version = cursor.take_separator(b'/').then(|| cursor.token())??;
    let transport = cursor.take_separator(b'/').then(|| cursor.token())??;
    let is_sip = protocol.of(message).eq_ignore_ascii_case(b"SIP") && version.of(message) == b"2.0";
    (is_sip && cursor.skip_lws()).then_some(transport)
}

/// Whether a name is that one, in any case (§7.3.1). As nearly everybody writes it, it is so byte for byte.
#[inline]
fn is(name: &[u8], wanted: &[u8]) -> bool {
    name == wanted || name.eq_ignore_ascii_case(wanted)
}

fn unless_empty(span: Span) -> Option<Span> {
    (!span.is_empty()).then_some(span)
}

/// Keeps a parameter; `None` where it stood there before: two readings of it would differ.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    let is_first = place.is_none();
    *place = value;
    is_first.then_some(())
}

/// An address as it stands in a Via or a URI; an IPv6 address with or without brackets (RFC 5118 §4.5).
pub fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    if let Some(ip) = parse_ipv4(text) {
        return Some(IpAddr::V4(ip));
    }
    let inner = match text {
        [b'[', inner @ .., b']'] => inner,
        // The first colon of an IPv6 address stands within its first five bytes, and most names have none there.
        bare if bare.iter().take(5).any(|byte| *byte == b':') => bare,
        _ => return None,
    };
    std::str::from_utf8(inner).ok()?.parse().ok()
}

/// Four numbers with dots between them, without leading zeroes, which some readers take for octal.
fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut rest = text;
    for (index, octet) in octets.iter_mut().enumerate() {
        let (value, len) = leading_octet(rest)?;
        *octet = value;
        rest = &rest[len..];
        if index < 3 {
            rest = rest.strip_prefix(b".")?;
        }
    }
    rest.is_empty().then(|| Ipv4Addr::from(octets))
}

/// The number up to 255 that `text` begins with, and how many digits it has.
#[inline]
fn leading_octet(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |place: usize| text.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9);
    let first = digit(0)?;
    if first == 0 {
        return digit(1).is_none().then_some((0, 1));
    }
    let Some(second) = digit(1) else { return Some((first, 1)) };
    let Some(third) = digit(2) else { return Some((first * 10 + second, 2)) };
    let value = u16::from(first) * 100 + u16::from(second * 10 + third);
    Some((u8::try_from(value).ok()?, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<Via> {
        Via::parse(value.as_bytes(), Span::new(0, value.len()))
    }

    fn stamped(value: &str, peer: &str) -> String {
        let mut draft = Draft::new();
        draft.keep(Span::new(0, value.len())).unwrap();
        let via = parse(value).unwrap();
        via.stamp(via.sent_by_ip(value.as_bytes()), peer.parse().unwrap(), &mut draft).unwrap();
        let mut out = [0; 512];
        let len = draft.render(value.as_bytes(), &mut out).unwrap();
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_via_may_be_folded_and_spaced_anywhere() {
        let text = "SIP / 2.0 /\r\n UDP   first.example.com : 4000 ; ttl=16\r\n ; branch = z9hG4bK.a_b";
        let via = parse(text).unwrap();
        assert_eq!(via.host.of(text.as_bytes()), b"first.example.com");
        assert_eq!(via.port, Some(4000));
        assert_eq!(via.rfc3261_branch(text.as_bytes()), Some(&b"z9hG4bK.a_b"[..]));
    }

    #[test]
    fn a_comma_ends_a_value_unless_it_is_quoted() {
        let text = "SIP/2.0/UDP [2001:db8::9]:5070;x=\"a,b;\\\"\";branch=z9hG4bK1 , SIP/2.0/UDP b";
        let via = parse(text).unwrap();
        assert_eq!(via.host.of(text.as_bytes()), b"[2001:db8::9]");
        assert_eq!(&text[via.next.unwrap() as usize..], "SIP/2.0/UDP b");
        assert!(via.value.of(text.as_bytes()).ends_with(b"branch=z9hG4bK1"));
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 a",
            "SIP/3.0/UDP a",
            "SIP/2.0/UDP a:b",
            "SIP/2.0/UDP a:70000",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP a;=x",
            "SIP/2.0/UDPa",
            "SIP/2.0/UDP a;received=1.1.1.1;received=2.2.2.2",
            "SIP/2.0/UDP a;branch=z9hG4bK1;Branch=z9hG4bK2",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_as_the_standard_library_reads_them() {
        for text in [
            "0.0.0.0",
            "192.0.2.1",
            "255.255.255.255",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1..2.3",
            "1.2.3.",
            ".1.2.3",
            "",
            "1.2.3.4a",
            "1.2.3.0",
            "1.2.3.00",
            "0001.2.3.4",
            "999.1.1.1",
        ] {
            assert_eq!(parse_ip(text.as_bytes()), text.parse::<Ipv4Addr>().ok().map(IpAddr::V4), "{text}");
        }
        assert_eq!(parse_ip(b"[2001:db8::1]"), "2001:db8::1".parse().ok());
    }

    #[test]
    fn received_is_added_where_sent_by_is_not_the_source() {
        assert_eq!(
            stamped("SIP/2.0/UDP pc.a.com;branch=z9hG4bK1", "192.0.2.1:5060"),
            "SIP/2.0/UDP pc.a.com;branch=z9hG4bK1;received=192.0.2.1"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "192.0.2.1:9"),
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"
        );
        assert_eq!(
            stamped("SIP/2.0/UDP [2001:db8::9];branch=z9hG4bK1", "[2001:db8::1]:9"),
            "SIP/2.0/UDP [2001:db8::9];branch=z9hG4bK1;received=2001:db8::1"
        );
    }

    #[test]
    fn rport_is_filled_where_asked_for_and_received_with_it() {
        assert_eq!(
            stamped("SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1", "192.0.2.1:9"),
            "SIP/2.0/UDP 192.0.2.1;rport=9;branch=z9hG4bK1;received=192.0.2.1"
        );
    }

    #[test]
    fn a_received_that_the_sender_wrote_is_replaced() {
        assert_eq!(
            stamped("SIP/2.0/UDP a;received=6.6.6.6;rport=66;branch=z9hG4bK1", "192.0.2.1:9"),
            "SIP/2.0/UDP a;rport=9;branch=z9hG4bK1;received=192.0.2.1"
        );
    }

    #[test]
    fn the_answer_goes_where_the_stamped_via_says() {
        for value in [
            "SIP/2.0/UDP a;rport",
            "SIP/2.0/UDP a:7000",
            "SIP/2.0/UDP a",
            "SIP/2.0/UDP 192.0.2.1:7",
            "SIP/2.0/UDP 10.0.0.1:7;received=8.8.8.8;maddr=9.9.9.9",
        ] {
            let peer = "192.0.2.1:9".parse().unwrap();
            let text = stamped(value, "192.0.2.1:9");
            assert_eq!(
                parse(&text).unwrap().stamped_address(text.as_bytes()),
                Some(parse(value).unwrap().answer_address(peer)),
                "{value}"
            );
        }
    }
}
