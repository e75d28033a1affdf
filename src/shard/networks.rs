//! How many connections each source network has, over all shards, and whether it may have another.
//!
//! A table of networks under a lock looked more exact. It would grow with the sources, which strangers choose; these are two
//! rows of counters, by two hashes of the network, of which the lower one is believed. It is never too low, and too high only
//! where others share both counters with it, which no one outside can aim at, since the hashes are keyed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ahash::RandomState;

/// How many connections one source network may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerNetwork {
    /// The most connections; 0 is no limit.
    pub connections_max: u32,
    /// How many leading bits of an IPv4 address are its network's, up to 32.
    pub ipv4_bits: u8,
    /// How many leading bits of an IPv6 address are its network's, up to 128.
    pub ipv6_bits: u8,
}

impl Default for PerNetwork {
    /// A carrier's translator gives each address to some hundreds of subscribers, and a large company's has some thousands of
    /// phones behind it; neither reaches this, and one source can take no more than a sixteenth of the default table. An IPv6
    /// customer has a /64 at least, and any address in it (RFC 6177).
    fn default() -> Self {
        PerNetwork { connections_max: 4096, ipv4_bits: 32, ipv6_bits: 64 }
    }
}

/// The connections of all networks, and those in their handshakes. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Networks {
    connections: Arc<Counts>,
    handshakes: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    limit: PerNetwork,
    rows: [(RandomState, Box<[AtomicU32]>); 2],
}

/// Counters a row: as many as there are connections by default, so that a counter stands for about one of them.
const PLACES: usize = 1 << 16;

/// Of all handshakes that may be under way, one network may have one in so many, so that one alone keeps nobody out; where few may
/// be, so many all the same, because a whole site connects at once after its router was restarted.
const HANDSHAKES_ONE_IN: u32 = 4;
const HANDSHAKES_MIN: u32 = 16;

/// A connection that is counted, for as long as this lives.
#[derive(Debug)]
pub(super) struct Admission {
    counts: Arc<Counts>,
    places: [u32; 2],
}

impl Networks {
    /// No network has any connection yet. `handshakes_max` is how many may be in their handshakes over all shards.
    pub fn new(limit: PerNetwork, handshakes_max: u32) -> Self {
        let handshakes_max = (handshakes_max / HANDSHAKES_ONE_IN).max(HANDSHAKES_MIN);
        let handshakes = PerNetwork { connections_max: handshakes_max, ..limit };
        Networks { connections: Counts::new(limit), handshakes: Counts::new(handshakes) }
    }

    /// Counts one more connection from that address; `None` where its network has as many as it may.
    pub(super) fn admit(&self, source: IpAddr) -> Option<Admission> {
        Counts::admit(&self.connections, source)
    }

    /// Counts one more connection from that address that is in its handshakes, likewise.
    pub(super) fn admit_handshake(&self, source: IpAddr) -> Option<Admission> {
        Counts::admit(&self.handshakes, source)
    }
}

impl Counts {
    fn new(limit: PerNetwork) -> Arc<Self> {
        let row = || (0..PLACES).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Counts { limit, rows: [(); 2].map(|()| (RandomState::new(), row())) })
    }

    fn admit(counts: &Arc<Self>, source: IpAddr) -> Option<Admission> {
        let network = counts.limit.network_of(source);
        let place =
            |(hasher, row): &(RandomState, Box<[AtomicU32]>)| (hasher.hash_one(network) as usize % row.len()) as u32;
        let admission = Admission { counts: counts.clone(), places: counts.rows.each_ref().map(place) };
        // Counted first, and given back where it is too many: two shards cannot both take the last place.
        let before = admission.cells().map(|cell| cell.fetch_add(1, Ordering::Relaxed)).min();
        let has_room = counts.limit.connections_max == 0 || before < Some(counts.limit.connections_max);
        has_room.then_some(admission)
    }
}

