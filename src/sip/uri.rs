//! The parts of a URI that routing reads (§19.1).

use super::cursor::Cursor;
use super::{Span, Transport};

/// A URI's scheme, as far as routing tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966) and `urn:` (RFC 5031): understood by the backends, without a host to route by.
    Other,
    /// A scheme that nobody here understands (416, §16.3 item 2).
    Unknown,
}

/// A URI taken apart. Spans are places in the message it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Uri {
    /// Its scheme.
    pub scheme: Scheme,
    /// The user part without a password; `None` where there is no `@`.
    pub user: Option<Span>,
    /// The host, an IPv6 address with its brackets; empty where the scheme has none.
    pub host: Span,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// All of it.
    pub span: Span,
    /// What its parameters say.
    pub parameters: Parameters,
}

/// The parameters that routing reads (§19.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `lr`, with or without a value: the URI is a loose router's.
    pub is_loose: bool,
    /// The value of `transport`.
    pub transport: Option<Span>,
    /// The value of `maddr`: the address to send to in the host's place.
    pub maddr: Option<Span>,
}

impl Uri {
    /// Reads the URI that `span` holds whole. `None` where it has no scheme, or a SIP URI no host.
    pub fn parse(message: &[u8], span: Span) -> Option<Uri> {
        let mut cursor = Cursor::new(message, span);
        let scheme = take_scheme(message, &mut cursor)?;
        if !matches!(scheme, Scheme::Sip | Scheme::Sips) {
            return Some(Uri {
                scheme,
                user: None,
                host: span.after(),
                port: None,
                span,
                parameters: Parameters::default(),
            });
        }
        let user = take_user(&mut cursor);
        let host = cursor.host()?;
        let port = if cursor.take(b':') { Some(cursor.port()?) } else { None };
        match cursor.peek() {
            None | Some(b';' | b'?') => {
                let parameters = parameters(message, cursor);
                Some(Uri { scheme, user, host, port, span, parameters })
            }
            _ => None,
        }
    }

    /// The transport that it asks for (RFC 3263 §4.1, RFC 7118 §4.2): UDP where it names none, and a secure one where its
    /// scheme is `sips`. `None` where that is none of ours.
    pub fn transport(&self, message: &[u8]) -> Option<Transport> {
        let is_sips = self.scheme == Scheme::Sips;
        let Some(named) = self.parameters.transport else {
            return Some(if is_sips { Transport::Tls } else { Transport::Udp });
        };
        let named = named.of(message);
        let known = Transport::ALL.into_iter().find(|known| named.eq_ignore_ascii_case(known.label().as_bytes()))?;
        match (is_sips, known) {
            (false, known) => Some(known),
            (true, Transport::Tcp | Transport::Tls) => Some(Transport::Tls),
            (true, Transport::Ws | Transport::Wss) => Some(Transport::Wss),
            (true, Transport::Udp) => None,
        }
    }

    /// The port, or the default of the transport that it asks for (§19.1.2).
    pub fn port_or_default(&self, message: &[u8]) -> u16 {
        self.port.unwrap_or_else(|| self.transport(message).unwrap_or(Transport::Udp).default_port())
    }
}

/// Takes the scheme and its colon.
fn take_scheme(message: &[u8], cursor: &mut Cursor<'_>) -> Option<Scheme> {
    // As nearly everybody writes it.
    if cursor.take_all(b"sip:") {
        return Some(Scheme::Sip);
    }
    let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if name.is_empty() || !cursor.take(b':') {
        return None;
    }
    Some(match name.of(message) {
        name if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
        name if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
        name if name.eq_ignore_ascii_case(b"tel") || name.eq_ignore_ascii_case(b"urn") => Scheme::Other,
        _ => Scheme::Unknown,
    })
}

fn parameters(message: &[u8], mut cursor: Cursor<'_>) -> Parameters {
    let mut parameters = Parameters::default();
    while cursor.take(b';') {
        let name = cursor.take_while(|byte| !matches!(byte, b';' | b'=' | b'?')).of(message);
        let value = cursor.take(b'=').then(|| cursor.take_while(|byte| !matches!(byte, b';' | b'?')));
        match name {
            name if name.eq_ignore_ascii_case(b"lr") => parameters.is_loose = true,
            name if name.eq_ignore_ascii_case(b"transport") => parameters.transport = value,
            name if name.eq_ignore_ascii_case(b"maddr") => parameters.maddr = value,
            _ => {}
        }
    }
    parameters
}

