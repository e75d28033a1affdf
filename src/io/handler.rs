//! What an engine tells its user, and what the user gives it in answer.
//!
//! A queue of events that the user takes from looks simpler to test. What arrives lies in the kernel's buffers, and a
//! queue would copy it, or hold them.

use std::net::{IpAddr, SocketAddr};

use super::{Accepted, Closed, ConnectionId, Outbox, SendError, Streams};

/// A received datagram. It lies in a buffer of the engine, which takes it back after the call.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Which socket it came by: its index in the order given to [`Engine::open`](super::Engine::open).
    pub socket: usize,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it was sent to, where the socket is bound to all addresses ([`open_udp`](super::socket::open_udp) has
    /// it tell then).
    pub local: Option<IpAddr>,
    /// Its payload, which may be empty.
    pub bytes: &'a [u8],
    /// Whether it was longer than a receive buffer, so that `bytes` is only its beginning.
    pub truncated: bool,
}

/// What was to be sent and was not. It lies in a buffer of the engine, which uses it again after the call.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// The bytes as they were to go over the wire.
    pub bytes: &'a [u8],
    /// Where a datagram was to go.
    pub to: Option<SocketAddr>,
}

/// Where a handler puts what is to go out.
#[derive(Debug)]
pub struct Output {
    /// Datagrams.
    pub datagrams: Outbox,
    /// Connections.
    pub streams: Streams,
}

/// What is done with datagrams, with what happens on connections, and with the outcomes of sends.
///
/// Every datagram staged is reported once, by `sent` or `send_failed`, unless the engine is closed
/// before: at the latest when the turn after the one that staged it ends, which may be some time after
/// it went out if that turn waits. Datagrams of one socket come in the order they arrived.
///
/// Of each connection, `accepted` or (for those that we open) `connected` comes first, `closed` comes once and last, and
/// bytes come between in the order sent. One that could not be opened has only `closed`. When `closed` comes, every
/// tag of the connection has been reported.
pub trait Handler {
    /// A datagram arrived. What is staged here goes out in this turn or at the start of the next.
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output);

    /// The kernel took the datagram, or the last byte of the piece of a stream, with this tag.
    fn sent(&mut self, tag: u16);

    /// The kernel refused the datagram with this tag, which concerns no other datagram; or the connection ended before
    /// the piece with this tag had gone.
    fn send_failed(&mut self, tag: u16, error: SendError, lost: Lost<'_>);

    /// A peer opened a connection. What the peer sends comes by `received` from here on.
    fn accepted(&mut self, accepted: Accepted, out: &mut Output) {
        let _ = (accepted, out);
    }

    /// A connection that was to be opened is open; `local` is our end of it.
    fn connected(&mut self, connection: ConnectionId, local: SocketAddr, out: &mut Output) {
        let _ = (connection, local, out);
    }

    /// Bytes arrived, at least one. They lie in a buffer of the engine, which takes it back after the call.
    fn received(&mut self, connection: ConnectionId, bytes: &[u8], out: &mut Output) {
        let _ = (connection, bytes, out);
    }

    /// The peer has finished sending. The connection can still be sent on, until it is closed; a peer that also no
    /// longer reads is noticed only then.
    fn peer_finished(&mut self, connection: ConnectionId, out: &mut Output) {
        let _ = (connection, out);
    }

    /// The connection is over, and its name will never be another's.
    fn closed(&mut self, connection: ConnectionId, why: Closed, out: &mut Output) {
        let _ = (connection, why, out);
    }
}

/// Hears the outcomes when no one else is left to.
pub(crate) struct Silent;

impl Handler for Silent {
    fn datagram(&mut self, _: Datagram<'_>, _: &mut Output) {}
    fn sent(&mut self, _: u16) {}
    fn send_failed(&mut self, _: u16, _: SendError, _: Lost<'_>) {}
}

/// What happened in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Completions taken from the ring; with poll, descriptors found ready. Datagrams over turns is
    /// the batching achieved.
    pub completions: u32,
    /// Datagrams handed to the handler.
    pub datagrams: u32,
    /// How often the receive buffers ran dry (`ENOBUFS`). Nothing is lost by it, but the burst waits
    /// in the socket: raise `receive_buffers` if it goes on. Always zero with poll.
    pub starved: u32,
    /// How often a multishot receive had ended and was armed again: after each starvation, each error
    /// and each empty datagram. Always zero with poll.
    pub rearmed: u32,
    /// Errors of receiving, such as an ICMP error on a connected socket, and datagrams whose sender
    /// could not be read. None of them stops the socket.
    pub receive_errors: u32,
    /// Datagrams that the kernel dropped since the last turn because a socket's receive buffer was
    /// full. Known only when a later datagram has been received on that socket.
    pub kernel_drops: u64,
    /// Connections handed to the handler by `accepted`.
    pub accepted: u32,
    /// Connections reset at once, because there were as many as there may be.
    pub accepts_refused: u32,
    /// Errors of accepting: connections that had gone before they were accepted, and shortages of descriptors
    /// (`RLIMIT_NOFILE`) or memory, after which nothing is accepted for a tenth of a second.
    pub accept_errors: u32,
    /// Bytes received by streams.
    pub stream_bytes: u64,
    /// How often the receive buffers of streams ran dry (`ENOBUFS`), as `starved`. Always zero with poll.
    pub stream_starved: u32,
    /// Whether the doorbell was rung.
    pub rung: bool,
}
