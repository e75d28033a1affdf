//! Who owned each part of the key space before, for as long as a call may ring that went there: its CANCEL follows it.
//!
//! To keep the table before the last change looked simpler. Where weights rise in steps, or backends come and go one after
//! another, each change would end the memory of the one before; so each place remembers its own last change.

use std::time::{Duration, Instant};

use super::backend::{BackendIndex, BackendSlot};
use super::pool::MAX_BACKENDS;
use super::roster::Roster;
use super::table::{PLACES, place_of};

/// In a place that nobody owns, or that has had no other owner lately.
const NOBODY: u16 = u16::MAX;

/// What is remembered of each place: 2 MiB, kept by whoever makes rosters.
#[derive(Debug)]
pub struct Past {
    beginning: Instant,
    span: Duration,
    /// The owners' slots, which stay the same while the pool around them changes.
    owners: Box<[u16]>,
    /// The owners before them.
    before: Box<[u16]>,
    /// When each place changed hands, in seconds from the beginning.
    changed_s: Box<[u32]>,
    /// When any of them last did.
    last: Option<Instant>,
}

/// The former owners of places, by their index in one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    places: Box<[u16]>,
}

impl Past {
    /// Nothing is remembered, and that for so long.
    pub fn new(span: Duration, now: Instant) -> Self {
        let nobody = || vec![NOBODY; PLACES].into_boxed_slice();
        let changed_s = vec![0; PLACES].into_boxed_slice();
        Past { beginning: now, span, owners: nobody(), before: nobody(), changed_s, last: None }
    }

    /// Notes a roster that is in force from that moment.
    pub fn note(&mut self, roster: &Roster, now: Instant) {
        let now_s = self.seconds(now);
        let slot = |index: BackendIndex| roster.slot(index).0;
        for (place, owner) in roster.table().owners().enumerate() {
            let owner = owner.map_or(NOBODY, slot);
            if self.owners[place] == owner {
                continue;
            }
            if self.owners[place] != NOBODY {
                (self.before[place], self.changed_s[place], self.last) = (self.owners[place], now_s, Some(now));
            }
            self.owners[place] = owner;
        }
    }

    /// The former owners that are still remembered, of a roster that was noted last; `None` where there are none.
    pub fn earlier(&self, roster: &Roster, now: Instant) -> Option<Earlier> {
        self.over().filter(|over| now < *over)?;
        let mut by_slot = vec![NOBODY; MAX_BACKENDS];
        for index in 0..roster.pool().backends().len() {
            let index = BackendIndex(index as u16);
            let BackendSlot(slot) = roster.slot(index);
            if let Some(place) = by_slot.get_mut(usize::from(slot)) {
                *place = index.0;
            }
        }
        let (now_s, span_s) = (self.seconds(now), self.span.as_secs() as u32);
        let former = |place: usize| {
            let is_lately = now_s.saturating_sub(self.changed_s[place]) <= span_s;
            let slot = self.before[place];
            let is_another = slot != NOBODY && slot != self.owners[place];
            if is_lately && is_another { by_slot.get(usize::from(slot)).copied().unwrap_or(NOBODY) } else { NOBODY }
        };
        Some(Earlier { places: (0..PLACES).map(former).collect() })
    }

    /// When nothing is remembered any more, if anything is.
    pub fn over(&self) -> Option<Instant> {
        // A second more, because places keep whole seconds.
        self.last.map(|last| last + self.span + Duration::from_secs(1))
    }

    fn seconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.beginning).as_secs() as u32
    }
}

impl Earlier {
    /// The former owner of a key's hash, where there is one.
    pub fn owner(&self, hash: u64) -> Option<BackendIndex> {
        self.places.get(place_of(hash)).filter(|owner| **owner != NOBODY).map(|owner| BackendIndex(*owner))
    }
}
