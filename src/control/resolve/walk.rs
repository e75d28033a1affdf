//! From a name to addresses (RFC 3263 §4): NAPTR says which service record to ask for, SRV which hosts and ports, A and AAAA
//! where those are. Where a URI names no transport, only what is reached over UDP counts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::{NAPTR, SRV};
use hickory_resolver::proto::rr::{Name as Domain, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::proxy::names::name::{Lookup, Name};
use crate::proxy::names::targets::{Target, Targets};
use crate::proxy::names::{Answer, Failure, Families};
use crate::sip::Transport;

use super::servers::{Records, Servers, Unanswered};

/// How long all questions about a name may take together. The caller has given up by then: timer B is 32 seconds, and most
/// people are less patient.
const MAX_LOOKUP: Duration = Duration::from_secs(10);

/// The most SRV records of one name that are followed; those of the lowest priorities are.
const MAX_SERVICES: usize = 32;

/// What was found out about a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Where it leads, or why nowhere.
    pub(super) answer: Answer,
    /// How long that may be remembered.
    pub(super) ttl: Duration,
}

/// Finds out where a name leads.
pub(super) async fn resolve(servers: &Servers, name: &Name, families: Families) -> Found {
    let mut walk = Walk { servers, families, positive: Duration::MAX, negative: Duration::MAX };
    let targets = timeout(MAX_LOOKUP, walk.targets(name)).await.unwrap_or(Err(Failure::Unanswered));
    match targets.and_then(|targets| Targets::new(&targets).ok_or(Failure::NotFound)) {
        Ok(targets) => Found { answer: Answer::Targets(Arc::new(targets)), ttl: walk.positive },
        Err(failure) => Found { answer: Answer::Failed(failure), ttl: walk.positive.min(walk.negative) },
    }
}

struct Walk<'a> {
    servers: &'a Servers,
    families: Families,
    /// The least time of the records used on the way.
    positive: Duration,
    /// The least time for which there are no others.
    negative: Duration,
}

impl Walk<'_> {
    async fn targets(&mut self, name: &Name) -> Result<Vec<Target>, Failure> {
        let host = domain(name.host())?;
        let (service, transport) = match name.lookup() {
            Lookup::Port(port) => return self.host(host, port).await,
            Lookup::Udp => (None, Transport::Udp),
            Lookup::Tcp => (None, Transport::Tcp),
            Lookup::Tls => (None, Transport::Tls),
            Lookup::Service => (self.service_by_naptr(&host).await?, Transport::Udp),
        };
        let service = service.map_or_else(|| domain(&format!("{}.{}", service_of(transport), name.host())), Ok);
        let services = match service {
            Ok(service) => self.services(&service).await?,
            // With what goes before a service it would be too long to have one.
            Err(_) => Vec::new(),
        };
        if services.is_empty() { self.host(host, transport.default_port()).await } else { self.hosts(services).await }
    }

    async fn service_by_naptr(&mut self, host: &Domain) -> Result<Option<Domain>, Failure> {
        let naptr = |data: &RData| if let RData::NAPTR(naptr) = data { Some(naptr.clone()) } else { None };
        let records = self.servers.records(host, RecordType::NAPTR, naptr).await;
        udp_service(&self.noted(records)?)
    }

    async fn services(&mut self, service: &Domain) -> Result<Vec<SRV>, Failure> {
        let srv = |data: &RData| if let RData::SRV(srv) = data { Some(srv.clone()) } else { None };
        let records = self.servers.records(service, RecordType::SRV, srv).await;
        followed(self.noted(records)?, MAX_SERVICES)
    }

    async fn host(&mut self, host: Domain, port: u16) -> Result<Vec<Target>, Failure> {
        let records = addresses(self.servers.clone(), self.families, host, port).await;
        Ok(vec![Target { priority: 0, weight: 0, addresses: self.noted(records)? }])
    }

    /// The hosts of service records, all at once. One about which nothing is learnt is left out: the others can do its work.
    async fn hosts(&mut self, services: Vec<SRV>) -> Result<Vec<Target>, Failure> {
        let mut lookups = JoinSet::new();
        for SRV { priority, weight, port, target, .. } in services {
            let (servers, families) = (self.servers.clone(), self.families);
            lookups.spawn(async move { (priority, weight, addresses(servers, families, target, port).await) });
        }
        let (mut targets, mut unanswered) = (Vec::new(), None);
        for (priority, weight, records) in lookups.join_all().await {
            match self.noted(records) {
                Ok(addresses) => targets.push(Target { priority, weight, addresses }),
                Err(failure) => unanswered = Some(failure),
            }
        }
        let has_address = targets.iter().any(|target| !target.addresses.is_empty());
        unanswered.filter(|_| !has_address).map_or(Ok(targets), Err)
    }

    fn noted<T>(&mut self, records: Result<Records<T>, Unanswered>) -> Result<Vec<T>, Failure> {
        let Records { data, ttl } = records.map_err(|Unanswered| Failure::Unanswered)?;
        let least = if data.is_empty() { &mut self.negative } else { &mut self.positive };
        *least = ttl.min(*least);
        Ok(data)
    }
}

