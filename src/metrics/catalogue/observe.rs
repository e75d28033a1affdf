//! What is told of single messages.

use super::{Metric, metric};

/// Problems and the log.
pub const LOG_PROBLEMS: Metric = metric(
    "viaduct_log_problems_total",
    "Problems with messages and connections, by what the log has of them: a line (logged); nothing, because there were too many of \
     their kind (suppressed, VIADUCT_LOG_PROBLEMS_PER_SECOND) or too many of all kinds waited to be written (crowded_out). Each counts \
     under its own reason too.",
    &["outcome"],
);

/// Copies for a collector.
pub const HEP_COPIES: Metric = metric(
    "viaduct_hep_copies_total",
    "Copies of messages for the collector (VIADUCT_HEP), by what became of them: sent, which says that the kernel took them; lost, \
     because the collector was not to be reached; crowded_out, because 1024 others waited to be sent; too_long for a packet.",
    &["outcome"],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[LOG_PROBLEMS, HEP_COPIES];
