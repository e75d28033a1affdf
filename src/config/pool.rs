//! What an operator can set of the pool as it lives: where calls go when backends fail, and how they come back.

use clap::{Args, value_parser};

use super::Switch;

/// The settings of the living pool.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PoolSettings {
    /// Whether calls go to all backends where none can take any, as where probes fail for a reason of their own. Off, they are
    /// answered 503
    #[arg(long, env = "VIADUCT_PANIC", global = true, default_value = "on", value_name = "WORD")]
    pub panic: Switch,

    /// Over how many seconds, up to 3600, the weight of a backend rises that has come back or was added, in eight steps; 0 is at
    /// once. At each step some calls move, and members of a fleet do not step at the same moment
    #[arg(long, env = "VIADUCT_SLOW_START_S", global = true, default_value_t = 0, value_parser = value_parser!(u32).range(0..=3_600), value_name = "SECONDS")]
    pub slow_start_s: u32,
}
