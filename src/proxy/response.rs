//! What is done with a response: our Via is verified and taken off, and the next one says where to go (§16.7 items 3 and
//! 9, §18.1.2, §18.2.2). Everything else passes as it came, provisional responses and retransmissions too (§16.11).

use std::net::{IpAddr, SocketAddr};

use crate::sip::Span;
use crate::sip::draft::{Draft, DraftFull};
use crate::sip::header::HeaderName;
use crate::sip::overload::LossReport;
use crate::sip::scan::Head;
use crate::sip::via::{MAGIC_COOKIE, Via};

use super::branch;
use super::inbound::{Inbound, Side};
use super::latency::{self, Sample};
use super::rewrite;
use super::snapshot::{Listener, Snapshot};
use super::token::return_path::ReturnPath;
use super::validate::message_end;
use super::verdict::{AbsorbReason, DropReason, Fault, NextHop, Verdict};

/// Decides about a response with a well-formed first line, and tells how long its backend took, and what that says of its load, where
/// our Via says so.
///
/// Vias are borrowed from where they were read, not moved, as in a request's decision.
pub(super) fn decide(
    snapshot: &Snapshot,
    inbound: &Inbound<'_>,
    side: Side,
    head: &Head,
    status: u16,
    draft: &mut Draft,
) -> (Verdict, Option<Sample>, Option<LossReport>) {
    let dropped = |reason| (Verdict::Drop(reason), None, None);
    let message = inbound.bytes;
    let own = top_via(message, head);
    let (end, own, below) = match vias(message, head, own.as_ref()) {
        Ok(found) => found,
        Err(reason) => return dropped(reason),
    };
    let Some(below) = &Via::parse(message, below) else { return dropped(malformed(HeaderName::Via)) };
    let way_back = way_back(snapshot, message, head, (own, below), inbound.local);
    let (hop, is_doubled) = match &way_back {
        Ok(WayBack { hop, is_doubled }) => (hop, *is_doubled),
        Err(reason) => return dropped(*reason),
    };
    if let Err(reason) = write(snapshot, head, own, hop, end, draft) {
        return dropped(reason);
    }
    let sample = latency::sample(snapshot, inbound, side, head, own, status);
    let load = own.oc.and_then(|_| load(snapshot, inbound, side, own));
    // Where the request went to two backends, only the one that has its INVITE answers the CANCEL 2xx: the other answers 481, or
    // whatever comes of passing it on (§16.10), and that must not end the client's transaction.
    let verdict = match is_doubled && status / 100 != 2 {
        true => Verdict::Absorb(AbsorbReason::DoubledAnswer),
        false => Verdict::Forward { hop: *hop, to: snapshot.side_of(hop.to), backend: None },
    };
    (verdict, sample, load)
}

/// What a backend says of its load, where that was asked for (RFC 7339 §5.4). It is not signed: a backend that passes our Via on and
/// does not put its own word there lets whoever answers it say what it likes.
#[cold]
fn load(snapshot: &Snapshot, inbound: &Inbound<'_>, side: Side, own: &Via) -> Option<LossReport> {
    let is_asked_for = side == Side::Backend && snapshot.policy().overload.is_offered;
    if is_asked_for { LossReport::of(inbound.bytes, own) } else { None }
}

/// Where the message ends, the topmost Via, `own`, and where the one below it stands, in a response that can be passed on at all.
fn vias<'a>(message: &[u8], head: &Head, own: Option<&'a Via>) -> Result<(u32, &'a Via, Span), DropReason> {
    if let Some(name) = head.repeated() {
        return Err(DropReason::Malformed(Fault::Repeated(name)));
    }
    let end = message_end(message, head).ok_or(malformed(HeaderName::ContentLength))?;
    let own = own.ok_or(malformed(HeaderName::Via))?;
    let below = values_below(head, own).ok_or(DropReason::ResponseExhausted)?;
    Ok((end, own, below))
}

fn malformed(name: HeaderName) -> DropReason {
    DropReason::Malformed(Fault::Header(name))
}

/// Writes the response as it goes to that hop.
fn write(
    snapshot: &Snapshot,
    head: &Head,
    own: &Via,
    hop: &NextHop,
    end: u32,
    draft: &mut Draft,
) -> Result<(), DropReason> {
    if head.has_bare_line_feed() && snapshot.is_stream(hop.listener) {
        return Err(DropReason::Malformed(Fault::NoEndOfHead));
    }
    draft
        .keep(Span { start: head.message_start, end })
        .and_then(|()| delete_own_via(head, own, draft))
        .and_then(|()| rewrite::write_content_length(snapshot, head, hop, end, draft))
        .map_err(|DraftFull| DropReason::DraftFull)
}

