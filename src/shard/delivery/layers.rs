//! How a connection's layers begin, and how what is sent passes them.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use crate::frame::tls::PeerName;
use crate::frame::websocket::WebSocket;
use crate::io::{ConnectionId, NotQueued, Output};
use crate::metrics::cells::Dropped;
use crate::metrics::connections::Ended;
use crate::proxy::inbound::{ListenerIndex, Side};
use crate::proxy::snapshot::Snapshot;
use crate::sip::Transport;

use super::{Delivery, Shipment, Undelivered};
use crate::shard::dialed::Route;
use crate::shard::session::{self, Session};

/// Where what layers make of a message is written, before its length is known.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    message: Vec<u8>,
    frame: BytesMut,
    wire: BytesMut,
}

impl Delivery {
    /// The codecs of a connection that a peer of that side opened, or why it is refused. Clients' handshakes do not keep backends
    /// out.
    pub(in crate::shard) fn welcome(
        &self,
        listener: ListenerIndex,
        side: Side,
        has_origin: bool,
    ) -> Result<Session, Ended> {
        let (transport, policy) = (self.transport(listener), &self.policy);
        if !has_origin && transport == Transport::Tcp {
            return Ok(Session::default());
        }
        if side == Side::Client && !self.connections.has_room_to_handshake(policy) {
            return Err(Ended::HandshakesFull);
        }
        let accept = || policy.tls.load().accept(policy.listener(listener).clients).and_then(Result::ok);
        let tls = if transport.is_secure() { Some(accept().ok_or(Ended::Tls)?) } else { None };
        let socket = transport.is_web_socket().then(|| WebSocket::new(policy.origins.clone()));
        Ok(Session::new(has_origin, tls, socket))
    }

    /// The codecs of a connection that we open, and what they say first.
    pub(super) fn greet(
        &self,
        route: &Route,
        snapshot: &Snapshot,
        shipment: &Shipment<'_>,
    ) -> Result<(Session, BytesMut), Undelivered> {
        let mut hello = BytesMut::new();
        if self.transport(route.listener) != Transport::Tls {
            return Ok((Session::default(), hello));
        }
        let name = Whom::of(route.to, snapshot, shipment).name();
        let tls = name.and_then(|name| self.policy.tls.load().connect(&name, &mut hello));
        match tls {
            Some(Ok(tls)) => Ok((Session::new(false, Some(tls), None), hello)),
            Some(Err(_)) | None => Err(Undelivered::NoConnection),
        }
    }

    /// The same through layers. Room is made sure of first: what TLS has sealed must go, or nothing after it can be read.
    pub(super) fn send_wrapped(
        &mut self,
        id: ConnectionId,
        shipment: &Shipment<'_>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        self.buffers.message.clear();
        if !shipment.content.write_to(&mut self.buffers.message) {
            return Err(Undelivered::NoRoom(Dropped::TooLong));
        }
        let tag = Some(shipment.tag.value());
        self.wrap_and_queue(id, tag, now_us, out)
    }

    /// Queues a few words of our own that are no message: a pong. `false` where there is no room, or nobody.
    pub(in crate::shard) fn say(&mut self, id: ConnectionId, words: &[u8], now_us: u64, out: &mut Output) -> bool {
        let Some(side) = self.connections.get_mut(id).map(|connection| connection.side) else { return false };
        if !self.limits.may_queue(side, out.streams.queued_bytes_of_all(), words.len()) {
            return false;
        }
        self.buffers.message.clear();
        self.buffers.message.extend_from_slice(words);
        self.wrap_and_queue(id, None, now_us, out).is_ok()
    }

    /// Queues what the layers themselves have to say. A peer that takes not even that is not waited for.
    pub(in crate::shard) fn queue(&mut self, id: ConnectionId, wire: &[u8], now_us: u64, out: &mut Output) {
        if wire.is_empty() {
            return;
        }
        let side = self.connections.get_mut(id).map_or(Side::Client, |connection| connection.side);
        if !self.limits.may_queue(side, out.streams.queued_bytes_of_all(), wire.len()) {
            return self.connections.abort(id, Ended::QueueFull, now_us, &mut out.streams);
        }
        let refused = match out.streams.reserve(id, wire.len()) {
            Ok(mut slot) => {
                slot.buffer().copy_from_slice(wire);
                return slot.send(wire.len(), None);
            }
            Err(refused) => refused,
        };
        if refused == NotQueued::QueueFull {
            self.connections.abort(id, Ended::QueueFull, now_us, &mut out.streams);
        }
    }

    fn wrap_and_queue(
        &mut self,
        id: ConnectionId,
        tag: Option<u16>,
        now_us: u64,
        out: &mut Output,
    ) -> Result<(), Undelivered> {
        let Delivery { connections, buffers, .. } = self;
        let Some(connection) = connections.get_mut(id) else { return Err(Undelivered::Gone) };
        let refused = match out.streams.reserve(id, session::wire_bytes_max(buffers.message.len())) {
            Ok(mut slot) => {
                if let Some(len) = buffers.wrap_into(&mut connection.session, slot.buffer()) {
                    slot.send(len, tag);
                    return Ok(());
                }
                None
            }
            Err(refused) => Some(refused),
        };
        let Some(refused) = refused else {
            // Keys are used up.
            connections.close(id, Ended::Tls, now_us, &mut out.streams);
            return Err(Undelivered::Gone);
        };
        Err(self.not_queued(id, refused, now_us, out))
    }
}

impl Buffers {
    /// Writes the message as it goes over the wire; `None` where it cannot go.
    fn wrap_into(&mut self, session: &mut Session, out: &mut [u8]) -> Option<usize> {
        let Buffers { message, frame, wire } = self;
        wire.clear();
        if !session.wrap(message, frame, wire) {
            return None;
        }
        out.get_mut(..wire.len())?.copy_from_slice(wire);
        Some(wire.len())
    }
}

/// Who a TLS peer must prove to be (RFC 5922 §7.3): the host that was meant, not the address that it led to.
#[derive(Hash)]
pub(super) enum Whom<'a> {
    Host(&'a [u8]),
    Address(IpAddr),
}

impl<'a> Whom<'a> {
    pub(super) fn of(to: SocketAddr, snapshot: &'a Snapshot, shipment: &Shipment<'a>) -> Self {
        let pool = snapshot.pool();
        let member = pool.by_address(to).and_then(|index| pool.get(index)).map(|backend| backend.host.as_bytes());
        member.or(shipment.host).map_or(Whom::Address(to.ip()), Whom::Host)
    }

    fn name(&self) -> Option<PeerName> {
        match self {
            Whom::Host(host) => PeerName::new(std::str::from_utf8(host).ok()?.trim_matches(['[', ']'])),
            Whom::Address(ip) => PeerName::new(&ip.to_string()),
        }
    }
}
