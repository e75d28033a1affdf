//! What is told of single messages.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::metrics;
use crate::metrics::cells::ShardCells;
use crate::metrics::copies::ExportCells;
use crate::metrics::problems::LogCells;

use super::counter;

/// What is counted of what is told of single messages.
#[derive(Clone, Debug, Default)]
pub struct ObservationCells {
    /// What each shard counts.
    pub shards: Vec<Arc<ShardCells>>,
    /// What whoever writes the log counts.
    pub log: Arc<LogCells>,
    /// What whoever sends copies on counts.
    pub export: Arc<ExportCells>,
}

impl Collector for ObservationCells {
    /// None: its families are made at each scrape.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let ObservationCells { shards, log, export } = self;
        let of_shards = |count: fn(&ShardCells) -> u64| shards.iter().map(|cells| count(cells)).sum::<u64>();
        let suppressed = of_shards(|cells| cells.problems().suppressed_total()) + log.suppressed_total();
        let crowded_out = of_shards(|cells| cells.problems().crowded_out_total());
        let outcomes = [("logged", log.logged.get()), ("suppressed", suppressed), ("crowded_out", crowded_out)];
        let mut families = counter(&metrics::LOG_PROBLEMS, outcomes.map(|(outcome, count)| (vec![outcome], count)));
        let outcomes = [
            ("sent", export.sent.get()),
            ("lost", export.lost.get()),
            ("crowded_out", of_shards(|cells| cells.copies().crowded_out.get())),
            ("too_long", export.too_long.get()),
        ];
        families.extend(counter(&metrics::HEP_COPIES, outcomes.map(|(outcome, count)| (vec![outcome], count))));
        families
    }
}
