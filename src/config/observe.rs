//! What an operator can set of what is told of single messages.

use clap::{Args, value_parser};

/// The settings of what is told of single messages.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ObserveSettings {
    /// How many lines a second, up to 1000, the log has of each kind of problem with messages and connections: what was dropped or
    /// refused and why, tokens that do not verify, TLS that fails, connections that cannot be opened; five seconds' worth of them
    /// may come at once. What is left out is counted, and the next line of its kind says how much. 0 is none
    #[arg(long, env = "VIADUCT_LOG_PROBLEMS_PER_SECOND", global = true, default_value_t = 1, value_parser = value_parser!(u32).range(0..=1_000), value_name = "NUMBER")]
    pub log_problems_per_second: u32,
}
