//! What a shard knows of each of its connections: whose it is, what of a message it has brought, and since when it is silent.
//!
//! A timer for each connection looked more exact. Nobody minds whether a silent connection is closed a quarter of a second later,
//! and a hundred thousand timers would be set anew with every message; so all are looked at in turn.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use crate::io::{ConnectionId, Streams};
use crate::metrics::connections::{Direction, Ended};
use crate::proxy::inbound::{ListenerIndex, Side};

use super::dialed::Route;
use super::limits::Limits;
use super::networks::Admission;
use super::policy::ConnectionPolicy;
use super::session::Session;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// Which side the far end is on.
    pub(super) side: Side,
    /// The listener that it came by, or by which what goes out on it is said to leave.
    pub(super) listener: ListenerIndex,
    pub(super) peer: SocketAddr,
    /// Our end, once it is open.
    pub(super) local: Option<IpAddr>,
    /// Where it leads, if we opened it.
    pub(super) route: Option<Route>,
    /// What lies between its bytes and its messages.
    pub(super) session: Session,
    /// Whether messages can go: it is open, and its handshakes are complete.
    pub(super) is_established: bool,
    /// Whether it has been counted as opened.
    pub(super) is_counted: bool,
    /// What the session keeps of what is not complete, in bytes.
    pub(super) kept_bytes: usize,
    /// When it last brought anything, or when it was begun.
    pub(super) heard_us: u64,
    /// When the message or the handshake began that is not complete yet.
    pub(super) begun_us: Option<u64>,
    /// Why and when we began to end it.
    pub(super) ending: Option<(Ended, u64)>,
    /// The place that it takes of its network's.
    pub(super) _admission: Option<Admission>,
    /// The place that it takes of its network's handshakes, until they are complete.
    pub(super) handshake: Option<Admission>,
    /// It has brought anything besides handshakes, which prove nobody behind them.
    pub(super) has_spoken: bool,
    /// It has brought a keepalive.
    pub(super) is_kept_alive: bool,
    /// The peer sends no more, but may still read: responses to what it has sent go to it for a while.
    pub(super) is_half_closed: bool,
    /// How many of its requests have had no final response, as far as their number tells: a response that is sent again counts
    /// again, and a request that is lost for ever.
    pub(super) unanswered: u32,
}

impl Connection {
    /// Who opened it.
    pub(super) fn direction(&self) -> Direction {
        if self.route.is_some() { Direction::Connected } else { Direction::Accepted }
    }

    /// Whether it ends because of what came on it, so that nothing more of that is looked at.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.ending, Some((Ended::Tls | Ended::ProxyProtocol | Ended::WebSocket, _)))
    }

    /// Notes since when what has begun is not complete. `has_found` where something else became complete meanwhile.
    pub(super) fn note_progress(&mut self, has_found: bool, now_us: u64) {
        let since_us = self.begun_us.filter(|_| !has_found).unwrap_or(now_us);
        self.begun_us = self.session.is_mid_message().then_some(since_us);
    }

    /// Whether a peer opened it and its handshakes are not complete.
    fn is_handshaking(&self) -> bool {
        self.route.is_none() && !self.is_established
    }

    /// Why it ends, where that is known before the engine tells. A peer that has finished has ended it, whatever comes of
    /// what is still sent to it.
    pub(super) fn ended(&self) -> Option<Ended> {
        self.ending.map(|(why, _)| why).or(self.is_half_closed.then_some(Ended::PeerFinished))
    }

    /// Whether a message may go out on it: a peer that sends no more cannot answer a request.
    pub(super) fn takes(&self, is_request: bool) -> bool {
        self.is_established && self.ending.is_none() && !(is_request && self.is_half_closed)
    }

    /// Whether it is not worth keeping once its peer has finished. One that we opened is not, since the next request is to find
    /// a peer that answers; nor one whose layers end with either half, or that ended within a message, or on which no response
    /// is due.
    fn ends_with_its_peer(&self) -> bool {
        self.route.is_some()
            || self.unanswered == 0
            || self.session.is_mid_message()
            || !self.session.outlives_its_peer()
    }

    /// Why it is to be ended at that time, if it is.
    fn overdue(&self, now_us: u64, policy: &ConnectionPolicy) -> Option<Ended> {
        let has_passed =
            |since: u64, time: std::time::Duration| now_us.saturating_sub(since) >= time.as_micros() as u64;
        let begun_us = self.begun_us.unwrap_or(self.heard_us);
        match (self.route.is_some(), self.is_established) {
            (true, false) => return has_passed(begun_us, policy.connect).then_some(Ended::ConnectTimeout),
            (false, false) => return has_passed(begun_us, policy.handshake).then_some(Ended::HandshakeTimeout),
            (_, true) => {}
        }
        if self.is_half_closed {
            return has_passed(self.heard_us, policy.half_closed).then_some(Ended::PeerFinished);
        }
        if self.begun_us.is_some_and(|begun_us| has_passed(begun_us, policy.message)) {
            return Some(Ended::MessageTimeout);
        }
        let idle = if self.is_kept_alive { policy.idle_kept_alive } else { policy.idle };
        has_passed(self.heard_us, idle).then_some(Ended::Idle)
    }
}

