//! What a shard does with what its engine tells: messages are decided about and sent on, connections come and go.
//!
//! | module | charge |
//! | --- | --- |
//! | `messages` | what is done with one message |
//! | `streams` | how what a connection brings becomes messages |
//!
//! To give each layer of a connection a handler of its own looked tidier. What one layer finds another must answer on the
//! same connection at once, and two owners of one connection need a lock or a queue between them.

mod messages;
mod streams;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::BytesMut;

use crate::frame::spare::{SpareBuffers, SpareLimits};
use crate::frame::stun;
use crate::io::{Accepted, Closed, ConnectionId, Datagram, Handler, Lost, Output, SendError};
use crate::metrics::cells::{Dropped, SentTag, ShardCells};
use crate::metrics::connections::Ended;
use crate::metrics::problems::Problem;
use crate::observe::copy::Copier;
use crate::observe::problem::Reporter;
use crate::proxy::Scratch;
use crate::proxy::inbound::{Inbound, ListenerIndex};
use crate::proxy::names::exchange::Reader;
use crate::proxy::publication::SnapshotReader;
use crate::proxy::verdict::{MessageKind, NextHop};
use crate::sip::Transport;

use super::asker::Asker;
use super::connections::Connection;
use super::delivery::{Content, Delivery, Shipment, Undelivered};
use super::dialed::Waiting;
use super::problems::About;
use super::session::{Said, Session};

/// All of a shard but its engine.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) snapshot: SnapshotReader,
    pub(super) names: Reader,
    pub(super) asker: Asker,
    pub(super) cells: Arc<ShardCells>,
    pub(super) delivery: Delivery,
    pub(super) scratch: Scratch,
    /// The parts of messages that are split over receives, by side: clients cannot use up the backends' room.
    spare: [SpareBuffers; 2],
    /// Where a request is written out that could not be delivered, to be answered.
    undelivered: Box<[u8]>,
    /// What TLS has opened of what came, what WebSocket clients have said, and what layers answer.
    plaintext: Vec<u8>,
    said: Said,
    wire: BytesMut,
    /// Tells of problems, where that is set.
    pub(super) reporter: Box<Reporter>,
    /// Copies messages, where that is set.
    pub(super) copier: Box<Copier>,
    /// Spreads calls over the connections to one backend. It chooses nothing that another process would have to know.
    lanes: ahash::RandomState,
    /// The message at hand was handed over by another process.
    pub(super) is_handed: bool,
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
        snapshot: SnapshotReader,
        names: Reader,
        asker: Asker,
        cells: Arc<ShardCells>,
        delivery: Delivery,
        (reporter, copier): (Box<Reporter>, Box<Copier>),
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
            plaintext: Vec::new(),
            said: Said::default(),
            wire: BytesMut::new(),
            reporter,
            copier,
            lanes: ahash::RandomState::new(),
            is_handed: false,
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
        self.take_handed(out);
        self.send_questions(out);
        self.delivery.remind();
        if !self.delivery.connections.is_empty() {
            let now_us = self.now_us();
            let Delivery { connections, policy, limits, .. } = &mut self.delivery;
            connections.look(now_us, policy, limits, &mut out.streams);
        }
    }

    /// The clock is read once a turn, and after the wait; and so is which snapshot is in force.
    pub(super) fn now_us(&mut self) -> u64 {
        let Worker { snapshot, delivery, now_us, .. } = self;
        *now_us.get_or_insert_with(|| {
            if snapshot.refresh() {
                delivery.policy.refresh();
                delivery.limits.follow(&delivery.policy);
            }
            BEGINNING.elapsed().as_micros() as u64
        })
    }
}

