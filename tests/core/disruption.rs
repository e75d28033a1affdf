//! What a change of the pool moves: shares follow weights, a backend that goes moves only its own keys and spreads them
//! evenly, one that comes takes only what it is due.

use viaduct::balance::backend::{Backend, BackendIndex, Weight};
use viaduct::balance::key::Key;
use viaduct::balance::pool::Pool;
use viaduct::balance::table::{PLACES, Table};

const KEYS: usize = 65_536;
const SIZES: [usize; 5] = [1, 2, 25, 100, 1000];

#[test]
fn shares_follow_weights_within_two_percent_of_all_keys_and_within_chance_of_each() {
    for size in SIZES {
        let backends: Vec<Backend> = (0..size).map(|i| weighted(i, 1 + (i % 3) as u32)).collect();
        let total: u32 = backends.iter().map(|backend| u32::from(backend.weight.value())).sum();
        let counts = counts(&backends);
        for backend in &backends {
            let expected = f64::from(backend.weight.value()) / f64::from(total);
            let share = counts[&backend.name] as f64 / KEYS as f64;
            assert!((share - expected).abs() < 0.02, "{size}: {} has {share}, not {expected}", backend.name);
            // Chance alone: the draw of the keys, and that of the table's places. Five standard deviations of both.
            let deviation = (expected * (1.0 - expected) * (1.0 / KEYS as f64 + 1.0 / PLACES as f64)).sqrt();
            assert!(
                (share - expected).abs() <= 5.0 * deviation,
                "{size}: {} has {share}, not {expected}",
                backend.name
            );
        }
    }
}

#[test]
fn each_of_a_few_backends_is_within_two_percent_of_its_share() {
    for size in 1..=6 {
        let backends: Vec<Backend> = (0..size).map(|i| weighted(i, 1)).collect();
        let pool = Pool::new(backends).unwrap();
        let table = Table::new(&key(), &pool);
        for index in 0..size {
            let share = table.places_of(BackendIndex(index as u16)) as f64 * size as f64 / PLACES as f64;
            assert!((share - 1.0).abs() < 0.02, "one of {size} has {share} of its share");
        }
    }
}

#[test]
fn a_backend_that_goes_moves_only_its_keys_and_spreads_them_evenly() {
    for size in [2, 6, 25, 100] {
        let all: Vec<Backend> = (0..size).map(|i| weighted(i, 1)).collect();
        let before = owners(&all);
        let gone = size / 2;
        let after = owners(&without(&all, gone));
        let mut taken = std::collections::BTreeMap::<&str, usize>::new();
        for (old, new) in before.iter().zip(&after) {
            if *old == all[gone].name {
                *taken.entry(new).or_default() += 1;
            } else {
                assert_eq!(old, new, "a key moved though its backend stayed");
            }
        }
        let moved: usize = taken.values().sum();
        let expected = moved as f64 / (size - 1) as f64;
        for (name, count) in taken {
            let deviation = expected.sqrt().max(1.0);
            assert!(
                (count as f64 - expected).abs() < 6.0 * deviation,
                "{name} took {count} of {moved}, not {expected}"
            );
        }
    }
}

#[test]
fn with_one_of_six_gone_the_five_others_are_within_two_percent_of_each_other() {
    let all: Vec<Backend> = (0..6).map(|i| weighted(i, 1)).collect();
    for gone in 0..6 {
        let pool = Pool::new(without(&all, gone)).unwrap();
        let table = Table::new(&key(), &pool);
        let places: Vec<usize> = (0..5).map(|index| table.places_of(BackendIndex(index))).collect();
        let (least, most) = (*places.iter().min().unwrap() as f64, *places.iter().max().unwrap() as f64);
        assert!(most / least < 1.02, "{places:?}");
    }
}

#[test]
fn a_backend_that_comes_takes_only_what_it_gets() {
    let all: Vec<Backend> = (0..25).map(|i| weighted(i, 1 + (i % 4) as u32)).collect();
    let before = owners(&all[..24]);
    let after = owners(&all);
    for (old, new) in before.iter().zip(&after) {
        assert!(old == new || *new == all[24].name, "a key moved between backends that were there before");
    }
}

