//! What is done with a request: §16.3 to §16.6 as §16.11 leaves them for a stateless proxy.

use std::net::{IpAddr, SocketAddr};

use crate::balance::backend::BackendIndex;
use crate::sip::Span;
use crate::sip::draft::{Draft, DraftFull};
use crate::sip::header::{HeaderName, parse_tag};
use crate::sip::reply::{Reply, Status};
use crate::sip::route::{self, RouteValue};
use crate::sip::scan::Head;
use crate::sip::start_line::{Method, RequestLineFault};
use crate::sip::uri::Uri;
use crate::sip::via::{OWN_PARAMETER, Via, parse_ip};

use super::branch;
use super::inbound::{Inbound, Side};
use super::snapshot::Snapshot;
use super::token::ReturnPath;
use super::validate::{self, Refusal, Valid};
use super::verdict::{AbsorbReason, DropReason, Fault, NextHop, Verdict};

/// Max-Forwards where the sender gave none (§16.6 item 3).
const DEFAULT_MAX_FORWARDS: u32 = 70;

/// What an OPTIONS for Viaduct itself is told (§11.2): it passes every method and every body on.
const OPTIONS_HEADERS: &str = "Accept: */*\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, SUBSCRIBE, NOTIFY, \
                               PUBLISH, INFO, REFER, MESSAGE, UPDATE\r\n";

/// Decides about a request with a well-formed first line.
pub(super) fn decide(
    snapshot: &Snapshot,
    inbound: &Inbound<'_>,
    side: Side,
    head: &Head,
    (method, name, uri): (Method, Span, Span),
    draft: &mut Draft,
) -> Verdict {
    let Some(via) = top_via(inbound.bytes, head) else {
        return Verdict::Drop(DropReason::Malformed(Fault::Header(HeaderName::Via)));
    };
    let request = Request { snapshot, inbound, side, head, via, method, uri };
    if method == Method::Ack && request.has_own_tag() {
        return Verdict::Absorb(AbsorbReason::AckToOwnAnswer);
    }
    let outcome =
        validate::request(inbound.bytes, head, method, name, uri).and_then(|valid| request.route(&valid, draft));
    match outcome {
        Ok(verdict) => verdict,
        Err(refusal) => request.refuse(&refusal, draft),
    }
}

/// Decides about a request whose first line is wrong: it is refused, where it can be.
pub(super) fn refuse_line(
    snapshot: &Snapshot,
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
    match top_via(inbound.bytes, head) {
        Some(via) => Request { snapshot, inbound, side: Side::Client, head, via, method, uri: Span::default() }
            .refuse(&refusal, draft),
        None => Verdict::Drop(DropReason::Malformed(Fault::StartLine)),
    }
}

fn top_via(message: &[u8], head: &Head) -> Option<Via> {
    Via::parse(message, head.first(HeaderName::Via)?.value)
}

struct Request<'a> {
    snapshot: &'a Snapshot,
    inbound: &'a Inbound<'a>,
    side: Side,
    head: &'a Head,
    via: Via,
    method: Method,
    uri: Span,
}

/// Where a request goes (§16.5).
struct Target {
    to: SocketAddr,
    side: Side,
    backend: Option<BackendIndex>,
}

