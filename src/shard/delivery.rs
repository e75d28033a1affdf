//! How a message leaves: by a datagram, on a connection of this shard, on one of another shard, or on one that is opened for it.
//! `layers` is how what goes by a connection passes TLS and WebSocket.
//!
//! A channel to a task for each peer looked simpler. A message would wait in a queue before it waits in the connection's, and a
//! connection that ends would leave both to be emptied.

mod layers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::balance::backend::BackendSlot;
use crate::io::{ConnectionId, NotQueued, Outbox, Output, Transmit};
use crate::metrics::cells::{Dropped, SentTag, ShardCells};
use crate::metrics::connections::{Ended, Refused};
use crate::proxy::inbound::{ConnectionRef, ListenerIndex, Side};
use crate::proxy::snapshot::Snapshot;
use crate::proxy::verdict::{MessageKind, NextHop};
use crate::sip::Transport;
use crate::sip::draft::Draft;
use crate::sip::start_line::Method;

use super::connections::{Connection, Connections};
use super::dialed::{Dialed, Found, Route, Waiting};
use super::limits::{Held, Limits};
use super::mailbox::{Parcel, PostOffice};
use super::networks::Admission;
use super::policy::PolicyReader;
use super::session;

use layers::{Buffers, Whom};

/// What is sent: a draft and the message that its parts are of, or bytes written out before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Draft(&'a Draft, &'a [u8]),
    Bytes(&'a [u8]),
}

impl Content<'_> {
    fn bytes_max(&self) -> usize {
        match self {
            Content::Draft(draft, _) => draft.bytes_max(),
            Content::Bytes(bytes) => bytes.len(),
        }
    }

    /// Writes it into `out`; `None` where that is too small.
    pub(super) fn write(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Content::Draft(draft, message) => draft.render(message, out),
            Content::Bytes(bytes) => {
                out.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(bytes.len())
            }
        }
    }

    /// Puts it behind what `buffer` holds, which is nothing.
    pub(super) fn write_to(&self, buffer: &mut Vec<u8>) -> bool {
        buffer.resize(self.bytes_max(), 0);
        let written = self.write(buffer);
        buffer.truncate(written.unwrap_or(0));
        written.is_some()
    }
}

/// Something to send, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shipment<'a> {
    pub(super) content: Content<'a>,
    pub(super) hop: NextHop,
    pub(super) tag: SentTag,
    /// The backend that it is a request to.
    pub(super) backend: Option<BackendSlot>,
    /// Which of several connections to the same place it keeps to.
    pub(super) lane: u8,
    /// The host that it was found by, where it goes to a name: who a TLS peer must prove to be.
    pub(super) host: Option<&'a [u8]>,
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// There was no room for it.
    NoRoom(Dropped),
    /// The connection that it had to go by is gone.
    Gone,
    /// The same, and the name that leads elsewhere is being resolved: it will be sent again.
    AwaitsName,
    /// No connection could be opened.
    NoConnection,
}

/// The ways out of a shard.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) connections: Connections,
    pub(super) dialed: Dialed,
    pub(super) policy: PolicyReader,
    pub(super) limits: Limits,
    pub(super) post: PostOffice,
    /// The shard's number.
    number: usize,
    /// For each listener, its transport and its place among the engine's sockets of that kind.
    sockets: Vec<(Transport, usize)>,
    cells: Arc<ShardCells>,
    /// Tells names of TLS peers apart in routes.
    names: ahash::RandomState,
    buffers: Buffers,
}

impl Delivery {
    /// The ways out of the shard of that number.
    pub(super) fn new(
        snapshot: &Snapshot,
        (policy, limits): (PolicyReader, Limits),
        post: PostOffice,
        number: usize,
        cells: Arc<ShardCells>,
    ) -> Self {
        let (mut datagrams, mut streams) = (0.., 0..);
        let mut socket = |transport: Transport| if transport.is_stream() { streams.next() } else { datagrams.next() };
        let transports = snapshot.listeners().iter().map(|listener| listener.transport);
        let sockets = transports.map(|transport| (transport, socket(transport).unwrap_or(0))).collect();
        let (connections, dialed) = (Connections::default(), Dialed::default());
        let (names, buffers) = (ahash::RandomState::new(), Buffers::default());
        Delivery { connections, dialed, policy, limits, post, number, sockets, cells, names, buffers }
    }

    /// Whether a connection that a peer has opened is kept beside the others, and the place that it takes of its network's. One
    /// that is refused is counted.
    pub(super) fn admit(&self, side: Side, source: IpAddr, others: Held) -> Result<Option<Admission>, Refused> {
        let admitted = self.limits.admit(side, source, others);
        admitted.inspect_err(|refused| self.cells.connection_refused(*refused))
    }

    /// Whether a connection may go through the handshakes that it has before it, as far as its network's others leave room. A
    /// backend's always may.
    pub(super) fn begin_handshake(&mut self, id: ConnectionId) -> bool {
        let waits = |connection: &&mut Connection| {
            let is_begun = !connection.is_established && !connection.session.awaits_origin();
            is_begun && connection.side == Side::Client
        };
        let Some(connection) = self.connections.get_mut(id).filter(waits) else { return true };
        connection.handshake = self.limits.admit_handshake(connection.peer.ip());
        connection.handshake.is_some()
    }