#[test]
fn a_change_of_weight_moves_keys_only_to_or_from_that_backend() {
    let mut all: Vec<Backend> = (0..10).map(|i| weighted(i, 2)).collect();
    let before = owners(&all);
    all[3].weight = Weight::new(3).unwrap();
    let grown = owners(&all);
    assert!(before.iter().zip(&grown).all(|(old, new)| old == new || *new == all[3].name));
    all[3].weight = Weight::new(0).unwrap();
    let drained = owners(&all);
    assert!(before.iter().zip(&drained).all(|(old, new)| old == new || *old == all[3].name));
    assert!(!drained.contains(&all[3].name), "a backend of weight 0 gets no keys");
}

#[test]
fn the_order_in_which_backends_are_written_does_not_matter() {
    let all: Vec<Backend> = (0..25).map(|i| weighted(i, 1 + (i % 3) as u32)).collect();
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(owners(&all), owners(&reversed));
}

#[test]
fn an_address_may_change_without_moving_a_key() {
    let all: Vec<Backend> = (0..5).map(|i| weighted(i, 1)).collect();
    let mut moved = all.clone();
    moved[2].address = "10.9.9.9:5099".parse().unwrap();
    assert_eq!(owners(&all), owners(&moved));
}

#[test]
fn a_pool_without_weight_owns_nothing() {
    for pool in [vec![], vec![weighted(0, 0)]] {
        let pool = Pool::new(pool).unwrap();
        assert_eq!(Table::new(&key(), &pool).owner(1 << 63), None);
    }
}

/// Every member of a fleet, of any version, must agree with these.
#[test]
fn the_frozen_vectors_hold() {
    // SipHash-2-4 of the paper's appendix: key 00..0f, input 00..0e.
    let bytes: [u8; 16] = std::array::from_fn(|i| i as u8);
    assert_eq!(Key::new(bytes).hash(&bytes[..15]), 0xa129_ca61_49be_45e5);
    let keys = viaduct::proxy::keys::Keys::derive(crate::support::SECRET).unwrap();
    let pool = crate::support::pool();
    let table = Table::new(&keys.table, &pool);
    for line in include_str!("../vectors/call-id-owners.txt").lines().filter(|line| !line.starts_with('#')) {
        let call_id = line.split(' ').next().unwrap();
        let hash = keys.table.hash(call_id.as_bytes());
        let owner = &pool.get(table.owner(hash).unwrap()).unwrap().name;
        assert_eq!(format!("{call_id} {hash:016x} {owner}"), line);
    }
}

fn key() -> Key {
    Key::new(*b"a key for tests.")
}

fn weighted(index: usize, weight: u32) -> Backend {
    let address = format!("10.1.{}.{}:5060", index / 250, 1 + index % 250);
    Backend { weight: Weight::new(weight).unwrap(), ..crate::support::backend(&format!("proxy-{index}"), &address) }
}

fn without(all: &[Backend], gone: usize) -> Vec<Backend> {
    all.iter().enumerate().filter(|(index, _)| *index != gone).map(|(_, backend)| backend.clone()).collect()
}

/// The name of each key's owner.
fn owners(backends: &[Backend]) -> Vec<String> {
    let pool = Pool::new(backends.to_vec()).unwrap();
    let table = Table::new(&key(), &pool);
    let owner = |i: usize| table.owner(key().hash(format!("{i}-call@example.com").as_bytes())).unwrap();
    (0..KEYS).map(|i| pool.get(owner(i)).unwrap().name.clone()).collect()
}

fn counts(backends: &[Backend]) -> std::collections::BTreeMap<String, usize> {
    let mut counts: std::collections::BTreeMap<String, usize> =
        backends.iter().map(|backend| (backend.name.clone(), 0)).collect();
    for name in owners(backends) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}
