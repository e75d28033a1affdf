//! What an operator can set of outliers: when a backend gets no new calls for what real requests meet with there.

use clap::{Args, value_parser};

use super::Switch;

/// The settings of outliers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct OutlierSettings {
    /// Whether a backend that leaves real requests unanswered, or answers them 5xx, gets no new calls for a while where the others
    /// do not. A fleet that shares one address towards its backends needs it off: a response comes to any of its members
    #[arg(long, env = "VIADUCT_OUTLIER", global = true, default_value = "on", value_name = "WORD")]
    pub outlier: Switch,

    /// Over how many seconds, from 1 to 3600, requests and responses are counted
    #[arg(long, env = "VIADUCT_OUTLIER_WINDOW_S", global = true, default_value_t = 10, value_parser = value_parser!(u32).range(1..=3_600), value_name = "SECONDS")]
    pub outlier_window_s: u32,

    /// How many requests in a window, from 1 to 1000000, a backend, and all others together, must have had
    #[arg(long, env = "VIADUCT_OUTLIER_REQUESTS", global = true, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000), value_name = "NUMBER")]
    pub outlier_requests: u32,

    /// From how many percent, 1 to 100, of its requests unanswered, or of its final responses 5xx, a backend stands out; the others
    /// must have less than half as many
    #[arg(long, env = "VIADUCT_OUTLIER_PERCENT", global = true, default_value_t = 50, value_parser = value_parser!(u8).range(1..=100), value_name = "PERCENT")]
    pub outlier_percent: u8,

    /// How many percent of the pool, up to 100, are set aside at a time at most; of a pool where this is less than one backend, none
    #[arg(long, env = "VIADUCT_OUTLIER_MAX_PERCENT", global = true, default_value_t = 34, value_parser = value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    pub outlier_max_percent: u8,

    /// For how many seconds, from 1 to 3600, a backend is set aside the first time; each further time so much longer, up to ten
    /// times
    #[arg(long, env = "VIADUCT_OUTLIER_ASIDE_S", global = true, default_value_t = 30, value_parser = value_parser!(u32).range(1..=3_600), value_name = "SECONDS")]
    pub outlier_aside_s: u32,
}
