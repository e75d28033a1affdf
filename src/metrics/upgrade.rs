//! What is counted of upgrades, and how it is shown: of one process that hands over, and of one that took over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::cells::{Cell, bump, value};
use super::collector::{counter, gauge};
use super::{self as metrics};

/// Why another process did not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was refused.
    Refused,
    /// It ended before it ran.
    Ended,
    /// It did not answer, or could not be answered.
    Unheard,
}

impl Failure {
    /// Every failure, in the order of their places.
    pub const ALL: [Failure; 3] = [Failure::Refused, Failure::Ended, Failure::Unheard];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Failure::Refused => "refused",
            Failure::Ended => "ended",
            Failure::Unheard => "unheard",
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct UpgradeCells {
    failures: [Cell; Failure::ALL.len()],
    /// For how long nobody took anything from the sockets while this process took them over, in microseconds.
    pub pause_us: Cell,
    /// 1 while the process that this one took over from still runs.
    pub predecessors: Cell,
    /// Two threads count here: one for the process before, one for the one after.
    lost: AtomicU64,
}

impl UpgradeCells {
    /// Counts a process that did not take over. Only the thread that hands over may.
    pub fn failed(&self, failure: Failure) {
        bump(&self.failures, failure as usize);
    }

    /// Counts a message that another process handed over, and that is lost.
    pub fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were lost.
    pub fn lost_count(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The part of the metrics page that is about upgrades.
pub struct UpgradePage(pub Arc<UpgradeCells>);

impl Collector for UpgradePage {
    /// None: an unchecked collector, because its families are made at each scrape.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let UpgradePage(cells) = self;
        let failures = Failure::ALL.map(|failure| (vec![failure.label()], value(&cells.failures, failure as usize)));
        let pause_s = cells.pause_us.get() as f64 / 1e6;
        let mut families = counter(&metrics::UPGRADES_FAILED, failures);
        families.extend(gauge(&metrics::UPGRADE_PAUSE, [(vec![], pause_s)]));
        families.extend(gauge(&metrics::UPGRADE_PREDECESSORS, [(vec![], cells.predecessors.get() as f64)]));
        families.extend(counter(&metrics::UPGRADE_MESSAGES_LOST, [(vec![], cells.lost_count())]));
        families
    }
}
