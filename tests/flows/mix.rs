//! Which transport each side of Viaduct speaks, and the test of a scenario over every mix of them.

use std::net::SocketAddr;

use viaduct::sip::Transport;

use crate::pair;

/// The transports of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// What the members of the pool speak.
    pub backends: Transport,
    /// What everybody else speaks.
    pub clients: Transport,
}

/// Makes a test of each of these scenarios over each mix of transports.
macro_rules! over_each_mix {
    ($($scenario:ident),+ $(,)?) => {
        $(mod $scenario {
            use viaduct::sip::Transport::{Tcp, Udp};

            use crate::mix::Mix;

            #[test]
            fn from_udp_clients_to_udp_backends() {
                super::$scenario(Mix { clients: Udp, backends: Udp });
            }

            #[test]
            fn from_tcp_clients_to_udp_backends() {
                super::$scenario(Mix { clients: Tcp, backends: Udp });
            }

            #[test]
            fn from_udp_clients_to_tcp_backends() {
                super::$scenario(Mix { clients: Udp, backends: Tcp });
            }

            #[test]
            fn from_tcp_clients_to_tcp_backends() {
                super::$scenario(Mix { clients: Tcp, backends: Tcp });
            }
        })+
    };
}

impl Mix {
    /// UDP on both sides.
    pub const UDP: Mix = Mix { clients: Transport::Udp, backends: Transport::Udp };

    /// What the node at that address speaks: 10.0.0.0/24 are the members of the pool.
    pub fn of(self, node: SocketAddr) -> Transport {
        if node.to_string().starts_with("10.0.0.") { self.backends } else { self.clients }
    }

    /// The URI as a client writes it that is reached there, or writes to Viaduct there.
    pub fn of_client(self, uri: &str) -> String {
        format!("{uri}{}", parameter_of(self.clients))
    }

    /// The Route that leads clients to Viaduct.
    pub fn client_route(self) -> &'static str {
        pair::route(self.clients)
    }

    /// The Route that leads backends to Viaduct.
    pub fn backend_route(self) -> &'static str {
        pair::route(self.backends)
    }
}

/// The parameter by which a URI says its transport (RFC 3261 §19.1.1); UDP is what one means that has none.
pub fn parameter_of(transport: Transport) -> &'static str {
    transport.uri_parameter()
}

/// The transport that a URI, or a Route value, says.
pub fn transport_in(uri: &str) -> Transport {
    if uri.contains(";transport=tcp") { Transport::Tcp } else { Transport::Udp }
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
