//! What a look-up finds, and what members it makes: their names, weights and ranks are a function of the entry and the answer alone,
//! so that all copies of a fleet that have the same answer have the same pool.
//!
//! To number what is found, or to keep a name with the address that had it first, looked friendlier to a backend that moves. Two
//! copies that began at different times would then know the same backend by two names, and disagree about every call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::balance::backend::Weight;
use crate::sip::Transport;

use super::entry::{Entry, Place};

/// The most backends that one entry leads to; the first by priority and name do.
pub const FOUND_MAX: usize = 256;

/// What a look-up has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The answer.
    pub answer: Answer,
    /// For how long it holds.
    pub ttl: Duration,
}

/// An answer about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Where it leads. A target about which nothing was learnt has no addresses.
    Targets(Vec<Target>),
    /// Nowhere: the name does not exist, or has no address that a listener reaches.
    Nothing,
    /// The name servers do not answer, or say that they cannot.
    Unanswered,
}

/// Where an entry leads: the target of a service record, or the entry's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Lower ones come first (RFC 2782).
    pub priority: u16,
    /// The host that a service record names; `None` for the entry's own.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// Its share among those of its priority.
    pub weight: u16,
    /// How it is reached.
    pub transport: Transport,
    /// Its addresses; `None` where nobody answered about them.
    pub addresses: Option<Vec<IpAddr>>,
}

/// A member as an entry leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// What it is known by.
    pub name: String,
    /// Its host, for Routes and certificates.
    pub host: String,
    /// Where it is.
    pub address: SocketAddr,
    /// How it is reached.
    pub transport: Transport,
    /// Whether it takes TCP besides UDP.
    pub also_by_tcp: bool,
    /// Its weight.
    pub weight: Weight,
    /// Lower ones come first.
    pub tier: u32,
    /// The target that it is an address of: one that has another name than before is the same backend if it is of the same target.
    pub target: Option<String>,
}

/// The members that an entry leads to by these targets.
pub fn leads(entry: &Entry, targets: &[Target]) -> Vec<Lead> {
    let address = |(address, transport): (SocketAddr, Transport)| Lead {
        name: entry.name.clone(),
        host: entry.host.clone(),
        address,
        transport,
        also_by_tcp: entry.also_by_tcp,
        weight: entry.weight,
        tier: 0,
        target: None,
    };
    if let Place::At(at, transport) = entry.place {
        return vec![address((at, transport))];
    }
    let mut targets: Vec<&Target> = targets.iter().collect();
    // In one order whatever order the server gives.
    targets.sort_by(|a, b| (a.priority, &a.host, a.port, a.weight).cmp(&(b.priority, &b.host, b.port, b.weight)));
    let weights = weights(entry.weight, &targets);
    let all = targets.iter().zip(weights).flat_map(|(target, (weight, is_spare))| {
        let addresses = of_one_family(target.addresses.as_deref().unwrap_or_default());
        let is_only = addresses.len() == 1;
        let tier = u32::from(target.priority) * 2 + u32::from(is_spare);
        addresses.into_iter().map(move |ip| Lead {
            name: name(entry, target, ip, is_only),
            host: host(entry, target),
            tier,
            weight,
            target: target.host.clone(),
            ..address((SocketAddr::new(ip, target.port), target.transport))
        })
    });
    let mut found: Vec<Lead> = Vec::new();
    for lead in all {
        if found.len() < FOUND_MAX && found.iter().all(|other| other.address != lead.address) {
            found.push(lead);
        }
    }
    found
}

/// What a member is known by. Where the operator gave no name, each address is known as if it stood in the list itself, and a service
/// record's target by its own name. A name that was given is that of the only address; of several, and of targets, it stands before
/// theirs.
fn name(entry: &Entry, target: &Target, ip: IpAddr, is_only: bool) -> String {
    let at = SocketAddr::new(ip, target.port);
    let place = match &target.host {
        None if entry.is_named && is_only => return entry.name.clone(),
        None if entry.is_named => return format!("{}@{ip}", entry.name),
        Some(host) if is_only => format!("{host}:{}", target.port),
        _ => at.to_string(),
    };
    if entry.is_named { format!("{}@{place}", entry.name) } else { place }
}

/// A certificate must be that of the domain that was looked up, not of what it led to (RFC 5922 §4).
fn host(entry: &Entry, target: &Target) -> String {
    let of_target = target.host.as_ref().filter(|_| target.transport != Transport::Tls);
    of_target.unwrap_or(&entry.host).clone()
}

/// The addresses of one family, in order: a host with both would be two members, be asked twice and get twice the calls.
fn of_one_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let has_ipv4 = addresses.iter().any(IpAddr::is_ipv4);
    let mut of_one: Vec<IpAddr> = addresses.iter().filter(|ip| ip.is_ipv4() == has_ipv4).copied().collect();
    of_one.sort();
    of_one.dedup();
    of_one
}

