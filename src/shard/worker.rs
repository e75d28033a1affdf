//! What a shard does with what its engine tells: messages are decided about and sent on, connections come and go.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use crate::frame::keepalive::Keepalive;
use crate::frame::spare::{SpareBuffers, SpareLimits};
use crate::frame::stream::{Fault as Framing, Frame, FramingError};
use crate::frame::stun;
use crate::io::{Accepted, Closed, ConnectionId, Datagram, Handler, Output, SendError, Transmit};
use crate::metrics::cells::{Dropped, SentTag, ShardCells};
use crate::metrics::connections::Ended;
use crate::proxy::bounce::bounce;
use crate::proxy::inbound::Inbound;
use crate::proxy::names::exchange::Reader;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::verdict::{AbsorbReason, Decision, DropReason, MessageKind, NextHop, Verdict};
use crate::proxy::{self, Scratch, View};
use crate::sip::Transport;
use crate::sip::reply::Status;

use super::asker::Asker;
use super::connections::Connection;
use super::delivery::{Content, Delivery, Shipment, Undelivered};
use super::dialed::Waiting;
use super::mailbox::Parcel;

/// All of a shard but its engine.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) names: Reader,
    pub(super) asker: Asker,
    pub(super) cells: Arc<ShardCells>,
    pub(super) delivery: Delivery,
    scratch: Scratch,
    /// The parts of messages that are split over receives, by side: clients cannot use up the backends' room.
    spare: [SpareBuffers; 2],
    /// Where a request is written out that could not be delivered, to be answered.
    undelivered: Box<[u8]>,
    /// Spreads calls over the connections to one backend. It chooses nothing that another process would have to know.
    lanes: ahash::RandomState,
    /// The time of this turn, once something has come.
    now_us: Option<u64>,
}

/// The most parcels of other shards that are sent in one turn.
const PARCELS_A_TURN: usize = 2048;

/// The longest message: as long as a datagram can be. Our own text comes on top.
const UNDELIVERED_BYTES: usize = 65_535 + 4096;

/// From where time is counted: one for all shards, since a response may come to another one than its request did.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Worker {
    pub(super) fn new(
        snapshot: Arc<Snapshot>,
        names: Reader,
        asker: Asker,
        cells: Arc<ShardCells>,
        delivery: Delivery,
    ) -> Self {
        Worker {
            snapshot,
            names,
            asker,
            cells,
            delivery,
            scratch: Scratch::default(),
            spare: [(); 2].map(|()| SpareBuffers::new(SpareLimits::default())),
            undelivered: vec![0; UNDELIVERED_BYTES].into(),
            lanes: ahash::RandomState::new(),
            now_us: None,
        }
    }

    /// Forgets the time: another turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.now_us = None;
    }

    /// Does what is to be done whether or not anything has come: sends what other shards posted, and ends what is overdue.
    pub(super) fn end_turn(&mut self, out: &mut Output) {
        for _ in 0..PARCELS_A_TURN {
            let Some(parcel) = self.delivery.take_parcel() else { break };
            self.send_parcel(parcel, out);
        }
        self.delivery.remind();
        if !self.delivery.connections.is_empty() {
            let now_us = self.now_us();
            let Delivery { connections, policy, .. } = &mut self.delivery;
            connections.look(now_us, policy, &mut out.streams);
        }
    }

    /// The clock is read once a turn, and after the wait.
    fn now_us(&mut self) -> u64 {
        *self.now_us.get_or_insert_with(|| BEGINNING.elapsed().as_micros() as u64)
    }
}

