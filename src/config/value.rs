//! The grammar of listeners, networks and name servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::frame::tls::ClientCertificates;
use crate::proxy::hash_key::{HashKey, HashRules};
use crate::sip::Transport;
use crate::sip::start_line::Method;

/// A comma list of listeners: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners(pub Vec<Listen>);

/// One listener: `transport://address:port[;advertise=host:port][;alias=host:port][;client-certificates=word]
/// [;proxy-protocol]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// How messages travel there.
    pub transport: Transport,
    /// The address to bind.
    pub address: SocketAddr,
    /// What others reach it by, where that is not the address itself.
    pub advertise: Option<HostPort>,
    /// Further names that Routes may name it by.
    pub aliases: Vec<HostPort>,
    /// Whether clients show certificates there.
    pub clients: ClientCertificates,
    /// Whether load balancers in front say there for whom they speak.
    pub takes_proxy_protocol: bool,
}

/// A host, by name or address, and a port. An IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host as written, an IPv6 address with its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A comma list of networks, as `10.0.0.0/8` or single addresses; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

/// A comma list of name servers, as `10.0.0.53:53`; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolvers(pub Vec<SocketAddr>);

impl HostPort {
    /// The host, if it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl FromStr for Listeners {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let listeners = items(text).map(parse_listener).collect::<Result<Vec<_>, _>>()?;
        if listeners.is_empty() {
            return Err("no listener stands in it".to_owned());
        }
        if listeners.len() > MAX_LISTENERS {
            return Err(format!("{} listeners are too many; at most {MAX_LISTENERS}", listeners.len()));
        }
        for (index, listener) in listeners.iter().enumerate() {
            // All that is no UDP is TCP to the kernel, which would give each listener half of the connections.
            let socket = |listener: &Listen| (listener.transport.is_stream(), listener.address);
            let same = listeners[..index].iter().find(|other| socket(other) == socket(listener));
            if let Some(other) = same.filter(|_| listener.address.port() != 0) {
                let (one, other, address) = (listener.transport.label(), other.transport.label(), listener.address);
                return Err(match one == other {
                    true => format!("{one}://{address} stands twice"),
                    false => format!("{one}:// and {other}:// cannot share {address}: give one of them another port"),
                });
            }
        }
        Ok(Listeners(listeners))
    }
}

/// As many as a return path can tell apart.
const MAX_LISTENERS: usize = 64;

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |item: &str| {
            let network = item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("`{item}` is neither a network (10.0.0.0/8) nor an address"))
        };
        items(text).map(parse).collect::<Result<_, _>>().map(Networks)
    }
}

impl FromStr for Resolvers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |item: &str| {
            let address = item.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
            address.ok_or_else(|| format!("`{item}` is not address:port (an IPv6 address stands in brackets)"))
        };
        let servers = items(text).map(parse).collect::<Result<Vec<_>, String>>()?;
        if servers.len() > MAX_RESOLVERS {
            return Err(format!("{} name servers are too many; at most {MAX_RESOLVERS}", servers.len()));
        }
        Ok(Resolvers(servers))
    }
}

/// More would not answer sooner: a question that two do not answer has waited too long.
const MAX_RESOLVERS: usize = 8;

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not host:port (an IPv6 address stands in brackets)");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let well_formed = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_host_name(host),
        };
        if !well_formed {
            return Err(bad());
        }
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads a comma list of METHOD=key, with * for all methods that are not named.
pub fn hash_rules(text: &str) -> Result<HashRules, String> {
    let mut rules = HashRules::default();
    let parse = |item: &str| {
        let (method, word) = item.split_once('=').ok_or_else(|| format!("`{item}` is not METHOD=key"))?;
        let key = HASH_KEYS.into_iter().find(|(known, _)| *known == word);
        let known = || HASH_KEYS.map(|(known, _)| known).join(", ");
        let (_, key) = key.ok_or_else(|| format!("`{word}` in `{item}` is none of {}", known()))?;
        Ok((method.to_owned(), key))
    };
    let mut parsed = items(text).map(parse).collect::<Result<Vec<_>, String>>()?;
    // What is said of all methods comes first, wherever it stands, so that what is said of one holds.
    parsed.sort_by_key(|(method, _)| method != "*");
    for (method, key) in parsed {
        match Method::from_name(method.as_bytes()) {
            Method::Other if method == "*" => rules.set_all(key),
            Method::Other => {
                return Err(format!("`{method}` is not a method that is told apart, as INVITE or REGISTER is"));
            }
            Method::Ack | Method::Cancel => {
                return Err(format!("{method} follows the rule of INVITE, whose transaction it belongs to"));
            }
            known => rules.set(known, key),
        }
    }
    Ok(rules)
}

const HASH_KEYS: [(&str, HashKey); 5] = [
    ("call-id", HashKey::CallId),
    ("to-uri", HashKey::ToUri),
    ("from-uri", HashKey::FromUri),
    ("request-user", HashKey::RequestUser),
    ("source", HashKey::Source),
];

