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

/// All of these.
pub(super) const ALL: &[Metric] = &[LOG_PROBLEMS];
