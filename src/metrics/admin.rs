//! What is counted of the admin listener. Its tasks share one thread, the control thread, so each count has one writer.

use super::cells::{Cell, bump, value};

/// What the administrator asks for that changes something, or that shows what only an administrator may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// New calls are to go elsewhere.
    Drain,
    /// A backend is to be in use again after a drain.
    Undrain,
    /// A backend is to get nothing.
    Disable,
    /// A backend is to be in use again after it was disabled.
    Enable,
    /// Another weight.
    Weight,
    /// One more backend.
    Add,
    /// One backend less.
    Remove,
    /// Viaduct itself is to drain, and then to end.
    DrainViaduct,
    /// Other lines in the log.
    Log,
    /// Settings that are read again.
    Reload,
    /// What would be done with a message.
    Explain,
    /// What would come of a change.
    Preview,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionOutcome {
    /// It was done.
    Made,
    /// It made no sense.
    Refused,
    /// Who asked has not shown the right to it.
    Unauthorised,
}

impl Action {
    /// Every action, in the order of their places.
    pub const ALL: [Action; 12] = [
        Self::Drain,
        Self::Undrain,
        Self::Disable,
        Self::Enable,
        Self::Weight,
        Self::Add,
        Self::Remove,
        Self::DrainViaduct,
        Self::Log,
        Self::Reload,
        Self::Explain,
        Self::Preview,
    ];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Action::Drain => "drain",
            Action::Undrain => "undrain",
            Action::Disable => "disable",
            Action::Enable => "enable",
            Action::Weight => "weight",
            Action::Add => "add",
            Action::Remove => "remove",
            Action::DrainViaduct => "drain_viaduct",
            Action::Log => "log",
            Action::Reload => "reload",
            Action::Explain => "explain",
            Action::Preview => "preview",
        }
    }
}

impl ActionOutcome {
    /// Every outcome, in the order of their places.
    pub const ALL: [ActionOutcome; 3] = [Self::Made, Self::Refused, Self::Unauthorised];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            ActionOutcome::Made => "made",
            ActionOutcome::Refused => "refused",
            ActionOutcome::Unauthorised => "unauthorised",
        }
    }
}

const OUTCOMES: usize = ActionOutcome::ALL.len();

/// The counts.
#[derive(Debug, Default)]
pub struct AdminCells {
    actions: [[Cell; OUTCOMES]; Action::ALL.len()],
    /// Requests and connections turned away because there were too many.
    pub turned_away: Cell,
}

impl AdminCells {
    /// Counts an action.
    pub fn action(&self, action: Action, outcome: ActionOutcome) {
        bump(&self.actions[action as usize], outcome as usize);
    }

    /// How often an action had that outcome.
    pub fn action_count(&self, action: Action, outcome: ActionOutcome) -> u64 {
        value(&self.actions[action as usize], outcome as usize)
    }
}
