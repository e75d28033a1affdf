//! Route information preprocessing (§16.4): which Routes are ours, what we wrote into them, and which one comes next.

use crate::sip::header::HeaderName;
use crate::sip::route::{self, MalformedRoute, RouteValue};
use crate::sip::uri::Uri;

use super::inbound::Side;
use super::request::Request;
use super::token::flow::{self, Flow};
use super::token::pin::{self, Facing, Pin};
use super::trace::{Reason, Trace};
use super::validate::Refusal;
use super::verdict::{Fault, RejectedToken};

/// What the Routes of a request say.
pub(super) struct Routing<'a> {
    /// The Request-URI that came.
    came_with: &'a Uri,
    /// The first Route value that is not ours.
    pub(super) next: Option<RouteValue>,
    /// The lowest Route value, which is the Request-URI: the previous hop is a strict router.
    pub(super) strict: Option<RouteValue>,
    /// The pin in the first of our Routes that has one.
    pub(super) pin: Option<Pin>,
    /// Both pins of a double Record-Route have been read.
    paired: bool,
    /// The flow in the first of our Routes that has one.
    pub(super) flow: Option<Flow>,
    /// A Route of ours holds a token that is damaged or forged.
    pub(super) rejected: Option<RejectedToken>,
    /// A damaged or forged one of them is a flow.
    pub(super) flow_rejected: bool,
    /// How many tokens have been verified.
    tokens: usize,
    /// How many Route values are ours.
    pub(super) own: u16,
}

impl<'a> Routing<'a> {
    /// What a request without Routes says.
    pub(super) fn new(uri: &'a Uri) -> Self {
        Routing {
            came_with: uri,
            next: None,
            strict: None,
            pin: None,
            paired: false,
            flow: None,
            rejected: None,
            flow_rejected: false,
            tokens: 0,
            own: 0,
        }
    }

    /// Reads the Routes from the top, past all of our own. Both of a double Record-Route are passed at once (RFC 5658 §5).
    /// A client's request keeps those of another passage: where an INVITE passed twice, and the backend between did not
    /// record itself, that backend follows the next of ours, which may hold the other side's flow.
    pub(super) fn preprocess(&mut self, request: &Request<'_>) -> Result<(), Refusal> {
        let malformed = |MalformedRoute| Refusal::malformed(Fault::Header(HeaderName::Route));
        let (message, head) = (request.inbound.bytes, request.head);
        let Some(top) = route::topmost(message, head).map_err(malformed)? else { return Ok(()) };
        if is_own_record_route(request, self.came_with) {
            self.read_token(request, self.came_with);
            self.strict = Some(lowest(top, request).map_err(malformed)?);
        }
        let mut next = Some(top);
        while let Some(value) = next.filter(|value| request.names_viaduct(&value.uri)) {
            if !self.is_request_uri(&value) && !self.read_token(request, &value.uri) {
                break;
            }
            self.own = self.own.saturating_add(1);
            next = value.below(message, head).map_err(malformed)?;
        }
        self.next = next.filter(|value| !self.is_request_uri(value));
        Ok(())
    }

    /// The Request-URI to go by: the one that came, or the lowest Route where a strict router put our own into its place.
    pub(super) fn uri(&self) -> &Uri {
        self.strict.as_ref().map_or(self.came_with, |lowest| &lowest.uri)
    }

    /// What was found, and what the target was chosen by.
    pub(super) fn trace(&self, reason: Option<Reason>) -> Trace {
        Trace { own_routes: self.own, strict: self.strict.is_some(), pin: self.pin, flow: self.flow, reason }
    }

    fn is_request_uri(&self, value: &RouteValue) -> bool {
        self.strict.is_some_and(|strict| strict.is(value))
    }

    /// Takes in what we wrote into a URI of ours. The first token of a kind counts; a damaged one is as none. `false`
    /// where a client's request has been here on another passage when this was written.
    fn read_token(&mut self, request: &Request<'_>, uri: &Uri) -> bool {
        let user = uri.user.map_or(&[][..], |user| user.of(request.inbound.bytes));
        let keys = request.snapshot.keys();
        if !is_long_enough(user) || self.tokens == MAX_TOKENS {
            return true;
        }
        self.tokens += 1;
        match user.first() {
            Some(&pin::PREFIX) => match keys.find(|keys| Pin::verify(&keys.pin, user, request.call_id())) {
                Some(pin) if request.side == Side::Client && self.is_of_another_passage(&pin) => return false,
                Some(pin) => {
                    self.paired = self.pin.is_some();
                    self.pin = self.pin.or(Some(pin));
                }
                None => self.rejected = self.rejected.or(Some(RejectedToken::Pin)),
            },
            Some(&flow::PREFIX) => match keys.find(|keys| Flow::verify(&keys.flow, user)) {
                Some(flow) => self.flow = self.flow.or(Some(flow)),
                None => {
                    self.rejected = self.rejected.or(Some(RejectedToken::Flow));
                    self.flow_rejected = true;
                }
            },
            _ => {}
        }
        true
    }

    /// Whether a pin is neither the first nor the other one of the same double Record-Route.
    fn is_of_another_passage(&self, pin: &Pin) -> bool {
        let is_pair = |first: &Pin| {
            matches!((first.facing, pin.facing), (Facing::Client, Facing::Backend) | (Facing::Backend, Facing::Client))
        };
        self.pin.is_some_and(|first| self.paired || !is_pair(&first))
    }
}

/// The most Routes of ours whose tokens are verified in one message: two for each of a few passages. What stands below
/// counts as without a token. Each costs a hash over the Call-ID, so without a limit one datagram could hold a shard up.
const MAX_TOKENS: usize = 8;

/// No token is shorter; a user part that is, such as `proxy`, is somebody's name for us.
fn is_long_enough(user: &[u8]) -> bool {
    user.len() >= 20
}

/// Whether the Request-URI is one that we wrote into a Record-Route, as a strict router leaves it there (§16.4).
fn is_own_record_route(request: &Request<'_>, uri: &Uri) -> bool {
    let user = uri.user.map_or(&[][..], |user| user.of(request.inbound.bytes));
    let is_pin = || request.snapshot.keys().find(|keys| Pin::verify(&keys.pin, user, request.call_id())).is_some();
    user.first() == Some(&pin::PREFIX) && is_long_enough(user) && request.names_viaduct(uri) && is_pin()
}

fn lowest(top: RouteValue, request: &Request<'_>) -> Result<RouteValue, MalformedRoute> {
    let mut lowest = top;
    while let Some(below) = lowest.below(request.inbound.bytes, request.head)? {
        lowest = below;
    }
    Ok(lowest)
}
