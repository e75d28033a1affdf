//! The admin listener: what it was asked to change.

use super::{Metric, metric};

/// Changes by the administrator.
pub const ADMIN_CHANGES: Metric = metric(
    "viaduct_admin_changes_total",
    "Changes that were asked for on the admin listener, by what was to be done and what came of it: made, refused (it made no \
     sense) or unauthorised (no right to it was shown). Where unauthorised rises and nobody mistyped a token, somebody tries.",
    &["action", "outcome"],
);

/// Requests that were turned away.
pub const ADMIN_TURNED_AWAY: Metric = metric(
    "viaduct_admin_turned_away_total",
    "Requests and connections that the admin listener turned away because it had as many as it takes.",
    &[],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[ADMIN_CHANGES, ADMIN_TURNED_AWAY];
