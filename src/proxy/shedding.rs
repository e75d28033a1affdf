//! Which requests are refused because their backend has asked for fewer of them (RFC 7339): a part of those that begin something,
//! drawn by their branch, so that a retransmission shares the fate of its first and every member of a fleet decides alike.
//!
//! To count requests and refuse each n-th looked more exact. It is state, and it lets in with its second try what it refused at its
//! first (§16.11); and a random number does the same.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::balance::backend::{BackendIndex, BackendSlot};
use crate::balance::pool::MAX_BACKENDS;
use crate::sip::header::{HeaderName, address_uri};
use crate::sip::overload::OFFER;
use crate::sip::reply::Status;
use crate::sip::seek;
use crate::sip::start_line::Method;
use crate::sip::uri::Uri;

use super::branch;
use super::request::Request;
use super::validate::Refusal;

/// What the operator wants of overload control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverloadPolicy {
    /// Whether it is offered to backends.
    pub is_offered: bool,
    /// After how many seconds who is refused is to try again; 0 is not said.
    pub retry_after_s: u16,
    /// Numbers in the Request-URI that are never refused.
    pub exempt_numbers: Vec<String>,
    /// Namespaces of Resource-Priority (RFC 4412) that are never refused, as `esnet` (RFC 7135). Whoever may send requests may write
    /// them.
    pub exempt_namespaces: Vec<String>,
}

impl OverloadPolicy {
    /// What stands in our Via on a request to a backend.
    pub(super) fn offer(&self) -> &'static [u8] {
        if self.is_offered { OFFER.as_bytes() } else { b"" }
    }
}

/// How many in a hundred requests each backend is not to be sent. The one thing that is written in place: it changes ten times a
/// second, and nothing else changes with it. One writes, anybody reads.
#[derive(Debug)]
pub struct Shedding {
    percents: Box<[AtomicU8]>,
    /// How many of them are not 0.
    shed: AtomicUsize,
}

impl Default for Shedding {
    fn default() -> Self {
        Shedding { percents: (0..MAX_BACKENDS).map(|_| AtomicU8::new(0)).collect(), shed: AtomicUsize::new(0) }
    }
}

impl Shedding {
    /// How many in a hundred requests that backend is not to be sent.
    pub fn percent(&self, backend: BackendSlot) -> u8 {
        self.percents.get(backend.get()).map_or(0, |percent| percent.load(Ordering::Relaxed))
    }