/// What stands before a domain in the name of its service (RFC 3263 §4.1).
pub(in crate::control) fn service_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp | Transport::Ws => "_sip._tcp",
        Transport::Tls | Transport::Wss => "_sips._tcp",
    }
}

fn domain(host: &str) -> Result<Domain, Failure> {
    Domain::from_ascii(format!("{host}.")).map_err(|_| Failure::NotFound)
}

/// The service record that NAPTR records lead to for UDP (RFC 3263 §4.1); `None` where they say nothing of SIP.
fn udp_service(records: &[NAPTR]) -> Result<Option<Domain>, Failure> {
    let is_sip = |naptr: &&NAPTR| {
        let services = naptr.services.to_ascii_uppercase();
        services.starts_with(b"SIP+") || services.starts_with(b"SIPS+")
    };
    let is_udp = |naptr: &&NAPTR| {
        naptr.services.eq_ignore_ascii_case(b"SIP+D2U")
            && naptr.flags.eq_ignore_ascii_case(b"s")
            && naptr.regexp.is_empty()
    };
    let first = records.iter().filter(is_udp).min_by_key(|naptr| (naptr.order, naptr.preference));
    match first {
        Some(naptr) => Ok(Some(naptr.replacement.clone())),
        None if records.iter().any(|naptr| is_sip(&naptr)) => Err(Failure::NoUdp),
        None => Ok(None),
    }
}

/// The service records that are followed, at most so many. A single one whose target is the root says that there is no such service (RFC
/// 2782).
pub(in crate::control) fn followed(mut records: Vec<SRV>, most: usize) -> Result<Vec<SRV>, Failure> {
    if matches!(&records[..], [only] if only.target.is_root()) {
        return Err(Failure::NoUdp);
    }
    records.retain(|srv| srv.port != 0 && !srv.target.is_root());
    // In one order whatever order the server gives, so that what is cut off is the same on every member of a fleet.
    records.sort_by(|a, b| (a.priority, &a.target, a.port, a.weight).cmp(&(b.priority, &b.target, b.port, b.weight)));
    records.truncate(most);
    Ok(records)
}

/// The addresses of a host, of those families that are reached, and of one alone where nothing is said of the other.
pub(in crate::control) async fn addresses(
    servers: Servers,
    families: Families,
    host: Domain,
    port: u16,
) -> Result<Records<SocketAddr>, Unanswered> {
    let (ipv4, ipv6) = by_family(servers, families, host, port).await;
    either(ipv4, ipv6)
}

/// The same where a part would be taken for the whole: unanswered, unless both questions are answered.
pub(in crate::control) async fn all_addresses(
    servers: Servers,
    families: Families,
    host: Domain,
    port: u16,
) -> Result<Records<SocketAddr>, Unanswered> {
    let (ipv4, ipv6) = by_family(servers, families, host, port).await;
    either(Ok(ipv4?), Ok(ipv6?))
}

type Addresses = Result<Records<SocketAddr>, Unanswered>;