/// The connections of a shard, by the engine's slots.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    len: usize,
    /// How many of them lead to clients.
    clients: usize,
    /// Where the next look at some of them begins.
    next: usize,
    looked_us: u64,
    /// How many that peers opened are not established.
    handshaking: u32,
    /// What the layers of all keep of what is not complete, in bytes.
    kept_bytes: usize,
}

/// How often some connections are looked at, in microseconds.
pub(super) const LOOK_US: u64 = 250_000;

/// How many of them at least. All are looked at within four seconds, however many there are.
const LOOKED_AT_MIN: usize = 4096;
const LOOKS_FOR_ALL: usize = 16;

/// The most that the layers of all connections of a shard keep of what is not complete.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// How long a connection that we close may take to close, in microseconds: what is queued must go, and the peer finish.
const LINGER_US: u64 = 5_000_000;

impl Connections {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of them lead to clients.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Takes one in.
    pub(super) fn insert(&mut self, connection: Connection) {
        let slot = connection.id.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.handshaking += u32::from(connection.is_handshaking());
        self.clients += usize::from(connection.side == Side::Client);
        self.len += usize::from(self.slots[slot].replace(Box::new(connection)).is_none());
    }

    /// Whether another may begin its handshake.
    pub(super) fn has_room_to_handshake(&self, policy: &ConnectionPolicy) -> bool {
        self.handshaking < policy.handshakes_max
    }

    /// Has something done with a connection that may bring its handshake to an end, or change what it keeps; and tells
    /// whether it is established by that. `None` where it has gone.
    pub(super) fn advance<T>(
        &mut self,
        id: ConnectionId,
        step: impl FnOnce(&mut Connection) -> T,
    ) -> Option<(T, bool)> {
        let connection = self.slots.get_mut(id.slot())?.as_deref_mut().filter(|connection| connection.id == id)?;
        let (was_handshaking, was_established) = (connection.is_handshaking(), connection.is_established);
        let was_a_clients = connection.side == Side::Client;
        let done = step(connection);
        connection.is_established |= connection.local.is_some() && connection.session.is_established();
        if was_handshaking && connection.is_established {
            self.handshaking -= 1;
            connection.handshake = None;
        }
        self.clients = self.clients + usize::from(connection.side == Side::Client) - usize::from(was_a_clients);
        let kept_bytes = connection.session.kept_bytes();
        self.kept_bytes = self.kept_bytes + kept_bytes - std::mem::replace(&mut connection.kept_bytes, kept_bytes);
        Some((done, !was_established && connection.is_established))
    }

    /// Whether layers keep more than they may.
    pub(super) fn keep_too_much(&self) -> bool {
        self.kept_bytes > KEPT_BYTES_MAX
    }

