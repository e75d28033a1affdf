//! Where a request goes (§16.5, §16.6 items 6 and 7): one place, by the message and what is configured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::balance::backend::BackendIndex;
use crate::sip::Transport;
use crate::sip::reply::Status;
use crate::sip::start_line::Method;
use crate::sip::uri::{Scheme, Uri};

use crate::sip::via::parse_ip;

use super::hash_key;
use super::inbound::{ListenerIndex, Side};
use super::names::Answer;
use super::names::name::{Lookup, Wanted};
use super::nat::is_private;
use super::request::Request;
use super::routing::Routing;
use super::snapshot::{Listener, OnLostPin};
use super::token::flow::Flow;
use super::trace::Reason;
use super::validate::Refusal;

/// Where a request goes.
pub(super) struct Target {
    pub(super) to: SocketAddr,
    /// By which transport.
    pub(super) transport: Transport,
    pub(super) side: Side,
    /// The backend that it goes to, or for a request of a backend's, the one that it comes from.
    pub(super) backend: Option<BackendIndex>,
    /// The listener it must leave by, where a flow demands one, and the address it must leave from.
    pub(super) leaves_by: Option<(ListenerIndex, Option<IpAddr>)>,
    /// The flow that it follows.
    pub(super) flow: Option<Flow>,
    /// Where the flow's connection is gone, the address that one may be opened to in its place.
    pub(super) reconnect: Option<SocketAddr>,
    /// That address is to be found by a name of which nothing is known yet.
    pub(super) awaits_name: bool,
    /// What it was chosen by.
    pub(super) reason: Reason,
    /// The name that it was found by.
    pub(super) named: Option<Wanted>,
    /// The other backend that it goes to: the pool has changed, and the INVITE that it belongs to may have gone there.
    pub(super) second: Option<BackendIndex>,
    /// Whether it goes to two backends, and this is either.
    pub(super) is_doubled: bool,
}

/// Why a request has no target.
#[derive(Clone, Copy)]
pub(super) enum Stopped {
    /// It is refused.
    Refused(Refusal),
    /// Its next hop is a name of which nothing is known yet.
    Unresolved(Wanted),
    /// It asks whether Viaduct carries calls.
    ForViaduct,
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Stopped::Refused(refusal)
    }
}

impl Target {
    /// The member of the pool that the request goes to, if it goes to one.
    pub(super) fn member(&self) -> Option<BackendIndex> {
        self.backend.filter(|_| self.reason.is_member())
    }
}

/// Finds the target. A request from a client goes to a member of the pool and nowhere else.
pub(super) fn find(request: &Request<'_>, routing: &Routing<'_>) -> Result<Target, Stopped> {
    if let Some((flow, reason)) = outward_flow(request, routing)? {
        return by_flow(request, routing, flow, reason);
    }
    if request.side == Side::Backend && !is_for_the_pool(request, routing) {
        return outward(request, routing);
    }
    inward(request, routing)
}

/// The flow that a backend's request is to follow: the one that a Path or a Record-Route of ours names. A client's follows
/// none, whatever it carries: the callee sees the caller's pin, and would reach it past the pool.
fn outward_flow(request: &Request<'_>, routing: &Routing<'_>) -> Result<Option<(Flow, Reason)>, Refusal> {
    let from_backend = request.side == Side::Backend;
    if from_backend && routing.flow.is_none() && routing.flow_rejected {
        return Err(Refusal::because(Status::Forbidden, "Flow Token"));
    }
    let pinned = routing.pin.filter(|_| from_backend).and_then(|pin| pin.flow);
    let of_path = routing.flow.filter(|_| from_backend).map(|flow| (flow, Reason::PathFlow));
    Ok(of_path.or(pinned.map(|flow| (flow, Reason::DialogFlow))))
}