impl Default for Networks {
    fn default() -> Self {
        Self::new(PerNetwork::default(), 1024)
    }
}

impl Admission {
    fn cells(&self) -> impl Iterator<Item = &AtomicU32> {
        self.counts.rows.iter().zip(self.places).map(|((_, row), place)| &row[place as usize])
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        for cell in self.cells() {
            cell.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl PerNetwork {
    /// The network as one number; those of IPv4 stand where no network of IPv6 in use does (RFC 4291 §2.5.5.2).
    fn network_of(&self, source: IpAddr) -> u128 {
        let (bits, kept) = match source.to_canonical() {
            IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), 96 + u32::from(self.ipv4_bits.min(32))),
            IpAddr::V6(ip) => (ip.to_bits(), u32::from(self.ipv6_bits.min(128))),
        };
        bits & u128::MAX.checked_shl(128 - kept).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_no_more_than_it_may_and_gets_a_place_back_with_each_that_ends() {
        let networks = Networks::new(PerNetwork { connections_max: 3, ..PerNetwork::default() }, 0);
        let mut held: Vec<_> = (0..3).map(|_| networks.admit(ip("192.0.2.1")).unwrap()).collect();
        for _ in 0..5 {
            assert!(networks.admit(ip("192.0.2.1")).is_none());
            assert!(networks.clone().admit(ip("::ffff:192.0.2.1")).is_none(), "the same address");
            assert!(networks.admit(ip("192.0.2.2")).is_some(), "another network");
            held.pop();
            held.push(networks.admit(ip("192.0.2.1")).unwrap());
        }
    }

    #[test]
    fn a_network_reaches_as_far_as_is_set() {
        let limit = PerNetwork { connections_max: 1, ipv4_bits: 24, ipv6_bits: 64 };
        let same = [("192.0.2.1", "192.0.2.255"), ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff")];
        let other = [("192.0.2.1", "192.0.3.1"), ("2001:db8::1", "2001:db8:0:1::1")];
        for (pair, is_same) in same.map(|pair| (pair, true)).into_iter().chain(other.map(|pair| (pair, false))) {
            let networks = Networks::new(limit, 0);
            let _first = networks.admit(ip(pair.0)).unwrap();
            assert_eq!(networks.admit(ip(pair.1)).is_none(), is_same, "{pair:?}");
        }
        let all = PerNetwork { connections_max: 1, ipv4_bits: 0, ipv6_bits: 0 };
        assert_eq!(all.network_of(ip("2001:db8::1")), 0);
        assert_eq!(all.network_of(ip("192.0.2.1")), all.network_of(ip("203.0.113.1")));
    }

    #[test]
    fn without_a_limit_all_are_admitted_and_strangers_do_not_fill_each_others_places() {
        let networks = Networks::new(PerNetwork { connections_max: 0, ..PerNetwork::default() }, 0);
        let held: Vec<_> = (0..10_000).map(|_| networks.admit(ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(held.len(), 10_000);
        let networks = Networks::new(PerNetwork { connections_max: 16, ..PerNetwork::default() }, 0);
        let held: Vec<_> =
            (0..60_000u32).map(|n| networks.admit(std::net::Ipv4Addr::from_bits(n).into()).unwrap()).collect();
        assert_eq!(held.len(), 60_000);
    }

    #[test]
    fn a_network_has_only_a_part_of_all_handshakes_whatever_connections_it_may_have() {
        let networks = Networks::new(PerNetwork { connections_max: 0, ..PerNetwork::default() }, 400);
        let mut held: Vec<_> = (0..100).map(|_| networks.admit_handshake(ip("192.0.2.1")).unwrap()).collect();
        assert!(networks.admit_handshake(ip("192.0.2.1")).is_none());
        assert!(networks.admit_handshake(ip("192.0.2.2")).is_some() && networks.admit(ip("192.0.2.1")).is_some());
        held.pop();
        assert!(networks.admit_handshake(ip("192.0.2.1")).is_some());
    }
}
