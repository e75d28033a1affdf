//! Which slot a backend's figures are counted in: one that goes with its name, whatever becomes of the pool around it.
//!
//! To count by the place in the pool looked simpler. A backend that comes or goes moves the places of all behind it, and
//! what was counted for one would be shown as another's.

use std::collections::{HashMap, VecDeque};

use super::backend::BackendSlot;
use super::pool::MAX_BACKENDS;

/// The slots, and whose they are. A slot is used anew only when no other is left, and then the one whose backend has been
/// gone for longest: one that comes back finds its figures.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    by_name: HashMap<String, BackendSlot>,
    /// Those whose backends have gone, in the order in which they went.
    gone: VecDeque<String>,
    /// How many slots have ever been used.
    used: u16,
}

impl Slots {
    /// The slot of that backend, which is a member from now on; `None` where [`MAX_BACKENDS`] others are.
    pub fn take(&mut self, name: &str) -> Option<BackendSlot> {
        if let Some(slot) = self.by_name.get(name) {
            self.gone.retain(|gone| gone != name);
            return Some(*slot);
        }
        let slot = self.unused().or_else(|| self.by_name.remove(&self.gone.pop_front()?))?;
        self.by_name.insert(name.to_owned(), slot);
        Some(slot)
    }

    /// Notes that this backend is no member any more.
    pub fn give_back(&mut self, name: &str) {
        if self.by_name.contains_key(name) && !self.gone.iter().any(|gone| gone == name) {
            self.gone.push_back(name.to_owned());
        }
    }

    /// Has a member keep its slot under another name, unless that has one.
    pub fn rename(&mut self, from: &str, to: &str) {
        if !self.by_name.contains_key(to)
            && let Some(slot) = self.by_name.remove(from)
        {
            self.by_name.insert(to.to_owned(), slot);
        }
    }

    /// How many slots there must be room for.
    pub fn used(&self) -> usize {
        self.used.into()
    }

    fn unused(&mut self) -> Option<BackendSlot> {
        let slot = BackendSlot(self.used);
        (self.used() < MAX_BACKENDS).then(|| self.used += 1)?;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_comes_back_finds_its_slot() {
        let mut slots = Slots::default();
        assert_eq!(slots.take("a"), Some(BackendSlot(0)));
        assert_eq!(slots.take("b"), Some(BackendSlot(1)));
        slots.give_back("a");
        assert_eq!(slots.take("c"), Some(BackendSlot(2)));
        assert_eq!(slots.take("a"), Some(BackendSlot(0)));
        assert_eq!(slots.used(), 3);
    }

    #[test]
    fn only_when_none_is_left_does_the_one_longest_gone_lose_its_slot() {
        let mut slots = Slots::default();
        (0..MAX_BACKENDS).for_each(|i| assert_eq!(slots.take(&i.to_string()), Some(BackendSlot(i as u16))));
        assert_eq!(slots.take("other"), None);
        slots.give_back("7");
        slots.give_back("3");
        slots.give_back("7");
        assert_eq!(slots.take("other"), Some(BackendSlot(7)));
        assert_eq!(slots.take("7"), Some(BackendSlot(3)));
        assert_eq!(slots.take("3"), None);
        assert_eq!(slots.used(), MAX_BACKENDS);
    }
}