    /// How many connections there are of those that others must leave room to.
    pub(super) fn held(&self, snapshot: &Snapshot) -> Held {
        Held { clients: self.connections.clients(), stream_backends: snapshot.stream_backends() }
    }

    /// The transport of a listener.
    pub(super) fn transport(&self, listener: ListenerIndex) -> Transport {
        self.sockets.get(listener.get()).map_or(Transport::Udp, |(transport, _)| *transport)
    }

    /// The listener whose socket is the engine's at that place among those of its kind.
    pub(super) fn listener(&self, is_stream: bool, place: usize) -> ListenerIndex {
        let is_it = |(transport, at): &(Transport, usize)| transport.is_stream() == is_stream && *at == place;
        ListenerIndex(self.sockets.iter().position(is_it).unwrap_or(0) as u8)
    }

    /// The shard's number.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The name of a connection of this shard.
    pub(super) fn name(&self, connection: ConnectionId) -> ConnectionRef {
        self.post.name(self.number, connection)
    }

    /// Notes that a message has come by a connection of this shard.
    pub(super) fn came(&mut self, kind: MessageKind, connection: ConnectionRef) {
        let is_answered = matches!(kind, MessageKind::Request(method) if method != Method::Ack);
        if let Some((_, id)) = self.post.find(connection).filter(|_| is_answered)
            && let Some(connection) = self.connections.get_mut(id)
        {
            connection.unanswered = connection.unanswered.saturating_add(1);
        }
    }

    /// Sends something, now or when its connection is open.
    pub(super) fn send(
        &mut self,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        match self.sockets.get(shipment.hop.listener.get()) {
            Some((Transport::Udp, socket)) => {
                send_datagram(*socket, shipment, &mut out.datagrams)?;
                self.count_request(shipment);
                Ok(())
            }
            Some(_) => match shipment.hop.connection {
                Some(name) => self.send_by_name(name, snapshot, shipment, now_us, out),
                None => self.send_to(shipment.hop.to, snapshot, shipment, now_us, out),
            },
            None => Err(Undelivered::Gone),
        }
    }

    /// Sends what another shard posted.
    pub(super) fn send_here(
        &mut self,
        connection: ConnectionId,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        match self.send_on(connection, shipment, now_us, out) {
            Err(Undelivered::Gone) => self.send_instead(snapshot, shipment, now_us, out),
            sent => sent,
        }
    }

    fn send_by_name(
        &mut self,
        name: ConnectionRef,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        match self.post.find(name) {
            Some((shard, connection)) if shard == self.number => {
                self.send_here(connection, snapshot, shipment, now_us, out)
            }
            Some((shard, connection)) => self.post(shard, connection, shipment),
            None => self.send_instead(snapshot, shipment, now_us, out),
        }
    }

    /// Sends what was for a connection that is gone.
    fn send_instead(
        &mut self,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        match shipment.hop.reconnect {
            Some(address) => self.send_to(address, snapshot, shipment, now_us, out),
            None if shipment.hop.awaits_name => Err(Undelivered::AwaitsName),
            None => Err(Undelivered::Gone),
        }
    }

    fn post(&self, shard: usize, connection: ConnectionId, shipment: &Shipment<'_>) -> Result<(), Undelivered> {
        let mut bytes = self.post.buffer();
        if !shipment.content.write_to(&mut bytes) {
            return Err(Undelivered::NoRoom(Dropped::TooLong));
        }
        let Shipment { hop, tag, host, .. } = *shipment;
        let host = host.filter(|_| hop.reconnect.is_some()).map(Box::from);
        let parcel = Parcel { connection, hop, tag, host, bytes };
        if !self.post.post(shard, parcel) {
            return Err(Undelivered::NoRoom(Dropped::MailboxFull));
        }
        self.cells.handed_over();
        Ok(())
    }

    /// Takes the next parcel that another shard posted.
    pub(super) fn take_parcel(&self) -> Option<Parcel> {
        self.post.take(self.number)
    }

    /// Has this shard look for parcels again, where some are left.
    pub(super) fn remind(&self) {
        self.post.remind(self.number);
    }

    /// Sends on a connection of this shard. A client that reads too slowly loses it; to a backend that is slow for a
    /// moment others' calls are under way.
    fn send_on(
        &mut self,
        id: ConnectionId,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        let is_request = shipment.tag.is_request();
        let connection = self.connections.get_mut(id).filter(|connection| connection.takes(is_request));
        let connection = connection.ok_or(Undelivered::Gone)?;
        let (side, is_plain) = (connection.side, connection.session.is_plain());
        let bytes_max = shipment.content.bytes_max();
        let wire_bytes_max = if is_plain { bytes_max } else { session::wire_bytes_max(bytes_max) };
        if !self.limits.may_queue(side, out.streams.queued_bytes_of_all(), wire_bytes_max) {
            return Err(Undelivered::NoRoom(Dropped::QueuesFull));
        }
        match is_plain {
            true => self.send_plain(id, shipment, now_us, out)?,
            false => self.send_wrapped(id, shipment, now_us, out)?,
        }
        self.count_request(shipment);
        if shipment.tag.is_final_response() {
            self.connections.answered(id, now_us, &mut out.streams);
        }
        Ok(())
    }

