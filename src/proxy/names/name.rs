//! A name as a URI asks for it: the host in lower case, and what the URI says of port and transport, on which RFC 3263 §4
//! makes depend what is looked up. It lies in one piece, so that making, posting and finding one allocates nothing.

use std::fmt::{self, Write};

use arrayvec::ArrayString;

use crate::sip::Span;

/// What is looked up for a host (RFC 3263 §4.1 and §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The URI names neither port nor transport: NAPTR, SRV, addresses.
    Service,
    /// It names the transport: SRV for UDP, addresses.
    Udp,
    /// The same for TCP.
    Tcp,
    /// It names TLS, or its scheme is `sips`: SRV for SIPS over TCP, addresses.
    Tls,
    /// It names the port: addresses.
    Port(u16),
}

/// Where in a message a name stands, and what is looked up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The host.
    pub host: Span,
    /// What is looked up for it.
    pub lookup: Lookup,
}

impl Wanted {
    /// The name; `None` where the host is no name that could be looked up.
    pub fn name(&self, message: &[u8]) -> Option<Name> {
        Name::new(self.host.of(message), self.lookup)
    }
}

/// The longest host (RFC 1035 §2.3.4, as text without the last dot).
const MAX_HOST_BYTES: usize = 253;

/// The longest label (RFC 1035 §2.3.4).
const MAX_LABEL_BYTES: usize = 63;

const UDP: &str = ";transport=udp";
const TCP: &str = ";transport=tcp";
const TLS: &str = ";transport=tls";

/// A name to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: ArrayString<{ MAX_HOST_BYTES + UDP.len() }>,
    host_bytes: u8,
    lookup: Lookup,
}

impl Name {
    /// The name of a host; `None` where it is none that could be looked up: a label is empty, too long or of other
    /// characters than letters, digits, hyphens and underscores, or the last begins with a digit, as in an address mistyped
    /// (RFC 3261 §25.1 `toplabel`). A dot at its end makes no difference.
    pub fn new(host: &[u8], lookup: Lookup) -> Option<Self> {
        let host = host.strip_suffix(b".").unwrap_or(host);
        let last = host.rsplit(|byte| *byte == b'.').next()?;
        if host.len() > MAX_HOST_BYTES || !host.split(|byte| *byte == b'.').all(is_label) || last[0].is_ascii_digit() {
            return None;
        }
        let mut text = ArrayString::new();
        text.push_str(std::str::from_utf8(host).ok()?);
        text.make_ascii_lowercase();
        match lookup {
            Lookup::Service => {}
            Lookup::Udp => text.push_str(UDP),
            Lookup::Tcp => text.push_str(TCP),
            Lookup::Tls => text.push_str(TLS),
            Lookup::Port(port) => write!(text, ":{port}").ok()?,
        }
        Some(Name { text, host_bytes: host.len() as u8, lookup })
    }

    /// The name as text, no other name's: `host`, `host:port` or `host;transport=udp`, likewise for TCP and TLS.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, in lower case, without a dot at its end.
    pub fn host(&self) -> &str {
        &self.text[..usize::from(self.host_bytes)]
    }

    /// What is looked up for it.
    pub fn lookup(&self) -> Lookup {
        self.lookup
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_label(label: &[u8]) -> bool {
    let is_of_names = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.len() <= MAX_LABEL_BYTES && label.iter().all(is_of_names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(host: &str, lookup: Lookup) -> Option<String> {
        Name::new(host.as_bytes(), lookup).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn names_of_one_host_and_port_are_the_same_in_any_case() {
        assert_eq!(text("SIP.Example.COM.", Lookup::Service), text("sip.example.com", Lookup::Service));
        assert_eq!(text("a_b-c.example", Lookup::Port(5070)).as_deref(), Some("a_b-c.example:5070"));
        assert_eq!(text("a.example", Lookup::Udp).as_deref(), Some("a.example;transport=udp"));
        assert_eq!(text("a.example", Lookup::Tcp).as_deref(), Some("a.example;transport=tcp"));
    }

    #[test]
    fn a_name_gives_its_host_back() {
        let name = Name::new(b"A.Example", Lookup::Port(5070)).unwrap();
        assert_eq!((name.host(), name.lookup()), ("a.example", Lookup::Port(5070)));
    }

    #[test]
    fn what_cannot_be_looked_up_is_no_name() {
        let long = "a".repeat(64);
        let longer = ["abcdefg"; 32].join(".");
        for host in ["", ".", "a..b", "10.0.12", "a.1", "[2001:db8::1]", "a b", "m\u{fc}.example", &long, &longer] {
            assert_eq!(text(host, Lookup::Service), None, "{host}");
        }
    }

    #[test]
    fn the_longest_name_with_the_longest_port_fits() {
        let host = ["abcdef"; 36].join(".");
        assert_eq!(text(&format!("{host}.z"), Lookup::Port(65_535)).unwrap().len(), 253 + 6);
        assert_eq!(text(&format!("{host}.z"), Lookup::Udp).unwrap().len(), 253 + UDP.len());
    }
}
