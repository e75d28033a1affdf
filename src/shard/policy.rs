//! How connections are kept: times and numbers that the operator sets.

use std::time::Duration;

use crate::frame::stream::Limits;

/// How connections are kept, by every shard alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionPolicy {
    /// How long a connection may bring nothing, not even a keepalive, before it is closed. RFC 5626 §4.4.1 has clients
    /// speak every 120 s.
    pub idle: Duration,
    /// How long a connection of ours may take to open.
    pub connect: Duration,
    /// How long a message may take from its first byte to its last.
    pub message: Duration,
    /// How many connections a shard opens to one backend; each call keeps to one of them.
    pub per_backend: u8,
    /// How long a message on a stream may be.
    pub limits: Limits,
}

impl Default for ConnectionPolicy {
    fn default() -> Self {
        ConnectionPolicy {
            idle: Duration::from_secs(600),
            connect: Duration::from_secs(3),
            message: Duration::from_secs(10),
            per_backend: 1,
            limits: Limits::default(),
        }
    }
}
