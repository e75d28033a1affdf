//! From an entry to its targets: NAPTR says which transport, SRV which hosts and ports, A and AAAA where those are (RFC 3263 §4).
//!
//! The walk of [`crate::control::resolve`] looked like the same one. It needs addresses alone, where here a target's name is what a
//! backend is known by; and it asks for names as they stand, where operators write those of their own network, for which
//! /etc/resolv.conf has a search list.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name as Domain, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::control::resolve::servers::{Records, Servers, Unanswered};
use crate::control::resolve::walk::{all_addresses, followed, service_of};
use crate::sip::Transport;

use super::entry::{Entry, Place, Reach};
use super::finding::{Answer, FOUND_MAX, Finding, Target};

/// How long all questions about an entry may take together.
const WALK_MAX: Duration = Duration::from_secs(10);

/// How many hosts of service records are asked about at once.
const HOSTS_AT_ONCE: usize = 32;

/// The transports of backends, in the order in which services are looked for where no record says which.
const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// Finds out where an entry leads.
pub async fn look_up(servers: &Servers, entry: &Entry, reach: &Reach) -> Finding {
    let mut walk = Walk { servers, reach, ttl: Duration::MAX };
    let answer = match timeout(WALK_MAX, walk.targets(entry)).await {
        Ok(Ok(targets)) if targets.is_empty() => Answer::Nothing,
        Ok(Ok(targets)) => Answer::Targets(targets),
        Ok(Err(Unanswered)) | Err(_) => Answer::Unanswered,
    };
    Finding { answer, ttl: walk.ttl }
}

struct Walk<'a> {
    servers: &'a Servers,
    reach: &'a Reach,
    /// The least time of the records used on the way.
    ttl: Duration,
}

impl Walk<'_> {
    async fn targets(&mut self, entry: &Entry) -> Result<Vec<Target>, Unanswered> {
        // What is no domain does not exist.
        let Ok(host) = Domain::from_ascii(&entry.host) else { return Ok(Vec::new()) };
        let (transport, service) = match entry.place {
            Place::At(..) => return Ok(Vec::new()),
            Place::Host(port, transport) => return self.host(host, port, transport).await,
            Place::Service(Some(transport)) => (transport, None),
            Place::Service(None) => match self.chosen_by_naptr(&host).await? {
                Chosen::Service(transport, service) => (transport, Some(service)),
                Chosen::None => return Ok(Vec::new()),
                Chosen::Silent => return self.first_service(entry, host).await,
            },
        };
        let services = match service {
            Some(service) => self.services(&service).await?,
            None => self.services_of(entry, transport).await?,
        };
        match services {
            Some(services) if services.is_empty() => self.host(host, transport.default_port(), transport).await,
            Some(services) => self.hosts(services, transport).await,
            None => Ok(Vec::new()),
        }
    }

    /// Where no record says which transport: the first that has a service, and without any the host, over the first that is
    /// reached.
    async fn first_service(&mut self, entry: &Entry, host: Domain) -> Result<Vec<Target>, Unanswered> {
        let reach = self.reach;
        let mut reached = TRANSPORTS.into_iter().filter(|transport| reach.has(*transport));
        for transport in reached.clone() {
            if let Some(services) = self.services_of(entry, transport).await?
                && !services.is_empty()
            {
                return self.hosts(services, transport).await;
            }
        }
        let first = reached.next().unwrap_or(Transport::Udp);
        self.host(host, first.default_port(), first).await
    }

    async fn chosen_by_naptr(&mut self, host: &Domain) -> Result<Chosen, Unanswered> {
        let naptr = |data: &RData| if let RData::NAPTR(naptr) = data { Some(naptr.clone()) } else { None };
        let records = self.servers.records(host, RecordType::NAPTR, naptr).await;
        Ok(choose(&self.noted(records)?, self.reach))
    }

    async fn services_of(&mut self, entry: &Entry, transport: Transport) -> Result<Option<Vec<SRV>>, Unanswered> {
        match Domain::from_ascii(format!("{}.{}", service_of(transport), entry.host)) {
            Ok(service) => self.services(&service).await,
            // With what goes before a service it would be too long to have one.
            Err(_) => Ok(Some(Vec::new())),
        }
    }

    /// The service records; `None` where one says that there is no such service.
    async fn services(&mut self, service: &Domain) -> Result<Option<Vec<SRV>>, Unanswered> {
        let srv = |data: &RData| if let RData::SRV(srv) = data { Some(srv.clone()) } else { None };
        let records = self.servers.records(service, RecordType::SRV, srv).await;
        Ok(followed(self.noted(records)?, FOUND_MAX).ok())
    }

    async fn host(&mut self, host: Domain, port: u16, transport: Transport) -> Result<Vec<Target>, Unanswered> {
        let families = self.reach.families(transport);
        let records = all_addresses(self.servers.clone(), families, host, port).await;
        let found = self.noted(records)?;
        let addresses = Some(found.iter().map(SocketAddr::ip).collect());
        let target = Target { priority: 0, host: None, port, weight: 0, transport, addresses };
        Ok(if found.is_empty() { Vec::new() } else { vec![target] })
    }

    /// The hosts of service records, some at once.
    async fn hosts(&mut self, services: Vec<SRV>, transport: Transport) -> Result<Vec<Target>, Unanswered> {
        let families = self.reach.families(transport);
        let (mut targets, mut lookups) = (Vec::new(), JoinSet::new());
        let mut services = services.into_iter();
        loop {
            while lookups.len() < HOSTS_AT_ONCE
                && let Some(srv) = services.next()
            {
                let servers = self.servers.clone();
                lookups.spawn(async move {
                    let found = all_addresses(servers, families, srv.target.clone(), srv.port).await;
                    (srv, found)
                });
            }
            let Some(done) = lookups.join_next().await else { return Ok(targets) };
            let Ok((SRV { priority, weight, port, target, .. }, found)) = done else { return Err(Unanswered) };
            let addresses = self.noted(found).ok().map(|found| found.iter().map(SocketAddr::ip).collect());
            let host = target.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            targets.push(Target { priority, host: Some(host), port, weight, transport, addresses });
        }
    }

    fn noted<T>(&mut self, records: Result<Records<T>, Unanswered>) -> Result<Vec<T>, Unanswered> {
        let Records { data, ttl } = records?;
        if !data.is_empty() {
            self.ttl = ttl.min(self.ttl);
        }
        Ok(data)
    }
}

