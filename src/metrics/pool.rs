//! What is counted of the pool as it is steered: probes and changes of standing, by the backends' slots. One writer for each: the
//! prober, the steward, the watcher and the monitor.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::balance::backend::BackendSlot;
use crate::balance::pool::MAX_BACKENDS;
use crate::balance::standing::Standing;

use super::cells::{Cell, bump, value};

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// An answer that proves life.
    Alive,
    /// An answer that says that the backend can take no more.
    Overloaded,
    /// An answer that proves nothing.
    Failing,
    /// No answer in time.
    Unanswered,
    /// The backend's address takes no connection, or its port is closed.
    Refused,
    /// It was not sent, for a reason of our own.
    Unsent,
}

impl ProbeOutcome {
    /// Every outcome, in the order of their places.
    pub const ALL: [ProbeOutcome; 6] =
        [Self::Alive, Self::Overloaded, Self::Failing, Self::Unanswered, Self::Refused, Self::Unsent];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            ProbeOutcome::Alive => "alive",
            ProbeOutcome::Overloaded => "overloaded",
            ProbeOutcome::Failing => "failing",
            ProbeOutcome::Unanswered => "unanswered",
            ProbeOutcome::Refused => "refused",
            ProbeOutcome::Unsent => "unsent",
        }
    }
}

const OUTCOMES: usize = ProbeOutcome::ALL.len();
const STANDINGS: usize = Standing::ALL.len();

/// The counts.
#[derive(Debug)]
pub struct PoolCells {
    backends: Box<[Counts]>,
}

#[derive(Debug, Default)]
struct Counts {
    probes: [Cell; OUTCOMES],
    changes: [Cell; STANDINGS],
    ejections: Cell,
    rests: Cell,
    /// When the last probe ended, in milliseconds of Unix time, and how: times eight, and its outcome's place and one.
    last_probe: Cell,
}

impl Default for PoolCells {
    fn default() -> Self {
        PoolCells { backends: (0..MAX_BACKENDS).map(|_| Counts::default()).collect() }
    }
}

impl PoolCells {
    /// Counts a probe. Only the prober may.
    pub fn probe(&self, backend: BackendSlot, outcome: ProbeOutcome) {
        if let Some(counts) = self.backends.get(backend.get()) {
            bump(&counts.probes, outcome as usize);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            counts.last_probe.set(now.as_millis() as u64 * 8 + outcome as u64 + 1);
        }
    }

    /// Counts that a backend stands otherwise. Only the steward may.
    pub fn change(&self, backend: BackendSlot, to: Standing) {
        if let Some(counts) = self.backends.get(backend.get()) {
            bump(&counts.changes, to as usize);
        }
    }

    /// Counts that a backend was set aside as an outlier. Only the watcher may.
    pub fn ejection(&self, backend: BackendSlot) {
        if let Some(counts) = self.backends.get(backend.get()) {
            counts.ejections.add(1);
        }
    }

    /// Counts that a backend was let rest since it asked for that. Only the monitor may.
    pub fn rest(&self, backend: BackendSlot) {
        if let Some(counts) = self.backends.get(backend.get()) {
            counts.rests.add(1);
        }
    }

    /// How often a backend was let rest.
    pub fn rest_count(&self, backend: BackendSlot) -> u64 {
        self.backends.get(backend.get()).map_or(0, |counts| counts.rests.get())
    }

    /// How often a backend was set aside as an outlier.
    pub fn ejection_count(&self, backend: BackendSlot) -> u64 {
        self.backends.get(backend.get()).map_or(0, |counts| counts.ejections.get())
    }

    /// Probes of a backend that ended so.
    pub fn probe_count(&self, backend: BackendSlot, outcome: ProbeOutcome) -> u64 {
        self.backends.get(backend.get()).map_or(0, |counts| value(&counts.probes, outcome as usize))
    }

    /// What became of the last probe of a backend, and when, in milliseconds of Unix time.
    pub fn last_probe(&self, backend: BackendSlot) -> Option<(ProbeOutcome, u64)> {
        let last = self.backends.get(backend.get())?.last_probe.get();
        let outcome = usize::try_from(last % 8).ok()?.checked_sub(1)?;
        Some((*ProbeOutcome::ALL.get(outcome)?, last / 8))
    }

    /// How often a backend's standing became that one.
    pub fn change_count(&self, backend: BackendSlot, to: Standing) -> u64 {
        self.backends.get(backend.get()).map_or(0, |counts| value(&counts.changes, to as usize))
    }
}
