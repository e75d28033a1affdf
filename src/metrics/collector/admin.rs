//! The families of the admin listener.

use prometheus::proto::MetricFamily;

use crate::metrics;
use crate::metrics::admin::{Action, ActionOutcome};

use super::{Sum, counter};

impl Sum {
    /// What the admin listener was asked to change, and whom it turned away.
    pub(super) fn admin(&self) -> Vec<MetricFamily> {
        let outcomes = |action: Action| ActionOutcome::ALL.map(|outcome| (action, outcome));
        let count = |(action, outcome): (Action, ActionOutcome)| {
            (vec![action.label(), outcome.label()], self.admin.action_count(action, outcome))
        };
        let mut families = counter(&metrics::ADMIN_CHANGES, Action::ALL.into_iter().flat_map(outcomes).map(count));
        families.extend(counter(&metrics::ADMIN_TURNED_AWAY, [(vec![], self.admin.turned_away.get())]));
        families
    }
}
