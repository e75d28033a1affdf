//! Where a name leads, and which of several targets a request goes to: those of the lowest priority share the requests by
//! weight (RFC 2782), and the request itself draws the lot, so that its retransmission, its CANCEL and its ACK draw the
//! same (RFC 3263 §4.4).
//!
//! Laying the weights end to end and taking the one in whose part a hash falls looked simpler. There a target that comes or
//! goes moves the parts of all behind it; by weighted rendezvous, as in [`crate::balance::table`], only its own requests
//! move, and a change of the answer in mid-call goes unnoticed by most calls.

use std::net::{IpAddr, SocketAddr};

use crate::balance::key::Key;
use crate::balance::table::bid;

/// The most addresses that are kept of one answer; those of the lowest priorities are.
pub const MAX_ADDRESSES: usize = 64;

/// The share of a target of weight 0, which is to be chosen hardly ever beside others (RFC 2782).
const SHARE_OF_WEIGHT_0: f64 = 0.01;

/// One target as DNS gives it: an SRV record with its target's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Lower ones come first; others are used only where there is none of a lower one.
    pub priority: u16,
    /// Its share among those of its priority.
    pub weight: u16,
    /// Where it is reached.
    pub addresses: Vec<SocketAddr>,
}

/// Where a name leads: at least one address.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// By priority, then by address, each address once a priority.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    priority: u16,
    share: f64,
    address: SocketAddr,
}

impl Targets {
    /// Orders targets, whatever order they come in. The addresses of a target share its weight. `None` where there are no
    /// addresses.
    pub fn new(targets: &[Target]) -> Option<Self> {
        let mut places = Vec::new();
        for target in targets {
            let weight = if target.weight == 0 { SHARE_OF_WEIGHT_0 } else { f64::from(target.weight) };
            let share = weight / target.addresses.len().max(1) as f64;
            places.extend(target.addresses.iter().map(|&address| Place { priority: target.priority, share, address }));
        }
        places.sort_by_key(|place| (place.priority, place.address));
        places.dedup_by(|next, kept| {
            let same = (next.priority, next.address) == (kept.priority, kept.address);
            kept.share += if same { next.share } else { 0.0 };
            same
        });
        places.truncate(MAX_ADDRESSES);
        (!places.is_empty()).then_some(Targets { places })
    }

