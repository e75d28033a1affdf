//! Upgrades: one process takes over from another.

use super::{Metric, metric};

/// Failed attempts.
pub const UPGRADES_FAILED: Metric = metric(
    "viaduct_upgrades_failed_total",
    "Processes that were to take over from this one and did not, so that it goes on: refused, since they could not; ended, before they \
     ran; unheard, since they did not answer in time. The log says more.",
    &["reason"],
);

/// The pause.
pub const UPGRADE_PAUSE: Metric = metric(
    "viaduct_upgrade_pause_seconds",
    "For how long messages waited in the kernel while this process took over from the one before; 0 where it took over from none. What \
     comes in that time must have room in the sockets (VIADUCT_SOCKET_RECEIVE_BYTES).",
    &[],
);

/// The process before.
pub const UPGRADE_PREDECESSORS: Metric = metric(
    "viaduct_upgrade_predecessors",
    "1 while the process that this one took over from still has connections, for VIADUCT_GRACE_S at most.",
    &[],
);

/// Messages lost between processes.
pub const UPGRADE_MESSAGES_LOST: Metric = metric(
    "viaduct_upgrade_messages_lost_total",
    "Messages for connections of this process, handed over by the process after or before it, that were lost because more waited than a \
     shard could take, or because they were not understood.",
    &[],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[UPGRADES_FAILED, UPGRADE_PAUSE, UPGRADE_PREDECESSORS, UPGRADE_MESSAGES_LOST];