impl Handler for Worker {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        if datagram.truncated {
            let side = self.snapshot.side_of(datagram.peer);
            self.cells.received(side, Transport::Udp, MessageKind::Unread);
            return self.cells.dropped(Dropped::Truncated);
        }
        let inbound = Inbound {
            bytes: datagram.bytes,
            peer: datagram.peer,
            listener: self.delivery.listener(false, datagram.socket),
            local: datagram.local,
            connection: None,
            now_us: self.now_us(),
        };
        if !stun::is_stun(datagram.bytes) || !self.answer_stun(&datagram, out) {
            self.message(&inbound, Transport::Udp, out);
        }
    }

    fn sent(&mut self, tag: u16) {
        self.cells.sent(tag);
    }

    fn send_failed(&mut self, _tag: u16, error: SendError) {
        self.cells.dropped(Dropped::SendFailed(error));
    }

    fn accepted(&mut self, accepted: Accepted, _out: &mut Output) {
        let Accepted { connection: id, listener, peer, local } = accepted;
        let connection = Connection {
            id,
            side: self.snapshot.side_of(peer),
            listener: self.delivery.listener(true, listener),
            peer,
            local: Some(local.ip()),
            route: None,
            framer: Default::default(),
            heard_us: self.now_us(),
            begun_us: None,
            ending: None,
        };
        let transport = self.delivery.transport(connection.listener);
        self.cells.connection_opened(connection.side, transport, connection.direction());
        self.delivery.connections.insert(connection);
    }

    fn connected(&mut self, id: ConnectionId, local: SocketAddr, out: &mut Output) {
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        (connection.local, connection.heard_us) = (Some(local.ip()), now_us);
        let (side, listener, direction) = (connection.side, connection.listener, connection.direction());
        let (route, peer) = (connection.route, connection.peer);
        self.cells.connection_opened(side, self.delivery.transport(listener), direction);
        let hop = NextHop { listener, to: peer, from: None, connection: None, reconnect: None };
        let waiting = route.map(|route| self.delivery.dialed.opened(route)).unwrap_or_default();
        for Waiting { bytes, tag } in waiting {
            let shipment = Shipment { content: Content::Bytes(&bytes), hop, tag, lane: 0 };
            let sent = self.delivery.send_here(id, &self.snapshot, &shipment, now_us, out);
            if let Err(undelivered) = sent {
                self.not_sent(&bytes, undelivered, out);
            }
        }
        // The engine may tell this before it waits.
        self.begin_turn();
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) {
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        connection.heard_us = now_us;
        let (side, peer, listener, local) = (connection.side, connection.peer, connection.listener, connection.local);
        let mut framer = std::mem::take(&mut connection.framer);
        // Taken out while it lends a message, so that everything else may be used for that.
        let empty = SpareBuffers::new(SpareLimits { held_bytes: 0, kept_buffers: 0 });
        let mut spare = std::mem::replace(&mut self.spare[side.index()], empty);
        let name = Some(self.delivery.name(id));
        let limits = self.delivery.policy.limits;
        let mut input = bytes;
        let mut since_us = None;
        while let Some(frame) = framer.next(&mut input, limits, &mut spare) {
            // What is incomplete in the end began after this.
            since_us = Some(now_us);
            let inbound = |bytes| Inbound { bytes, peer, listener, local, connection: name, now_us };
            match frame {
                Ok(Frame::Message(message)) => self.message(&inbound(message), self.delivery.transport(listener), out),
                Ok(Frame::Keepalive(keepalive)) => self.keepalive(id, keepalive, out),
                Err(error) => self.unframed(id, &error, inbound(error.head.unwrap_or_default()), out),
            }
        }
        self.spare[side.index()] = spare;
        match self.delivery.connections.get_mut(id) {
            Some(connection) => {
                let since_us = since_us.or(connection.begun_us).unwrap_or(now_us);
                let begun_us = framer.is_mid_message().then_some(since_us);
                (connection.framer, connection.begun_us) = (framer, begun_us);
            }
            None => framer.close(&mut self.spare[side.index()]),
        }
    }

    fn peer_finished(&mut self, id: ConnectionId, out: &mut Output) {
        let now_us = self.now_us();
        self.delivery.connections.close(id, Ended::PeerFinished, now_us, &mut out.streams);
    }

    fn closed(&mut self, id: ConnectionId, why: Closed, out: &mut Output) {
        let now_us = self.now_us();
        let Some(mut gone) = self.delivery.connections.remove(id) else { return };
        let ended = gone.ending.map_or(ended_by(why), |(ended, _)| ended);
        let transport = self.delivery.transport(gone.listener);
        if gone.local.is_none() {
            // Counted as opened too, so that what is open is always the one less the other.
            self.cells.connection_opened(gone.side, transport, gone.direction());
        }
        self.cells.connection_ended(gone.side, transport, gone.direction(), ended);
        if gone.framer.is_mid_message() {
            self.cells.received(gone.side, transport, MessageKind::Unread);
            self.cells.dropped(Dropped::Framing);
        }
        gone.framer.close(&mut self.spare[gone.side.index()]);
        let waiting = gone.route.map(|route| self.delivery.dialed.ended(route, id, now_us)).unwrap_or_default();
        for Waiting { bytes, .. } in waiting {
            self.not_sent(&bytes, Undelivered::NoConnection, out);
        }
        self.begin_turn();
    }
}

impl Worker {
    /// Decides about a message and carries that out.
    fn message(&mut self, inbound: &Inbound<'_>, transport: Transport, out: &mut Output) {
        // Looked at here, not at the turn's beginning: a turn may have waited for long, and a retransmission that ends the
        // wait must find the name that it was first dropped for.
        let view = View { snapshot: &self.snapshot, names: self.names.table() };
        let decision = proxy::decide(view, inbound, &mut self.scratch);
        self.cells.received(decision.side, transport, decision.kind);
        self.count_response(&decision, inbound);
        if let Some(token) = decision.rejected {
            self.cells.rejected(token);
        }
        if let Some(sample) = &decision.sample {
            self.cells.backend_latency(sample);
        }
        self.ask(&decision, inbound);
        self.carry_out(&decision, inbound, out);
    }

