//! How what a connection brings becomes messages: through its layers, the outermost first, and cut where messages end.

use std::mem;

use bytes::BytesMut;

use crate::frame::keepalive::{self, Keepalive};
use crate::frame::proxy_protocol::Origin;
use crate::frame::spare::{SpareBuffers, SpareLimits};
use crate::frame::stream::{Fault, Frame, FramingError};
use crate::io::{ConnectionId, Output};
use crate::metrics::cells::Dropped;
use crate::metrics::connections::Ended;
use crate::metrics::layers::{Handshake, Head};
use crate::metrics::problems::Problem;
use crate::proxy::inbound::{Inbound, Side};
use crate::proxy::verdict::{AbsorbReason, MessageKind};
use crate::proxy::{self, View};
use crate::sip::reply::Status;

use super::Worker;
use crate::shard::connections::Connection;
use crate::shard::delivery::Delivery;
use crate::shard::problems::About;
use crate::shard::session::Session;

impl Worker {
    /// Takes what came on a connection.
    pub(super) fn take(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) {
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        connection.heard_us = now_us;
        let was_established = connection.is_established;
        let has_found = match connection.session.is_plain() {
            true => self.stream(id, bytes, out),
            false => self.layers(id, bytes, out),
        };
        if let Some(connection) = self.delivery.connections.get_mut(id) {
            // One layer's handshake does not give the next one's more time.
            connection.note_progress(has_found && (was_established || connection.is_established), now_us);
        }
        if self.delivery.connections.keep_too_much() && self.keeps_a_part(id) {
            self.delivery.connections.abort(id, Ended::NoBuffer, now_us, &mut out.streams);
        }
    }

    /// Whether a client's connection is one of those that keep something incomplete: to end others would free nothing.
    fn keeps_a_part(&mut self, id: ConnectionId) -> bool {
        let connection = self.delivery.connections.get_mut(id);
        connection.is_some_and(|connection| connection.kept_bytes > 0 && connection.side == Side::Client)
    }

    /// Takes what came on a connection that has layers. Whether anything has become complete by it.
    fn layers(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) -> bool {
        let Some(connection) = self.delivery.connections.get_mut(id) else { return false };
        if connection.has_failed() {
            return false;
        }
        match &connection.session {
            session if session.awaits_origin() => self.origin(id, bytes, out),
            session if session.has_tls() => self.ciphertext(id, bytes, out),
            _ => self.plaintext(id, bytes, out),
        }
    }

    /// Takes the head of the PROXY protocol: from here on the connection is the client's that it names.
    fn origin(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) -> bool {
        let now_us = self.now_us();
        let Worker { snapshot, delivery, .. } = self;
        let step = |connection: &mut Connection| {
            let taken = connection.session.take_origin(bytes)?;
            if let Some((Origin::Proxied { source, .. }, _)) = &taken
                && snapshot.side_of(*source) == Side::Backend
            {
                // Backends come by themselves: whoever is named as one would be trusted as one.
                return Err(());
            }
            if let Some((Origin::Proxied { source, destination }, _)) = &taken {
                (connection.peer, connection.local) = (*source, Some(destination.ip()));
                connection.side = snapshot.side_of(*source);
            }
            Ok(taken)
        };
        match delivery.connections.advance(id, step) {
            Some((Ok(Some((origin, rest))), _)) => {
                let is_proxied = matches!(origin, Origin::Proxied { .. });
                self.cells.proxy_protocol_head(if is_proxied { Head::Proxied } else { Head::Sender });
                if !self.admit_origin(id) {
                    out.streams.abort(id);
                    return false;
                }
                self.count_opened(id);
                if !self.delivery.begin_handshake(id) {
                    self.delivery.connections.abort(id, Ended::HandshakesFull, now_us, &mut out.streams);
                    return false;
                }
                if !rest.is_empty() {
                    self.take(id, &rest, out);
                }
                true
            }
            Some((Err(()), _)) => {
                self.cells.proxy_protocol_head(Head::Malformed);
                self.delivery.connections.close(id, Ended::ProxyProtocol, now_us, &mut out.streams);
                false
            }
            Some((Ok(None), _)) | None => false,
        }
    }

