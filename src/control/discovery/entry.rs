//! One entry of the list of backends: an address, or a name that leads to any number of them.

use std::net::SocketAddr;

use crate::balance::backend::Weight;
use crate::proxy::names::Families;
use crate::sip::Transport;

/// An entry of the list, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is known by: each name stands once.
    pub name: String,
    /// Whether the operator gave it that name; if not, it is what the entry says of host and port.
    pub is_named: bool,
    /// The host as written: a name, or an address.
    pub host: String,
    /// What is looked up for it.
    pub place: Place,
    /// The weight of what it leads to.
    pub weight: Weight,
    /// Whether what it leads to, over UDP, takes TCP too.
    pub also_by_tcp: bool,
}

/// What is looked up for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing: it is an address.
    At(SocketAddr, Transport),
    /// The addresses of its host; the port is given (RFC 3263 §4.2).
    Host(u16, Transport),
    /// Service records, and without any the addresses of its host at the transport's own port. Where the transport is left open,
    /// NAPTR says which (RFC 3263 §4.1).
    Service(Option<Transport>),
}

impl Entry {
    /// Whether name servers are asked about it.
    pub fn is_looked_up(&self) -> bool {
        !matches!(self.place, Place::At(..))
    }

    /// Whether it leads to members over that transport, or may.
    pub fn may_use(&self, transport: Transport) -> bool {
        match self.place {
            Place::At(_, own) | Place::Host(_, own) | Place::Service(Some(own)) => own == transport,
            Place::Service(None) => true,
        }
    }

    /// Whether the same is looked up for another entry, so that its answer is this one's too.
    pub(super) fn has_answer_of(&self, other: &Entry) -> bool {
        (&self.host, self.place) == (&other.host, other.place)
    }
}

/// What the listeners reach: of which families, by transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Vec<(Transport, Families)>);

impl Reach {
    /// What listeners of these transports and addresses reach.
    pub fn of(listeners: impl Iterator<Item = (Transport, SocketAddr)>) -> Self {
        let mut reach: Vec<(Transport, Families)> = Vec::new();
        for (transport, address) in listeners {
            let place = reach.iter().position(|(known, _)| *known == transport).unwrap_or(reach.len());
            if place == reach.len() {
                reach.push((transport, Families { ipv4: false, ipv6: false }));
            }
            let families = &mut reach[place].1;
            (families.ipv4, families.ipv6) = (families.ipv4 || address.is_ipv4(), families.ipv6 || address.is_ipv6());
        }
        Reach(reach)
    }

    /// The families that are reached by that transport.
    pub fn families(&self, transport: Transport) -> Families {
        let found = self.0.iter().find(|(known, _)| *known == transport);
        found.map_or(Families { ipv4: false, ipv6: false }, |(_, families)| *families)
    }

    /// Whether anything is reached by that transport.
    pub fn has(&self, transport: Transport) -> bool {
        self.0.iter().any(|(known, _)| *known == transport)
    }
}