fn by_flow(request: &Request<'_>, routing: &Routing<'_>, flow: Flow, reason: Reason) -> Result<Target, Stopped> {
    // A token outlives its listener: another list of listeners may have none in its place, or one that cannot reach the peer.
    let listener = request.snapshot.listener(flow.listener);
    // A connection may be another's than its peer, of another family: a load balancer's.
    let reaches = |listener: &&Listener| match flow.connection {
        Some(_) => listener.transport.is_stream(),
        None => !listener.transport.is_stream() && listener.address.is_ipv4() == flow.peer.is_ipv4(),
    };
    let Some(listener) = listener.filter(reaches) else { return Err(Refusal::new(Status::FlowFailed).into()) };
    if routing.uri().scheme == Scheme::Sips && !listener.transport.is_secure() {
        return Err(not_secure().into());
    }
    let Instead { reconnect, named, awaits_name } = contact_instead(request, routing, listener, flow, reason);
    Ok(Target {
        to: flow.peer,
        transport: listener.transport,
        side: Side::Client,
        backend: request.sender(),
        leaves_by: Some((flow.listener, flow.local)),
        flow: Some(flow),
        reconnect,
        awaits_name,
        reason,
        named,
        second: None,
        is_doubled: false,
    })
}

/// What asks for a secure way does not leave by another (§26.2.2).
fn not_secure() -> Refusal {
    Refusal::because(Status::ServerError, "Next Hop Is Not Secure")
}

/// Where a request goes that finds its client's connection gone.
#[derive(Default)]
struct Instead {
    reconnect: Option<SocketAddr>,
    named: Option<Wanted>,
    awaits_name: bool,
}

/// Where a dialog's request may go whose client has closed its connection: to what the URI that comes next leads to, the
/// client's Contact for most; unless that is private where the client was seen at a public address, since behind the same
/// address in our own network is a stranger. A name counts only where the client was behind no translation. A registered
/// client whose flow is gone must register anew instead (RFC 5626 §5.3.1).
fn contact_instead(
    request: &Request<'_>,
    routing: &Routing<'_>,
    listener: &Listener,
    flow: Flow,
    reason: Reason,
) -> Instead {
    let next = routing.next.as_ref().map_or(routing.uri(), |route| &route.uri);
    let is_usable = flow.connection.is_some()
        && reason == Reason::DialogFlow
        && transport_of(request, next).ok() == Some(listener.transport);
    let host = next.parameters.maddr.unwrap_or(next.host);
    if !is_usable || (!flow.is_direct && parse_ip(host.of(request.inbound.bytes)).is_none()) {
        return Instead::default();
    }
    match address_of(request, next, listener.transport) {
        Ok((address, named)) => {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            Instead {
                reconnect: Some(address)
                    .filter(|address| is_a_clients(request, *address, flow))
                    .filter(|address| address.is_ipv4() == listener.address.is_ipv4()),
                named,
                awaits_name: false,
            }
        }
        Err(Stopped::Unresolved(wanted)) => Instead { reconnect: None, named: Some(wanted), awaits_name: true },
        Err(Stopped::Refused(_) | Stopped::ForViaduct) => Instead::default(),
    }
}

fn is_a_clients(request: &Request<'_>, address: SocketAddr, flow: Flow) -> bool {
    let is_ours = request.snapshot.is_own_address(address, request.inbound)
        || request.snapshot.pool().by_address(address).is_some();
    !is_ours && is_near(address.ip(), flow.peer.ip())
}

/// Whether an address may be a client's that was seen at `seen_at`: one that means this machine, this link or this network
/// means another machine to a client that is not on it; and the listener of its flow reaches one family of addresses.
fn is_near(ip: IpAddr, seen_at: IpAddr) -> bool {
    let is_nowhere = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let is_of_its_kind = ip.is_ipv4() == seen_at.is_ipv4() && ip.is_loopback() == seen_at.is_loopback();
    !is_nowhere && is_of_its_kind && (!is_private(ip) || is_private(seen_at))
}

/// Whether a backend's request is meant for Viaduct itself: it is balanced as if it came from a client.
fn is_for_the_pool(request: &Request<'_>, routing: &Routing<'_>) -> bool {
    routing.next.is_none() && request.names_viaduct(routing.uri())
}

