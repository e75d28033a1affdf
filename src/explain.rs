//! What would be done with one message, where it would go, and why, in plain words.
//!
//! | module | charge |
//! | --- | --- |
//! | [`page`] | a decision and its trace become lines |
//! | `words` | reasons, faults and tokens as words |
//! | `changes` | what of a head is added, changed and removed |
//!
//! A switch of the running process that logs each decision looked better, because no message has to be caught first. It
//! would be off when it is needed, and on a busy shard it would log a hundred thousand others.

mod changes;
pub mod page;
mod words;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex, Side};
use crate::proxy::latency::Instance;
use crate::proxy::names::Names;
use crate::proxy::snapshot::{Listener, Snapshot};
use crate::proxy::verdict::{Decision, MessageKind, Verdict};
use crate::proxy::{self, Scratch, View};

use page::{Explanation, Page};

/// The longest message that is read, in bytes: no datagram is longer.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// The longest message that is sent, in bytes.
const MAX_SENT_BYTES: usize = 65_535;

/// How a message came.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// From where.
    pub source: SocketAddr,
    /// By which listener, by its place; without, the first of the source's address family.
    pub listener: Option<u8>,
    /// To which address; without, the listener's own.
    pub local: Option<IpAddr>,
}

/// Why there is nothing to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of what was given: `message`, `listener` or `source`.
    pub what: &'static str,
    /// What it is.
    pub value: String,
    /// What is wrong with it.
    pub wrong: &'static str,
    /// What would be right.
    pub right: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is `{}`: {}", self.what, self.value, self.wrong)
    }
}

/// Tells what would be done with a message that came so. No name server is asked: where it goes by a name that is not among
/// these, that is what is told.
pub fn explain(snapshot: &Snapshot, names: &Names, asked: &Asked, message: &[u8]) -> Result<Explanation, Refused> {
    let message = as_sent(message)?;
    // A stamp of time that is always the same, so that what two members of a fleet tell can be compared.
    let timed = snapshot.latency().is_some().then(|| snapshot.clone().with_latency(Instance(0)));
    let snapshot = timed.as_ref().unwrap_or(snapshot);
    let listener = listener(snapshot, asked)?;
    let local = asked.local.or_else(|| address_of(&snapshot.listeners()[listener.get()]));
    // Over a stream a message comes on some connection; as with the stamp, always the same one.
    let is_stream = snapshot.listeners()[listener.get()].transport.is_stream();
    let connection = is_stream.then_some(ConnectionRef { process: 0, number: 0 });
    let inbound = Inbound { bytes: &message, peer: asked.source, listener, local, connection, relay: None, now_us: 0 };
    let mut scratch = Scratch::default();
    let decision = proxy::decide(View { snapshot, names }, &inbound, &mut scratch);
    let mut sent = vec![0; MAX_SENT_BYTES];
    let len = match decision.verdict {
        Verdict::Forward { .. } | Verdict::Answer { .. } => scratch.draft.render(&message, &mut sent),
        Verdict::Absorb(_) | Verdict::Drop(_) => None,
    };
    sent.truncate(len.unwrap_or(0));
    let retry_after_s = retry_after_s(&decision, &scratch, &message);
    Ok(Page { snapshot, inbound: &inbound, decision: &decision, sent: &sent, retry_after_s }.explanation())
}

/// For how many seconds a backend wants no new calls, where that is what the message says.
fn retry_after_s(decision: &Decision, scratch: &Scratch, message: &[u8]) -> Option<u32> {
    let is_forwarded = matches!(decision.verdict, Verdict::Forward { .. });
    let is_a_backends = decision.side == Side::Backend && decision.kind == MessageKind::Response(503);
    let seconds = if is_a_backends && is_forwarded { scratch.retry_after_s(message)? } else { return None };
    Some(seconds).filter(|seconds| *seconds > 0)
}

/// The message. Text with the line ends of an editor gets those of SIP.
fn as_sent(message: &[u8]) -> Result<Vec<u8>, Refused> {
    let refused = |value: &str, wrong| {
        let right = format!("one SIP message of at most {MAX_MESSAGE_BYTES} bytes");
        Refused { what: "message", value: value.to_owned(), wrong, right }
    };
    match message.len() {
        0 => Err(refused("empty", "there is no message in it")),
        len if len > MAX_MESSAGE_BYTES => Err(refused("longer", "no datagram is as long")),
        _ if message.contains(&b'\r') => Ok(message.to_vec()),
        _ => Ok(message.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])),
    }
}

fn listener(snapshot: &Snapshot, asked: &Asked) -> Result<ListenerIndex, Refused> {
    let listeners = snapshot.listeners();
    match asked.listener {
        Some(number) if usize::from(number) < listeners.len() => Ok(ListenerIndex(number)),
        Some(number) => {
            let right = format!("a number from 0 to {}", listeners.len().saturating_sub(1));
            let wrong = "VIADUCT_LISTEN has no such place";
            Err(Refused { what: "listener", value: number.to_string(), wrong, right })
        }
        None => {
            let same = |listener: &Listener| listener.address.is_ipv4() == asked.source.is_ipv4();
            let place = listeners.iter().position(same).map(|place| ListenerIndex(place as u8));
            place.ok_or_else(|| Refused {
                what: "source",
                value: asked.source.to_string(),
                wrong: "no listener can receive from there",
                right: "an address of a family that VIADUCT_LISTEN has".to_owned(),
            })
        }
    }
}

/// The address that a message is sent to which such a listener receives, as far as the settings tell.
fn address_of(listener: &Listener) -> Option<IpAddr> {
    if !listener.is_wildcard() {
        return Some(listener.address.ip());
    }
    listener.advertised_host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
