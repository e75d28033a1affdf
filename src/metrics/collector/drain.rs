//! Whether Viaduct itself drains, and what it turned away for that.

use prometheus::proto::MetricFamily;

use crate::metrics;
use crate::proxy::drain::TurnedAway;
use crate::proxy::snapshot::Snapshot;

use super::{Sum, counter, gauge};

impl Sum {
    pub(super) fn drain(&self, snapshot: &Snapshot) -> Vec<MetricFamily> {
        let count = |request| self.total(|cells| cells.turned_away_count(request));
        let turned_away = TurnedAway::ALL.map(|request| (vec![request.label()], count(request)));
        let is_draining = f64::from(u8::from(snapshot.is_draining()));
        let mut families = counter(&metrics::TURNED_AWAY, turned_away);
        families.extend(gauge(&metrics::DRAINING, [(vec![], is_draining)]));
        families
    }
}
