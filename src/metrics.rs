//! What Viaduct counts, and how that is shown.
//!
//! The sum to hold on to: everything received was forwarded, answered, absorbed or dropped, each message once.
//!
//! ```text
//! sum(viaduct_messages_received_total) = sum(viaduct_messages_sent_total) + sum(viaduct_messages_absorbed_total)
//!                                      + sum(viaduct_messages_dropped_total)
//! ```
//!
//! | module | charge |
//! | --- | --- |
//! | [`admin`] | what the admin listener does |
//! | [`catalogue`] | every metric: its name, help, labels and how to read it |
//! | [`cells`] | what a shard counts into: plain numbers with one writer |
//! | [`backends`] | what each backend is sent and sends, by its slot |
//! | [`copies`] | copies of messages that are sent on |
//! | [`connections`] | connections, and what streams bring besides messages |
//! | [`latency`] | how long backends take, in histograms |
//! | [`certificates`] | when certificates end, and whether they could be read again |
//! | [`layers`] | TLS, WebSocket and the PROXY protocol |
//! | [`names`] | what the resolution of names counts into |
//! | [`discovery`] | what the discovery of backends counts into |
//! | [`pool`] | what is counted of probes and of changes of standing |
//! | [`problems`] | what the log tells of problems, and what it leaves out |
//! | [`reload`] | how often settings were read again, and the digest of those in force |
//! | [`turns`] | what a shard counts of its turns |
//! | [`upgrade`] | what is counted of upgrades |
//! | [`collector`] | sums the cells of all shards when Prometheus asks |
//!
//! The counters of the prometheus crate looked simpler in the packet path. Each is a shared cache line that all cores
//! write with a locked instruction, behind a hash-map look-up by label; a cell is a plain store to memory of its shard.

pub mod admin;
pub mod backends;
pub mod catalogue;
pub mod cells;
pub mod certificates;
pub mod collector;
pub mod connections;
pub mod copies;
pub mod discovery;
pub mod latency;
pub mod layers;
pub mod names;
pub mod pool;
pub mod problems;
pub mod reload;
pub mod turns;
pub mod upgrade;

pub use catalogue::*;
