//! How a request's target was found, in values: the packet path notes it and never looks at it; `viaduct explain` puts it
//! into words.
//!
//! A log line at each step looked better, because it needs no types. It would format text for every message, or ask for
//! each whether anybody listens.

use super::hash_key::HashKey;
use super::token::flow::Flow;
use super::token::pin::Pin;

/// What was found in a request and what decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// How many Route values were ours and are taken out.
    pub own_routes: u16,
    /// Whether the previous hop is a strict router, which had put our Record-Route into the Request-URI (§16.4).
    pub strict: bool,
    /// The dialog's pin in the first of our Routes that has one.
    pub pin: Option<Pin>,
    /// The client's flow in the first of our Routes that has one.
    pub flow: Option<Flow>,
    /// What the target was chosen by; `None` where there is none.
    pub reason: Option<Reason>,
}

/// What a target was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The flow in the Path that we wrote when the client registered.
    PathFlow,
    /// The flow in the dialog's pin.
    DialogFlow,
    /// The next Route names a member of the pool.
    RouteToMember,
    /// The Request-URI names a member of the pool.
    UriToMember,
    /// The next Route of a backend's request.
    Route,
    /// The Request-URI of a backend's request.
    Uri,
    /// The backend in the dialog's pin.
    Pin,
    /// The owner of a hash.
    Hash(Hashed),
}

impl Reason {
    /// Whether it chose a member of the pool.
    pub(super) fn is_member(self) -> bool {
        matches!(self, Reason::RouteToMember | Reason::UriToMember | Reason::Pin | Reason::Hash(_))
    }

    /// Whether the next hop is the URI of the next Route value.
    pub(super) fn is_by_route(self) -> bool {
        matches!(self, Reason::RouteToMember | Reason::Route)
    }
}

/// A hash and what was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// What was hashed.
    pub by: HashedBy,
    /// The hash, whose upper bits name the place in the table.
    pub hash: u64,
}

/// What was hashed, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashedBy {
    /// The Call-ID of the dialog that Replaces, Join or Target-Dialog names.
    NamedDialog,
    /// What the rule for the method says.
    Rule(HashKey),
    /// The Call-ID, because what the rule says is not there.
    InPlaceOf(HashKey),
}
