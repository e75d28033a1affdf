//! What is done with a request: §16.3 to §16.6 as §16.11 leaves them for a stateless proxy.

use std::net::IpAddr;

use crate::balance::backend::BackendIndex;
use crate::sip::draft::{Draft, DraftFull};
use crate::sip::header::{HeaderName, parse_tag};
use crate::sip::reply::{Reply, Status};
use crate::sip::scan::Head;
use crate::sip::start_line::{Method, RequestLineFault};
use crate::sip::uri::Uri;
use crate::sip::via::Via;
use crate::sip::{Span, Transport};

use super::drain::{self, DrainOptions, TurnedAway};
use super::inbound::{Inbound, Side};
use super::keys::SigningKeys;
use super::names::Names;
use super::response::top_via;
use super::routing::Routing;
use super::snapshot::Snapshot;
use super::target::{self, Stopped, Target};
use super::trace::Reason;
use super::validate::{self, Refusal, Valid};
use super::verdict::{AbsorbReason, Decision, DropReason, Fault, MessageKind, NextHop, Verdict};
use super::{View, branch, congestion, hash_key, rewrite, shedding};

/// What an OPTIONS for Viaduct itself is told (§11.2): it passes every method and every body on.
const OPTIONS_HEADERS: &str = "Accept: */*\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, SUBSCRIBE, NOTIFY, \
                               PUBLISH, INFO, REFER, MESSAGE, UPDATE\r\nSupported: path, outbound\r\n";

/// A request, where it came from, and what is known.
pub(super) struct Request<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) names: &'a Names,
    pub(super) inbound: &'a Inbound<'a>,
    pub(super) side: Side,
    pub(super) head: &'a Head,
    pub(super) via: &'a Via,
    /// The host of that Via's sent-by, where it is an address.
    pub(super) sent_by: Option<IpAddr>,
    pub(super) method: Method,
    /// The Request-URI.
    pub(super) uri: Span,
    /// The same taken apart, where it can be read.
    pub(super) parsed_uri: Option<&'a Uri>,
    /// The backend that it goes to besides its key's owner, where this is about that one.
    pub(super) second_to: Option<BackendIndex>,
    /// The hash of its Call-ID, where that is likely to be asked for.
    pub(super) call_id_hash: Option<u64>,
}

/// Decides about a request with a well-formed first line.
///
/// What the steps give is borrowed, not moved out of its `Result`: these are structs of a hundred bytes and more, and reading
/// one back as it is moved, while it is still being written, is what a processor is slowest at.
pub(super) fn decide(
    View { snapshot, names }: View<'_>,
    inbound: &Inbound<'_>,
    side: Side,
    head: &Head,
    (method, name, uri): (Method, Span, Span),
    second_to: Option<BackendIndex>,
    draft: &mut Draft,
) -> Decision {
    let decided = |verdict| Decision::new(MessageKind::Request(method), side, verdict);
    let call_id_hash = hash_key::foresee(snapshot, inbound, side, head);
    let Some(via) = &top_via(inbound.bytes, head) else {
        return decided(Verdict::Drop(DropReason::Malformed(Fault::Header(HeaderName::Via))));
    };
    let sent_by = via.sent_by_ip(inbound.bytes);
    let parsed_uri = Uri::parse(inbound.bytes, uri);
    let parsed_uri = parsed_uri.as_ref();
    let request = Request {
        snapshot,
        names,
        inbound,
        side,
        head,
        via,
        sent_by,
        method,
        uri,
        parsed_uri,
        second_to,
        call_id_hash,
    };
    if method == Method::Ack && request.has_own_tag() {
        return decided(Verdict::Absorb(AbsorbReason::AckToOwnAnswer));
    }
    let validated = validate::request(inbound.bytes, head, method, name, parsed_uri);
    let valid = match &validated {
        Ok(valid) => valid,
        // §16.3 item 3: an OPTIONS that has no hops left may be answered as if it were for us.
        Err(refusal) if refusal.status == Status::Ok => {
            let mut decision = decided(Verdict::Absorb(AbsorbReason::Draining));
            request.tell_health(&mut decision, draft);
            return decision;
        }
        Err(refusal) => return decided(request.refuse(refusal, draft)),
    };
    request.decide(valid, draft)
}

/// Decides about a request whose first line is wrong: it is refused, where it can be.
pub(super) fn refuse_line(
    view: View<'_>,
    inbound: &Inbound<'_>,
    head: &Head,
    method: Method,
    fault: RequestLineFault,
    draft: &mut Draft,
) -> Verdict {
    let refusal = match fault {
        RequestLineFault::Version => {
            Refusal { fault: Some(Fault::Version), ..Refusal::new(Status::VersionNotSupported) }
        }
        RequestLineFault::Malformed => Refusal::malformed(Fault::StartLine),
    };
    refuse_unread(view, inbound, head, method, &refusal, draft)
}

/// Decides about a request whose end cannot be told.
pub(super) fn refuse_unframed(
    view: View<'_>,
    inbound: &Inbound<'_>,
    head: &Head,
    method: Method,
    (status, fault): (Status, Fault),
    draft: &mut Draft,
) -> Verdict {
    let refusal = Refusal { status, ..Refusal::malformed(fault) };
    refuse_unread(view, inbound, head, method, &refusal, draft)
}

