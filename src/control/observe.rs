//! What is done with what shards tell of single messages.
//!
//! | module | charge |
//! | --- | --- |
//! | [`problems`] | writes problems to the log |
//! | [`exporter`] | sends copies of messages on to a collector, as Homer |
//! | [`link`] | the way to that |
//! | `look_up` | where that is by its name |
//!
//! A thread of its own looked safer, since a log that nobody reads makes its writer wait. The control thread writes other lines to
//! the same log, and would wait there anyway; the shards never do.

pub mod exporter;
pub mod link;
mod look_up;
pub mod problems;
