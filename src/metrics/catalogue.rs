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
mod upgrade;

pub use admin::*;
pub use connections::*;
pub use discovery::*;
pub use messages::*;
pub use observe::*;
pub use pool::*;
pub use process::*;
pub use upgrade::*;

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
    let of_process = [process::ALL, upgrade::ALL, admin::ALL, observe::ALL];
    [messages::ALL, pool::ALL, discovery::ALL, connections::ALL].into_iter().chain(of_process).flatten()
}
