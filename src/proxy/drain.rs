//! What others are told while Viaduct drains: neighbours that ask whether it carries calls, and clients that begin something.
//!
//! To stop answering altogether looked simpler. Dialogs that pass here have this address in their Route sets, and their requests
//! and responses would have nowhere else to go.

use crate::sip::reply::Status;
use crate::sip::start_line::Method;

use super::inbound::Side;
use super::request::Request;
use super::routing::Routing;
use super::shedding;
use super::validate::Refusal;

/// What others are told while Viaduct drains, as the operator wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainPolicy {
    /// What becomes of an OPTIONS for Viaduct itself.
    pub options: DrainOptions,
    /// What becomes of a client's request that begins something.
    pub new_requests: DrainNewRequests,
    /// After how many seconds who is answered 503 may come again (RFC 3261 §20.33).
    pub retry_after_s: u16,
}

/// What becomes of an OPTIONS for Viaduct itself while it drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainOptions {
    /// It is answered 503.
    #[default]
    Refuse,
    /// It is not answered, for neighbours that understand nothing else.
    Ignore,
}

/// What becomes of a client's request that begins something while Viaduct drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainNewRequests {
    /// It goes on, as at any other time: each member of a fleet decides alike, so it is as well here as there, and a client
    /// whose call is answered 503 may have nowhere else to go.
    #[default]
    Forward,
    /// It is answered 503.
    Refuse,
}

/// What was turned away because Viaduct drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// An OPTIONS for Viaduct itself.
    Options,
    /// A client's request that begins something.
    NewRequest,
}

impl Default for DrainPolicy {
    fn default() -> Self {
        DrainPolicy { options: DrainOptions::default(), new_requests: DrainNewRequests::default(), retry_after_s: 10 }
    }
}

impl TurnedAway {
    /// Both, in the order of [`TurnedAway::index`].
    pub const ALL: [TurnedAway; 2] = [TurnedAway::Options, TurnedAway::NewRequest];

    /// Its place in [`TurnedAway::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            TurnedAway::Options => "options",
            TurnedAway::NewRequest => "new_request",
        }
    }
}

/// The answer to who is turned away.
pub(super) fn refusal(policy: &DrainPolicy) -> Refusal {
    Refusal { retry_after_s: policy.retry_after_s, ..Refusal::because(Status::ServiceUnavailable, "Draining") }
}

/// Whether a request is turned away because it begins something. What belongs to a dialog says so by a tag in To or, of RFC 2543's
/// clients, by our pin; a CANCEL and an ACK belong to what has begun. A backend's requests go on: many of its clients can be
/// reached by their flows here alone. So do emergency calls: nobody knows whether they find another way.
#[cold]
pub(super) fn turns_away(request: &Request<'_>, routing: &Routing<'_>) -> bool {
    request.snapshot.policy().drain.new_requests == DrainNewRequests::Refuse
        && request.side == Side::Client
        && !matches!(request.method, Method::Ack | Method::Cancel)
        && routing.pin.is_none()
        && request.to_tag().is_none()
        && !shedding::is_exempt(request, routing.uri())
}