    fn carry_out(&mut self, decision: &Decision, inbound: &Inbound<'_>, out: &mut Output) {
        match decision.verdict {
            Verdict::Forward { hop, to, backend } => {
                let tag = SentTag::forwarded(to, self.delivery.transport(hop.listener), decision.kind);
                if self.send(inbound, hop, (tag, backend.is_some()), out)
                    && let Some(backend) = backend
                {
                    self.cells.backend_request(backend);
                }
            }
            Verdict::Answer { hop, status, fault } => {
                if let Some(fault) = fault {
                    self.cells.fault(fault);
                }
                let tag = SentTag::answered(decision.side, self.delivery.transport(hop.listener), status);
                let _ = self.send(inbound, hop, (tag, false), out);
            }
            Verdict::Absorb(reason) => self.cells.absorbed(reason),
            Verdict::Drop(reason) => {
                if let DropReason::Malformed(fault) = reason {
                    self.cells.fault(fault);
                }
                self.cells.dropped(Dropped::Decided(reason));
            }
        }
    }

    /// Has the name that the message goes by resolved, or kept as one in use.
    fn ask(&mut self, decision: &Decision, inbound: &Inbound<'_>) {
        let Some(name) = decision.named.and_then(|wanted| wanted.name(inbound.bytes)) else { return };
        // Over a stream the request is answered, since nobody sends it again.
        let is_answered = matches!(decision.verdict, Verdict::Answer { status: Status::ServiceUnavailable, .. });
        let is_unknown = is_answered || decision.verdict == Verdict::Drop(DropReason::NameBeingResolved);
        if !self.asker.ask(name, is_unknown) {
            self.cells.name_not_asked();
        }
    }

    /// Sends the draft. `false` where it was not sent, which has been counted, and answered where it could be.
    fn send(
        &mut self,
        inbound: &Inbound<'_>,
        hop: NextHop,
        (tag, is_to_member): (SentTag, bool),
        out: &mut Output,
    ) -> bool {
        let lane = if is_to_member { self.lane(inbound.bytes) } else { 0 };
        let content = Content::Draft(&self.scratch.draft, inbound.bytes);
        let shipment = Shipment { content, hop, tag, lane };
        let sent = self.delivery.send(&self.snapshot, &shipment, inbound.now_us, out);
        let Err(undelivered) = sent else { return true };
        if let (Undelivered::NoRoom(dropped), None) = (undelivered, inbound.connection) {
            // Whoever sent it by a datagram sends it again.
            self.cells.dropped(dropped);
            return false;
        }
        let mut buffer = std::mem::take(&mut self.undelivered);
        let len = content_len(&self.scratch, inbound, &mut buffer);
        self.not_sent(&buffer[..len], undelivered, out);
        self.undelivered = buffer;
        false
    }

    /// Which of several connections to a backend a call keeps to, so that its messages stay in order.
    fn lane(&self, message: &[u8]) -> u8 {
        match u64::from(self.delivery.policy.per_backend) {
            0 | 1 => 0,
            lanes => (self.lanes.hash_one(self.scratch.call_id(message)) % lanes) as u8,
        }
    }

    /// Answers a request that could not be delivered, or counts what it was as dropped.
    fn not_sent(&mut self, forwarded: &[u8], undelivered: Undelivered, out: &mut Output) {
        let (status, dropped) = match undelivered {
            Undelivered::NoRoom(Dropped::TooLong) => (Status::MessageTooLarge, Dropped::TooLong),
            Undelivered::NoRoom(dropped) => (Status::ServiceUnavailable, dropped),
            Undelivered::Gone => (Status::FlowFailed, Dropped::ConnectionGone),
            Undelivered::NoConnection => (Status::ServiceUnavailable, Dropped::NoConnection),
        };
        let now_us = self.now_us();
        let view = View { snapshot: &self.snapshot, names: self.names.table() };
        let answer = bounce(view, forwarded, status, &mut self.scratch);
        let Some(Decision { side, verdict: Verdict::Answer { hop, status, .. }, .. }) = answer else {
            return self.cells.dropped(dropped);
        };
        let tag = SentTag::answered(side, self.delivery.transport(hop.listener), status);
        let content = Content::Draft(&self.scratch.draft, forwarded);
        let shipment = Shipment { content, hop, tag, lane: 0 };
        match self.delivery.send(&self.snapshot, &shipment, now_us, out) {
            Ok(()) => {}
            Err(Undelivered::NoRoom(dropped)) => self.cells.dropped(dropped),
            // Nobody is left to tell.
            Err(Undelivered::Gone | Undelivered::NoConnection) => self.cells.dropped(dropped),
        }
    }

