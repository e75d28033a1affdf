//! What is counted of problems that are told in the log: how many lines were written, and what was left out.
//!
//! The counters of messages and connections looked enough, since each problem stands in one of them too. They do not tell how
//! much the log leaves out, and a log that is silent about that is taken for the whole.

use crate::frame::tls::Reason;
use crate::frame::websocket::Refusal;
use crate::proxy::verdict::{DropReason, Fault, RejectedToken};
use crate::sip::reply::Status;

use super::cells::{Cell, Dropped, ShardCells, bump, value};
use super::collector::{dropped_label, fault_label};
use super::connections::{Direction, Ended, Refused};

/// A problem with one message or one connection. Each kind of them is limited by itself, so that a flood of one does not keep the
/// others out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A message was discarded.
    Dropped(Dropped),
    /// A request was refused by an answer of our own, for what was wrong with it, where something was.
    Answered(Status, Option<Fault>),
    /// A token of ours was found damaged or forged.
    Token(RejectedToken),
    /// TLS failed on a connection that was opened in that direction.
    Tls(Direction, Reason),
    /// What a WebSocket client sent was refused.
    WebSocket(Refusal),
    /// A connection that was opened in that direction ended, or could not be opened.
    Ended(Direction, Ended),
    /// A connection was reset as soon as it was known whose it is.
    ConnectionRefused(Refused),
}

const DIRECTIONS: usize = Direction::ALL.len();
const ANSWERED: usize = Dropped::COUNT;
const TOKENS: usize = ANSWERED + Status::ALL.len();
const TLS: usize = TOKENS + RejectedToken::ALL.len();
const WEB_SOCKET: usize = TLS + DIRECTIONS * Reason::ALL.len();
const ENDED: usize = WEB_SOCKET + Refusal::ALL.len();
const REFUSED: usize = ENDED + DIRECTIONS * Ended::ALL.len();

impl Problem {
    /// How many kinds are limited apart.
    pub const COUNT: usize = REFUSED + Refused::ALL.len();

    /// The place of a problem's kind among [`Problem::COUNT`]. Malformed messages are one kind, whatever is wrong with them.
    pub fn index(self) -> usize {
        match self {
            Problem::Dropped(reason) => reason.index(),
            Problem::Answered(status, _) => ANSWERED + status.index(),
            Problem::Token(token) => TOKENS + token.index(),
            Problem::Tls(direction, reason) => TLS + direction.index() * Reason::ALL.len() + reason as usize,
            Problem::WebSocket(refusal) => WEB_SOCKET + refusal as usize,
            Problem::Ended(direction, why) => ENDED + direction.index() * Ended::ALL.len() + why.index(),
            Problem::ConnectionRefused(why) => REFUSED + why.index(),
        }
    }

    /// What has happened, as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Problem::Dropped(_) => "a message was dropped",
            Problem::Answered(..) => "a request was refused",
            Problem::Token(_) => "a token of Viaduct's did not verify",
            Problem::Tls(..) => "TLS failed on a connection",
            Problem::WebSocket(_) => "a WebSocket client was refused",
            Problem::Ended(Direction::Connected, Ended::ConnectFailed | Ended::ConnectTimeout) => {
                "a connection could not be opened"
            }
            Problem::Ended(..) => "a connection ended",
            Problem::ConnectionRefused(_) => "a connection was refused",
        }
    }

    /// Why, by the label that the metrics have for it; `None` where the status says it.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Problem::Dropped(reason) => Some(dropped_label(reason.index())),
            Problem::Answered(..) => None,
            Problem::Token(token) => Some(token.label()),
            Problem::Tls(_, reason) => Some(reason.label()),
            Problem::WebSocket(refusal) => Some(refusal.label()),
            Problem::Ended(_, why) => Some(why.label()),
            Problem::ConnectionRefused(why) => Some(why.label()),
        }
    }

    /// What was wrong with the message, by the label that the metrics have for it.
    pub fn fault(self) -> Option<&'static str> {
        match self {
            Problem::Dropped(Dropped::Decided(DropReason::Malformed(fault))) | Problem::Answered(_, Some(fault)) => {
                Some(fault_label(fault.index()))
            }
            _ => None,
        }
    }

    /// Who opened the connection that it is about.
    pub fn direction(self) -> Option<Direction> {
        match self {
            Problem::Tls(direction, _) | Problem::Ended(direction, _) => Some(direction),
            _ => None,
        }
    }

    /// Whether it is about a message: its line has the Call-ID then, empty where there is none.
    pub fn is_of_a_message(self) -> bool {
        matches!(self, Problem::Dropped(_) | Problem::Answered(..) | Problem::Token(_))
    }

    /// Whether it is Viaduct's, the network's or a backend's rather than a client's own: such are what an operator can mend.
    pub fn is_ours(self) -> bool {
        match self {
            Problem::Dropped(reason) => !matches!(
                reason,
                Dropped::Decided(_)
                    | Dropped::Truncated
                    | Dropped::Framing
                    | Dropped::NoOrigin
                    | Dropped::ConnectionGone
            ),
            Problem::Answered(status, _) => status.code() >= 500 && status != Status::VersionNotSupported,
            Problem::Token(_) | Problem::WebSocket(_) => false,
            Problem::Tls(direction, _) | Problem::Ended(direction, _) => direction == Direction::Connected,
            Problem::ConnectionRefused(_) => true,
        }
    }
}

