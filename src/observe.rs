//! What shards tell of single messages and connections: problems, for the log, and copies, for Homer.
//!
//! | module | charge |
//! | --- | --- |
//! | [`rate`] | how often something may happen |
//! | [`problem`] | a problem as it travels from a shard to whoever writes the log |
//! | [`copy`] | a copy of a message as it travels from a shard to whoever sends it on |
//! | [`withhold`] | what of a message is not told to others |
//!
//! A log macro in the shard looked simpler. It formats and allocates, and writes to a descriptor that may make the shard wait; and
//! who sends junk would decide how much is written. So a shard hands on small records of a fixed size, none too often, through a
//! queue that has an end.

pub mod copy;
pub mod problem;
pub mod rate;
pub mod withhold;

use std::sync::Arc;

use copy::CopyQueue;
use problem::ProblemQueue;

/// What shards tell, and to whom: nothing, unless it is set. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Problems, for the log.
    pub problems: Arc<ProblemQueue>,
    /// Copies of messages, for a collector.
    pub copies: Arc<CopyQueue>,
}
