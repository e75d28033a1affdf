//! The ways by which messages go: as datagrams, or on a connection.

use viaduct::io::{ConnectionId, Output, Transmit};

/// How clients speak with the device. Backends speak UDP where clients do, and else TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Transport {
    /// As in the addresses of settings.
    pub fn scheme(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// How backends speak with the device.
    pub fn of_backends(self) -> Transport {
        if self == Transport::Udp { Transport::Udp } else { Transport::Tcp }
    }

    /// Whether TLS is one of its layers.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Whether WebSocket is.
    pub fn is_web_socket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// As in a Via.
    pub fn via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The share of messages that may be lost: connections lose none.
    pub fn max_loss(self) -> f64 {
        match self {
            Transport::Udp => 0.001,
            _ => 0.0,
        }
    }
}

/// One way to the device, and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// From a socket, by its index, to an address.
    Datagrams(usize, std::net::SocketAddr),
    /// A connection.
    Connection(ConnectionId),
}

impl Line {
    /// Sends what `write` puts into a buffer, and says how long it is. `false` where the connection has gone.
    pub fn send(self, out: &mut Output, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        match self {
            Line::Datagrams(socket, to) => {
                let mut slot = out.datagrams.reserve().expect("more send slots than messages under way");
                let len = write(slot.buffer());
                slot.send(len, Transmit { socket, to, from: None, tag: 0 });
                true
            }
            Line::Connection(id) => {
                let Ok(mut slot) = out.streams.reserve(id, MESSAGE_BYTES_MAX) else { return false };
                let len = write(slot.buffer());
                slot.send(len, None);
                true
            }
        }
    }
}

/// Longer than any message here.
pub const MESSAGE_BYTES_MAX: usize = 4096;