    /// Sets that; above 100 is all. Only its one writer may.
    pub fn set(&self, backend: BackendSlot, percent: u8) {
        let Some(place) = self.percents.get(backend.get()) else { return };
        let before = place.swap(percent.min(100), Ordering::Relaxed);
        match (before, percent) {
            (0, 1..) => self.shed.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => self.shed.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn is_any(&self) -> bool {
        self.shed.load(Ordering::Relaxed) > 0
    }
}

/// Whether a request with this Request-URI is refused in the place of that member of the pool. Most of the time nobody has asked for
/// that.
#[inline]
pub(super) fn is_shed(request: &Request<'_>, uri: &Uri, to: BackendIndex) -> bool {
    let shedding = request.snapshot.shedding();
    shedding.is_any() && falls(request, uri, shedding.percent(request.snapshot.slot(to)))
}

/// What a request is told that is refused so.
pub(super) fn refusal(policy: &OverloadPolicy) -> Refusal {
    let refusal = Refusal::because(Status::ServiceUnavailable, "Backend Is Overloaded");
    Refusal { retry_after_s: policy.retry_after_s, ..refusal }
}

#[cold]
fn falls(request: &Request<'_>, uri: &Uri, percent: u8) -> bool {
    percent > 0 && may_be_shed(request) && u64::from(percent) > draw(request) && !is_exempt(request, uri)
}

/// A number below 100. Not the bits of the branch itself: backends see that, and may be told apart by it.
fn draw(request: &Request<'_>) -> u64 {
    let (key, message) = (&request.snapshot.keys().current().branch, request.inbound.bytes);
    let branch = branch::of_request(key, message, request.head, request.via, request.uri.of(message));
    let hash = key.over_fields().field(b"shedding").field(&branch).finish_quick();
    ((u128::from(hash) * 100) >> u64::BITS) as u64
}

/// Whether a request begins something: what belongs to a dialog or to a transaction goes on (RFC 7339 §5.10.1).
fn may_be_shed(request: &Request<'_>) -> bool {
    !matches!(request.method, Method::Ack | Method::Cancel) && request.to_tag().is_none()
}

/// Whether a request is an emergency call's (RFC 5031), or one that the operator exempts.
pub(super) fn is_exempt(request: &Request<'_>, uri: &Uri) -> bool {
    let (message, policy) = (request.inbound.bytes, &request.snapshot.policy().overload);
    let to = request.head.first(HeaderName::To).and_then(|to| address_uri(message, to.value));
    let asked = uri.span.of(message);
    is_emergency_service(asked)
        || to.is_some_and(|to| is_emergency_service(to.of(message)))
        || number(uri, message).is_some_and(|number| is_among(number, &policy.exempt_numbers))
        || !policy.exempt_namespaces.is_empty() && has_priority(request, &policy.exempt_namespaces)
}

/// `urn:service:sos`, or one of the services below it.
fn is_emergency_service(uri: &[u8]) -> bool {
    const SOS: &[u8] = b"urn:service:sos";
    let Some((start, rest)) = uri.split_at_checked(SOS.len()) else { return false };
    start.eq_ignore_ascii_case(SOS) && matches!(rest.first(), None | Some(b'.' | b';' | b'?'))
}

/// The number, or other user, that a SIP or a tel URI names, without its parameters.
fn number<'a>(uri: &Uri, message: &'a [u8]) -> Option<&'a [u8]> {
    let named = match uri.user {
        Some(user) => user.of(message),
        None => uri.span.of(message).split_at_checked(4).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"tel:"))?.1,
    };
    named.split(|byte| *byte == b';').next()
}

/// Whether the request has a priority of one of these namespaces (RFC 4412 §3.1): `namespace.value`, in a list.
fn has_priority(request: &Request<'_>, namespaces: &[String]) -> bool {
    let message = request.inbound.bytes;
    seek::values(message, request.head, "Resource-Priority").any(|value| {
        let mut priorities = value.of(message).split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        priorities
            .any(|priority| priority.split(|byte| *byte == b'.').next().is_some_and(|name| is_among(name, namespaces)))
    })
}

fn is_among(name: &[u8], names: &[String]) -> bool {
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backends_share_is_its_own_and_nobodys_costs_one_look() {
        let (shedding, slots) = (Shedding::default(), [0, 7, 4095].map(BackendSlot));
        assert!(!shedding.is_any());
        for (slot, percent) in slots.into_iter().zip([1, 50, 200]) {
            shedding.set(slot, percent);
        }
        shedding.set(BackendSlot(u16::MAX), 9);
        assert_eq!((slots.map(|slot| shedding.percent(slot)), shedding.percent(BackendSlot(1))), ([1, 50, 100], 0));
        for slot in slots {
            assert!(shedding.is_any());
            shedding.set(slot, 0);
            shedding.set(slot, 0);
        }
        assert!(!shedding.is_any());
    }

    #[test]
    fn emergency_services_are_known_in_any_case_and_nothing_that_begins_alike() {
        for uri in ["urn:service:sos", "URN:Service:SOS.police", "urn:service:sos.ecall.manual"] {
            assert!(is_emergency_service(uri.as_bytes()), "{uri}");
        }
        for uri in ["urn:service:sosx", "urn:service:counseling", "sip:sos@b", "urn:service:so", ""] {
            assert!(!is_emergency_service(uri.as_bytes()), "{uri}");
        }
    }
}
