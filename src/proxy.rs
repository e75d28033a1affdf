//! What is done with a message: [`decide`], a pure function of its bytes, where they came from, and a snapshot of what is
//! known. It performs no I/O, reads no clock, draws no random number and allocates nothing.
//!
//! RFC 3261 §16.11 is the law here: a stateless proxy chooses one target by the message and time-invariant properties
//! alone, so that a retransmission, a CANCEL and the ACK for a non-2xx go where their INVITE went, with its branch.
//!
//! A transaction-stateful proxy looked better, because it can try a second backend when the first does not answer. It
//! must then answer for every call that it holds when it dies, and its copies must share what they hold; a function
//! needs neither.
//!
//! | module | charge |
//! | --- | --- |
//! | [`inbound`] | what comes in: bytes and where they came from |
//! | [`snapshot`] | what is known: listeners, pool, table, keys |
//! | [`publication`] | how a snapshot gets to the shards |
//! | [`names`] | what is known of names, and how they are asked for |
//! | [`verdict`] | what comes out: forward, answer, absorb or drop, with reasons |
//! | [`keys`] | one key for each purpose, from the fleet's secret |
//! | [`branch`] | our branch and our To tag: keyed hashes of the transaction |
//! | [`token`] | what we write into messages to find it there again: return path, dialog pin, flow |
//! | [`bounce`] | what is answered where a forwarded request cannot be delivered |
//! | [`drain`] | what others are told while Viaduct drains |
//! | `base64url` | bytes as text that may stand in a message |
//! | [`probe`] | questions of our own to backends, whether they are alive |
//! | [`hash_key`] | what of a request is hashed |
//! | [`latency`] | how long backends take, by a stamp of time in our Via |
//! | [`shedding`] | which requests are refused since their backend has asked for fewer |
//! | [`trace`] | how a request's target was found |
//! | `request` | the way of a request through the steps below, and our own answers |
//! | `validate` | §16.3: may it be forwarded? |
//! | `routing` | §16.4: which Routes are ours, which comes next? |
//! | `target` | §16.5: where does it go? |
//! | `nat` | is the client behind address translation, and by which flow is it reached? |
//! | `rewrite` | §16.6: what is changed in it? |
//! | `congestion` | §18.1.1: is it too long for a datagram? |
//! | `response` | §16.7, §18.1.2, §18.2.2 |

mod base64url;
pub mod bounce;
pub mod branch;
pub mod drain;
pub mod inbound;
pub mod keys;
pub mod latency;
pub mod names;
pub mod probe;
pub mod publication;
pub mod shedding;
pub mod snapshot;
pub mod token;
pub mod trace;
pub mod verdict;

mod congestion;
pub mod hash_key;
mod nat;
mod request;
mod response;
mod rewrite;
mod routing;
mod target;
mod validate;

use crate::balance::backend::BackendIndex;
use crate::sip::draft::Draft;
use crate::sip::header::{HeaderName, parse_retry_after};
use crate::sip::reply::Status;
use crate::sip::scan::{Head, Unreadable};
use crate::sip::seek;
use crate::sip::start_line::StartLine;

use inbound::{Inbound, Side};
use names::Names;
use snapshot::Snapshot;
use verdict::{AbsorbReason, Decision, DropReason, Fault, MessageKind, Verdict};

/// What a decision rests on besides the message.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Listeners, pool, table, keys: what is configured.
    pub snapshot: &'a Snapshot,
    /// What is known of names.
    pub names: &'a Names,
}

/// Room to work in, kept from message to message so that nothing is allocated or laid out anew.
#[derive(Debug, Default)]
pub struct Scratch {
    head: Head,
    /// The outgoing message, where the verdict is to forward or to answer.
    pub draft: Draft,
}

impl Scratch {
    /// The Call-ID of the message that was decided about last; empty where it has none.
    pub fn call_id<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        self.head.first(HeaderName::CallId).map_or(&[], |field| field.value.of(message))
    }

    /// After how many seconds the response that was decided about last wants its sender to be tried again, where it says so (RFC 3261
    /// §20.33).
    #[cold]
    pub fn retry_after_s(&self, message: &[u8]) -> Option<u32> {
        parse_retry_after(message, seek::values(message, &self.head, "Retry-After").next()?)
    }
}

