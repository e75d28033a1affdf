//! What is known when a decision is made: immutable, replaced whole, never edited.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ipnet::IpNet;

use crate::balance::pool::Pool;
use crate::balance::table::Table;
use crate::sip::via::{MAGIC_COOKIE, parse_ip};
use crate::sip::{Span, Transport};

use super::inbound::{Inbound, ListenerIndex, Side};
use super::keys::Keys;

/// Everything a decision rests on besides the message.
#[derive(Clone, Debug)]
pub struct Snapshot {
    listeners: Vec<Listener>,
    pool: Pool,
    table: Table,
    keys: Keys,
    trusted: Vec<IpNet>,
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
    via_start: Bytes,
}

impl Listener {
    /// A listener bound to `address` that others reach at `advertised_host:advertised_port`.
    pub fn new(transport: Transport, address: SocketAddr, advertised_host: &str, advertised_port: u16) -> Self {
        let cookie = String::from_utf8_lossy(MAGIC_COOKIE);
        let token = transport.via_token();
        let via = format!("Via: SIP/2.0/{token} {advertised_host}:{advertised_port};rport;branch={cookie}");
        let advertised_host = advertised_host.to_owned();
        Listener { transport, address, advertised_host, advertised_port, via_start: via.into() }
    }

    /// Our Via on a message that leaves here, up to and with the branch's cookie. It asks for `rport`, so that answers
    /// come back to the very socket even where the advertised address is another.
    pub(super) fn via_start(&self) -> &[u8] {
        &self.via_start
    }

    /// Whether it is bound to all addresses of the machine.
    pub fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

impl Snapshot {
    /// A snapshot of these. The table is made here, which takes a few milliseconds a backend.
    pub fn new(listeners: Vec<Listener>, pool: Pool, keys: Keys, trusted: Vec<IpNet>) -> Self {
        let table = Table::new(&keys.table, &pool);
        Snapshot { listeners, pool, table, keys, trusted }
    }

    /// The listeners, in the order of the configuration.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The members of the pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Which backend owns which part of the key space.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The fleet's keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The side that a source is on.
    pub fn side_of(&self, ip: IpAddr) -> Side {
        if self.pool.has_ip(ip) || self.trusted.iter().any(|network| network.contains(&ip)) {
            Side::Backend
        } else {
            Side::Client
        }
    }

    /// That listener.
    pub(super) fn listener(&self, index: ListenerIndex) -> Option<&Listener> {
        self.listeners.get(index.get())
    }

    /// The listener by which a message that came in by `came_in` leaves for `to`: the same one where it can reach that
    /// address, else the first that can.
    pub(super) fn egress(&self, came_in: ListenerIndex, to: IpAddr) -> Option<ListenerIndex> {
        let reaches = |listener: &Listener| listener.address.is_ipv4() == to.is_ipv4();
        if self.listener(came_in).is_some_and(reaches) {
            return Some(came_in);
        }
        self.listeners.iter().position(reaches).map(|index| ListenerIndex(index as u8))
    }

    /// The address that an answer to `inbound` must leave from: the one it was sent to, where the socket has several.
    pub(super) fn source_of_answer(&self, inbound: &Inbound<'_>) -> Option<IpAddr> {
        inbound.local.filter(|_| self.listener(inbound.listener).is_some_and(Listener::is_wildcard))
    }

    /// Whether a host and port name Viaduct: a listener's own address, its advertised one, or, where the listener that
    /// received the message is bound to all addresses, the one that the message was sent to.
    pub(super) fn is_own(&self, host: Span, port: u16, inbound: &Inbound<'_>) -> bool {
        let host = host.of(inbound.bytes);
        let ip = parse_ip(host);
        let bound = |listener: &Listener| listener.address.port() == port && ip == Some(listener.address.ip());
        let advertised = |listener: &Listener| {
            let named = listener.advertised_host.as_bytes();
            listener.advertised_port == port
                && (named.eq_ignore_ascii_case(host) || ip.is_some() && ip == parse_ip(named))
        };
        let wildcard = self.listener(inbound.listener).filter(|listener| listener.is_wildcard());
        self.listeners.iter().any(|listener| bound(listener) || advertised(listener))
            || wildcard.is_some_and(|listener| listener.address.port() == port && ip.is_some() && ip == inbound.local)
    }
}
