//! What is done with one message: it is decided about, sent, answered or counted.

use std::net::SocketAddr;

use crate::balance::backend::BackendSlot;
use crate::frame::proxy_protocol::{self, Origin, Start};
use crate::frame::stun;
use crate::io::{Output, Transmit};
use crate::metrics::cells::{Dropped, SentTag};
use crate::metrics::layers::Head;
use crate::metrics::problems::Problem;
use crate::proxy::bounce::bounce;
use crate::proxy::inbound::{Inbound, Side};
use crate::proxy::verdict::{Decision, DropReason, MessageKind, NextHop, Verdict};
use crate::proxy::{self, Scratch, View};
use crate::sip::Transport;
use crate::sip::reply::Status;

use super::Worker;
use crate::shard::copies::Went;
use crate::shard::delivery::{Content, Shipment, Undelivered};
use crate::shard::mailbox::Parcel;
use crate::shard::problems::About;

/// Where a message is sent: see [`Shipment`], which has its content too.
struct Way<'a> {
    hop: NextHop,
    tag: SentTag,
    backend: Option<BackendSlot>,
    lane: u8,
    host: Option<&'a [u8]>,
}

impl Worker {
    /// Decides about a message and carries that out.
    pub(in crate::shard) fn message(&mut self, inbound: &Inbound<'_>, transport: Transport, out: &mut Output) {
        // Looked at here, not at the turn's beginning: a turn may have waited for long, and a retransmission that ends the
        // wait must find the name that it was first dropped for.
        let view = View { snapshot: &self.snapshot, names: self.names.table() };
        let decision = proxy::decide(view, inbound, &mut self.scratch);
        self.cells.received(decision.side, transport, decision.kind);
        self.note_response(&decision, inbound);
        if let Some(token) = decision.rejected {
            self.cells.rejected(token);
            self.report(Problem::Token(token), About::inbound(inbound).over(transport));
        }
        if let Some(request) = decision.turned_away {
            self.cells.turned_away(request);
        }
        if let Some(sample) = &decision.sample {
            self.cells.backend_latency(sample);
        }
        self.ask(&decision, inbound);
        if let Some(connection) = inbound.connection {
            self.delivery.came(decision.kind, connection);
        }
        let went = self.carry_out(&decision, inbound, out);
        if self.copier.is_on() {
            self.copy(&decision, inbound, went);
        }
        self.send_second(&decision, inbound, out);
    }

    /// Does what was decided; what became of the draft.
    pub(super) fn carry_out(&mut self, decision: &Decision, inbound: &Inbound<'_>, out: &mut Output) -> Went {
        match decision.verdict {
            Verdict::Forward { hop, to, backend } => {
                let tag = SentTag::forwarded(to, self.delivery.transport(hop.listener), decision.kind);
                let lane = if backend.is_some() { self.lane(inbound.bytes) } else { 0 };
                let host = decision.named.map(|wanted| wanted.host.of(inbound.bytes));
                let backend = backend.map(|backend| self.snapshot.slot(backend));
                self.send(decision, inbound, Way { hop, tag, backend, lane, host }, out)
            }
            Verdict::Answer { hop, status, fault } => {
                if let Some(fault) = fault {
                    self.cells.fault(fault);
                }
                if let Some(backend) = decision.shed {
                    self.cells.backend_shed(self.snapshot.slot(backend));
                }
                let transport = self.delivery.transport(hop.listener);
                if status != Status::Ok {
                    self.report_answer(Problem::Answered(status, fault), About::inbound(inbound).over(transport));
                }
                let tag = SentTag::answered(decision.side, transport, status);
                self.send(decision, inbound, Way { hop, tag, backend: None, lane: 0, host: None }, out)
            }
            Verdict::Absorb(reason) => {
                self.cells.absorbed(reason);
                Went::Nowhere
            }
            Verdict::Drop(reason) => {
                if let DropReason::Malformed(fault) = reason {
                    self.cells.fault(fault);
                }
                self.drop_message(
                    Dropped::Decided(reason),
                    About::inbound(inbound).over(self.delivery.transport(inbound.listener)),
                );
                Went::Nowhere
            }
        }
    }