    /// That connection, if it has not ended.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot())?.as_deref_mut().filter(|connection| connection.id == id)
    }

    /// Lets one go. Its session's framer is the caller's to close.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let gone = self.slots.get_mut(id.slot())?.take_if(|connection| connection.id == id)?;
        self.len -= 1;
        self.handshaking -= u32::from(gone.is_handshaking());
        self.kept_bytes -= gone.kept_bytes;
        self.clients -= usize::from(gone.side == Side::Client);
        Some(gone)
    }

    /// Begins to end one: what is queued still goes, and the peer is told.
    pub(super) fn close(&mut self, id: ConnectionId, why: Ended, now_us: u64, streams: &mut Streams) {
        let Some(connection) = self.get_mut(id).filter(|connection| connection.ending.is_none()) else { return };
        connection.ending = Some((why, now_us));
        let mut wire = BytesMut::new();
        connection.session.farewell(&mut wire);
        // Where there is no room for it, the end of the stream has to say it.
        if let (false, Ok(mut slot)) = (wire.is_empty(), streams.reserve(id, wire.len())) {
            slot.buffer().copy_from_slice(&wire);
            slot.send(wire.len(), None);
        }
        streams.close(id);
    }

    /// Begins to end all whose layers tell their peers so; of others the end of the stream tells enough.
    pub(super) fn close_layered(&mut self, why: Ended, now_us: u64, streams: &mut Streams) {
        for slot in 0..self.slots.len() {
            let layered = self.slots[slot].as_ref().filter(|connection| !connection.session.is_plain());
            if let Some(id) = layered.map(|connection| connection.id) {
                self.close(id, why, now_us, streams);
            }
        }
    }

    /// Notes that the peer of one sends no more. Where responses are due, the connection is kept for them.
    pub(super) fn peer_finished(
        &mut self,
        id: ConnectionId,
        now_us: u64,
        policy: &ConnectionPolicy,
        out: &mut Streams,
    ) {
        let Some(connection) = self.get_mut(id) else { return };
        connection.is_half_closed = true;
        if connection.ends_with_its_peer() || connection.overdue(now_us, policy).is_some() {
            self.close(id, Ended::PeerFinished, now_us, out);
        }
    }

    /// Notes that a final response has been queued on one. It was the last where its peer has finished and none else is due.
    pub(super) fn answered(&mut self, id: ConnectionId, now_us: u64, out: &mut Streams) {
        let Some(connection) = self.get_mut(id) else { return };
        connection.unanswered = connection.unanswered.saturating_sub(1);
        if connection.is_half_closed && connection.unanswered == 0 {
            self.close(id, Ended::PeerFinished, now_us, out);
        }
    }

    /// Ends one at once.
    pub(super) fn abort(&mut self, id: ConnectionId, why: Ended, now_us: u64, streams: &mut Streams) {
        if let Some(connection) = self.get_mut(id) {
            connection.ending.get_or_insert((why, now_us));
            streams.abort(id);
        }
    }

    /// Looks at some, if it is time to, and ends those that are overdue.
    pub(super) fn look(&mut self, now_us: u64, policy: &ConnectionPolicy, limits: &Limits, streams: &mut Streams) {
        if self.is_empty() || now_us.saturating_sub(self.looked_us) < LOOK_US {
            return;
        }
        self.looked_us = now_us;
        let count = (self.slots.len() / LOOKS_FOR_ALL).max(LOOKED_AT_MIN).min(self.slots.len());
        for _ in 0..count {
            let slot = self.next % self.slots.len();
            self.next = slot + 1;
            let Some(connection) = self.slots[slot].as_deref() else { continue };
            let (id, overdue) = (connection.id, connection.overdue(now_us, policy));
            if limits.is_crowding(connection.side, streams.queued_bytes_of_all(), streams.queued_bytes(id)) {
                self.abort(id, Ended::QueueFull, now_us, streams);
                continue;
            }
            match (connection.ending, overdue) {
                (Some((why, since_us)), _) if now_us.saturating_sub(since_us) >= LINGER_US => {
                    self.abort(id, why, now_us, streams);
                }
                (Some(_), _) | (None, None) => {}
                (None, Some(why @ (Ended::ConnectTimeout | Ended::HandshakeTimeout))) => {
                    self.abort(id, why, now_us, streams);
                }
                (None, Some(why)) => self.close(id, why, now_us, streams),
            }
        }
    }
}
