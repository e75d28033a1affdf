//! What an operator can set of overload: what comes of it when backends say that they have too much to do.

use clap::{Args, value_parser};

use super::Switch;

/// The settings of overload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct OverloadSettings {
    /// Whether a backend that answers a request 503 with Retry-After gets no new calls for that time. Off for backends that pass on
    /// the 503 of what is behind them
    #[arg(long, env = "VIADUCT_RETRY_AFTER", global = true, default_value = "on", value_name = "WORD")]
    pub retry_after: Switch,

    /// For how many seconds, from 1 to 3600, a backend gets no new calls at most, whatever its Retry-After says
    #[arg(long, env = "VIADUCT_RETRY_AFTER_MAX_S", global = true, default_value_t = 60, value_parser = value_parser!(u32).range(1..=3_600), value_name = "SECONDS")]
    pub retry_after_max_s: u32,

    /// How many percent of the pool, up to 100, may be held back from new calls, for whatever reason, before no other Retry-After is
    /// heeded: the calls would go to the few that are left. Of a pool where this is less than one backend, none
    #[arg(long, env = "VIADUCT_RETRY_AFTER_MAX_PERCENT", global = true, default_value_t = 50, value_parser = value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    pub retry_after_max_percent: u8,
}
