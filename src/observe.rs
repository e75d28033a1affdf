//! What shards tell of single messages and connections: problems, for the log.
//!
//! | module | charge |
//! | --- | --- |
//! | [`rate`] | how often something may happen |
//! | [`problem`] | a problem as it travels from a shard to whoever writes the log |
//!
//! A log macro in the shard looked simpler. It formats and allocates, and writes to a descriptor that may make the shard wait; and
//! who sends junk would decide how much is written. So a shard hands on small records of a fixed size, none too often, through a
//! queue that has an end.

pub mod problem;
pub mod rate;

use std::sync::Arc;

use problem::ProblemQueue;

/// What shards tell, and to whom: nothing, unless it is set.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Problems, for the log.
    pub problems: Option<Arc<ProblemQueue>>,
}
