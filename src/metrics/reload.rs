//! How often settings were read again, and the digest of those in force. One writer: the task that reads them.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::cells::Cell;
use super::collector::{counter, gauge};
use super::{self as metrics};

/// The counts, and the digest.
#[derive(Debug, Default)]
pub struct ReloadCells {
    taken: Cell,
    refused: Cell,
    was_last_refused: Cell,
    digest: Mutex<String>,
}

impl ReloadCells {
    /// Those of a process that starts with this configuration.
    pub fn new(digest: &str) -> Self {
        ReloadCells { digest: Mutex::new(digest.to_owned()), ..ReloadCells::default() }
    }

    /// Counts a reload.
    pub fn reloaded(&self, is_taken: bool) {
        if is_taken { &self.taken } else { &self.refused }.add(1);
        self.was_last_refused.set(u64::from(!is_taken));
    }

    /// Shows the digest of what is in force.
    pub fn show_digest(&self, digest: &str) {
        digest.clone_into(&mut self.digest.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The digest of what is in force.
    pub fn digest(&self) -> String {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The part of the metrics page that is about the configuration.
pub struct ReloadPage(pub Arc<ReloadCells>);

impl Collector for ReloadPage {
    /// None: an unchecked collector, because its families are made at each scrape.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let ReloadPage(cells) = self;
        let reloads = [(vec!["taken"], cells.taken.get()), (vec!["refused"], cells.refused.get())];
        let digest = cells.digest();
        let mut families = counter(&metrics::RELOADS, reloads);
        let is_last_taken = 1.0 - cells.was_last_refused.get() as f64;
        families.extend(gauge(&metrics::LAST_RELOAD_TAKEN, [(vec![], is_last_taken)]));
        families.extend(gauge(&metrics::CONFIG, [(vec![digest.as_str()], 1.0)]));
        families
    }
}