impl Request<'_> {
    /// Strips our own Routes, finds the target and writes the outgoing request.
    fn route(&self, valid: &Valid, draft: &mut Draft) -> Result<Verdict, Refusal> {
        let route = self.next_route()?;
        if route.is_none() && self.method == Method::Options && self.is_for_viaduct_itself(&valid.uri) {
            return Err(Refusal::new(Status::Ok));
        }
        let target = self.target(route.as_ref(), &valid.uri)?;
        Ok(self.forward(valid, route.as_ref(), &target, draft))
    }

    /// The first Route value that does not name us. All above it are ours, and are taken out (§16.4).
    fn next_route(&self) -> Result<Option<RouteValue>, Refusal> {
        let message = self.inbound.bytes;
        let malformed = |_| Refusal::malformed(Fault::Header(HeaderName::Route));
        let mut next = route::topmost(message, self.head).map_err(malformed)?;
        while let Some(value) = next.filter(|value| self.names_viaduct(&value.uri)) {
            next = value.below(message, self.head).map_err(malformed)?;
        }
        Ok(next)
    }

    fn names_viaduct(&self, uri: &Uri) -> bool {
        !uri.host.is_empty() && self.snapshot.is_own(uri.host, uri.port_or_default(), self.inbound)
    }

    fn is_for_viaduct_itself(&self, uri: &Uri) -> bool {
        uri.user.is_none() && self.names_viaduct(uri)
    }

    /// A client's request goes to a member of the pool and nowhere else: the one that the next Route or the Request-URI
    /// names, or else the Call-ID's owner. A backend's request goes where it says, unless it says Viaduct.
    fn target(&self, route: Option<&RouteValue>, uri: &Uri) -> Result<Target, Refusal> {
        let next = route.map_or(uri, |route| &route.uri);
        if let Some(backend) = self.member_named_by(next, route.is_some()) {
            return self.member(backend);
        }
        if self.side == Side::Backend && !self.names_viaduct(next) {
            let ip = parse_ip(next.host.of(self.inbound.bytes));
            let ip = ip.ok_or(Refusal::because(Status::ServiceUnavailable, "Next Hop Is Not An Address"))?;
            let to = SocketAddr::new(ip, next.port_or_default());
            return Ok(Target { to, side: self.snapshot.side_of(ip), backend: None });
        }
        let call_id = self.head.first(HeaderName::CallId).map_or(&[][..], |field| field.value.of(self.inbound.bytes));
        let owner = self.snapshot.table().owner(self.snapshot.keys().table.hash(call_id));
        self.member(owner.ok_or(Refusal::because(Status::ServiceUnavailable, "No Backend"))?)
    }

    /// The pool's member that a URI names: by its address, or, in a Route, by its configured host. A Request-URI is not
    /// held against host names, because a pool may be configured under the name of the domain that it serves.
    fn member_named_by(&self, uri: &Uri, in_route: bool) -> Option<BackendIndex> {
        let host = uri.host.of(self.inbound.bytes);
        let port = uri.port_or_default();
        match parse_ip(host) {
            Some(ip) => self.snapshot.pool().by_address(SocketAddr::new(ip, port)),
            None if in_route => self.snapshot.pool().by_host(host, port),
            None => None,
        }
    }

    fn member(&self, index: BackendIndex) -> Result<Target, Refusal> {
        let backend = self.snapshot.pool().get(index).ok_or(Refusal::new(Status::ServiceUnavailable))?;
        Ok(Target { to: backend.address, side: Side::Backend, backend: Some(index) })
    }

    fn forward(&self, valid: &Valid, route: Option<&RouteValue>, target: &Target, draft: &mut Draft) -> Verdict {
        let Some(listener) = self.snapshot.egress(self.inbound.listener, target.to.ip()) else {
            return Verdict::Drop(DropReason::NoListener);
        };
        let hop = NextHop { listener, to: target.to, from: None };
        match self.write(valid, route, &hop, draft) {
            Ok(()) => Verdict::Forward { hop, to: target.side, backend: target.backend },
            Err(DraftFull) => Verdict::Drop(DropReason::DraftFull),
        }
    }

    /// Writes the outgoing request (§16.6): our Via above theirs, theirs stamped, one hop fewer, our Routes gone; not a
    /// byte else is touched.
    fn write(
        &self,
        valid: &Valid,
        route: Option<&RouteValue>,
        hop: &NextHop,
        draft: &mut Draft,
    ) -> Result<(), DraftFull> {
        draft.keep(Span { start: self.head.message_start, end: valid.end })?;
        self.write_via(hop, draft)?;
        self.via.stamp(self.inbound.bytes, self.inbound.peer, draft)?;
        match &valid.max_forwards {
            Some(found) => draft.replace(found.value, format_args!("{}", found.hops - 1))?,
            None => draft.insert(self.above_vias(), format_args!("Max-Forwards: {DEFAULT_MAX_FORWARDS}\r\n"))?,
        }
        route::remove_above(route, self.head, draft)
    }

    fn write_via(&self, hop: &NextHop, draft: &mut Draft) -> Result<(), DraftFull> {
        let (message, keys) = (self.inbound.bytes, self.snapshot.keys());
        let Some(listener) = self.snapshot.listener(hop.listener) else { return Err(DraftFull) };
        let branch = branch::of_request(&keys.branch, message, self.head, &self.via, self.uri.of(message));
        let path = ReturnPath { listener: self.inbound.listener, local: self.snapshot.source_of_answer(self.inbound) };
        let token = path.sign(&keys.path, branch.as_bytes(), self.via.answer_address(self.inbound.peer));
        let text =
            [listener.via_start(), branch.as_bytes(), b";", OWN_PARAMETER.as_bytes(), b"=", token.as_bytes(), b"\r\n"];
        draft.insert_bytes(self.above_vias(), &text)
    }

    fn above_vias(&self) -> Span {
        self.head.first(HeaderName::Via).map_or(Span::default(), |field| field.line.before())
    }

    /// Answers the request itself. An ACK is never answered (§8.2.6.1).
    fn refuse(&self, refusal: &Refusal, draft: &mut Draft) -> Verdict {
        if self.method == Method::Ack {
            return Verdict::Drop(refusal.fault.map_or(DropReason::AckRefused, DropReason::Malformed));
        }
        draft.clear();
        let tag = branch::own_tag(&self.snapshot.keys().tag, self.inbound.bytes, self.head, &self.via);
        let reply = Reply {
            status: refusal.status,
            detail: refusal.detail,
            tag: &tag,
            has_tag: self.to_tag().is_some(),
            headers: if refusal.status == Status::Ok { OPTIONS_HEADERS } else { "" },
        };
        match reply.write(self.inbound.bytes, self.head, &self.via, self.inbound.peer, draft) {
            Ok(()) => Verdict::Answer { hop: self.way_back(), status: refusal.status, fault: refusal.fault },
            Err(DraftFull) => Verdict::Drop(DropReason::DraftFull),
        }
    }

    fn way_back(&self) -> NextHop {
        let from: Option<IpAddr> = self.snapshot.source_of_answer(self.inbound);
        NextHop { listener: self.inbound.listener, to: self.via.answer_address(self.inbound.peer), from }
    }

    fn to_tag(&self) -> Option<&[u8]> {
        let to = self.head.first(HeaderName::To)?;
        parse_tag(self.inbound.bytes, to.value).ok()?
    }

    fn has_own_tag(&self) -> bool {
        let own = || branch::own_tag(&self.snapshot.keys().tag, self.inbound.bytes, self.head, &self.via);
        self.to_tag().is_some_and(|tag| branch::may_be_own_tag(tag) && tag == own().as_bytes())
    }
}
