//! The families of names that backends send to.

use prometheus::proto::MetricFamily;

use crate::metrics;
use crate::metrics::cells::ShardCells;
use crate::metrics::names::Outcome;

use super::{Sum, counter, gauge};

impl Sum {
    /// What became of look-ups, and of names that could not be kept or asked for.
    pub(super) fn names(&self) -> Vec<MetricFamily> {
        let lookups = Outcome::all().map(|outcome| (vec![outcome.label()], self.names.lookup_count(outcome)));
        let not_asked = self.total(ShardCells::name_not_asked_count);
        let mut families = counter(&metrics::NAME_LOOKUPS, lookups);
        families.extend(gauge(&metrics::NAMES, [(vec![], self.names.known.get() as f64)]));
        families.extend(counter(&metrics::NAMES_CROWDED_OUT, [(vec![], self.names.crowded_out.get())]));
        families.extend(counter(&metrics::NAMES_NOT_ASKED, [(vec![], not_asked)]));
        families
    }
}
