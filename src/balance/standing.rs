//! How a member of the pool stands: whether new calls go to it, and whether the calls that it has stay.

use super::backend::BackendSlot;

/// How a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It gets new calls, as its weight says.
    Up,
    /// It gets none, and keeps its dialogs.
    Draining,
    /// It is dead, or the administrator has disabled it: it gets nothing, as if it were gone from the pool.
    Down,
}

impl Standing {
    /// Every standing.
    pub const ALL: [Standing; 3] = [Standing::Up, Standing::Draining, Standing::Down];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Standing::Up => "up",
            Standing::Draining => "draining",
            Standing::Down => "down",
        }
    }
}

/// Why a member that is up gets no new calls for a while. It keeps its dialogs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// It answers probes 503.
    Overloaded,
    /// It has answered a request 503 and said after what time to try again.
    RetryAfter,
    /// It stands out beside the others by what requests meet with there.
    Outlier,
}

impl Hold {
    /// Every reason.
    pub const ALL: [Hold; 3] = [Hold::Overloaded, Hold::RetryAfter, Hold::Outlier];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Hold::Overloaded => "overloaded",
            Hold::RetryAfter => "retry_after",
            Hold::Outlier => "outlier",
        }
    }
}

/// A member's part in the pool at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Where it is counted.
    pub slot: BackendSlot,
    /// How it stands.
    pub standing: Standing,
    /// Why it gets no new calls though it is up; where all are held back, it may get some all the same.
    pub hold: Option<Hold>,
    /// Its share of new calls, relative to the others'; 0 for none. It may have a weight though it is down, where all are.
    pub weight: f64,
    /// Whether the dialogs that it has stay with it.
    pub serves: bool,
}