    /// Has the name that the message goes by resolved, or kept as one in use.
    fn ask(&mut self, decision: &Decision, inbound: &Inbound<'_>) {
        let Some(name) = decision.named.and_then(|wanted| wanted.name(inbound.bytes)) else { return };
        // Over a stream the request is answered, since nobody sends it again.
        let is_answered = matches!(decision.verdict, Verdict::Answer { status: Status::ServiceUnavailable, .. });
        let is_unknown = match decision.verdict {
            Verdict::Forward { hop, .. } => hop.awaits_name,
            verdict => is_answered || verdict == Verdict::Drop(DropReason::NameBeingResolved),
        };
        if !self.asker.ask(name, is_unknown) {
            self.cells.name_not_asked();
        }
    }

    /// Sends the draft. Where it cannot be sent it is answered, or counted as dropped.
    fn send(&mut self, decision: &Decision, inbound: &Inbound<'_>, way: Way<'_>, out: &mut Output) -> Went {
        let Way { hop, tag, backend, lane, host } = way;
        if hop.connection.is_some_and(|name| self.hand_on(name, inbound)) {
            // It is copied where it is decided about.
            return Went::Settled;
        }
        let content = Content::Draft(&self.scratch.draft, inbound.bytes);
        let shipment = Shipment { content, hop, tag, backend, lane, host };
        let sent = self.delivery.send(&self.snapshot, &shipment, inbound.now_us, out);
        let Err(undelivered) = sent else { return Went::Off };
        // Before what is said of it, and what was read of it is written over.
        self.copy(decision, inbound, Went::Nowhere);
        if let (Undelivered::NoRoom(dropped), None) = (undelivered, inbound.connection) {
            // Whoever sent it by a datagram sends it again.
            self.drop_message(dropped, About::inbound(inbound).to(Some(hop.to)).over(Transport::Udp));
            return Went::Settled;
        }
        let mut buffer = std::mem::take(&mut self.undelivered);
        let len = content_len(&self.scratch, inbound, &mut buffer);
        self.not_sent(&buffer[..len], Some(hop.to), undelivered, out);
        self.undelivered = buffer;
        Went::Settled
    }

    /// Which of several connections to a backend a call keeps to, so that its messages stay in order.
    pub(in crate::shard) fn lane(&self, message: &[u8]) -> u8 {
        match u64::from(self.delivery.policy.per_backend) {
            0 | 1 => 0,
            lanes => (self.lanes.hash_one(self.scratch.call_id(message)) % lanes) as u8,
        }
    }

    /// Answers a request that could not be delivered, or counts what it was as dropped.
    pub(in crate::shard) fn not_sent(
        &mut self,
        forwarded: &[u8],
        to: Option<SocketAddr>,
        undelivered: Undelivered,
        out: &mut Output,
    ) {
        let about = About::message(forwarded).to(to);
        let (status, dropped) = match undelivered {
            Undelivered::AwaitsName => {
                return self.drop_message(Dropped::Decided(DropReason::NameBeingResolved), about);
            }
            Undelivered::NoRoom(Dropped::TooLong) => (Status::MessageTooLarge, Dropped::TooLong),
            Undelivered::NoRoom(dropped) => (Status::ServiceUnavailable, dropped),
            Undelivered::Gone => (Status::FlowFailed, Dropped::ConnectionGone),
            Undelivered::NoConnection => (Status::ServiceUnavailable, Dropped::NoConnection),
        };
        let now_us = self.now_us();
        let view = View { snapshot: &self.snapshot, names: self.names.table() };
        let answer = bounce(view, forwarded, status, &mut self.scratch);
        let Some(Decision { side, verdict: Verdict::Answer { hop, status, .. }, .. }) = answer else {
            return self.drop_message(dropped, about);
        };
        let about =
            About { peer: Some(hop.to), cause: Some(dropped), ..about }.over(self.delivery.transport(hop.listener));
        self.report_answer(Problem::Answered(status, None), about);
        let tag = SentTag::answered(side, self.delivery.transport(hop.listener), status);
        let content = Content::Draft(&self.scratch.draft, forwarded);
        let shipment = Shipment { content, hop, tag, backend: None, lane: 0, host: None };
        match self.delivery.send(&self.snapshot, &shipment, now_us, out) {
            Ok(()) => self.copy_own(hop, forwarded),
            Err(Undelivered::NoRoom(dropped)) => self.drop_message(dropped, about),
            // Nobody is left to tell.
            Err(_) => self.drop_message(dropped, about),
        }
    }