/// What NAPTR records say of SIP.
#[derive(Debug, PartialEq)]
enum Chosen {
    /// This transport, by these service records.
    Service(Transport, Domain),
    /// Only transports that no listener has.
    None,
    /// Nothing.
    Silent,
}

/// The service of the lowest order and preference whose transport a listener has (RFC 3263 §4.1).
fn choose(records: &[NAPTR], reach: &Reach) -> Chosen {
    let transport = |naptr: &NAPTR| match naptr.services.to_ascii_uppercase().as_slice() {
        b"SIP+D2U" => Some(Transport::Udp),
        b"SIP+D2T" => Some(Transport::Tcp),
        b"SIPS+D2T" => Some(Transport::Tls),
        _ => None,
    };
    let is_plain = |naptr: &&NAPTR| naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
    let mut known: Vec<_> =
        records.iter().filter(is_plain).filter_map(|naptr| Some((transport(naptr)?, naptr))).collect();
    known.sort_by_key(|(_, naptr)| (naptr.order, naptr.preference));
    match known.iter().find(|(transport, _)| reach.has(*transport)) {
        Some((transport, naptr)) => Chosen::Service(*transport, naptr.replacement.clone()),
        None if known.is_empty() => Chosen::Silent,
        None => Chosen::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naptr(order: u16, preference: u16, services: &str, replacement: &str) -> NAPTR {
        let bytes = |text: &str| text.as_bytes().into();
        NAPTR::new(order, preference, bytes("s"), bytes(services), bytes(""), Domain::from_ascii(replacement).unwrap())
    }

    #[test]
    fn naptr_chooses_the_first_transport_that_a_listener_has() {
        let records =
            [naptr(10, 1, "SIPS+D2T", "tls."), naptr(20, 9, "SIP+D2U", "udp."), naptr(20, 5, "sip+d2t", "tcp.")];
        let chosen = |transports: &[Transport]| {
            let address = SocketAddr::from(([127, 0, 0, 1], 5060));
            choose(&records, &Reach::of(transports.iter().map(|transport| (*transport, address))))
        };
        let service = |transport, name| Chosen::Service(transport, Domain::from_ascii(name).unwrap());
        assert_eq!(chosen(&[Transport::Udp, Transport::Tls]), service(Transport::Tls, "tls."));
        assert_eq!(chosen(&[Transport::Udp, Transport::Tcp]), service(Transport::Tcp, "tcp."));
        assert_eq!(chosen(&[Transport::Udp]), service(Transport::Udp, "udp."));
        assert_eq!(chosen(&[]), Chosen::None);
        assert_eq!(choose(&records[..0], &Reach::default()), Chosen::Silent);
    }
}