/// The way back of a request that Viaduct forwarded.
pub(super) struct WayBack {
    /// Where the response goes.
    pub(super) hop: NextHop,
    /// Whether the request went to two backends.
    pub(super) is_doubled: bool,
}

/// The topmost Via; `None` where there is none or it cannot be read.
#[inline]
pub(super) fn top_via(message: &[u8], head: &Head) -> Option<Via> {
    Via::parse(message, head.first(HeaderName::Via)?.value)
}

/// Where the Via below the topmost, `own`, stands: behind its comma, or in the next Via header.
pub(super) fn values_below(head: &Head, own: &Via) -> Option<Span> {
    let mut fields = head.all(HeaderName::Via).map(|field| field.value);
    let top = fields.next()?;
    own.next.map_or_else(|| fields.next(), |start| Some(Span { start, end: top.end }))
}

/// Where a request that Viaduct forwarded came from: by our Via in it, `own`, which is verified, and the one below it. `local` is
/// an address of this machine, where one is known.
pub(super) fn way_back(
    snapshot: &Snapshot,
    message: &[u8],
    head: &Head,
    (own, below): (&Via, &Via),
    local: Option<IpAddr>,
) -> Result<WayBack, DropReason> {
    let to = below.stamped_address(message).ok_or(DropReason::ResponseUnverified)?;
    let path = verify(snapshot, message, head, own, below, to).ok_or(DropReason::ResponseUnverified)?;
    let reconnect = path.connection.and_then(|_| reconnect_to(snapshot.listener(path.listener)?, message, below, to));
    let reconnect = reconnect.filter(|address| may_be_a_clients(snapshot, *address, local));
    let hop = NextHop {
        listener: path.listener,
        to: path.relay.unwrap_or(to),
        from: path.local,
        connection: path.connection,
        reconnect,
        awaits_name: false,
    };
    Ok(WayBack { hop, is_doubled: path.is_doubled })
}

/// Where a response may go whose connection is gone (§18.2.2): to the port in sent-by, unless the sender was behind address
/// translation or gave a name, since a connection to a translator's port would reach a stranger. A WebSocket client takes no
/// connections.
fn reconnect_to(listener: &Listener, message: &[u8], below: &Via, to: SocketAddr) -> Option<SocketAddr> {
    let reaches = |ip: &IpAddr| ip.is_ipv4() == listener.address.is_ipv4() && !listener.transport.is_web_socket();
    let sent_by = below.sent_by_ip(message).filter(|ip| *ip == to.ip() && reaches(ip))?;
    Some(SocketAddr::new(sent_by, below.port.unwrap_or(listener.transport.default_port())))
}

/// Whether a connection may be opened to an address that its Via names: a client chooses the port, and at some there is no SIP
/// client. Viaduct would connect to itself; and below 1024 are the servers of other protocols, which may be someone
/// else's behind the same address.
fn may_be_a_clients(snapshot: &Snapshot, address: SocketAddr, local: Option<IpAddr>) -> bool {
    address.port() >= 1024 && !snapshot.listens_at(address, local)
}

/// Takes our Via, the topmost, out.
pub(super) fn delete_own_via(head: &Head, own: &Via, draft: &mut Draft) -> Result<(), DraftFull> {
    let Some(top) = head.first(HeaderName::Via) else { return Ok(()) };
    match own.next {
        Some(next) => draft.delete(Span { start: top.value.start, end: next }),
        None => draft.delete(top.line),
    }
}

/// Whether the topmost Via is ours, on a response to a request that we forwarded, and `to` is where that came from.
fn verify(
    snapshot: &Snapshot,
    message: &[u8],
    head: &Head,
    own: &Via,
    below: &Via,
    to: SocketAddr,
) -> Option<ReturnPath> {
    let token = own.own?.of(message);
    let branch = &own.rfc3261_branch(message)?[MAGIC_COOKIE.len()..];
    let path = snapshot.keys().find(|keys| {
        let path = ReturnPath::verify(&keys.path, token, branch, to)?;
        branch::verifies(&keys.branch, message, head, below, branch).then_some(path)
    })?;
    // A token outlives its listener: another list of listeners may have one of another transport in its place.
    let listener = snapshot.listener(path.listener)?;
    (listener.transport.is_stream() == path.connection.is_some()).then_some(path)
}