/// A backend's request goes where its next Route says, or else its Request-URI (§16.6 item 7).
fn outward(request: &Request<'_>, routing: &Routing<'_>) -> Result<Target, Stopped> {
    let by_route = routing.next.is_some();
    let next = routing.next.as_ref().map_or(routing.uri(), |route| &route.uri);
    let to_member = if by_route { Reason::RouteToMember } else { Reason::UriToMember };
    if let Some(index) = member_named_by(request, next) {
        return member_target(request, index, to_member);
    }
    let transport = transport_of(request, next)?;
    if routing.uri().scheme == Scheme::Sips && !transport.is_secure() {
        return Err(not_secure().into());
    }
    let (to, named) = address_of(request, next, transport)?;
    if request.snapshot.is_own_address(to, request.inbound) {
        return Ok(Target { named, ..by_a_name_of_ours(request, routing)? });
    }
    if let Some(index) = request.snapshot.pool().by_address(to) {
        return Ok(Target { named, ..member_target(request, index, to_member)? });
    }
    let side = request.snapshot.side_of(to);
    let reason = if by_route { Reason::Route } else { Reason::Uri };
    let backend = request.sender();
    Ok(Target { named, ..straight(to, transport, side, backend, reason) })
}

/// A name that is not set as one of ours leads to us: the request is for the pool. A Route with such a name would stay in,
/// and lead the backend back to us until the hops are used up; the operator is told instead.
fn by_a_name_of_ours(request: &Request<'_>, routing: &Routing<'_>) -> Result<Target, Stopped> {
    match routing.next {
        Some(_) => Err(Refusal::because(Status::ServerError, "Route Names Viaduct By An Unknown Alias").into()),
        None => inward(request, routing),
    }
}

/// The address that a URI leads to (RFC 3263 §4), by its maddr or its host, and the name that stands there if it is one.
/// What it cannot be sent to as it asks is refused; 500, not 503, because Viaduct is well and other requests pass.
fn address_of(request: &Request<'_>, uri: &Uri, transport: Transport) -> Result<(SocketAddr, Option<Wanted>), Stopped> {
    let message = request.inbound.bytes;
    let refused = |detail| Refusal::because(Status::ServerError, detail);
    let host = uri.parameters.maddr.unwrap_or(uri.host);
    if let Some(ip) = parse_ip(host.of(message)) {
        return Ok((SocketAddr::new(ip, uri.port_or_default(message)), None));
    }
    let wanted = Wanted { host, lookup: lookup_of(uri, transport) };
    let name = wanted.name(message).ok_or_else(|| refused("Next Hop Is Neither Address Nor Name"))?;
    match request.names.get(&name) {
        Some(Answer::Targets(targets)) => {
            let key = &request.snapshot.keys().table;
            Ok((targets.choose(key, request.call_id()), Some(wanted)))
        }
        Some(Answer::Failed(failure)) => Err(refused(failure.detail()).into()),
        None => Err(Stopped::Unresolved(wanted)),
    }
}

/// The transport that a URI asks for, if a listener has it; 500, as above. A WebSocket client takes no connections, so a
/// request that names it without its flow has lost it (RFC 7118 §5, RFC 5626 §5.3.1).
fn transport_of(request: &Request<'_>, uri: &Uri) -> Result<Transport, Refusal> {
    let asked = uri.transport(request.inbound.bytes);
    if asked.is_some_and(Transport::is_web_socket) {
        return Err(Refusal::because(Status::FlowFailed, "WebSocket Clients Are Reached By Their Flow Alone"));
    }
    let mut known = request.snapshot.listeners().iter().map(|listener| listener.transport);
    known
        .find(|known| Some(*known) == asked)
        .ok_or_else(|| Refusal::because(Status::ServerError, "No Listener Has The Next Hop's Transport"))
}