/// The weight of each target, and whether it is a spare: one of weight 0 beside others is to get calls hardly ever (RFC 2782), so
/// it gets them only where the others of its priority can take none. Service records that have all the same weight say nothing by
/// it, so the entry's own is that of each; others stand to each other as the records do.
fn weights(entry: Weight, targets: &[&Target]) -> Vec<(Weight, bool)> {
    let own = u64::from(entry.value());
    let limit = u64::from(Weight::MAX.value());
    let weight = |target: &&Target| {
        let alike =
            targets.iter().filter(|other| other.priority == target.priority).map(|other| u64::from(other.weight));
        let common = alike.clone().fold(0, divisor).max(1);
        let largest = own * alike.max().unwrap_or(0) / common;
        if target.weight == 0 || own == 0 {
            return (entry, target.weight == 0 && largest > 0);
        }
        let exact = own * u64::from(target.weight) / common;
        // What had a weight keeps one.
        let fitting = if largest > limit { (exact * limit / largest).max(1) } else { exact };
        (Weight::new(fitting as u32).unwrap_or(Weight::MAX), false)
    };
    targets.iter().map(weight).collect()
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: Option<&str>, host: &str, place: Place) -> Entry {
        let (name, is_named) = (name.unwrap_or(host).to_owned(), name.is_some());
        Entry { name, is_named, host: host.to_owned(), place, weight: Weight::DEFAULT, also_by_tcp: false }
    }

    fn target(priority: u16, weight: u16, host: Option<&str>, addresses: &[&str]) -> Target {
        let addresses = Some(addresses.iter().map(|ip| ip.parse().unwrap()).collect());
        let host = host.map(str::to_owned);
        Target { priority, weight, host, port: 5060, transport: Transport::Udp, addresses }
    }

    fn names(entry: &Entry, targets: &[Target]) -> Vec<String> {
        leads(entry, targets).into_iter().map(|lead| lead.name).collect()
    }

    const HOST: Place = Place::Host(5060, Transport::Udp);
    const SERVICE: Place = Place::Service(Some(Transport::Udp));

    #[test]
    fn the_only_address_has_the_name_that_was_given_and_every_other_is_known_by_itself() {
        let (named, plain) = (entry(Some("kam"), "kam.example", HOST), entry(None, "kam.example:5060", HOST));
        let one = [target(0, 0, None, &["10.0.0.2"])];
        let two = [target(0, 0, None, &["10.0.0.2", "10.0.0.1", "10.0.0.2"])];
        assert_eq!([names(&named, &one), names(&plain, &one)], [["kam"], ["10.0.0.2:5060"]]);
        assert_eq!(names(&named, &two), ["kam@10.0.0.1", "kam@10.0.0.2"]);
        assert_eq!(names(&plain, &two), ["10.0.0.1:5060", "10.0.0.2:5060"], "as if they stood in the list");
    }

    #[test]
    fn the_target_of_a_service_record_is_known_by_its_name_wherever_it_is() {
        let (named, plain) = (entry(Some("kam"), "example", SERVICE), entry(None, "example", SERVICE));
        for ip in ["10.0.0.1", "10.0.0.2"] {
            let targets = [target(1, 1, Some("kam-0.example"), &[ip])];
            assert_eq!(names(&named, &targets), ["kam@kam-0.example:5060"]);
            assert_eq!(names(&plain, &targets), ["kam-0.example:5060"]);
        }
        let several = [target(1, 1, Some("kam.example"), &["10.0.0.1", "10.0.0.2"])];
        assert_eq!(names(&named, &several), ["kam@10.0.0.1:5060", "kam@10.0.0.2:5060"]);
    }

    #[test]
    fn a_host_of_both_families_is_one_backend() {
        let targets = [target(0, 0, None, &["2001:db8::1", "10.0.0.1"])];
        assert_eq!(names(&entry(Some("kam"), "kam.example", HOST), &targets), ["kam"]);
        let targets = [target(0, 0, None, &["2001:db8::1", "2001:db8::2"])];
        let plain = entry(None, "kam.example:5060", HOST);
        assert_eq!(names(&plain, &targets), ["[2001:db8::1]:5060", "[2001:db8::2]:5060"]);
    }

    #[test]
    fn weights_stand_to_each_other_as_those_of_the_records() {
        let of = |weights: &[u16], own: u32| {
            let entry = Entry { weight: Weight::new(own).unwrap(), ..entry(None, "example", SERVICE) };
            let hosts: Vec<String> = (0..weights.len()).map(|i| format!("h{i}")).collect();
            let targets = weights
                .iter()
                .enumerate()
                .map(|(i, weight)| target(1, *weight, Some(&hosts[i]), &[&format!("10.0.0.{i}")]));
            let found = leads(&entry, &targets.collect::<Vec<_>>());
            found.iter().map(|lead| (lead.weight.value(), lead.tier)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[33, 33, 33], 1), [(1, 2); 3], "as Kubernetes has it");
        assert_eq!(of(&[60, 20, 20], 1), [(3, 2), (1, 2), (1, 2)]);
        assert_eq!(of(&[60, 20], 5), [(15, 2), (5, 2)]);
        assert_eq!(of(&[0, 0], 7), [(7, 2), (7, 2)]);
        assert_eq!(of(&[0, 10], 1), [(1, 3), (1, 2)], "the one of weight 0 is a spare");
        assert_eq!(of(&[65_535, 1], 1), [(1000, 2), (1, 2)]);
        assert_eq!(of(&[60, 20], 0), [(0, 2), (0, 2)]);
    }

    #[test]
    fn lower_priorities_come_first_and_what_is_too_much_is_cut_behind_them() {
        let entry = entry(None, "example", SERVICE);
        let many = (0..300u16).rev().map(|i| {
            let (host, ip) = (format!("h{i:03}"), format!("10.0.{}.{}", i / 256, i % 256));
            target(i, 1, Some(&host), &[&ip])
        });
        let found = leads(&entry, &many.collect::<Vec<_>>());
        assert_eq!((found.len(), found[0].name.as_str(), found[255].tier), (FOUND_MAX, "h000:5060", 510));
    }

    #[test]
    fn over_tls_the_host_is_the_one_that_was_looked_up() {
        let entry = entry(None, "example.com", Place::Service(Some(Transport::Tls)));
        let target = Target { transport: Transport::Tls, ..target(1, 1, Some("a.example.com"), &["10.0.0.1"]) };
        assert_eq!(leads(&entry, &[target])[0].host, "example.com");
    }
}