/// Takes `user[:password]@`. An `@` may stand in the user part only escaped (§25.1), so the first one ends it; `;` and
/// `?` may stand in it, so they do not.
fn take_user(cursor: &mut Cursor<'_>) -> Option<Span> {
    let mut inside = *cursor;
    let user_info = cursor.take_until(b'@')?;
    cursor.take(b'@');
    inside.take_until_any(b':', b'@');
    let user = Span::new(user_info.start as usize, inside.at());
    Some(if user.is_empty() { user_info } else { user })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (Scheme, Option<&'a str>, &'a str, Option<u16>);

    fn parts(text: &str) -> Option<Parts<'_>> {
        let uri = Uri::parse(text.as_bytes(), Span::new(0, text.len()))?;
        let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
        Some((uri.scheme, uri.user.map(of), of(uri.host), uri.port))
    }

    #[test]
    fn a_sip_uri_comes_apart() {
        assert_eq!(parts("sip:bob@biloxi.com"), Some((Scheme::Sip, Some("bob"), "biloxi.com", None)));
        assert_eq!(
            parts("SIPS:a:pw@[2001:db8::1]:5070;lr?x=y"),
            Some((Scheme::Sips, Some("a"), "[2001:db8::1]", Some(5070)))
        );
        assert_eq!(parts("sip:10.0.0.1;lr"), Some((Scheme::Sip, None, "10.0.0.1", None)));
        assert_eq!(parts("sip:a;x=y?z@h"), Some((Scheme::Sip, Some("a;x=y?z"), "h", None)));
    }

    #[test]
    fn a_loose_router_is_known_by_lr() {
        let loose = |text: &str| Uri::parse(text.as_bytes(), Span::new(0, text.len())).unwrap().parameters.is_loose;
        assert!(loose("sip:h;lr") && loose("sip:h;transport=udp;LR=on;x") && loose("sip:u@h:1;a;lr?x=y"));
        assert!(!loose("sip:h") && !loose("sip:lr@h;lrx;x=lr") && !loose("sip:h?lr"));
    }

    #[test]
    fn the_parameters_that_steer_are_found() {
        let text = b"sip:h;Transport=TCP;x;maddr=239.1.1.1?y";
        let parameters = Uri::parse(text, Span::new(0, text.len())).unwrap().parameters;
        assert_eq!(parameters.transport.map(|span| span.of(text)), Some(&b"TCP"[..]));
        assert_eq!(parameters.maddr.map(|span| span.of(text)), Some(&b"239.1.1.1"[..]));
    }

    #[test]
    fn transport_and_port_follow_from_scheme_and_parameter() {
        let of = |text: &str| {
            let uri = Uri::parse(text.as_bytes(), Span::new(0, text.len())).unwrap();
            (uri.transport(text.as_bytes()), uri.port_or_default(text.as_bytes()))
        };
        assert_eq!(of("sip:h"), (Some(Transport::Udp), 5060));
        assert_eq!(of("sip:h;transport=TCP"), (Some(Transport::Tcp), 5060));
        assert_eq!(of("sip:h;transport=tls"), (Some(Transport::Tls), 5061));
        assert_eq!(of("sips:h"), (Some(Transport::Tls), 5061));
        assert_eq!(of("sips:h:5070;transport=tcp"), (Some(Transport::Tls), 5070));
        assert_eq!(of("sips:h;transport=ws"), (Some(Transport::Wss), 443));
        assert_eq!(of("sip:h;transport=ws"), (Some(Transport::Ws), 80));
        assert_eq!(of("sips:h;transport=udp"), (None, 5060));
        assert_eq!(of("sip:h;transport=sctp"), (None, 5060));
    }

    #[test]
    fn other_schemes_have_no_host() {
        assert_eq!(parts("tel:+1234"), Some((Scheme::Other, None, "", None)));
        assert_eq!(parts("urn:service:sos"), Some((Scheme::Other, None, "", None)));
        assert_eq!(parts("nobodyKnowsThisScheme:x"), Some((Scheme::Unknown, None, "", None)));
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in
            ["", "sip", "sip:", "sip:@", "sip:a@", "sip:h:port", "sip:h:99999", "sip:[::1", "<sip:h>", "sip:h h"]
        {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