    /// Whether the client whom a head of the PROXY protocol named may have its connection; one that may not is forgotten.
    fn admit_origin(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.delivery.connections.get_mut(id) else { return false };
        let (side, source) = (connection.side, connection.peer.ip());
        let mut others = self.delivery.held(&self.snapshot);
        others.clients -= usize::from(side == Side::Client);
        let admitted = self.delivery.admit(side, source, others);
        match (admitted, self.delivery.connections.get_mut(id)) {
            (Ok(admission), Some(connection)) => connection._admission = admission,
            (Ok(_), None) => {}
            (Err(why), gone) => {
                let about = gone.map_or(About::default(), |gone| About::default().from(gone.peer));
                self.report(Problem::ConnectionRefused(why), about);
                self.delivery.connections.remove(id);
            }
        }
        self.delivery.connections.get_mut(id).is_some()
    }

    /// Takes records of TLS. What the peer must be told goes first: answers to what it says come after the handshake.
    fn ciphertext(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) -> bool {
        let now_us = self.now_us();
        let (mut plaintext, mut wire) = (mem::take(&mut self.plaintext), mem::take(&mut self.wire));
        plaintext.clear();
        wire.clear();
        let was_open = self.delivery.connections.get_mut(id).is_some_and(|gone| gone.session.has_open_tls());
        let advance = |connection: &mut Connection| connection.session.open(bytes, &mut plaintext, &mut wire);
        let advanced = self.delivery.connections.advance(id, advance);
        self.delivery.queue(id, &wire, now_us, out);
        self.wire = wire;
        let Some((outcome, is_established)) = advanced else { return false };
        let mut has_found = false;
        match outcome {
            Ok(progress) => {
                if progress.is_established {
                    self.count_handshake(id, None);
                    has_found = true;
                }
                if is_established {
                    self.established(id, out);
                }
                if !plaintext.is_empty() {
                    has_found |= self.plaintext(id, &plaintext, out);
                }
                if progress.has_peer_closed {
                    self.finished(id, out);
                }
            }
            Err(error) => {
                if !was_open {
                    let is_open = self.delivery.connections.get_mut(id).is_some_and(|gone| gone.session.has_open_tls());
                    self.count_handshake(id, (!is_open).then_some(Handshake::Failed(error.reason())));
                }
                if let Some(connection) = self.delivery.connections.get_mut(id) {
                    let (peer, listener, direction) = (connection.peer, connection.listener, connection.direction());
                    let about = About::default().from(peer).over(self.delivery.transport(listener));
                    self.report(Problem::Tls(direction, error.reason()), about);
                }
                self.delivery.connections.close(id, Ended::Tls, now_us, &mut out.streams);
            }
        }
        self.plaintext = plaintext;
        has_found
    }

    /// Takes that nothing more will come, as a layer or the stream itself tells.
    pub(super) fn finished(&mut self, id: ConnectionId, out: &mut Output) {
        let now_us = self.now_us();
        let Delivery { connections, policy, .. } = &mut self.delivery;
        connections.peer_finished(id, now_us, policy, &mut out.streams);
    }

    /// Takes what is not encrypted, or no longer.
    fn plaintext(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) -> bool {
        let Some(connection) = self.delivery.connections.get_mut(id) else { return false };
        match connection.session.has_socket() {
            true => self.frames(id, bytes, out),
            false => self.stream(id, bytes, out),
        }
    }

    /// Takes frames of WebSocket. The client is answered before its messages are: the first comes behind its handshake.
    fn frames(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) -> bool {
        let now_us = self.now_us();
        let (mut said, mut wire) = (mem::take(&mut self.said), mem::take(&mut self.wire));
        wire.clear();
        let mut sealed = BytesMut::new();
        let step = |connection: &mut Connection| {
            let outcome = connection.session.unframe(bytes, &mut said, &mut wire);
            connection.session.seal(&wire, &mut sealed);
            connection.is_kept_alive |= said.has_pinged;
            outcome
        };
        let advanced = self.delivery.connections.advance(id, step);
        self.wire = wire;
        self.delivery.queue(id, &sealed, now_us, out);
        let has_found = said.has_opened || said.messages().next().is_some();
        for message in said.messages() {
            self.framed(id, message, out);
        }
        match advanced {
            Some((Err(refusal), _)) => {
                self.cells.web_socket_refused(refusal);
                if let Some(connection) = self.delivery.connections.get_mut(id) {
                    let (peer, listener) = (connection.peer, connection.listener);
                    let about = About::default().from(peer).over(self.delivery.transport(listener));
                    self.report(Problem::WebSocket(refusal), about);
                }
                self.delivery.connections.close(id, Ended::WebSocket, now_us, &mut out.streams);
            }
            Some((Ok(()), _)) if said.has_closed => self.finished(id, out),
            _ => {}
        }
        self.said = said;
        has_found
    }