/// Decides what is done with one message. Where the verdict sends something, `scratch.draft` is what to send.
///
/// The same message, source and view give the same bytes: on any shard, any replica, after any restart. Only the stamp
/// of time tells when and where, if the snapshot asks for one.
pub fn decide(view: View<'_>, inbound: &Inbound<'_>, scratch: &mut Scratch) -> Decision {
    decide_for(view, inbound, None, scratch)
}

/// Decides about the same message once more, for the other backend that it goes to: the `second` of the first decision.
pub fn decide_second(view: View<'_>, inbound: &Inbound<'_>, second: BackendIndex, scratch: &mut Scratch) -> Decision {
    decide_for(view, inbound, Some(second), scratch)
}

#[inline]
fn decide_for(
    view: View<'_>,
    inbound: &Inbound<'_>,
    second_to: Option<BackendIndex>,
    scratch: &mut Scratch,
) -> Decision {
    let snapshot = view.snapshot;
    let side = snapshot.side_of(inbound.peer);
    scratch.draft.clear();
    if is_keepalive(inbound.bytes) {
        return Decision::new(MessageKind::Unread, side, Verdict::Absorb(AbsorbReason::Keepalive));
    }
    if let Err(unreadable) = scratch.head.scan(inbound.bytes) {
        return unread(side, unreadable.into());
    }
    let Scratch { head, draft } = scratch;
    match head.start {
        StartLine::Request { method, method_span, uri } => {
            request::decide(view, inbound, side, head, (method, method_span, uri), second_to, draft)
        }
        StartLine::BadRequest { method, fault } => {
            let verdict = request::refuse_line(view, inbound, head, method, fault, draft);
            Decision::new(MessageKind::Request(method), side, verdict)
        }
        StartLine::Response { status } => {
            let (verdict, sample, load) = response::decide(snapshot, inbound, side, head, status, draft);
            let decision = Decision { sample, load, ..Decision::new(MessageKind::Response(status), side, verdict) };
            match verdict {
                Verdict::Drop(DropReason::ResponseExhausted) => own_answer(snapshot, inbound, status, head, decision),
                _ => decision,
            }
        }
        StartLine::BadResponse => unread(side, Fault::StartLine),
    }
}

/// Decides what is done with a message of a stream whose end cannot be told, because it has no one Content-Length that can be
/// read, or says that it is too long (§18.3): a request is refused, with that status, as far as it can be. `inbound` holds its
/// head alone.
pub fn refuse_unframed(view: View<'_>, inbound: &Inbound<'_>, status: Status, scratch: &mut Scratch) -> Decision {
    let side = view.snapshot.side_of(inbound.peer);
    let fault = Fault::Header(HeaderName::ContentLength);
    let Scratch { head, draft } = scratch;
    draft.clear();
    match head.scan(inbound.bytes).map(|()| head.start) {
        Ok(StartLine::Request { method, .. } | StartLine::BadRequest { method, .. }) => {
            let verdict = request::refuse_unframed(view, inbound, head, method, (status, fault), draft);
            Decision::new(MessageKind::Request(method), side, verdict)
        }
        _ => unread(side, fault),
    }
}

/// A response with no Via but ours may answer a probe.
#[cold]
fn own_answer(snapshot: &Snapshot, inbound: &Inbound<'_>, status: u16, head: &Head, exhausted: Decision) -> Decision {
    match probe::answer(snapshot, inbound.bytes, head, status) {
        None => exhausted,
        probe => Decision { probe, verdict: Verdict::Absorb(AbsorbReason::ProbeAnswer), ..exhausted },
    }
}

fn unread(side: Side, fault: Fault) -> Decision {
    Decision::new(MessageKind::Unread, side, Verdict::Drop(DropReason::Malformed(fault)))
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::NotSip => Fault::NotSip,
            Unreadable::TooManyHeaders => Fault::TooManyHeaders,
            Unreadable::NoEndOfHead => Fault::NoEndOfHead,
        }
    }
}

/// What keeps a NAT binding open and says nothing: line ends (RFC 5626 §4.4.1), NULs (as some proxies send), nothing.
fn is_keepalive(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
