//! What the resolution of names counts into. One writer: the task that resolves.

use crate::proxy::names::Failure;

use super::cells::Cell;

/// How a look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The name leads somewhere.
    Resolved,
    /// It does not.
    Failed(Failure),
}

const OUTCOMES: usize = 1 + Failure::ALL.len();

impl Outcome {
    /// Every outcome, in the order of their places.
    pub fn all() -> [Outcome; OUTCOMES] {
        std::array::from_fn(|place| {
            place.checked_sub(1).map_or(Outcome::Resolved, |i| Outcome::Failed(Failure::ALL[i]))
        })
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Resolved => "resolved",
            Outcome::Failed(failure) => failure.label(),
        }
    }

    fn place(self) -> usize {
        match self {
            Outcome::Resolved => 0,
            Outcome::Failed(failure) => 1 + failure.index(),
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct NameCells {
    lookups: [Cell; OUTCOMES],
    /// How many names are known.
    pub known: Cell,
    /// How many were forgotten to make room.
    pub crowded_out: Cell,
}

impl NameCells {
    /// Counts a look-up.
    pub fn lookup(&self, outcome: Outcome) {
        self.lookups[outcome.place()].add(1);
    }

    /// Look-ups with that outcome.
    pub fn lookup_count(&self, outcome: Outcome) -> u64 {
        self.lookups[outcome.place()].get()
    }
}