/// The items of a comma list.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn parse_listener(item: &str) -> Result<Listen, String> {
    let (transport, rest) = split_transport(item)?;
    let mut parts = rest.split(';');
    let address = parts.next().unwrap_or_default();
    let address = address.parse().map_err(|_| format!("`{address}` in `{item}` is not address:port"))?;
    let mut listener = Listen {
        transport,
        address,
        advertise: None,
        aliases: Vec::new(),
        clients: ClientCertificates::Ignored,
        takes_proxy_protocol: false,
    };
    for part in parts {
        match part.split_once('=') {
            Some(("advertise", value)) => listener.advertise = Some(parse_advertised(value)?),
            Some(("alias", value)) => listener.aliases.push(parse_advertised(value)?),
            Some(("client-certificates", word)) => listener.clients = client_certificates(word, transport, item)?,
            None if part == "proxy-protocol" => listener.takes_proxy_protocol = true,
            _ => {
                return Err(format!(
                    "`{part}` in `{item}` is none of advertise=host:port, alias=host:port, client-certificates=word and \
                     proxy-protocol"
                ));
            }
        }
    }
    Ok(listener)
}

fn client_certificates(word: &str, transport: Transport, item: &str) -> Result<ClientCertificates, String> {
    if !transport.is_secure() {
        return Err(format!("`{item}` has no TLS, so clients cannot show certificates there"));
    }
    match word {
        "ignored" => Ok(ClientCertificates::Ignored),
        "optional" => Ok(ClientCertificates::Optional),
        "required" => Ok(ClientCertificates::Required),
        _ => Err(format!("`{word}` in `{item}` is none of ignored, optional, required")),
    }
}

/// What others reach us by: neither the wildcard address nor port 0 can be reached by anybody.
fn parse_advertised(text: &str) -> Result<HostPort, String> {
    let advertised = text.parse::<HostPort>()?;
    if advertised.port == 0 || advertised.ip().is_some_and(|ip| ip.is_unspecified()) {
        return Err(format!("nobody can reach `{text}`, so it cannot be advertised"));
    }
    Ok(advertised)
}

fn split_transport(item: &str) -> Result<(Transport, &str), String> {
    let (transport, rest) = item.split_once("://").ok_or_else(|| no_transport(item))?;
    Ok((parse_transport(transport, item)?, rest))
}

pub(super) fn no_transport(item: &str) -> String {
    format!("`{item}` does not begin with a transport, as udp:// or tls://")
}

pub(super) fn parse_transport(word: &str, item: &str) -> Result<Transport, String> {
    let known = Transport::ALL.into_iter().find(|transport| transport.label() == word);
    let spoken = || Transport::ALL.map(Transport::label).join(", ");
    known.ok_or_else(|| format!("`{word}` in `{item}` is not a transport this version speaks: {}", spoken()))
}

/// A last label of digits is an address mistyped: the resolver would read 10.0.12 as 10.0.0.12.
pub(super) fn is_host_name(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let mistyped =
        last.starts_with(|first: char| first.is_ascii_digit()) && host.parse::<std::net::Ipv4Addr>().is_err();
    let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !host.is_empty() && !mistyped && host.len() <= 253 && host.bytes().all(is_of_names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_with_and_without_an_advertised_address() {
        let text = "udp://0.0.0.0:5060;advertise=sip.example.com:5060, udp://[::]:5060,";
        let Listeners(listeners) = text.parse().unwrap();
        assert_eq!(listeners[0].advertise.as_ref().unwrap().to_string(), "sip.example.com:5060");
        assert_eq!(listeners[1].address, "[::]:5060".parse().unwrap());
    }

    #[test]
    fn a_listener_over_udp_and_one_over_tcp_may_share_an_address() {
        let Listeners(listeners) = "udp://10.0.0.1:5060,tcp://10.0.0.1:5060".parse().unwrap();
        assert_eq!(listeners[0].address, listeners[1].address);
        assert_eq!([listeners[0].transport, listeners[1].transport], [Transport::Udp, Transport::Tcp]);
        let error = "tcp://10.0.0.1:5060,tcp://10.0.0.1:5060".parse::<Listeners>().unwrap_err();
        assert_eq!(error, "tcp://10.0.0.1:5060 stands twice");
        let error = "tls://10.0.0.1:5060,ws://10.0.0.1:5060".parse::<Listeners>().unwrap_err();
        assert!(error.starts_with("ws:// and tls:// cannot share 10.0.0.1:5060"), "{error}");
    }

    #[test]
    fn a_listener_says_what_clients_show_and_who_stands_in_front() {
        let text = "tls://10.0.0.1:5061;client-certificates=required,wss://10.0.0.1:443;proxy-protocol;alias=a:1";
        let Listeners(listeners) = text.parse().unwrap();
        assert_eq!((listeners[0].clients, listeners[0].takes_proxy_protocol), (ClientCertificates::Required, false));
        assert_eq!((listeners[1].clients, listeners[1].takes_proxy_protocol), (ClientCertificates::Ignored, true));
        for text in ["tcp://10.0.0.1:1;client-certificates=required", "tls://10.0.0.1:1;client-certificates=yes"] {
            assert!(text.parse::<Listeners>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_transport_that_is_not_spoken_is_told_with_those_that_are() {
        let error = "sctp://10.0.0.1:5061".parse::<Listeners>().unwrap_err();
        assert!(error.ends_with("speaks: udp, tcp, tls, ws, wss"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_item_in_the_text() {
        for text in [
            "",
            "0.0.0.0:5060",
            "sctp://0.0.0.0:5060",
            "udp://here:5060",
            "udp://0.0.0.0:5060;x=y",
            "udp://0.0.0.0:5060;advertise=0.0.0.0:5060",
            "udp://1.1.1.1:1,udp://1.1.1.1:1",
        ] {
            assert!(text.parse::<Listeners>().is_err(), "{text}");
        }
        assert!("10.0.0.0/8,::1,nowhere".parse::<Networks>().is_err());
        assert_eq!("10.0.0.0/8, ::1".parse::<Networks>().unwrap().0.len(), 2);
    }
}
