//! How long backends take, told by a stamp of time in our own Via, which every response brings back.
//!
//! A table of requests under way looked better, because it would cost no bytes on the wire and no peer could change it. It
//! is state: each shard would answer for what it holds, and a response that comes to another shard than its request did
//! would find nothing.
//!
//! What the figures do not say: a request that was sent again has a stamp of its own, but a backend that sends its response
//! again sends the first request's, so losses lengthen the tails. A time is as coarse as the turns of the shards that
//! measured it, and a response that overtakes its request's turn is left out. Of an INVITE's provisional responses only 100
//! tells how soon the backend answered, so one that begins with 180 has no first response here.

use arrayvec::ArrayVec;

use crate::balance::backend::{BackendIndex, BackendSlot};
use crate::sip::header::HeaderName;
use crate::sip::scan::Head;
use crate::sip::start_line::Method;
use crate::sip::via::{TIME_PARAMETER, Via};

use super::base64url;
use super::inbound::{Inbound, Side};
use super::snapshot::Snapshot;

/// The longest time that is believed, in microseconds: 60 s. Longer ones, and those that a damaged stamp gives, are left
/// out. A call may ring longer; its backend's speed does not show in that.
pub const MAX_ELAPSED_US: u32 = 60_000_000;

/// What tells the stamps of one process from all others': a random number, since clocks differ between processes, and so do the
/// slots of backends. Two members of a fleet draw the same one in one
/// of 65,536 cases; most times are then beyond belief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance(pub u16);

/// How long a backend took to respond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where the backend is counted that the request was sent to.
    pub backend: BackendSlot,
    /// Which requests it is counted with.
    pub class: MethodClass,
    /// What the response ended: the wait for a first response, for the final one, or both.
    pub phases: &'static [Phase],
    /// The time from the turn that the request came in by to the turn that its response did, in microseconds.
    pub elapsed_us: u32,
}

/// Which wait a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For the first response: a 100 to an INVITE, the final response to any other request.
    First,
    /// For the final response.
    Final,
}

impl Phase {
    /// Both, in the order of [`Phase::index`].
    pub const ALL: [Phase; 2] = [Phase::First, Phase::Final];

    /// Its place in [`Phase::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Phase::First => "first",
            Phase::Final => "final",
        }
    }
}

/// Methods that are timed alike: people answer an INVITE, programs all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodClass {
    /// INVITE.
    Invite,
    /// All others.
    Other,
}

impl MethodClass {
    /// Both, in the order of [`MethodClass::index`].
    pub const ALL: [MethodClass; 2] = [MethodClass::Invite, MethodClass::Other];

    /// Its place in [`MethodClass::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            MethodClass::Invite => "invite",
            MethodClass::Other => "other",
        }
    }
}

/// `;vt=` and a stamp, or nothing.
pub(super) type Parameter = ArrayVec<u8, { 2 + TIME_PARAMETER.len() + STAMP_CHARS }>;

const STAMP_CHARS: usize = 11;

/// The parameter of our Via on a request to this backend; empty where none is to be timed. An ACK is not, since nothing
/// answers it.
pub(super) fn parameter(
    snapshot: &Snapshot,
    method: Method,
    backend: Option<BackendIndex>,
    inbound: &Inbound<'_>,
) -> Parameter {
    let mut text = Parameter::new();
    if let (Some(instance), Some(backend)) = (snapshot.latency(), backend.filter(|_| method != Method::Ack)) {
        text.push(b';');
        text.extend(TIME_PARAMETER.bytes());
        text.push(b'=');
        let backend = snapshot.slot(backend);
        Stamp { instance, backend, sent_us: inbound.now_us as u32 }.write(&mut text);
    }
    text
}

/// What a verified response tells about its backend. Only one that comes from the backends' side is believed: the stamp is
/// not signed, and a client that answers a request could put one in.
pub(super) fn sample(
    snapshot: &Snapshot,
    inbound: &Inbound<'_>,
    side: Side,
    head: &Head,
    own: &Via,
    status: u16,
) -> Option<Sample> {
    let instance = snapshot.latency().filter(|_| side == Side::Backend)?;
    let stamp = Stamp::read(own.own_time?.of(inbound.bytes)).filter(|stamp| stamp.instance == instance)?;
    let elapsed_us = (inbound.now_us as u32).wrapping_sub(stamp.sent_us);
    let class = class_of(inbound.bytes, head)?;
    let phases = phases(class, status);
    let believed = elapsed_us <= MAX_ELAPSED_US && !phases.is_empty();
    believed.then_some(Sample { backend: stamp.backend, class, phases, elapsed_us })
}

/// By the last word of CSeq, which is the method: the number before it tells nothing here.
fn class_of(message: &[u8], head: &Head) -> Option<MethodClass> {
    let cseq = head.first(HeaderName::CSeq)?.value.of(message);
    let method = cseq.rsplit(u8::is_ascii_whitespace).next()?;
    Some(if method == b"INVITE" { MethodClass::Invite } else { MethodClass::Other })
}

fn phases(class: MethodClass, status: u16) -> &'static [Phase] {
    match (class, status) {
        (MethodClass::Invite, 100) => &[Phase::First],
        (_, ..200) => &[],
        (MethodClass::Invite, _) => &[Phase::Final],
        (MethodClass::Other, _) => &Phase::ALL,
    }
}

/// When a request went to which backend, by whose clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    instance: Instance,
    backend: BackendSlot,
    /// The lower 32 bits of the time in microseconds: they come round every 71 minutes, and no wait is as long.
    sent_us: u32,
}

impl Stamp {
    #[inline]
    fn write<const N: usize>(self, text: &mut ArrayVec<u8, N>) {
        let number = u64::from(self.instance.0) << 48 | u64::from(self.backend.0) << 32 | u64::from(self.sent_us);
        let has_room = base64url::push(text, &number.to_be_bytes());
        debug_assert!(has_room);
    }

    fn read(text: &[u8]) -> Option<Self> {
        let bytes: ArrayVec<u8, 8> = base64url::read(text)?;
        let number = u64::from_be_bytes(bytes.into_inner().ok()?);
        Some(Stamp {
            instance: Instance((number >> 48) as u16),
            backend: BackendSlot((number >> 32) as u16),
            sent_us: number as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_way_there_and_back() {
        for (instance, backend, sent_us) in [(0, 0, 0), (u16::MAX, 4095, u32::MAX), (0x1234, 7, 0x89ab_cdef)] {
            let stamp = Stamp { instance: Instance(instance), backend: BackendSlot(backend), sent_us };
            let mut text = ArrayVec::<u8, STAMP_CHARS>::new();
            stamp.write(&mut text);
            assert_eq!(Stamp::read(&text), Some(stamp));
        }
    }

    #[test]
    fn what_is_no_stamp_is_not_read() {
        for text in [&b""[..], b"A", b"AAAAAAAAAA", b"AAAAAAAAAAAA", b"AAAAAAAAAA%", b"AAAAAAAAAAB", &[b'A'; 300]] {
            assert_eq!(Stamp::read(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_first_response_is_a_100_to_an_invite_and_the_final_one_to_others() {
        assert_eq!(phases(MethodClass::Invite, 100), [Phase::First]);
        assert_eq!(phases(MethodClass::Invite, 180), []);
        assert_eq!(phases(MethodClass::Invite, 486), [Phase::Final]);
        assert_eq!(phases(MethodClass::Other, 100), []);
        assert_eq!(phases(MethodClass::Other, 200), [Phase::First, Phase::Final]);
    }
}
