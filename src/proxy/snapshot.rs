//! What is known when a decision is made: immutable, replaced whole, never edited; but for the shares of [`Shedding`], which each stand
//! alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ahash::AHashSet;
use bytes::Bytes;
use ipnet::IpNet;

use crate::balance::backend::{BackendIndex, BackendSlot};
use crate::balance::pool::Pool;
use crate::balance::roster::Roster;
use crate::balance::table::Table;
use crate::sip::via::{MAGIC_COOKIE, parse_ip};
use crate::sip::{Span, Transport};

use super::drain::DrainPolicy;
use super::hash_key::HashRules;
use super::inbound::{Inbound, ListenerIndex, Side};
use super::keys::Keys;
use super::latency::Instance;
use super::shedding::{OverloadPolicy, Shedding};

/// Everything a decision rests on besides the message.
#[derive(Clone, Debug)]
pub struct Snapshot {
    listeners: Vec<Listener>,
    roster: Roster,
    keys: Keys,
    policy: Policy,
    latency: Option<Instance>,
    /// By which transport each backend is reached, by its place in the pool; UDP beyond.
    backend_transports: Vec<Transport>,
    /// Where those over UDP are that are reached by TCP too.
    also_by_tcp: Arc<AHashSet<SocketAddr>>,
    /// How many of the members are reached over streams.
    stream_backends: usize,
    /// How many requests each backend is not to be sent, whatever becomes of the pool.
    shedding: Arc<Shedding>,
    /// Whether Viaduct itself drains.
    is_draining: bool,
}

/// What the operator wants where the rules leave a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Networks whose requests are a backend's.
    pub trusted: Vec<IpNet>,
    /// Whether a source is a backend only at its very port, not at any port of its address.
    pub match_ports: bool,
    /// Whether dialogs stay on the way through Viaduct.
    pub record_route: bool,
    /// Whether registrations do.
    pub path: PathMode,
    /// What becomes of a dialog whose backend is down, or gone for good.
    pub on_lost_pin: OnLostPin,
    /// What of a request is hashed.
    pub hash: HashRules,
    /// How many bytes a request to a backend over UDP may have that is reached by TCP too; 0 is any number.
    pub udp_request_bytes_max: u32,
    /// What backends are offered that have too much to do.
    pub overload: OverloadPolicy,
    /// What others are told while Viaduct drains.
    pub drain: DrainPolicy,
}

/// Which REGISTER requests get a Path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathMode {
    /// None.
    Off,
    /// All.
    On,
    /// Those of clients that support it and cannot be reached without.
    #[default]
    Auto,
}

/// What becomes of an in-dialog request whose backend is down, or gone from the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLostPin {
    /// It goes to the Call-ID's owner, which may know the dialog from a shared store.
    #[default]
    Rehash,
    /// It is answered 481.
    Refuse,
}

/// A socket that SIP is received on and sent from.
#[derive(Clone, Debug)]
pub struct Listener {
    /// How messages travel there.
    pub transport: Transport,
    /// The address it is bound to; it may be the wildcard address.
    pub address: SocketAddr,
    /// The host that others reach it by, an IPv6 address with its brackets.
    pub advertised_host: String,
    /// The port that others reach it by.
    pub advertised_port: u16,
    /// Every host and port by which a Route or Request-URI may name it, besides the address it is bound to.
    names: Vec<Name>,
    via_start: Bytes,
    uri_end: Bytes,
}

/// A host and port, the host also as an address where it is one: nothing is parsed while messages are looked at.
#[derive(Clone, Debug)]
struct Name {
    host: String,
    ip: Option<IpAddr>,
    port: u16,
}

impl Name {
    fn new(host: &str, port: u16) -> Self {
        Name { host: host.to_owned(), ip: parse_ip(host.as_bytes()), port }
    }

    fn is(&self, host: &[u8], ip: Option<IpAddr>, port: u16) -> bool {
        let same_ip = ip.is_some() && ip == self.ip;
        self.port == port && (same_ip || self.host.as_bytes().eq_ignore_ascii_case(host))
    }
}

impl Listener {
    /// A listener bound to `address` that others reach at `advertised_host:advertised_port`.
    pub fn new(transport: Transport, address: SocketAddr, advertised_host: &str, advertised_port: u16) -> Self {
        let cookie = String::from_utf8_lossy(MAGIC_COOKIE);
        let token = transport.via_token();
        let via = format!("Via: SIP/2.0/{token} {advertised_host}:{advertised_port};rport;branch={cookie}");
        let uri_end = format!("@{advertised_host}:{advertised_port}{};lr", transport.uri_parameter());
        let names = vec![Name::new(advertised_host, advertised_port)];
        let advertised_host = advertised_host.to_owned();
        Listener {
            transport,
            address,
            advertised_host,
            advertised_port,
            names,
            via_start: via.into(),
            uri_end: uri_end.into(),
        }
    }

