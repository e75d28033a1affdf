//! The discovery of backends: names that are looked up for as long as Viaduct runs.

use super::{Metric, metric};

/// Look-ups.
pub const DISCOVERY_LOOKUPS: Metric = metric(
    "viaduct_discovery_lookups_total",
    "Look-ups of names in VIADUCT_BACKENDS, by outcome. Where unanswered rises, the name servers fail, and what was known stays in \
     use; where nothing rises, a name leads nowhere.",
    &["outcome"],
);

/// Members found.
pub const DISCOVERED_BACKENDS: Metric = metric(
    "viaduct_discovered_backends",
    "How many members of the pool a name in VIADUCT_BACKENDS leads to; at most 256.",
    &["entry"],
);

/// Names in doubt.
pub const DISCOVERY_DOUBTFUL: Metric = metric(
    "viaduct_discovery_doubtful",
    "1 where the last look-up of a name did not find backends, so that earlier ones stay in use, or there are none; the log says \
     which.",
    &["entry"],
);

/// Members left out.
pub const DISCOVERY_LEFT_OUT: Metric = metric(
    "viaduct_discovery_left_out",
    "How many backends were found that the pool cannot have: at an address of another or of Viaduct itself, or beyond 4096.",
    &[],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[DISCOVERY_LOOKUPS, DISCOVERED_BACKENDS, DISCOVERY_DOUBTFUL, DISCOVERY_LEFT_OUT];
