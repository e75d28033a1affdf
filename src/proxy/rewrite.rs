//! What is changed in a request that is forwarded (§16.6): our Via above theirs, theirs stamped, one hop fewer, our Routes
//! gone, and where we are to stay on the way, our Record-Route or Path. Not a byte else is touched, and a retransmission
//! gets the same bytes.

use arrayvec::ArrayVec;

use crate::sip::Span;
use crate::sip::draft::{Draft, DraftFull};
use crate::sip::header::{HeaderName, has_option_tag};
use crate::sip::route::{self, RouteValue};
use crate::sip::scan::Head;
use crate::sip::start_line::Method;
use crate::sip::text::decimal_text;
use crate::sip::uri::Scheme;
use crate::sip::via::OWN_PARAMETER;

use super::inbound::{ListenerIndex, Side};
use super::request::Request;
use super::routing::Routing;
use super::snapshot::{PathMode, Snapshot};
use super::target::Target;
use super::token::Token;
use super::token::pin::{Facing, Pin};
use super::token::return_path::ReturnPath;
use super::validate::Valid;
use super::verdict::NextHop;
use super::{branch, latency, nat};

/// Max-Forwards where the sender gave none (§16.6 item 3).
const DEFAULT_MAX_FORWARDS: &[u8] = b"Max-Forwards: 70\r\n";

/// Writes the outgoing request.
pub(super) fn write(
    request: &Request<'_>,
    valid: &Valid<'_>,
    routing: &Routing<'_>,
    target: &Target,
    hop: &NextHop,
    draft: &mut Draft,
) -> Result<(), DraftFull> {
    draft.keep(Span { start: request.head.message_start, end: valid.end })?;
    write_via(request, target, hop, draft)?;
    request.via.stamp(request.sent_by, request.inbound.peer, draft)?;
    match &valid.max_forwards {
        Some(found) => draft.replace(found.value, [&decimal_text(found.hops - 1)])?,
        None => draft.insert(above_vias(request), [DEFAULT_MAX_FORWARDS])?,
    }
    write_routes(request, routing, target, draft)?;
    write_record_route(request, routing, target, hop, draft)?;
    write_path(request, target, hop, draft)?;
    write_content_length(request.snapshot, request.head, hop, valid.end, draft)
}

/// Over a stream a message must say how long it is (§18.3), and one that came by a datagram need not have (§16.6 item 9).
pub(super) fn write_content_length(
    snapshot: &Snapshot,
    head: &Head,
    hop: &NextHop,
    end: u32,
    draft: &mut Draft,
) -> Result<(), DraftFull> {
    if !snapshot.is_stream(hop.listener) || head.first(HeaderName::ContentLength).is_some() {
        return Ok(());
    }
    let empty_line = head.empty_line();
    draft.insert(empty_line, [b"Content-Length: ", &decimal_text(end - head.body_start), b"\r\n"])
}

fn write_via(request: &Request<'_>, target: &Target, hop: &NextHop, draft: &mut Draft) -> Result<(), DraftFull> {
    let (message, keys) = (request.inbound.bytes, request.snapshot.keys().current());
    let Some(listener) = request.snapshot.listener(hop.listener) else { return Err(DraftFull) };
    let branch = branch::of_request(&keys.branch, message, request.head, request.via, request.uri.of(message));
    let path = ReturnPath {
        listener: request.inbound.listener,
        local: request.snapshot.source_of_answer(request.inbound),
        connection: request.inbound.connection,
        relay: request.inbound.relay,
        is_doubled: target.is_doubled,
    };
    let token = path.sign(&keys.path, &branch, request.via.answer_address(request.inbound.peer));
    let time = latency::parameter(request.snapshot, request.method, target.member(), request.inbound);
    let offer = target.member().map_or(&b""[..], |_| request.snapshot.policy().overload.offer());
    let text = [listener.via_start(), &branch, b";", OWN_PARAMETER.as_bytes(), b"=", &token, &time, offer, b"\r\n"];
    draft.insert(above_vias(request), text)
}

/// Takes our Routes out; and where a neighbour is a strict router, puts the others into the order that it needs.
fn write_routes(
    request: &Request<'_>,
    routing: &Routing<'_>,
    target: &Target,
    draft: &mut Draft,
) -> Result<(), DraftFull> {
    let to_strict = routing.next.filter(|next| target.reason.is_by_route() && !next.uri.parameters.is_loose);
    if routing.strict.is_none() && to_strict.is_none() {
        return route::remove_above(routing.next.as_ref(), request.head, draft);
    }
    let message = request.inbound.bytes;
    let values = match routing.next {
        Some(next) => route::all_from(next, message, request.head).ok().flatten().ok_or(DraftFull)?,
        None => route::Values::new(),
    };
    let is_moved = |value: &&RouteValue| {
        routing.strict.is_some_and(|strict| strict.is(value)) || to_strict.is_some_and(|next| next.is(value))
    };
    let kept = values.iter().filter(|value| !is_moved(value)).map(|value| value.value.of(message));
    let uri = routing.uri().span.of(message);
    let mut last: ArrayVec<u8, 1024> = ArrayVec::new();
    let mut kept: ArrayVec<&[u8], { route::MAX_REWRITTEN + 1 }> = kept.collect();
    if let Some(next) = to_strict {
        // §16.6 item 6: the Request-URI becomes the last Route value, and the first becomes the Request-URI.
        for text in [&b"<"[..], uri, b">"] {
            last.try_extend_from_slice(text).map_err(|_| DraftFull)?;
        }
        draft.replace(request.uri, [next.uri.span.of(message)])?;
        kept.push(&last);
    } else {
        draft.replace(request.uri, [uri])?;
    }
    route::rewrite(&kept, above_vias(request), request.head, draft)
}