    /// Takes a message that came in frames of its own (RFC 7118 §5).
    fn framed(&mut self, id: ConnectionId, message: &[u8], out: &mut Output) {
        if message.is_empty() {
            return;
        }
        if let Some(keepalive) = keepalive::of_packet(message) {
            return self.keepalive(id, keepalive, out);
        }
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        let Connection { peer, listener, local, .. } = *connection;
        let name = Some(self.delivery.name(id));
        let inbound = Inbound { bytes: message, peer, listener, local, connection: name, relay: None, now_us };
        self.message(&inbound, self.delivery.transport(listener), out);
    }

    /// Takes a stream: its messages follow one another (RFC 3261 §18.3). Whether there was one.
    fn stream(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) -> bool {
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return false };
        connection.has_spoken = true;
        let Connection { side, peer, listener, local, .. } = *connection;
        let mut framer = mem::take(&mut connection.session.framer);
        // Taken out while it lends a message, so that everything else may be used for that.
        let empty = SpareBuffers::new(SpareLimits { held_bytes: 0, kept_buffers: 0 });
        let mut spare = mem::replace(&mut self.spare[side.index()], empty);
        let name = Some(self.delivery.name(id));
        let limits = self.delivery.policy.limits;
        let mut input = bytes;
        let mut has_found = false;
        while let Some(frame) = framer.next(&mut input, limits, &mut spare) {
            has_found = true;
            let inbound = |bytes| Inbound { bytes, peer, listener, local, connection: name, relay: None, now_us };
            match frame {
                Ok(Frame::Message(message)) => self.message(&inbound(message), self.delivery.transport(listener), out),
                Ok(Frame::Keepalive(keepalive)) => self.keepalive(id, keepalive, out),
                Err(error) => self.unframed(id, &error, inbound(error.head.unwrap_or_default()), out),
            }
        }
        self.spare[side.index()] = spare;
        match self.delivery.connections.get_mut(id) {
            Some(connection) => connection.session.framer = framer,
            None => framer.close(&mut self.spare[side.index()]),
        }
        has_found
    }

    /// Answers a ping (RFC 5626 §4.4.1).
    fn keepalive(&mut self, id: ConnectionId, keepalive: Keepalive, out: &mut Output) {
        let now_us = self.now_us();
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        connection.is_kept_alive |= keepalive.pings > 0;
        let (side, listener) = (connection.side, connection.listener);
        self.cells.received(side, self.delivery.transport(listener), MessageKind::Unread);
        self.cells.absorbed(AbsorbReason::Keepalive);
        let Some(answer) = keepalive.answer() else { return };
        // Where there is no room for two bytes, the peer does not read and need not be told.
        if self.delivery.say(id, answer, now_us, out) {
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
                Fault::MessageTooLong | Fault::HeadTooLong => Status::MessageTooLarge,
                _ => Status::BadRequest,
            };
            let view = View { snapshot: &self.snapshot, names: self.names.table() };
            let decision = proxy::refuse_unframed(view, &inbound, status, &mut self.scratch);
            self.cells.received(decision.side, transport, decision.kind);
            let went = self.carry_out(&decision, &inbound, out);
            self.copy(&decision, &inbound, went);
        } else {
            self.cells.received(self.snapshot.side_of(inbound.peer), transport, MessageKind::Unread);
            self.drop_message(Dropped::Framing, About::inbound(&inbound).over(transport));
        }
        self.delivery.connections.close(id, Ended::Framing, inbound.now_us, &mut out.streams);
    }

    /// Counts what came of a TLS handshake: `None` where it is complete.
    fn count_handshake(&mut self, id: ConnectionId, failed: Option<Handshake>) {
        let Some(connection) = self.delivery.connections.get_mut(id) else { return };
        let good = if connection.session.is_resumed() { Handshake::Resumed } else { Handshake::Full };
        self.cells.handshake(connection.direction(), failed.unwrap_or(good));
    }
}

/// What came of a handshake that nobody has ended in good order, if that is so.
pub(super) fn abandoned(session: &Session, ended: Ended) -> Option<Handshake> {
    let is_counted = session.has_open_tls() || ended == Ended::Tls;
    (session.has_tls() && !is_counted).then_some(Handshake::Abandoned)
}
