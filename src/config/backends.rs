//! The grammar of backends: addresses, and names that are looked up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::balance::backend::Weight;
use crate::sip::Transport;

use super::value::{HostPort, is_host_name, items, no_transport, parse_transport};

/// A list of backends; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends(pub Vec<BackendSetting>);

/// One backend, or several by one name: `[name=]transport://host[:port][;weight=n][;also=tcp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSetting {
    /// What it is known by: the name that was given, or what was written of host and port.
    pub name: String,
    /// Whether a name was given.
    pub is_named: bool,
    /// How it is spoken to; `None` where a domain is to say, as with `sip://`.
    pub transport: Option<Transport>,
    /// The host as written, an IPv6 address with its brackets.
    pub host: String,
    /// The port; `None` where service records are to say.
    pub port: Option<u16>,
    /// Its share.
    pub weight: Weight,
    /// Whether it takes TCP besides UDP.
    pub also_by_tcp: bool,
}

impl BackendSetting {
    /// Where it is and how it is reached, if it is written as an address.
    pub fn address(&self) -> Option<(SocketAddr, Transport)> {
        Some((SocketAddr::new(ip(&self.host)?, self.port?), self.transport?))
    }
}

impl Backends {
    /// Reads one backend a line. What stands behind a # is a comment.
    pub fn of_lines(text: &str) -> Result<Self, String> {
        let lines =
            text.lines().zip(1..).map(|(line, number): (&str, usize)| (line.split('#').next().unwrap_or(""), number));
        let items = lines.flat_map(|(line, number)| items(line).map(move |item| (item, number)));
        items
            .map(|(item, number)| parse_backend(item).map_err(|error| format!("line {number}: {error}")))
            .collect::<Result<_, _>>()
            .map(Backends)
    }
}

impl FromStr for Backends {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        items(text).map(parse_backend).collect::<Result<_, _>>().map(Backends)
    }
}

impl fmt::Display for BackendSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackendSetting { name, is_named, transport, host, port, weight, also_by_tcp } = self;
        if *is_named {
            write!(f, "{name}=")?;
        }
        write!(f, "{}://{host}", transport.map_or(OPEN, Transport::label))?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        write!(f, ";weight={weight}")?;
        if *also_by_tcp { write!(f, ";{ALSO_BY_TCP}") } else { Ok(()) }
    }
}

impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, backend) in self.0.iter().enumerate() {
            write!(f, "{}{backend}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// What stands in the place of a transport that is left open.
const OPEN: &str = "sip";

/// What a backend over UDP says that takes TCP too.
const ALSO_BY_TCP: &str = "also=tcp";

fn parse_backend(item: &str) -> Result<BackendSetting, String> {
    let (head, rest) = item.split_once("://").ok_or_else(|| no_transport(item))?;
    let (name, transport) = match head.rsplit_once('=') {
        Some((name, transport)) => (Some(name), transport),
        None => (None, head),
    };
    let transport = if transport == OPEN { None } else { Some(parse_transport(transport, item)?) };
    if transport.is_some_and(Transport::is_web_socket) {
        return Err(format!(
            "`{item}` cannot be reached: WebSocket is for clients alone, backends take udp, tcp or tls"
        ));
    }
    let mut parts = rest.split(';');
    let (host, port) = parse_target(parts.next().unwrap_or_default())?;
    let (transport, port) = settled(transport, &host, port);
    if port == Some(0) {
        return Err(format!("port 0 in `{item}` is no port to send to"));
    }
    let (mut weight, mut also_by_tcp) = (Weight::DEFAULT, false);
    for part in parts {
        if part == ALSO_BY_TCP {
            if transport != Some(Transport::Udp) {
                return Err(format!("`{part}` in `{item}` is for a backend over udp://"));
            }
            also_by_tcp = true;
            continue;
        }
        let value = part.strip_prefix("weight=").and_then(|value| value.parse().ok()).and_then(Weight::new);
        weight = value.ok_or_else(|| {
            format!("`{part}` in `{item}` is not weight= and a number from 0 to {}, nor {ALSO_BY_TCP}", Weight::MAX)
        })?;
    }
    let is_named = name.is_some();
    let written = || port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let name = name.map_or_else(written, str::to_owned);
    if name.is_empty()
        || name.len() > 128
        || !name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,;#".contains(&byte))
    {
        return Err(format!("`{name}` in `{item}` is not a name: 1 to 128 visible characters without quotes"));
    }
    Ok(BackendSetting { name, is_named, transport, host, port, weight, also_by_tcp })
}

/// A host with or without a port.
fn parse_target(text: &str) -> Result<(String, Option<u16>), String> {
    let is_bare = !text.contains(':') || text.ends_with(']');
    if is_bare && (is_host_name(text) || text.starts_with('[') && ip(text).is_some()) {
        return Ok((text.to_owned(), None));
    }
    let HostPort { host, port } = text.parse().map_err(|error| format!("{error}, nor a host alone"))?;
    Ok((host, Some(port)))
}

/// A port, or an address in the place of a name, leaves nothing to look up: then what is not said is UDP, and the transport's own
/// port (RFC 3263 §4.1, §4.2).
fn settled(transport: Option<Transport>, host: &str, port: Option<u16>) -> (Option<Transport>, Option<u16>) {
    if port.is_none() && ip(host).is_none() {
        return (transport, None);
    }
    let transport = transport.unwrap_or(Transport::Udp);
    (Some(transport), port.or(Some(transport.default_port())))
}

fn ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_named_after_where_they_are_unless_named() {
        let Backends(backends) = "udp://10.0.0.1:5060,a=udp://b.example:5070;weight=3,tcp://c.example".parse().unwrap();
        let names: Vec<_> = backends.iter().map(|backend| (backend.name.as_str(), backend.is_named)).collect();
        assert_eq!(names, [("10.0.0.1:5060", false), ("a", true), ("c.example", false)]);
        assert_eq!([backends[0].weight, backends[1].weight], [Weight::DEFAULT, Weight::new(3).unwrap()]);
        assert_eq!("".parse::<Backends>(), Ok(Backends::default()));
    }

    #[test]
    fn what_is_not_said_is_looked_up_or_else_the_default() {
        let of = |text: &str| {
            let Backends(backends) = text.parse().unwrap();
            (backends[0].transport, backends[0].port, backends[0].address().is_some())
        };
        assert_eq!(of("udp://a.example"), (Some(Transport::Udp), None, false));
        assert_eq!(of("sip://a.example"), (None, None, false));
        assert_eq!(of("sip://a.example:5070"), (Some(Transport::Udp), Some(5070), false));
        assert_eq!(of("tls://10.0.0.1"), (Some(Transport::Tls), Some(5061), true));
        assert_eq!(of("sip://[2001:db8::1]"), (Some(Transport::Udp), Some(5060), true));
    }

    #[test]
    fn backends_print_as_they_are_read() {
        let text = "tcp://10.0.0.1:5060,a=udp://b.example:5070;weight=3,sip://c.example,d=tls://[::1]:7,e=udp://e.example;also=tcp";
        let backends: Backends = text.parse().unwrap();
        assert_eq!(backends.0.iter().filter(|backend| backend.also_by_tcp).count(), 1);
        assert_eq!(backends.to_string().parse(), Ok(backends));
    }

    #[test]
    fn a_file_has_one_backend_a_line_and_comments_and_an_error_names_its_line() {
        let text = "# the pool\na=udp://10.0.0.1:5060 # the first\n\n\tudp://kam.example:5060;weight=2\r\n";
        let Backends(backends) = Backends::of_lines(text).unwrap();
        assert_eq!(backends.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>(), ["a", "kam.example:5060"]);
        let error = Backends::of_lines("udp://10.0.0.1:5060\n\nudp:/10.0.0.2\n").unwrap_err();
        assert!(error.starts_with("line 3: `udp:/10.0.0.2`"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_item_in_the_text() {
        for text in [
            "10.0.0.1:5060",
            "udp://",
            "udp://10.0.0.1:0",
            "udp://::1:5060",
            "udp://[::1",
            "udp://a:1;weight=1001",
            "udp://a:1;w=1",
            "udp://a:1;also=tls",
            "tcp://a:1;also=tcp",
            "sip://a;also=tcp",
            "=udp://a:1",
            "udp://a b:1",
            "udp://10.0.12:5060",
            "udp://10.0.12",
            "udp://0x7f.1:5060",
            "sctp://10.0.0.1:5061",
            "wss://10.0.0.1:5061",
        ] {
            let error = text.parse::<Backends>().unwrap_err();
            assert!(error.contains('`'), "{text}: {error}");
        }
        let error = "wss://10.0.0.1:5061".parse::<Backends>().unwrap_err();
        assert!(error.ends_with("backends take udp, tcp or tls"), "{error}");
    }
}