    fn send_plain(
        &mut self,
        id: ConnectionId,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        let refused = match out.streams.reserve(id, shipment.content.bytes_max()) {
            Ok(mut slot) => {
                let written = shipment.content.write(slot.buffer());
                let len = written.ok_or(Undelivered::NoRoom(Dropped::TooLong))?;
                slot.send(len, Some(shipment.tag.value()));
                return Ok(());
            }
            Err(refused) => refused,
        };
        Err(self.not_queued(id, refused, now_us, out))
    }

    fn not_queued(&mut self, id: ConnectionId, refused: NotQueued, now_us: u64, out: &mut Output) -> Undelivered {
        if refused != NotQueued::QueueFull {
            return Undelivered::Gone;
        }
        if self.connections.get_mut(id).is_some_and(|connection| connection.side == Side::Client) {
            self.connections.abort(id, Ended::QueueFull, now_us, &mut out.streams);
        }
        Undelivered::NoRoom(Dropped::QueueFull)
    }

    /// Counts a request to a backend, now that it is on its way.
    fn count_request(&self, shipment: &Shipment<'_>) {
        let Some(backend) = shipment.backend else { return };
        self.cells.backend_request(backend);
        if shipment.tag.awaits_response() {
            self.cells.backend_asked(backend);
        }
    }

    /// Sends by any connection to that address, which is opened if need be.
    fn send_to(
        &mut self,
        to: SocketAddr,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        let Some(route) = self.route(to, snapshot, shipment) else { return Err(Undelivered::Gone) };
        match self.dialed.find(route, now_us) {
            Found::Open(connection) => match self.send_on(connection, shipment, now_us, out) {
                // It is about to end, and its end will be told; what comes meanwhile opens another.
                Err(Undelivered::Gone) => self.open(route, snapshot, shipment, now_us, out)?,
                sent => return sent,
            },
            Found::Opening => {}
            Found::Resting => return Err(Undelivered::NoConnection),
            Found::Nothing => self.open(route, snapshot, shipment, now_us, out)?,
        }
        self.wait(route, shipment)
    }

    /// Where a connection leads, and to whom. `None` where none can be opened: WebSocket has no servers but us.
    fn route(&self, to: SocketAddr, snapshot: &Snapshot, shipment: &Shipment<'_>) -> Option<Route> {
        let Shipment { hop, lane, .. } = shipment;
        let whom = match self.transport(hop.listener) {
            Transport::Tls => self.names.hash_one(Whom::of(to, snapshot, shipment)),
            transport if transport.is_web_socket() => return None,
            _ => 0,
        };
        Some(Route { to, listener: hop.listener, lane: *lane, whom })
    }

    fn open(
        &mut self,
        route: Route,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        let listener = shipment.hop.listener;
        let bound = snapshot.listeners().get(listener.get()).map(|listener| listener.address.ip());
        let from = bound.filter(|ip| !ip.is_unspecified());
        let side = snapshot.side_of(route.to);
        if !self.dialed.has_room(now_us) {
            return Err(Undelivered::NoConnection);
        }
        // Counted as one of its network's too: the port is the client's to choose, and each would be another connection.
        let admission = self.admit(side, route.to.ip(), self.held(snapshot)).map_err(|_| Undelivered::NoConnection)?;
        let (session, hello) = self.greet(&route, snapshot, shipment)?;
        let id = out.streams.connect(route.to, from).map_err(|_| Undelivered::NoConnection)?;
        self.dialed.opening(route, id, side);
        let begun_us = session.is_mid_message().then_some(now_us);
        self.connections.insert(Connection {
            id,
            side,
            listener,
            peer: route.to,
            local: None,
            route: Some(route),
            session,
            is_established: false,
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
        self.queue(id, &hello, now_us, out);
        Ok(())
    }

    fn wait(&mut self, route: Route, shipment: &Shipment<'_>) -> Result<(), Undelivered> {
        let mut bytes = Vec::new();
        if !shipment.content.write_to(&mut bytes) {
            return Err(Undelivered::NoRoom(Dropped::TooLong));
        }
        self.dialed
            .wait(route, Waiting { bytes, tag: shipment.tag, backend: shipment.backend })
            .map_err(|_| Undelivered::NoConnection)
    }
}

fn send_datagram(socket: usize, shipment: &Shipment<'_>, outbox: &mut Outbox) -> Result<(), Undelivered> {
    let mut slot = outbox.reserve().ok_or(Undelivered::NoRoom(Dropped::NoSendSlot))?;
    let written = shipment.content.write(slot.buffer());
    let len = written.ok_or(Undelivered::NoRoom(Dropped::TooLong))?;
    let NextHop { to, from, .. } = shipment.hop;
    slot.send(len, Transmit { socket, to, from, tag: shipment.tag.value() });
    Ok(())
}
