//! TCP connections as an engine keeps them: names for them, queues of what is to be sent, and where each stands.
//!
//! A descriptor looks like name enough for a connection. The kernel gives the same number to the next one at once, so
//! that a message for a connection that has gone would reach a stranger; a [`ConnectionId`] has a generation.
//!
//! | module | charge |
//! | --- | --- |
//! | `table` | the connections, and what a handler may do with them |
//! | `connection` | where one connection stands |
//! | `queue` | what waits to be sent on one connection |
//! | `lifecycle` | what engines do with connections |
//! | `listening` | what engines do with listeners |

use std::io;
use std::net::SocketAddr;

use super::socket::StreamSocketOptions;

mod connection;
mod lifecycle;
mod listening;
mod queue;
mod table;

pub(crate) use connection::{Connection, Phase};
pub(crate) use lifecycle::{finish, finish_all, opened, peer_finished, received};
pub(crate) use listening::{Pause, admit, is_passing};
pub use table::{StreamSlot, Streams};

/// A connection's name, never given to another one: a slot that is used again has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// The name as one number, such as for a token.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The slot: a small number that no other connection has meanwhile, to index tables by.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The name that [`ConnectionId::to_bits`] gave. Other numbers give names that no connection has, or that of
    /// another connection: who takes numbers from outside must have them signed.
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A connection that a peer opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name from here on.
    pub connection: ConnectionId,
    /// Which listener it came by: its index in the order given to [`Engine::open`](super::Engine::open).
    pub listener: usize,
    /// Who opened it.
    pub peer: SocketAddr,
    /// Our end of it.
    pub local: SocketAddr,
}

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Both sides had finished sending.
    Finished,
    /// The peer reset it, or had gone when something was sent.
    Reset,
    /// The peer was silent for too long: `TCP_USER_TIMEOUT`, keepalive, or the kernel's own limit.
    TimedOut,
    /// [`Streams::abort`] was called.
    Aborted,
    /// The engine was finished.
    Stopped,
    /// It could not be opened; `ConnectionRefused` where nobody listens.
    ConnectFailed(io::ErrorKind),
    /// Any other error of the network or the kernel.
    Failed(io::ErrorKind),
}

impl Closed {
    /// Sorts an error number of recv(2) or send(2).
    pub(crate) fn by(errno: i32) -> Self {
        match errno {
            libc::ECONNRESET | libc::EPIPE => Self::Reset,
            libc::ETIMEDOUT => Self::TimedOut,
            _ => Self::Failed(io::Error::from_raw_os_error(errno).kind()),
        }
    }

    /// Takes an error number of connect(2).
    pub(crate) fn connecting(errno: i32) -> Self {
        Self::ConnectFailed(io::Error::from_raw_os_error(errno).kind())
    }
}

/// No further connection: there are [`StreamOptions::connections_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

/// Why nothing can be queued on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// There is no such connection, or no longer.
    Gone,
    /// It would hold more than [`StreamOptions::queue_bytes_max`]: the peer reads too slowly, or not at all.
    QueueFull,
    /// It is being closed, or has ended and that is about to be reported.
    Closing,
}

/// Sizes for the streams of an engine, fixed while it lives. Values out of range are moved into it.
///
/// An idle connection takes about 60 bytes of ours and no buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// How many connections there may be, 1 to 1,048,576. Further ones are reset at once, which
    /// [`Turn::accepts_refused`](super::Turn) counts.
    pub connections_max: u32,
    /// How many buffers all connections receive into; a power of two (others are rounded up) to 32,768. Too few:
    /// [`Turn::stream_starved`](super::Turn) counts and what has come waits in the sockets.
    pub receive_buffers: u16,
    /// How much is received at once from one connection, 64 to 1,048,576 bytes.
    pub receive_buffer_bytes: u32,
    /// How much may wait to be sent on one connection, 1 to 16,777,216 bytes.
    pub queue_bytes_max: u32,
    /// The options of connections that we open. Accepted ones have those of their listener.
    pub outgoing: StreamSocketOptions,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            receive_buffers: 128,
            receive_buffer_bytes: 16 << 10,
            queue_bytes_max: 256 << 10,
            outgoing: StreamSocketOptions::default(),
        }
    }
}

impl StreamOptions {
    /// The same, with each value moved into its range.
    pub(crate) fn in_range(&self) -> Self {
        Self {
            connections_max: self.connections_max.clamp(1, CONNECTIONS_MAX),
            receive_buffers: self.receive_buffers.clamp(1, BUFFERS_MAX).next_power_of_two(),
            receive_buffer_bytes: self.receive_buffer_bytes.clamp(64, 1 << 20),
            queue_bytes_max: self.queue_bytes_max.clamp(1, 16 << 20),
            outgoing: self.outgoing,
        }
    }
}

/// How much is received in one turn from all connections together, give or take what one brings at once: a few hundred
/// messages. The rest waits in the sockets, which slows its senders down. Without a bound, a burst that a shard can read at
/// once would be more than its send slots and queues hold, and the excess would be lost.
pub(crate) const BYTES_A_TURN: u64 = 128 << 10;

/// How often connections are tended at the end for what is still queued: enough for each of 16,384 to send once.
pub(crate) const FINISH_ROUNDS_MAX: usize = 64;

/// A slot's number has 24 bits in what the ring gives back with a completion; no process has as many descriptors.
const CONNECTIONS_MAX: u32 = 1 << 20;

/// The kernel refuses larger buffer rings.
const BUFFERS_MAX: u16 = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_from_its_bits() {
        for id in [
            ConnectionId { slot: 0, generation: 0 },
            ConnectionId { slot: 7, generation: u32::MAX },
            ConnectionId { slot: u32::MAX, generation: 1 },
        ] {
            assert_eq!(ConnectionId::from_bits(id.to_bits()), id);
        }
    }

    #[test]
    fn sizes_out_of_range_are_moved_into_it() {
        let none = StreamOptions {
            connections_max: 0,
            receive_buffers: 0,
            receive_buffer_bytes: 0,
            queue_bytes_max: 0,
            ..StreamOptions::default()
        };
        let least = none.in_range();
        assert_eq!((least.connections_max, least.receive_buffers, least.queue_bytes_max), (1, 1, 1));
        assert_eq!(StreamOptions::default().in_range(), StreamOptions::default());
    }
}