    /// The same, known by one more name: as an outbound proxy's name in clients' Routes, or an address before translation.
    pub fn with_alias(mut self, host: &str, port: u16) -> Self {
        self.names.push(Name::new(host, port));
        self
    }

    /// Our Via on a message that leaves here, up to and with the branch's cookie. It asks for `rport`, so that answers
    /// come back to the very socket even where the advertised address is another.
    pub(super) fn via_start(&self) -> &[u8] {
        &self.via_start
    }

    /// The end of a URI of ours in a Route, behind its user part.
    pub(super) fn uri_end(&self) -> &[u8] {
        &self.uri_end
    }

    /// Where it is: as bound, and as advertised where that is an address.
    pub fn own_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let advertised = format!("{}:{}", self.advertised_host, self.advertised_port).parse().ok();
        std::iter::once(self.address).chain(advertised)
    }

    /// Whether it is bound to all addresses of the machine.
    pub fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

impl Snapshot {
    /// A snapshot of these. The table is made here, which takes a few milliseconds a backend.
    pub fn new(listeners: Vec<Listener>, pool: Pool, keys: Keys, policy: Policy) -> Self {
        let (roster, also_by_tcp) = (Roster::new(&keys.table, pool), Arc::default());
        let (latency, backend_transports, stream_backends) = (None, Vec::new(), 0);
        let shedding = Arc::default();
        let is_draining = false;
        Snapshot {
            listeners,
            roster,
            keys,
            policy,
            latency,
            backend_transports,
            also_by_tcp,
            stream_backends,
            shedding,
            is_draining,
        }
    }

    /// The same, with backends that are reached by these transports, in the order of the pool.
    pub fn with_backend_transports(mut self, transports: Vec<Transport>) -> Self {
        self.backend_transports = transports;
        self.with_streams_counted()
    }

    /// The same with another pool, or with the pool as it stands at another moment; its members are reached by these
    /// transports, in its order.
    pub fn with_roster(&self, roster: Roster, backend_transports: Vec<Transport>) -> Self {
        let Snapshot { listeners, keys, policy, latency, also_by_tcp, shedding, is_draining, .. } = self;
        let (listeners, keys, policy) = (listeners.clone(), keys.clone(), policy.clone());
        let (latency, also_by_tcp, stream_backends) = (*latency, also_by_tcp.clone(), 0);
        let (shedding, is_draining) = (shedding.clone(), *is_draining);
        Snapshot {
            listeners,
            roster,
            keys,
            policy,
            latency,
            backend_transports,
            also_by_tcp,
            stream_backends,
            shedding,
            is_draining,
        }
        .with_streams_counted()
    }

    /// The same, where backends over UDP at these addresses are reached by TCP there too.
    pub fn with_backends_also_by_tcp(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.also_by_tcp = Arc::new(addresses.into_iter().collect());
        self.with_streams_counted()
    }

    /// The same by other keys and another policy. Where the key that places calls is another, it needs another roster too.
    pub fn with_rules(&self, keys: Keys, policy: Policy) -> Self {
        Snapshot { keys, policy, ..self.clone() }
    }

    /// The same, with the former owners of the key space forgotten.
    pub fn without_earlier(&self) -> Self {
        Snapshot { roster: self.roster.clone().with_earlier(None), ..self.clone() }
    }

    /// The same, while Viaduct drains: what others are told then is the policy's.
    pub fn while_draining(&self) -> Self {
        Snapshot { is_draining: true, ..self.clone() }
    }

    /// The same, with backends timed: requests to them are stamped with that number and the time.
    pub fn with_latency(mut self, instance: Instance) -> Self {
        self.latency = Some(instance);
        self
    }

    /// The same, with backends timed by that number, or not at all.
    pub fn with_latency_of(self, latency: Option<Instance>) -> Self {
        Snapshot { latency, ..self }
    }

    /// By which transport that member of the pool is reached.
    pub fn backend_transport(&self, index: BackendIndex) -> Transport {
        self.backend_transports.get(index.get()).copied().unwrap_or(Transport::Udp)
    }

    /// Whether that member of the pool, which is reached by UDP, is reached by TCP too.
    pub fn is_also_reached_by_tcp(&self, index: BackendIndex) -> bool {
        self.pool().get(index).is_some_and(|backend| self.also_by_tcp.contains(&backend.address))
    }

    /// By which transport a member of the pool is sent an INVITE: TCP for one that takes both, where long requests go by it.
    pub fn invite_transport(&self, index: BackendIndex) -> Transport {
        match self.policy.udp_request_bytes_max > 0 && self.is_also_reached_by_tcp(index) {
            true => Transport::Tcp,
            false => self.backend_transport(index),
        }
    }

    /// How many members of the pool are reached over streams.
    pub fn stream_backends(&self) -> usize {
        self.stream_backends
    }

    /// The listeners, in the order of the configuration.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The pool as it stands.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The members of the pool.
    pub fn pool(&self) -> &Pool {
        self.roster.pool()
    }

