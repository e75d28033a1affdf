//! Which transport each side of Viaduct speaks, and the test of a scenario over every mix of them.
//!
//! Nobody can connect to a WebSocket client (RFC 7118 §5). So those speak WebSocket that come to Viaduct first: callers, and
//! whoever has registered with a Path. Proxy 2, Bob behind it, and whoever else is called at an address speak what the mix
//! has for neighbours. In one scenario nobody is left who speaks WebSocket: of the MESSAGEs both ways (outside_dialogs.rs),
//! the second is sent to Alice at her Contact by a member of the pool, past Viaduct.

use std::net::SocketAddr;

use viaduct::sip::Transport;

use crate::pair;

/// The transports of those around Viaduct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// What the members of the pool speak.
    pub backends: Transport,
    /// What those speak that come to Viaduct first.
    pub clients: Transport,
    /// What those speak that others come to: never WebSocket.
    pub neighbours: Transport,
}

/// Makes a test of each of these scenarios over each mix of transports.
macro_rules! over_each_mix {
    ($($scenario:ident),+ $(,)?) => {
        $(mod $scenario {
            mixes! { $scenario
                from_udp_clients_to_udp_backends: Udp, Udp, Udp;
                from_udp_clients_to_tcp_backends: Udp, Udp, Tcp;
                from_udp_clients_to_tls_backends: Udp, Udp, Tls;
                from_tcp_clients_to_udp_backends: Tcp, Tcp, Udp;
                from_tcp_clients_to_tcp_backends: Tcp, Tcp, Tcp;
                from_tcp_clients_to_tls_backends: Tcp, Tcp, Tls;
                from_tls_clients_to_udp_backends: Tls, Tls, Udp;
                from_tls_clients_to_tcp_backends: Tls, Tls, Tcp;
                from_tls_clients_to_tls_backends: Tls, Tls, Tls;
                from_ws_clients_to_udp_backends: Ws, Udp, Udp;
                from_ws_clients_to_tcp_backends: Ws, Tcp, Tcp;
                from_ws_clients_to_tls_backends: Ws, Tls, Tls;
                from_wss_clients_to_udp_backends: Wss, Tls, Udp;
                from_wss_clients_to_tcp_backends: Wss, Udp, Tcp;
                from_wss_clients_to_tls_backends: Wss, Tcp, Tls;
            }
        })+
    };
}

/// A test of a scenario for each line: its name, and what clients, neighbours and backends speak.
macro_rules! mixes {
    ($scenario:ident $($name:ident: $clients:ident, $neighbours:ident, $backends:ident;)+) => {
        use viaduct::sip::Transport;

        use crate::mix::Mix;

        $(#[test]
        fn $name() {
            super::$scenario(Mix {
                clients: Transport::$clients,
                neighbours: Transport::$neighbours,
                backends: Transport::$backends,
            });
        })+
    };
}

impl Mix {
    /// UDP everywhere.
    pub const UDP: Mix = Mix { clients: Transport::Udp, neighbours: Transport::Udp, backends: Transport::Udp };

    /// What the node at that address speaks: 10.0.0.0/24 are the members of the pool, and Biloxi is a neighbour.
    pub fn of(self, node: SocketAddr) -> Transport {
        match node.ip().to_string() {
            ip if ip.starts_with("10.0.0.") => self.backends,
            ip if ip == "192.0.2.201" || ip == "192.0.2.222" => self.neighbours,
            _ => self.clients,
        }
    }

    /// The URI as a client writes it that writes to Viaduct there.
    pub fn of_client(self, uri: &str) -> String {
        format!("{uri}{}", parameter_of(self.clients))
    }

    /// The URI as it is written of a neighbour that is reached there, or by one that writes to Viaduct there.
    pub fn of_neighbour(self, uri: &str) -> String {
        format!("{uri}{}", parameter_of(self.neighbours))
    }

    /// The Route that leads clients to Viaduct.
    pub fn client_route(self) -> &'static str {
        pair::route(self.clients)
    }

    /// The Route that leads neighbours to Viaduct.
    pub fn neighbour_route(self) -> &'static str {
        pair::route(self.neighbours)
    }

    /// The Route that leads backends to Viaduct.
    pub fn backend_route(self) -> &'static str {
        pair::route(self.backends)
    }
}

/// The parameter by which a URI says its transport (RFC 3261 §19.1.1); UDP is what one means that has none.
pub fn parameter_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
        Transport::Ws | Transport::Wss => ";transport=ws",
    }
}

/// The port of a transport where none is written (RFC 3261 §19.1.2, RFC 7118 §5.2.2).
pub fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

/// Where the node of that address takes connections: the pool's members where they are configured, everybody else at the
/// transport's own port.
pub fn listens_at(node: SocketAddr, transport: Transport) -> SocketAddr {
    SocketAddr::new(node.ip(), own_port(node, transport))
}

/// The port that it knows of itself.
pub fn own_port(node: SocketAddr, transport: Transport) -> u16 {
    let is_member = node.ip().to_string().starts_with("10.0.0.");
    if is_member { node.port() } else { default_port(transport) }
}

/// A host with each port that is some transport's own.
pub fn ports_of(host: &str) -> impl Iterator<Item = String> {
    Transport::ALL.into_iter().map(move |transport| format!("{host}:{}", default_port(transport)))
}

/// The transport that a URI, or a Route value, says. Of the two WebSockets, which have one name, the port tells.
pub fn transport_in(uri: &str) -> Transport {
    let says = |transport: &Transport| !parameter_of(*transport).is_empty() && uri.contains(parameter_of(*transport));
    match [Transport::Tcp, Transport::Tls, Transport::Ws].into_iter().find(says) {
        Some(Transport::Ws) if uri.contains(":443") => Transport::Wss,
        Some(transport) => transport,
        None => Transport::Udp,
    }
}

/// The values without the second of two that Viaduct writes where a dialog crosses two transports (RFC 5658): the ladders
/// have one for each time that it is passed.
pub fn once_a_passage(values: &[String]) -> Vec<&String> {
    let is_pin = |value: &String| value.starts_with("<sip:p") && value.contains("@ss1.");
    let mut kept: Vec<&String> = Vec::new();
    let mut rest = values;
    while let [first, below @ ..] = rest {
        kept.push(first);
        let is_pair = |second: &String| is_pin(first) && is_pin(second) && transport_in(first) != transport_in(second);
        rest = if below.first().is_some_and(is_pair) { &below[1..] } else { below };
    }
    kept
}