    pub(in crate::shard) fn send_parcel(&mut self, parcel: Parcel, out: &mut Output) {
        let now_us = self.now_us();
        let Parcel { connection, hop, tag, host, bytes } = parcel;
        let (content, host) = (Content::Bytes(&bytes), host.as_deref());
        let shipment = Shipment { content, hop, tag, backend: None, lane: 0, host };
        if let Err(undelivered) = self.delivery.send_here(connection, &self.snapshot, &shipment, now_us, out) {
            self.not_sent(&bytes, Some(hop.to), undelivered, out);
        }
        self.delivery.post.give_back(bytes);
    }

    /// Answers a STUN binding request (RFC 5626 §4.4.2). `false` where it is none.
    pub(super) fn answer_stun(&mut self, inbound: &Inbound<'_>, socket: usize, out: &mut Output) -> bool {
        let side = self.snapshot.side_of(inbound.peer);
        let Some(mut slot) = out.datagrams.reserve() else {
            self.cells.received(side, Transport::Udp, MessageKind::Unread);
            self.drop_message(Dropped::NoSendSlot, About::default().from(inbound.peer).over(Transport::Udp));
            return true;
        };
        let Some(len) = stun::answer(inbound.bytes, inbound.peer, slot.buffer()) else { return false };
        let listener = self.snapshot.listeners().get(inbound.listener.get());
        let from = inbound.local.filter(|_| listener.is_some_and(|listener| listener.is_wildcard()));
        let (to, tag) = (inbound.relay.unwrap_or(inbound.peer), SentTag::STUN.value());
        slot.send(len, Transmit { socket, to, from, tag });
        self.cells.received(side, Transport::Udp, MessageKind::Unread);
        true
    }

    /// What a load balancer handed on as a datagram, from whom its head says (PROXY protocol, version 2). `None` where it has
    /// no such head, which is counted.
    pub(super) fn proxied<'a>(&mut self, inbound: Inbound<'a>) -> Option<Inbound<'a>> {
        match proxy_protocol::of_datagram(inbound.bytes) {
            Start::Head(len, origin) => {
                let (bytes, relay) = (&inbound.bytes[len..], Some(inbound.peer));
                let Origin::Proxied { source: peer, .. } = origin else {
                    self.cells.proxy_protocol_head(Head::Sender);
                    return Some(Inbound { bytes, ..inbound });
                };
                if self.snapshot.side_of(peer) == Side::Backend {
                    // Backends come by themselves: whoever is named as one would be trusted as one.
                    return self.no_origin(&inbound);
                }
                self.cells.proxy_protocol_head(Head::Proxied);
                Some(Inbound { bytes, peer, relay, ..inbound })
            }
            Start::Partial | Start::Malformed => self.no_origin(&inbound),
        }
    }

    fn no_origin(&mut self, inbound: &Inbound<'_>) -> Option<Inbound<'static>> {
        self.cells.proxy_protocol_head(Head::Malformed);
        self.cells.received(self.snapshot.side_of(inbound.peer), Transport::Udp, MessageKind::Unread);
        self.drop_message(Dropped::NoOrigin, About::inbound(inbound).over(Transport::Udp));
        None
    }
}

/// Writes the draft out; its length, 0 where it is too long.
fn content_len(scratch: &Scratch, inbound: &Inbound<'_>, buffer: &mut [u8]) -> usize {
    Content::Draft(&scratch.draft, inbound.bytes).write(buffer).unwrap_or(0)
}