    /// Which backend owns which part of the key space.
    pub fn table(&self) -> &Table {
        self.roster.table()
    }

    /// Whether the dialogs that a member has stay with it.
    pub fn serves(&self, index: BackendIndex) -> bool {
        self.roster.serves(index)
    }

    /// Where that member of the pool is counted.
    pub fn slot(&self, index: BackendIndex) -> BackendSlot {
        self.roster.slot(index)
    }

    /// The fleet's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What the operator wants where the rules leave a choice.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many requests each backend is not to be sent. It is the same one in all snapshots that are made of each other.
    pub fn shedding(&self) -> &Arc<Shedding> {
        &self.shedding
    }

    /// Whether Viaduct itself drains.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The number that marks our stamps of time; `None` where backends are not timed.
    pub fn latency(&self) -> Option<Instance> {
        self.latency
    }

    /// The side that a source is on.
    pub fn side_of(&self, source: SocketAddr) -> Side {
        if self.is_member(source) || self.is_trusted(source) { Side::Backend } else { Side::Client }
    }

    /// Whether a source is a member of the pool, by its address or, where ports are matched, its address and port.
    pub fn is_member(&self, source: SocketAddr) -> bool {
        if self.policy.match_ports { self.pool().by_address(source).is_some() } else { self.pool().has_ip(source.ip()) }
    }

    /// Whether a source is in a trusted network.
    pub fn is_trusted(&self, source: SocketAddr) -> bool {
        self.policy.trusted.iter().any(|network| network.contains(&source.ip()))
    }

    fn with_streams_counted(mut self) -> Self {
        let indexes = (0..self.pool().backends().len()).map(|index| BackendIndex(index as u16));
        let is_reached =
            |index: &BackendIndex| self.backend_transport(*index).is_stream() || self.is_also_reached_by_tcp(*index);
        self.stream_backends = indexes.filter(is_reached).count();
        self
    }

    /// That listener.
    pub(super) fn listener(&self, index: ListenerIndex) -> Option<&Listener> {
        self.listeners.get(index.get())
    }

    /// Whether messages leave by a stream there.
    pub(super) fn is_stream(&self, index: ListenerIndex) -> bool {
        self.listener(index).is_some_and(|listener| listener.transport.is_stream())
    }

    /// The listener by which a message that came in by `came_in` leaves for `to`: the same one where it has that transport
    /// and can reach that address, else the first that does.
    pub(super) fn egress(&self, came_in: ListenerIndex, transport: Transport, to: IpAddr) -> Option<ListenerIndex> {
        let reaches =
            |listener: &Listener| listener.transport == transport && listener.address.is_ipv4() == to.is_ipv4();
        if self.listener(came_in).is_some_and(reaches) {
            return Some(came_in);
        }
        self.listeners.iter().position(reaches).map(|index| ListenerIndex(index as u8))
    }

    /// The address that an answer to `inbound` must leave from: the one it was sent to, where the socket has several.
    pub(super) fn source_of_answer(&self, inbound: &Inbound<'_>) -> Option<IpAddr> {
        let is_shared = |listener: &Listener| listener.is_wildcard() && !listener.transport.is_stream();
        inbound.local.filter(|_| self.listener(inbound.listener).is_some_and(is_shared))
    }

    /// Whether a host and port name Viaduct: a listener's own address, one of its names, or, where a listener is bound to
    /// all addresses, the address that the message was sent to with that listener's port.
    pub(super) fn is_own(&self, host: Span, port: u16, inbound: &Inbound<'_>) -> bool {
        let host = host.of(inbound.bytes);
        self.is_named(host, parse_ip(host), port, inbound)
    }

    /// The same of an address that was found by a name.
    pub(super) fn is_own_address(&self, address: SocketAddr, inbound: &Inbound<'_>) -> bool {
        self.is_named(&[], Some(address.ip()), address.port(), inbound)
    }

    /// Whether a listener is at that address. `local` is an address of this machine, where one is known: a listener on all
    /// addresses is at each of them.
    pub(super) fn listens_at(&self, address: SocketAddr, local: Option<IpAddr>) -> bool {
        let local = local.or(Some(address.ip()).filter(IpAddr::is_loopback));
        self.is_named_at(&[], Some(address.ip()), address.port(), local)
    }

    fn is_named(&self, host: &[u8], ip: Option<IpAddr>, port: u16, inbound: &Inbound<'_>) -> bool {
        self.is_named_at(host, ip, port, inbound.local)
    }

    fn is_named_at(&self, host: &[u8], ip: Option<IpAddr>, port: u16, local: Option<IpAddr>) -> bool {
        let sent_to = ip.is_some() && ip == local;
        self.listeners.iter().any(|listener| {
            let bound = listener.address.port() == port
                && (ip == Some(listener.address.ip()) || sent_to && listener.is_wildcard());
            bound || listener.names.iter().any(|name| name.is(host, ip, port))
        })
    }
}
