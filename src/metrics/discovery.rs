//! What the discovery of backends counts into, and how it is shown. One writer: the task that looks for them.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::cells::{Cell, bump, value};
use super::collector::{counter, gauge};
use super::{self as metrics};

/// How a look-up of backends ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The name leads somewhere.
    Found,
    /// It leads nowhere.
    Nothing,
    /// Nobody answered.
    Unanswered,
}

impl Outcome {
    /// Every outcome, in the order of their places.
    pub const ALL: [Outcome; 3] = [Outcome::Found, Outcome::Nothing, Outcome::Unanswered];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Found => "found",
            Outcome::Nothing => "nothing",
            Outcome::Unanswered => "unanswered",
        }
    }
}

/// What is shown of a name of backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The entry.
    pub entry: String,
    /// How many members it leads to.
    pub members: usize,
    /// Whether the last look-up did not say so.
    pub is_doubtful: bool,
}

/// The counts.
#[derive(Debug, Default)]
pub struct DiscoveryCells {
    lookups: [Cell; Outcome::ALL.len()],
    left_out: Cell,
    /// Written once a change and read once a scrape, so a lock is in nobody's way.
    rows: Mutex<Vec<Row>>,
}

impl DiscoveryCells {
    /// Counts a look-up.
    pub fn lookup(&self, outcome: Outcome) {
        bump(&self.lookups, outcome as usize);
    }

    /// Shows what is known.
    pub fn show(&self, rows: Vec<Row>, left_out: usize) {
        self.left_out.set(left_out as u64);
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

/// The part of the metrics page that is about discovery.
pub struct DiscoveryPage(pub Arc<DiscoveryCells>);

impl Collector for DiscoveryPage {
    /// None: an unchecked collector, because its families are made at each scrape.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let DiscoveryPage(cells) = self;
        let lookups = Outcome::ALL.map(|outcome| (vec![outcome.label()], value(&cells.lookups, outcome as usize)));
        let rows = cells.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let members = rows.iter().map(|row| (vec![row.entry.as_str()], row.members as f64));
        let doubtful = rows.iter().map(|row| (vec![row.entry.as_str()], f64::from(u8::from(row.is_doubtful))));
        let mut families = counter(&metrics::DISCOVERY_LOOKUPS, lookups);
        families.extend(gauge(&metrics::DISCOVERED_BACKENDS, members));
        families.extend(gauge(&metrics::DISCOVERY_DOUBTFUL, doubtful));
        families.extend(gauge(&metrics::DISCOVERY_LEFT_OUT, [(vec![], cells.left_out.get() as f64)]));
        families
    }
}
