//! What comes in: one message and where it came from.

use std::net::{IpAddr, SocketAddr};

/// One message as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Inbound<'a> {
    /// The message, whole.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// The listener that received it.
    pub listener: ListenerIndex,
    /// The address it was sent to, where the kernel tells.
    pub local: Option<IpAddr>,
    /// The load balancer that handed it on as a datagram, and said by the PROXY protocol who had sent it. What goes to the
    /// sender goes by it.
    pub relay: Option<SocketAddr>,
    /// Over a stream, the connection that it came on.
    pub connection: Option<ConnectionRef>,
    /// When it was received, in microseconds of a clock that never steps back and that all shards of a process share. It
    /// goes into stamps of time and nowhere else.
    pub now_us: u64,
}

/// A connection's name among all connections of a fleet, in all time. It travels in tokens of ours, so that a message for
/// the far end finds the connection; one that is gone, or another process's, is not found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionRef {
    /// A number that each process draws when it starts.
    pub process: u32,
    /// The connection among those of the process, never used for another one.
    pub number: u64,
}

/// A listener's place in the configuration: the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerIndex(pub u8);

impl ListenerIndex {
    /// As an index.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// Which side of Viaduct a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Anybody: phones, trunks, strangers.
    Client,
    /// A member of the pool, or an address in the trusted networks.
    Backend,
}

impl Side {
    /// Both sides, in the order of [`Side::index`].
    pub const ALL: [Side; 2] = [Side::Client, Side::Backend];

    /// This side's place in [`Side::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Backend => "backend",
        }
    }
}