/// What a shard counts of the problems that it does not hand on, by kind.
#[derive(Debug)]
pub struct ProblemCells {
    suppressed: [Cell; Problem::COUNT],
    crowded_out: [Cell; Problem::COUNT],
}

impl Default for ProblemCells {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| Cell::default());
        ProblemCells { suppressed: none(), crowded_out: none() }
    }
}

impl ProblemCells {
    /// Problems of the kind of that place that the shard left out, for either reason.
    pub fn left_out_count(&self, index: usize) -> u64 {
        value(&self.suppressed, index) + value(&self.crowded_out, index)
    }

    /// Problems that the shard left out because there had been too many of their kind.
    pub fn suppressed_total(&self) -> u64 {
        self.suppressed.iter().map(Cell::get).sum()
    }

    /// Problems that the shard left out because too many of all kinds waited to be written.
    pub fn crowded_out_total(&self) -> u64 {
        self.crowded_out.iter().map(Cell::get).sum()
    }
}

impl ShardCells {
    /// Counts a problem that is left out because there have been too many of its kind.
    pub fn problem_suppressed(&self, problem: Problem) {
        bump(&self.problems().suppressed, problem.index());
    }

    /// Counts a problem that is left out because too many of all kinds wait to be written.
    pub fn problem_crowded_out(&self, problem: Problem) {
        bump(&self.problems().crowded_out, problem.index());
    }
}

/// What whoever writes the log counts of problems: it limits those of all shards together.
#[derive(Debug)]
pub struct LogCells {
    /// Lines written about one problem each.
    pub logged: Cell,
    suppressed: [Cell; Problem::COUNT],
}

impl Default for LogCells {
    fn default() -> Self {
        LogCells { logged: Cell::default(), suppressed: std::array::from_fn(|_| Cell::default()) }
    }
}

impl LogCells {
    /// Counts a problem that is left out because there have been too many of its kind. Only whoever writes the log may.
    pub fn suppress(&self, problem: Problem) {
        bump(&self.suppressed, problem.index());
    }

    /// Problems of the kind of that place that were left out here.
    pub fn suppressed_count(&self, index: usize) -> u64 {
        value(&self.suppressed, index)
    }

    /// Problems of all kinds that were left out here.
    pub fn suppressed_total(&self) -> u64 {
        self.suppressed.iter().map(Cell::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::SendError;
    use crate::sip::header::HeaderName;

    fn all() -> Vec<Problem> {
        let decided = [
            DropReason::Malformed(Fault::NotSip),
            DropReason::ResponseUnverified,
            DropReason::ResponseExhausted,
            DropReason::AckRefused,
            DropReason::NameBeingResolved,
            DropReason::DraftFull,
        ];
        let shells = [
            Dropped::Truncated,
            Dropped::Framing,
            Dropped::NoOrigin,
            Dropped::NoSendSlot,
            Dropped::TooLong,
            Dropped::ConnectionGone,
            Dropped::QueueFull,
            Dropped::QueuesFull,
            Dropped::Ended,
            Dropped::MailboxFull,
            Dropped::NoConnection,
        ];
        let of_direction = Direction::ALL.into_iter().flat_map(|direction| {
            let tls = Reason::ALL.map(|reason| Problem::Tls(direction, reason));
            tls.into_iter().chain(Ended::ALL.map(|why| Problem::Ended(direction, why)))
        });
        let mut all: Vec<_> = decided.map(|reason| Problem::Dropped(Dropped::Decided(reason))).into();
        all.extend(shells.map(Problem::Dropped));
        all.extend(SendError::ALL.map(|error| Problem::Dropped(Dropped::SendFailed(error))));
        all.extend(Status::ALL.map(|status| Problem::Answered(status, None)));
        all.extend(RejectedToken::ALL.map(Problem::Token));
        all.extend(of_direction);
        all.extend(Refusal::ALL.map(Problem::WebSocket));
        all.extend(Refused::ALL.map(Problem::ConnectionRefused));
        all
    }

    #[test]
    fn each_kind_has_a_place_of_its_own() {
        let mut places: Vec<_> = all().into_iter().map(Problem::index).collect();
        places.sort_unstable();
        assert_eq!(places, (0..Problem::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_wrong_with_a_message_makes_no_other_kind_but_is_told() {
        let fault = Fault::Header(HeaderName::Via);
        let (one, other) =
            (Problem::Answered(Status::BadRequest, Some(fault)), Problem::Answered(Status::BadRequest, None));
        assert_eq!(one.index(), other.index());
        assert_eq!((one.fault(), other.fault()), (Some("via"), None));
    }

    #[test]
    fn every_kind_but_an_answer_has_a_reason() {
        for problem in all() {
            let has_reason = problem.reason().is_some_and(|reason| !reason.is_empty());
            assert_eq!(has_reason, !matches!(problem, Problem::Answered(..)), "{problem:?}");
        }
    }
}
