//! The families of what backends say of their load.

use prometheus::proto::MetricFamily;

use crate::balance::backend::BackendIndex;
use crate::balance::standing::Hold;
use crate::metrics;
use crate::proxy::snapshot::Snapshot;

use super::{Sum, counter, gauge};

impl Sum {
    /// What backends say of their load, and what comes of it.
    pub(super) fn load(&self, snapshot: &Snapshot) -> Vec<MetricFamily> {
        let (mut held_back, mut asked, mut rests) = (Vec::new(), Vec::new(), Vec::new());
        let (mut reports, mut losses, mut shed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, backend) in snapshot.pool().backends().iter().enumerate() {
            let Some(part) = snapshot.roster().part(BackendIndex(index as u16)) else { continue };
            let name = backend.name.as_str();
            for hold in Hold::ALL {
                held_back.push((vec![name, hold.label()], f64::from(u8::from(part.hold == Some(hold)))));
            }
            asked.push((vec![name], self.total(|cells| cells.backends().retry_after_count(part.slot))));
            rests.push((vec![name], self.pool.rest_count(part.slot)));
            reports.push((vec![name], self.total(|cells| cells.backends().loss_count(part.slot))));
            losses.push((vec![name], f64::from(snapshot.shedding().percent(part.slot)) / 100.0));
            shed.push((vec![name], self.total(|cells| cells.backends().shed_count(part.slot))));
        }
        let mut families = gauge(&metrics::BACKEND_HELD_BACK, held_back);
        families.extend(counter(&metrics::BACKEND_RETRY_AFTER, asked));
        families.extend(counter(&metrics::BACKEND_RESTS, rests));
        families.extend(counter(&metrics::BACKEND_LOAD_REPORTS, reports));
        families.extend(gauge(&metrics::BACKEND_LOSS, losses));
        families.extend(counter(&metrics::BACKEND_SHED, shed));
        families
    }
}