/// What is looked up for a URI whose host is a name (RFC 3263 §4.1, §4.2).
fn lookup_of(uri: &Uri, transport: Transport) -> Lookup {
    match (uri.port, uri.parameters.transport, transport) {
        (Some(port), ..) => Lookup::Port(port),
        (None, _, Transport::Tls | Transport::Wss) => Lookup::Tls,
        (None, Some(_), Transport::Tcp | Transport::Ws) => Lookup::Tcp,
        (None, Some(_), Transport::Udp) => Lookup::Udp,
        (None, None, _) => Lookup::Service,
    }
}

/// A client's request goes to the member of the pool that the next Route names, or the dialog's pin, or else to its key's
/// owner. Never by its Request-URI: that may be the same address in every request, as where a pool has grown out of one
/// proxy, and then no call would be balanced.
fn inward(request: &Request<'_>, routing: &Routing<'_>) -> Result<Target, Stopped> {
    let serves = |index: &BackendIndex| request.snapshot.serves(*index);
    let named = routing.next.as_ref().and_then(|route| member_named_by(request, &route.uri));
    if let Some(index) = named.filter(serves) {
        return member_target(request, index, Reason::RouteToMember);
    }
    if let Some(id) = routing.pin.and_then(|pin| pin.backend) {
        match request.snapshot.pool().by_id(id).filter(serves) {
            Some(index) => return member_target(request, index, Reason::Pin),
            None if request.snapshot.policy().on_lost_pin == OnLostPin::Refuse => {
                return Err(Refusal::because(Status::NoSuchCall, "Its Backend Is Gone").into());
            }
            None => {}
        }
    }
    let hashed = hash_key::hash(request, routing.uri());
    if let Some(index) = request.second_to {
        return Ok(Target { is_doubled: true, ..member_target(request, index, Reason::Hash(hashed))? });
    }
    let (owner, earlier) = (request.snapshot.table().owner(hashed.hash), earlier_owner(request, hashed.hash));
    let index = owner.or(earlier).ok_or_else(|| Refusal::because(Status::ServiceUnavailable, "No Backend"))?;
    let second = earlier.filter(|_| owner.is_some());
    Ok(Target { second, is_doubled: second.is_some(), ..member_target(request, index, Reason::Hash(hashed))? })
}

/// Where the INVITE may have gone that a CANCEL or an ACK belongs to, if not to its key's owner: neither tells when its INVITE
/// was sent, so while a change of the pool is not older than a call may ring, both go to both (§16.11 leaves to the element how
/// it treats what a change affects). One of the two has nothing to do with it: an ACK is nothing to it, and its answer to
/// the CANCEL is absorbed.
fn earlier_owner(request: &Request<'_>, hash: u64) -> Option<BackendIndex> {
    let belongs = matches!(request.method, Method::Cancel | Method::Ack);
    if belongs { request.snapshot.roster().earlier_owner(hash) } else { None }
}

/// The pool's member that a URI names, by its address or its configured host.
fn member_named_by(request: &Request<'_>, uri: &Uri) -> Option<BackendIndex> {
    let message = request.inbound.bytes;
    let (host, port) = (uri.host.of(message), uri.port_or_default(message));
    match parse_ip(host) {
        Some(ip) => request.snapshot.pool().by_address(SocketAddr::new(ip, port)),
        None => request.snapshot.pool().by_host(host, port),
    }
}

fn member_target(request: &Request<'_>, index: BackendIndex, reason: Reason) -> Result<Target, Stopped> {
    let backend = request.snapshot.pool().get(index).ok_or_else(|| Refusal::new(Status::ServiceUnavailable))?;
    let (to, side, transport) = (backend.address, Side::Backend, request.snapshot.backend_transport(index));
    Ok(straight(to, transport, side, Some(index), reason))
}

/// A target that is reached by no flow.
fn straight(to: SocketAddr, transport: Transport, side: Side, backend: Option<BackendIndex>, reason: Reason) -> Target {
    Target {
        to,
        transport,
        side,
        backend,
        leaves_by: None,
        flow: None,
        reconnect: None,
        awaits_name: false,
        reason,
        named: None,
        second: None,
        is_doubled: false,
    }
}
