//! How what is known of an entry stands, and which changes of that an operator is told of.

/// How what is known of an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It has not been looked up yet.
    Waiting,
    /// Nobody has answered about it yet.
    Silent,
    /// As the last answer says.
    Current,
    /// As the last good answer says, since nobody answers.
    Stale,
    /// As the last good answer says, since there is to be nothing, and that is not believed yet.
    Held,
    /// It leads nowhere.
    Gone,
}

impl EntryState {
    /// Whether what is known is not what the last look-up found, or nothing was ever found.
    pub fn is_doubtful(self) -> bool {
        self != EntryState::Current
    }
}

/// What has become of an entry, to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It leads somewhere, for the first time or again.
    Found,
    /// Nobody answers about it any more; what was known stays.
    FailsFromNowOn,
    /// The name servers say that there is nothing any more; what was known is held.
    IsHeld,
    /// Nobody has answered about it, and nothing is known.
    IsSilent,
    /// It leads nowhere.
    LeadsNowhere,
}

impl Change {
    /// What a change of state is told as; `None` where it is no news.
    pub fn between(before: EntryState, after: EntryState) -> Option<Change> {
        if before == after {
            return None;
        }
        Some(match after {
            EntryState::Waiting => return None,
            EntryState::Current => Change::Found,
            EntryState::Stale => Change::FailsFromNowOn,
            EntryState::Held => Change::IsHeld,
            EntryState::Silent => Change::IsSilent,
            EntryState::Gone => Change::LeadsNowhere,
        })
    }

    /// Tells the operator.
    pub fn log(self, entry: &str) {
        match self {
            Change::Found => tracing::info!(entry, "backends of a name were found"),
            Change::FailsFromNowOn => {
                tracing::warn!(
                    entry,
                    "the name servers do not answer about a name of backends; what was known stays in use"
                );
            }
            Change::IsHeld => {
                tracing::warn!(
                    entry,
                    "the name servers say that a name of backends leads nowhere; what was known stays in use for \
                     VIADUCT_DNS_HOLD_S, and longer where there would be no backend left"
                );
            }
            Change::IsSilent => {
                tracing::error!(
                    entry,
                    "the name servers do not answer about a name of backends, of which nothing is known yet"
                );
            }
            Change::LeadsNowhere => tracing::error!(entry, "a name of backends leads nowhere"),
        }
    }
}