    fn send_parcel(&mut self, parcel: Parcel, out: &mut Output) {
        let now_us = self.now_us();
        let Parcel { connection, hop, tag, bytes } = parcel;
        let shipment = Shipment { content: Content::Bytes(&bytes), hop, tag, lane: 0 };
        if let Err(undelivered) = self.delivery.send_here(connection, &self.snapshot, &shipment, now_us, out) {
            self.not_sent(&bytes, undelivered, out);
        }
        self.delivery.post.give_back(bytes);
    }

    /// Answers a ping (RFC 5626 §4.4.1).
    fn keepalive(&mut self, id: ConnectionId, keepalive: Keepalive, out: &mut Output) {
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        let (side, listener) = (connection.side, connection.listener);
        self.cells.received(side, self.delivery.transport(listener), MessageKind::Unread);
        self.cells.absorbed(AbsorbReason::Keepalive);
        let Some(answer) = keepalive.answer() else { return };
        // Where there is no room for two bytes, the peer does not read and need not be told.
        if let Ok(mut slot) = out.streams.reserve(id, answer.len()) {
            slot.buffer().copy_from_slice(answer);
            slot.send(answer.len(), None);
            self.cells.ping_answered();
        }
    }

    /// Refuses the request whose end cannot be told, where there is one, and ends the connection: where the next message
    /// would begin is not known.
    fn unframed(&mut self, id: ConnectionId, error: &FramingError<'_>, inbound: Inbound<'_>, out: &mut Output) {
        self.cells.framing_fault(error.fault);
        let transport = self.delivery.transport(inbound.listener);
        if error.head.is_some() {
            let status = match error.fault {
                Framing::MessageTooLong | Framing::HeadTooLong => Status::MessageTooLarge,
                _ => Status::BadRequest,
            };
            let view = View { snapshot: &self.snapshot, names: self.names.table() };
            let decision = proxy::refuse_unframed(view, &inbound, status, &mut self.scratch);
            self.cells.received(decision.side, transport, decision.kind);
            self.carry_out(&decision, &inbound, out);
        } else {
            self.cells.received(self.snapshot.side_of(inbound.peer), transport, MessageKind::Unread);
            self.cells.dropped(Dropped::Framing);
        }
        self.delivery.connections.close(id, Ended::Framing, inbound.now_us, &mut out.streams);
    }

    /// Answers a STUN binding request (RFC 5626 §4.4.2). `false` where it is none.
    fn answer_stun(&mut self, datagram: &Datagram<'_>, out: &mut Output) -> bool {
        let side = self.snapshot.side_of(datagram.peer);
        let Some(mut slot) = out.datagrams.reserve() else {
            self.cells.received(side, Transport::Udp, MessageKind::Unread);
            self.cells.dropped(Dropped::NoSendSlot);
            return true;
        };
        let Some(len) = stun::answer(datagram.bytes, datagram.peer, slot.buffer()) else { return false };
        let listener = self.snapshot.listeners().get(self.delivery.listener(false, datagram.socket).get());
        let from = datagram.local.filter(|_| listener.is_some_and(|listener| listener.is_wildcard()));
        let tag = SentTag::STUN.value();
        slot.send(len, Transmit { socket: datagram.socket, to: datagram.peer, from, tag });
        self.cells.received(side, Transport::Udp, MessageKind::Unread);
        true
    }

    fn count_response(&self, decision: &Decision, inbound: &Inbound<'_>) {
        if let MessageKind::Response(status) = decision.kind
            && let Some(backend) = self.snapshot.pool().by_source(inbound.peer)
        {
            self.cells.backend_response(backend, status);
        }
    }
}

fn ended_by(why: Closed) -> Ended {
    match why {
        Closed::Finished => Ended::PeerFinished,
        Closed::Reset => Ended::Reset,
        Closed::TimedOut => Ended::TimedOut,
        Closed::Aborted => Ended::Stopped,
        Closed::ConnectFailed(_) => Ended::ConnectFailed,
        Closed::Failed(_) => Ended::Failed,
    }
}

/// Writes the draft out; its length, 0 where it is too long.
fn content_len(scratch: &Scratch, inbound: &Inbound<'_>, buffer: &mut [u8]) -> usize {
    Content::Draft(&scratch.draft, inbound.bytes).write(buffer).unwrap_or(0)
}