impl Handler for Worker {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        let now_us = self.now_us();
        if datagram.truncated {
            let side = self.snapshot.side_of(datagram.peer);
            self.cells.received(side, Transport::Udp, MessageKind::Unread);
            let about = About::message(datagram.bytes).from(datagram.peer).over(Transport::Udp);
            return self.drop_message(Dropped::Truncated, about);
        }
        let listener = self.delivery.listener(false, datagram.socket);
        let Datagram { bytes, peer, local, socket, .. } = datagram;
        let inbound = Inbound { bytes, peer, listener, local, relay: None, connection: None, now_us };
        let is_proxied = self.speaks_for_another(listener, peer);
        let inbound = if is_proxied { self.proxied(inbound) } else { Some(inbound) };
        let Some(inbound) = inbound else { return };
        if !stun::is_stun(inbound.bytes) || !self.answer_stun(&inbound, socket, out) {
            self.message(&inbound, Transport::Udp, out);
        }
    }

    fn sent(&mut self, tag: u16) {
        self.cells.sent(tag);
    }

    fn send_failed(&mut self, tag: u16, error: SendError, lost: Lost<'_>) {
        if !SentTag::is_extra(tag) {
            self.drop_message(Dropped::SendFailed(error), About::message(lost.bytes).to(lost.to));
            // The engine may tell this before it waits.
            self.begin_turn();
        }
    }

    fn accepted(&mut self, accepted: Accepted, out: &mut Output) {
        let Accepted { connection: id, listener, peer, local } = accepted;
        let (now_us, listener) = (self.now_us(), self.delivery.listener(true, listener));
        let side = self.snapshot.side_of(peer);
        // Who speaks for others is no client; the one whom it names is admitted then.
        let speaks_for_another = self.speaks_for_another(listener, peer);
        let others = self.delivery.held(&self.snapshot);
        let admitted = if speaks_for_another { Ok(None) } else { self.delivery.admit(side, peer.ip(), others) };
        let admission = match admitted {
            Ok(admission) => admission,
            Err(why) => {
                let about = About::default().from(peer).over(self.delivery.transport(listener));
                self.report(Problem::ConnectionRefused(why), about);
                return out.streams.abort(id);
            }
        };
        let session = self.delivery.welcome(listener, side, speaks_for_another);
        let (session, refused) = session.map_or_else(|why| (Session::default(), Some(why)), |good| (good, None));
        let is_counted = !session.awaits_origin();
        let begun_us = session.is_mid_message().then_some(now_us);
        self.delivery.connections.insert(Connection {
            id,
            side,
            listener,
            peer,
            local: Some(local.ip()),
            route: None,
            is_established: session.is_established(),
            session,
            is_counted: false,
            kept_bytes: 0,
            heard_us: now_us,
            begun_us,
            ending: None,
            _admission: admission,
            handshake: None,
            is_kept_alive: false,
            has_spoken: false,
            is_half_closed: false,
            unanswered: 0,
        });
        if is_counted {
            self.count_opened(id);
        }
        let full = || (!self.delivery.begin_handshake(id)).then_some(Ended::HandshakesFull);
        if let Some(why) = refused.or_else(full) {
            self.delivery.connections.abort(id, why, now_us, &mut out.streams);
        }
    }

    fn connected(&mut self, id: ConnectionId, local: SocketAddr, out: &mut Output) {
        let now_us = self.now_us();
        let open = |connection: &mut Connection| {
            (connection.local, connection.heard_us) = (Some(local.ip()), now_us);
        };
        let Some((_, is_established)) = self.delivery.connections.advance(id, open) else { return };
        self.count_opened(id);
        if is_established {
            self.established(id, out);
        }
        // The engine may tell this before it waits.
        self.begin_turn();
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) {
        self.take(id, bytes, out);
    }

    fn peer_finished(&mut self, id: ConnectionId, out: &mut Output) {
        self.finished(id, out);
    }

    fn closed(&mut self, id: ConnectionId, why: Closed, out: &mut Output) {
        let now_us = self.now_us();
        // Counted as opened too, so that what is open is always the one less the other.
        self.count_opened(id);
        let Some(mut gone) = self.delivery.connections.remove(id) else { return };
        let ended = gone.ended().unwrap_or_else(|| ended_by(why));
        let transport = self.delivery.transport(gone.listener);
        self.cells.connection_ended(gone.side, transport, gone.direction(), ended);
        if let Some(handshake) = streams::abandoned(&gone.session, ended) {
            self.cells.handshake(gone.direction(), handshake);
        }
        self.report_end(&gone, ended, transport);
        if gone.session.framer.is_mid_message() {
            self.cells.received(gone.side, transport, MessageKind::Unread);
            let about = About::message(gone.session.framer.begun()).from(gone.peer).over(transport);
            self.drop_message(Dropped::Framing, about);
        }
        gone.session.framer.close(&mut self.spare[gone.side.index()]);
        let ended = |route| self.delivery.dialed.ended(route, id, gone.has_spoken, now_us);
        let waiting = gone.route.map(ended).unwrap_or_default();
        for Waiting { bytes, tag, .. } in waiting {
            self.waiting_not_sent(&bytes, tag, Some(gone.peer), Undelivered::NoConnection, out);
        }
        self.begin_turn();
    }
}

impl Worker {
    /// Messages can go on a connection from here on: those that waited for it do.
    fn established(&mut self, id: ConnectionId, out: &mut Output) {
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        let Connection { route, peer, listener, .. } = *connection;
        let hop = NextHop { listener, to: peer, from: None, connection: None, reconnect: None, awaits_name: false };
        let waiting = route.map(|route| self.delivery.dialed.opened(route, now_us)).unwrap_or_default();
        for Waiting { bytes, tag, backend } in waiting {
            let shipment = Shipment { content: Content::Bytes(&bytes), hop, tag, backend, lane: 0, host: None };
            let sent = self.delivery.send_here(id, &self.snapshot, &shipment, now_us, out);
            if let Err(undelivered) = sent {
                self.waiting_not_sent(&bytes, tag, Some(peer), undelivered, out);
            }
        }
    }

    /// Whether what comes from there begins with a head of the PROXY protocol. Members of the pool speak for themselves.
    fn speaks_for_another(&self, listener: ListenerIndex, peer: SocketAddr) -> bool {
        self.delivery.policy.takes_origin(listener, peer.ip()) && !self.snapshot.is_member(peer)
    }

    /// Counts a connection as opened, once, when it is known on which side its far end is.
    fn count_opened(&mut self, id: ConnectionId) {
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        if std::mem::replace(&mut connection.is_counted, true) {
            return;
        }
        let (side, listener, direction) = (connection.side, connection.listener, connection.direction());
        self.cells.connection_opened(side, self.delivery.transport(listener), direction);
    }
}

fn ended_by(why: Closed) -> Ended {
    match why {
        Closed::Finished => Ended::PeerFinished,
        Closed::Reset => Ended::Reset,
        Closed::TimedOut => Ended::TimedOut,
        Closed::Aborted | Closed::Stopped => Ended::Stopped,
        Closed::ConnectFailed(_) => Ended::ConnectFailed,
        Closed::Failed(_) => Ended::Failed,
    }
}
