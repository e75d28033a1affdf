//! Weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights after Schindelhauer and Schomaker, 2005), laid out
//! as a look-up table so that a choice costs one memory access however many backends there are.
//!
//! Each place in the table is an auction of its own: every backend bids a number drawn from the key, its name and the
//! place, stretched by its weight, and the lowest bid wins. When a backend goes, its places fall to their second
//! bidders, which are spread over all others by weight; no other place changes hands.
//!
//! Maglev's permutation table looked better, because its shares are exact. There a backend that goes also moves some
//! places between the others, and each move is a CANCEL that misses its INVITE. The price of rendezvous is
//! chance in the shares: with 2^18 places a backend with a tenth of the weight is off by 0.6 % of its share at one
//! standard deviation.

use prefetch_index::prefetch_index;

use super::backend::{Backend, BackendIndex};
use super::key::Key;
use super::pool::Pool;

/// The number of places is 2 to this power. Fixed for ever: another number would move most calls.
pub const TABLE_BITS: u32 = 18;

/// The number of places in a table.
pub const PLACES: usize = 1 << TABLE_BITS;

/// In a place that no backend owns.
const NOBODY: u16 = u16::MAX;

/// Which backend owns which part of the key space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    places: Box<[u16]>,
}

impl Table {
    /// Holds the auctions for a pool. Takes a few milliseconds a backend.
    pub fn new(key: &Key, pool: &Pool) -> Self {
        let weights: Vec<f64> = pool.backends().iter().map(|backend| f64::from(backend.weight.value())).collect();
        Self::with_weights(key, pool, &weights)
    }

    /// The same with other weights than the members' own, in the order of the pool; a weight that is missing is 0.
    pub fn with_weights(key: &Key, pool: &Pool, weights: &[f64]) -> Self {
        let groups = groups_of_equal_weight(key, pool.backends(), weights);
        let places = (0..PLACES).map(|place| winner(place as u64, &groups)).collect();
        Table { places }
    }

    /// The owner of a key's hash; `None` where the pool is empty or all weights are 0.
    pub fn owner(&self, hash: u64) -> Option<BackendIndex> {
        self.places.get(place_of(hash)).filter(|owner| **owner != NOBODY).map(|owner| BackendIndex(*owner))
    }

    /// Has the owner of a key's hash be in the cache when it is asked for.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch_index(&self.places, place_of(hash));
    }

    /// The owner of each place.
    pub fn owners(&self) -> impl Iterator<Item = Option<BackendIndex>> {
        self.places.iter().map(|owner| (*owner != NOBODY).then_some(BackendIndex(*owner)))
    }

    /// Whether any backend owns any part of the key space. With one owner of one place there is one of each.
    pub fn has_owners(&self) -> bool {
        self.places.first().is_some_and(|owner| *owner != NOBODY)
    }

    /// The part of the key space that each backend owns, by its index, up to the last that owns any.
    pub fn shares(&self) -> Vec<f64> {
        let mut counts = Vec::new();
        for owner in self.places.iter().filter(|owner| **owner != NOBODY) {
            let index = usize::from(*owner);
            if counts.len() <= index {
                counts.resize(index + 1, 0u32);
            }
            counts[index] += 1;
        }
        counts.into_iter().map(|count| f64::from(count) / PLACES as f64).collect()
    }

    /// How many of the [`PLACES`] a backend owns.
    pub fn places_of(&self, index: BackendIndex) -> usize {
        self.places.iter().filter(|owner| **owner == index.0).count()
    }
}

/// The place that a key's hash names: its upper bits.
pub(super) fn place_of(hash: u64) -> usize {
    (hash >> (u64::BITS - TABLE_BITS)) as usize
}

/// Backends of one weight. Among them the highest draw wins whatever the weight is, so that one logarithm a group
/// suffices in place of one a backend.
struct Group {
    weight: f64,
    members: Vec<Member>,
}

struct Member {
    index: u16,
    seed: u64,
}

fn groups_of_equal_weight(key: &Key, backends: &[Backend], weights: &[f64]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, (backend, &weight)) in
        backends.iter().zip(weights).enumerate().filter(|(_, (_, weight))| **weight > 0.0)
    {
        let member = Member { index: index as u16, seed: key.hash(backend.name.as_bytes()) };
        match groups.iter_mut().find(|group| group.weight == weight) {
            Some(group) => group.members.push(member),
            None => groups.push(Group { weight, members: vec![member] }),
        }
    }
    groups
}

fn winner(place: u64, groups: &[Group]) -> u16 {
    let mut winner = (f64::INFINITY, NOBODY);
    for group in groups {
        let best = group.members.iter().map(|member| (draw(member.seed, place), member.index)).max();
        let Some((draw, index)) = best else { continue };
        let bid = bid(draw, group.weight);
        if (bid, index) < winner {
            winner = (bid, index);
        }
    }
    winner.1
}

/// A number drawn for a backend at a place: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014) over the sum of
/// both. The seed is a keyed hash, so that nobody without the secret can foresee it.
fn draw(seed: u64, place: u64) -> u64 {
    let mut mixed = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The bid of a number drawn, stretched by a weight above 0. Among several of whose draws nothing is known, each is lowest as
/// often as its part of all weights is.
pub fn bid(draw: u64, weight: f64) -> f64 {
    -libm::log(to_unit(draw)) / weight
}

/// Into the open interval from 0 to 1, by the upper 53 bits. `libm::log` of it gives the same bits on every machine;
/// the logarithm of the system's C library need not.
fn to_unit(draw: u64) -> f64 {
    ((draw >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}