fn refuse_unread(
    View { snapshot, names }: View<'_>,
    inbound: &Inbound<'_>,
    head: &Head,
    method: Method,
    refusal: &Refusal,
    draft: &mut Draft,
) -> Verdict {
    let Some(via) = &top_via(inbound.bytes, head) else {
        return Verdict::Drop(DropReason::Malformed(refusal.fault.unwrap_or(Fault::Header(HeaderName::Via))));
    };
    let (side, uri, sent_by, parsed_uri) = (Side::Client, Span::default(), None, None);
    let (second_to, call_id_hash) = (None, None);
    let request = Request {
        snapshot,
        names,
        inbound,
        side,
        head,
        via,
        sent_by,
        method,
        uri,
        parsed_uri,
        second_to,
        call_id_hash,
    };
    request.refuse(refusal, draft)
}

/// The next hop's address family has no listener. Not 503: Viaduct is well, and other requests pass.
fn no_listener() -> Refusal {
    Refusal::because(Status::ServerError, "No Listener Reaches The Next Hop")
}

/// On a stream the next hop may find another end of the head than we do, and by that another next message: the sender could
/// hide one in the body, and it would pass for any other client's.
fn bare_line_feed() -> Refusal {
    let refusal = Refusal::because(Status::BadRequest, "Line Feed Without Carriage Return");
    Refusal { fault: Some(Fault::NoEndOfHead), ..refusal }
}

impl<'a> Request<'a> {
    /// Decides about a valid request. The decision is filled in step by step, not put together from the steps' results, for the same
    /// reason as above.
    fn decide(&self, valid: &Valid<'_>, draft: &mut Draft) -> Decision {
        let unresolved = Verdict::Drop(DropReason::NameBeingResolved);
        let mut decision = Decision::new(MessageKind::Request(self.method), self.side, unresolved);
        let mut routing = Routing::new(valid.uri);
        if let Err(refusal) = routing.preprocess(self) {
            decision.verdict = self.refuse(&refusal, draft);
            return decision;
        }
        decision.rejected = routing.rejected;
        let mut reason = None;
        match self.route(valid, &routing, &mut reason, &mut decision, draft) {
            Ok(()) => {}
            Err(Stopped::Refused(refusal)) => decision.verdict = self.refuse(&refusal, draft),
            Err(Stopped::ForViaduct) => self.tell_health(&mut decision, draft),
            Err(Stopped::Unresolved(name)) => {
                decision.named = Some(name);
                // Over UDP it is sent again, and by then the name is resolved; over a stream nobody sends it again.
                if self.inbound.connection.is_some() {
                    let refusal = Refusal::because(Status::ServiceUnavailable, "Next Hop Is Being Resolved");
                    decision.verdict = self.refuse(&refusal, draft);
                }
            }
        }
        decision.trace = Some(routing.trace(reason));
        decision
    }

    /// Finds the target, by what `reason` tells, and writes the outgoing request. Notes the name too that it was found by,
    /// the other backend that it goes to, and the one that it is refused for.
    fn route(
        &self,
        valid: &Valid<'_>,
        routing: &Routing<'_>,
        reason: &mut Option<Reason>,
        decision: &mut Decision,
        draft: &mut Draft,
    ) -> Result<(), Stopped> {
        let for_us = routing.next.is_none() && routing.flow.is_none() && self.is_for_viaduct_itself(routing.uri());
        if for_us && self.method == Method::Options {
            return Err(Stopped::ForViaduct);
        }
        if self.snapshot.is_draining() && drain::turns_away(self, routing) {
            decision.turned_away = Some(TurnedAway::NewRequest);
            return Err(drain::refusal(&self.snapshot.policy().drain).into());
        }
        let found = target::find(self, routing);
        let target = match &found {
            Ok(target) => target,
            Err(stopped) => return Err(*stopped),
        };
        *reason = Some(target.reason);
        // A dialog of RFC 2543's clients may have no tag, but our pin.
        let is_shed =
            |backend: &BackendIndex| routing.pin.is_none() && shedding::is_shed(self, routing.uri(), *backend);
        if let Some(backend) = target.member().filter(is_shed) {
            decision.shed = Some(backend);
            return Err(shedding::refusal(&self.snapshot.policy().overload).into());
        }
        let mut hop = self.hop_to(target, target.transport)?;
        let mut written = rewrite::write(self, valid, routing, target, &hop, draft);
        if written.is_ok() && congestion::needs_stream(self, target, draft) {
            hop = self.hop_to(target, Transport::Tcp)?;
            draft.clear();
            written = rewrite::write(self, valid, routing, target, &hop, draft);
        }
        (decision.named, decision.second) = (target.named, target.second);
        decision.verdict = match written {
            Ok(()) => Verdict::Forward { hop, to: target.side, backend: target.member() },
            Err(DraftFull) => Verdict::Drop(DropReason::DraftFull),
        };
        Ok(())
    }

