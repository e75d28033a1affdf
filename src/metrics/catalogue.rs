//! Every metric: its name, what it says, how to read it, its labels.
//!
//! To name each where it is collected looked handier. An operator reads them side by side, and a document is made of them.

mod admin;
mod connections;
mod discovery;
mod messages;
mod observe;
mod pool;
mod process;

pub use admin::*;
pub use connections::*;
pub use discovery::*;
pub use messages::*;
pub use observe::*;
pub use pool::*;
pub use process::*;

/// A metric as it is exposed.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, in base units; counters end in `_total`.
    pub name: &'static str,
    /// What it says and how to read it.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

const fn metric(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, help, labels }
}

/// Every metric, for tests and documents.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [messages::ALL, pool::ALL, discovery::ALL, connections::ALL, process::ALL, admin::ALL, observe::ALL]
        .into_iter()
        .flatten()
}
