//! Whether a client is behind network address translation, and the flow by which it is reached then (RFC 5626 §5.2, RFC
//! 6314 in its manner).
//!
//! Treating every client as if it were looked simpler. A trunk answers requests at the address in its Contact, often another
//! than the one it sends from; only where that address cannot be reached is the flow the better one.

use std::net::IpAddr;

use crate::sip::header::{HeaderName, address_uri};
use crate::sip::uri::Uri;
use crate::sip::via::parse_ip;

use super::inbound::Side;
use super::request::Request;
use super::token::flow::Flow;

/// The flow of the client that sent this request.
pub(super) fn flow_of(request: &Request<'_>) -> Flow {
    let inbound = request.inbound;
    let local = request.snapshot.source_of_answer(inbound);
    let is_direct = is_first_hop(request) && !is_behind_nat(request);
    // What goes to a client behind a load balancer goes by that.
    let peer = inbound.relay.unwrap_or(inbound.peer);
    Flow { listener: inbound.listener, peer, local, connection: inbound.connection, is_direct }
}

/// The same, if the client may not be reached otherwise.
pub(super) fn flow_of_client(request: &Request<'_>) -> Option<Flow> {
    (request.side == Side::Client && needs_flow(request)).then(|| flow_of(request))
}

/// Whether the client may not be reached but by its flow: it is behind address translation, or it sent by a connection,
/// since whoever opens one need not listen for others, or by a load balancer.
pub(super) fn needs_flow(request: &Request<'_>) -> bool {
    let is_by_another = request.inbound.connection.is_some() || request.inbound.relay.is_some();
    is_behind_nat(request) || (is_by_another && is_first_hop(request))
}

/// Whether the sender's sent-by is another address than the one it was seen at, or its Contact is a private address while
/// it was seen at a public one. Only a client's first hop can tell: what a proxy forwards has come another way.
fn is_behind_nat(request: &Request<'_>) -> bool {
    let seen_at = request.inbound.peer.ip();
    is_first_hop(request)
        && (request.sent_by.is_some_and(|ip| ip != seen_at)
            || (!is_private(seen_at) && contact_ip(request).is_some_and(is_private)))
}

/// Whether no proxy stands between the client and us: the request has one Via.
pub(super) fn is_first_hop(request: &Request<'_>) -> bool {
    request.via.next.is_none() && request.head.all(HeaderName::Via).nth(1).is_none()
}

fn contact_ip(request: &Request<'_>) -> Option<IpAddr> {
    let message = request.inbound.bytes;
    let span = address_uri(message, request.head.first(HeaderName::Contact)?.value)?;
    parse_ip(Uri::parse(message, span)?.host.of(message))
}

/// Addresses that are reached only from within a network: RFC 1918, RFC 6598 (carriers' translation), RFC 4193, and
/// link-local ones.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