    /// The hop to a target by that transport.
    fn hop_to(&self, target: &Target, transport: Transport) -> Result<NextHop, Refusal> {
        let (listener, from) = match target.leaves_by {
            Some(leaves_by) => leaves_by,
            None => {
                let egress = self.snapshot.egress(self.inbound.listener, transport, target.to.ip());
                (egress.ok_or_else(no_listener)?, None)
            }
        };
        if self.head.has_bare_line_feed() && self.snapshot.is_stream(listener) {
            return Err(bare_line_feed());
        }
        let connection = target.flow.and_then(|flow| flow.connection);
        let Target { to, reconnect, .. } = *target;
        let awaits_name = target.awaits_name && self.inbound.connection.is_none();
        Ok(NextHop { listener, to, from, connection, reconnect, awaits_name })
    }

    /// Tells a neighbour that asks whether we carry calls: 503 where we are about to end, or there is no backend to carry them
    /// to, so that it turns elsewhere.
    fn tell_health(&self, decision: &mut Decision, draft: &mut Draft) {
        let policy = &self.snapshot.policy().drain;
        let is_draining = self.snapshot.is_draining();
        decision.turned_away = is_draining.then_some(TurnedAway::Options);
        let refusal = match self.snapshot.table().has_owners() {
            _ if is_draining => drain::refusal(policy),
            true => Refusal { headers: OPTIONS_HEADERS, ..Refusal::new(Status::Ok) },
            false => Refusal::because(Status::ServiceUnavailable, "No Backend"),
        };
        decision.verdict = match is_draining && policy.options == DrainOptions::Ignore {
            true => Verdict::Absorb(AbsorbReason::Draining),
            false => self.refuse(&refusal, draft),
        };
    }

    /// Whether a URI's host and port are ours.
    pub(super) fn names_viaduct(&self, uri: &Uri) -> bool {
        !uri.host.is_empty() && self.snapshot.is_own(uri.host, uri.port_or_default(self.inbound.bytes), self.inbound)
    }

    fn is_for_viaduct_itself(&self, uri: &Uri) -> bool {
        uri.user.is_none() && self.names_viaduct(uri)
    }

    /// The Call-ID; empty where there is none, which validation refuses.
    pub(super) fn call_id(&self) -> &'a [u8] {
        self.head.first(HeaderName::CallId).map_or(&[], |field| field.value.of(self.inbound.bytes))
    }

    /// The member of the pool that sent the request.
    pub(super) fn sender(&self) -> Option<BackendIndex> {
        self.snapshot.pool().by_source(self.inbound.peer)
    }

    /// Answers the request itself. An ACK is never answered (§8.2.6.1).
    fn refuse(&self, refusal: &Refusal, draft: &mut Draft) -> Verdict {
        if self.method == Method::Ack {
            return Verdict::Drop(refusal.fault.map_or(DropReason::AckRefused, DropReason::Malformed));
        }
        if self.is_unanswerable() {
            return Verdict::Drop(DropReason::Malformed(refusal.fault.unwrap_or(Fault::Header(HeaderName::CallId))));
        }
        draft.clear();
        let reply = Reply {
            status: refusal.status,
            detail: refusal.detail,
            tag: &self.own_tag(self.snapshot.keys().current()),
            has_tag: self.to_tag().is_some(),
            headers: refusal.headers,
            retry_after_s: refusal.retry_after_s,
        };
        match reply.write(self.inbound.bytes, self.head, self.via, self.inbound.peer, draft) {
            Ok(()) => Verdict::Answer { hop: self.way_back(), status: refusal.status, fault: refusal.fault },
            Err(DraftFull) => Verdict::Drop(DropReason::DraftFull),
        }
    }

    /// Nobody could match an answer that has none of the headers that make a transaction or dialog: such a request is no user
    /// agent's, and an answer would be longer than it.
    fn is_unanswerable(&self) -> bool {
        use HeaderName::{CSeq, CallId, From, To};
        [CallId, CSeq, From, To].into_iter().all(|name| self.head.first(name).is_none())
    }

    fn way_back(&self) -> NextHop {
        let from: Option<IpAddr> = self.snapshot.source_of_answer(self.inbound);
        NextHop {
            listener: self.inbound.listener,
            to: self.inbound.relay.unwrap_or(self.via.answer_address(self.inbound.peer)),
            from,
            connection: self.inbound.connection,
            reconnect: None,
            awaits_name: false,
        }
    }

    /// The tag in To; `None` where there is none.
    pub(super) fn to_tag(&self) -> Option<&[u8]> {
        let to = self.head.first(HeaderName::To)?;
        parse_tag(self.inbound.bytes, to.value).ok()?
    }

    fn own_tag(&self, keys: &SigningKeys) -> branch::Tag {
        branch::own_tag(&keys.tag, self.inbound.bytes, self.head, self.via)
    }

    fn has_own_tag(&self) -> bool {
        let Some(tag) = self.to_tag().filter(|tag| branch::may_be_own_tag(tag)) else { return false };
        self.snapshot.keys().find(|keys| (self.own_tag(keys).as_slice() == tag).then_some(())).is_some()
    }
}