/// Puts us on the way of the dialog's later requests (§16.6 item 4). Where the dialog crosses two listeners it gets two
/// values, that of the side it goes to on top (RFC 5658).
fn write_record_route(
    request: &Request<'_>,
    routing: &Routing<'_>,
    target: &Target,
    hop: &NextHop,
    draft: &mut Draft,
) -> Result<(), DraftFull> {
    if !request.snapshot.policy().record_route || !may_form_a_dialog(request.method) {
        return Ok(());
    }
    let flow = match target.side {
        Side::Backend => nat::flow_of_client(request),
        Side::Client => target.flow,
    };
    let pool = request.snapshot.pool();
    let backend = target.backend.and_then(|index| pool.id_of(index)).or(routing.pin.and_then(|pin| pin.backend));
    let sign = |facing| {
        let key = &request.snapshot.keys().current().pin;
        Pin { backend, facing, flow }.sign(key, request.call_id())
    };
    let place = first_of(request, HeaderName::RecordRoute);
    if hop.listener == request.inbound.listener {
        return write_uri("Record-Route", request, hop.listener, &sign(Facing::Both), "", place, draft);
    }
    let (ahead, behind) = match target.side {
        Side::Backend => (Facing::Backend, Facing::Client),
        Side::Client => (Facing::Client, Facing::Backend),
    };
    write_uri("Record-Route", request, hop.listener, &sign(ahead), "", place, draft)?;
    write_uri("Record-Route", request, request.inbound.listener, &sign(behind), "", place, draft)
}

/// The methods that form dialogs or may, unknown ones among them; a REGISTER never does (§16.6 item 4).
fn may_form_a_dialog(method: Method) -> bool {
    use Method::{Invite, Notify, Other, Refer, Subscribe, Update};
    matches!(method, Invite | Subscribe | Notify | Refer | Update | Other)
}

/// Puts us on the way of the requests to a registered client (RFC 3327 §5.2), with the flow by which it is reached.
fn write_path(request: &Request<'_>, target: &Target, hop: &NextHop, draft: &mut Draft) -> Result<(), DraftFull> {
    if request.method != Method::Register || request.side != Side::Client || target.side != Side::Backend {
        return Ok(());
    }
    let supports = |tag| {
        let mut fields = request.head.all(HeaderName::Supported);
        fields.any(|field| has_option_tag(request.inbound.bytes, field.value, tag))
    };
    let outbound = supports("outbound");
    let wanted = match request.snapshot.policy().path {
        PathMode::Off => false,
        PathMode::On => true,
        PathMode::Auto => nat::needs_flow(request) && (outbound || supports("path")),
    };
    if !wanted {
        return Ok(());
    }
    let flow = nat::flow_of(request);
    let token = flow.sign(&request.snapshot.keys().current().flow);
    // RFC 5626 §5.1: only the first hop of the client answers for its flow.
    let parameter = if outbound && nat::is_first_hop(request) { ";ob" } else { "" };
    write_uri("Path", request, hop.listener, &token, parameter, first_of(request, HeaderName::Path), draft)
}

/// `Name: <sip:token@host:port;lr>` in that place.
fn write_uri(
    name: &str,
    request: &Request<'_>,
    listener: ListenerIndex,
    token: &Token,
    parameter: &str,
    place: Span,
    draft: &mut Draft,
) -> Result<(), DraftFull> {
    let Some(listener) = request.snapshot.listener(listener) else { return Err(DraftFull) };
    // A secure URI of a listener that has no TLS would lead nowhere: what is behind us is trusted to be secure by itself
    // (§26.2.2).
    let scheme = if listener.transport.is_secure() && request.has_sips() { "sips" } else { "sip" };
    let texts: [&[u8]; 8] =
        [name.as_bytes(), b": <", scheme.as_bytes(), b":", token, listener.uri_end(), parameter.as_bytes(), b">\r\n"];
    draft.insert(place, texts)
}

fn above_vias(request: &Request<'_>) -> Span {
    request.head.first(HeaderName::Via).map_or(Span::default(), |field| field.line.before())
}

/// Where a value goes that must stand above all others of its header.
fn first_of(request: &Request<'_>, name: HeaderName) -> Span {
    request.head.first(name).map_or_else(|| above_vias(request), |field| field.line.before())
}

impl Request<'_> {
    /// Whether the request asks for a secure way to its target (§16.6 item 4).
    fn has_sips(&self) -> bool {
        self.parsed_uri.is_some_and(|uri| uri.scheme == Scheme::Sips)
    }
}