async fn by_family(servers: Servers, families: Families, host: Domain, port: u16) -> (Addresses, Addresses) {
    let pick = |data: &RData| match data {
        RData::A(a) => Some(SocketAddr::new(IpAddr::V4(a.0), port)),
        RData::AAAA(aaaa) => Some(SocketAddr::new(IpAddr::V6(aaaa.0), port)),
        _ => None,
    };
    let of = async |wanted, kind| match wanted {
        true => servers.records(&host, kind, pick).await,
        false => Ok(Records { data: Vec::new(), ttl: Duration::MAX }),
    };
    tokio::join!(of(families.ipv4, RecordType::A), of(families.ipv6, RecordType::AAAA))
}

/// What two questions about one host have found. Where one was not answered, the other's addresses do.
fn either<T>(
    one: Result<Records<T>, Unanswered>,
    other: Result<Records<T>, Unanswered>,
) -> Result<Records<T>, Unanswered> {
    match (one, other) {
        (Ok(one), Ok(other)) if one.data.is_empty() == other.data.is_empty() => {
            let data = one.data.into_iter().chain(other.data).collect();
            Ok(Records { data, ttl: one.ttl.min(other.ttl) })
        }
        (Ok(found), _) | (_, Ok(found)) if !found.data.is_empty() => Ok(found),
        (Ok(_), Ok(found)) => Ok(found),
        _ => Err(Unanswered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naptr(order: u16, preference: u16, flags: &str, services: &str, replacement: &str) -> NAPTR {
        let bytes = |text: &str| text.as_bytes().into();
        NAPTR::new(order, preference, bytes(flags), bytes(services), bytes(""), domain(replacement).unwrap())
    }

    fn srv(priority: u16, port: u16, target: &str) -> SRV {
        SRV::new(priority, 1, port, Domain::from_ascii(target).unwrap())
    }

    #[test]
    fn the_udp_service_of_the_lowest_order_and_preference_is_taken() {
        let records = [
            naptr(10, 1, "s", "SIP+D2T", "tcp"),
            naptr(20, 9, "s", "SIP+D2U", "late"),
            naptr(20, 5, "S", "sip+d2u", "early"),
            naptr(1, 1, "u", "SIP+D2U", "odd"),
        ];
        assert_eq!(udp_service(&records), Ok(Some(domain("early").unwrap())));
    }

    #[test]
    fn a_domain_that_names_other_transports_alone_is_not_reached_and_one_that_is_silent_is_looked_up_further() {
        assert_eq!(udp_service(&[naptr(1, 1, "s", "SIPS+D2T", "tls")]), Err(Failure::NoUdp));
        assert_eq!(udp_service(&[naptr(1, 1, "u", "E2U+sip", "x")]), Ok(None));
        assert_eq!(udp_service(&[]), Ok(None));
    }

    #[test]
    fn a_single_service_at_the_root_says_that_there_is_none() {
        assert_eq!(followed(vec![srv(1, 5060, ".")], 9), Err(Failure::NoUdp));
        let records = vec![srv(9, 5060, "b."), srv(1, 5060, "."), srv(1, 0, "c."), srv(1, 5060, "a.")];
        assert_eq!(followed(records, 9), Ok(vec![srv(1, 5060, "a."), srv(9, 5060, "b.")]));
    }

    #[test]
    fn one_family_that_is_not_answered_does_not_spoil_the_other() {
        let some = |ttl_s| Ok(Records { data: vec![ttl_s], ttl: Duration::from_secs(ttl_s) });
        let none = || Ok(Records { data: Vec::<u64>::new(), ttl: Duration::from_secs(1) });
        let ttl = |found: Result<Records<u64>, Unanswered>| found.map(|found| (found.data, found.ttl.as_secs()));
        assert_eq!(ttl(either(some(5), some(3))), Ok((vec![5, 3], 3)));
        assert_eq!(ttl(either(some(5), none())), Ok((vec![5], 5)));
        assert_eq!(ttl(either(none(), some(5))), Ok((vec![5], 5)));
        assert_eq!(ttl(either(Err(Unanswered), some(5))), Ok((vec![5], 5)));
        assert_eq!(ttl(either(none(), Err(Unanswered))), Err(Unanswered));
        assert_eq!(ttl(either(none(), none())), Ok((vec![], 1)));
    }
}