    /// The address for the requests of a call: always the same for the same targets, key and Call-ID.
    pub fn choose(&self, key: &Key, call_id: &[u8]) -> SocketAddr {
        let first = self.places[0];
        let lots = self.places.iter().take_while(|place| place.priority == first.priority);
        let mut best = (f64::INFINITY, first.address);
        for place in lots {
            let lot = bid(draw(key, call_id, place.address), place.share);
            if lot < best.0 {
                best = (lot, place.address);
            }
        }
        best.1
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Never: targets have at least one address.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

fn draw(key: &Key, call_id: &[u8], address: SocketAddr) -> u64 {
    let mut hasher = key.over_fields();
    hasher.field(b"target").field(call_id).number(u64::from(address.port()));
    match address.ip() {
        IpAddr::V4(ip) => hasher.field(&ip.octets()).finish(),
        IpAddr::V6(ip) => hasher.field(&ip.octets()).finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: usize = 20_000;

    fn target(priority: u16, weight: u16, addresses: &[&str]) -> Target {
        Target { priority, weight, addresses: addresses.iter().map(|address| address.parse().unwrap()).collect() }
    }

    fn chosen(targets: &Targets) -> Vec<String> {
        let key = Key::new([3; 16]);
        (0..CALLS).map(|call| targets.choose(&key, format!("call-{call}").as_bytes()).to_string()).collect()
    }

    fn share(chosen: &[String], address: &str) -> f64 {
        chosen.iter().filter(|other| *other == address).count() as f64 / CALLS as f64
    }

    #[test]
    fn shares_follow_weights_and_the_addresses_of_a_target_divide_its_share() {
        let light = target(10, 1, &["10.0.0.1:5060"]);
        let heavy = target(10, 3, &["10.0.0.2:5060", "10.0.0.3:5060"]);
        let chosen = chosen(&Targets::new(&[heavy, light]).unwrap());
        for (address, expected) in [("10.0.0.1:5060", 0.25), ("10.0.0.2:5060", 0.375), ("10.0.0.3:5060", 0.375)] {
            assert!((share(&chosen, address) - expected).abs() < 0.02, "{address}: {}", share(&chosen, address));
        }
    }

    #[test]
    fn only_the_lowest_priority_is_chosen() {
        let first = target(1, 0, &["10.0.0.1:5060"]);
        let second = target(2, 1000, &["10.0.0.2:5060"]);
        assert_eq!(share(&chosen(&Targets::new(&[second, first]).unwrap()), "10.0.0.1:5060"), 1.0);
    }

    #[test]
    fn a_weight_of_0_gets_hardly_anything_beside_others_and_an_equal_share_among_its_like() {
        let some = target(1, 10, &["10.0.0.1:5060"]);
        let none = |address| target(1, 0, &[address]);
        assert!(share(&chosen(&Targets::new(&[some, none("10.0.0.2:5060")]).unwrap()), "10.0.0.2:5060") < 0.005);
        let alike = Targets::new(&[none("10.0.0.1:5060"), none("10.0.0.2:5060")]).unwrap();
        assert!((share(&chosen(&alike), "10.0.0.2:5060") - 0.5).abs() < 0.02);
    }

    #[test]
    fn the_choice_does_not_depend_on_the_order_of_the_records() {
        let (a, b) = (target(1, 5, &["10.0.0.1:5060", "10.0.0.2:5060"]), target(1, 5, &["[2001:db8::1]:5060"]));
        let there = Targets::new(&[a.clone(), b.clone()]).unwrap();
        let mut turned = a;
        turned.addresses.reverse();
        assert_eq!(chosen(&there), chosen(&Targets::new(&[b, turned]).unwrap()));
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        let farm =
            [target(1, 2, &["10.0.0.1:5060"]), target(1, 1, &["10.0.0.2:5060"]), target(1, 1, &["10.0.0.3:5060"])];
        let chosen = chosen(&Targets::new(&farm).unwrap());
        let hosts: String = chosen.iter().take(24).map(|address| address.as_bytes()[7] as char).collect();
        assert_eq!(hosts, "233123313231131211332111");
    }

    #[test]
    fn a_target_that_goes_moves_only_its_own_calls() {
        let all: Vec<Target> = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.3:5060"].map(|a| target(1, 1, &[a])).into();
        let before = chosen(&Targets::new(&all).unwrap());
        let after = chosen(&Targets::new(&all[..2]).unwrap());
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || before == "10.0.0.3:5060"));
    }

    #[test]
    fn an_address_that_stands_twice_has_both_shares() {
        let twice =
            [target(1, 1, &["10.0.0.1:5060"]), target(1, 1, &["10.0.0.1:5060"]), target(1, 2, &["10.0.0.2:5060"])];
        let targets = Targets::new(&twice).unwrap();
        assert_eq!(targets.len(), 2);
        assert!((share(&chosen(&targets), "10.0.0.1:5060") - 0.5).abs() < 0.02);
    }

    #[test]
    fn without_an_address_there_are_no_targets() {
        assert_eq!(Targets::new(&[]), None);
        assert_eq!(Targets::new(&[target(1, 1, &[])]), None);
    }

    #[test]
    fn an_answer_without_end_is_cut_behind_the_lowest_priorities() {
        let many: Vec<Target> = (0..200).map(|i| target(200 - i, 1, &[&format!("10.0.0.{i}:5060")])).collect();
        let targets = Targets::new(&many).unwrap();
        assert_eq!(targets.len(), MAX_ADDRESSES);
        assert_eq!(targets.choose(&Key::new([0; 16]), b"").to_string(), "10.0.0.199:5060");
    }
}
