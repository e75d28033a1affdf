//! `viaduct explain`: what would be done with one message, where it would go, and why, in plain words.
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

use std::io::Read;
use std::net::{IpAddr, SocketAddr};

use crate::config::error::ConfigError;
use crate::config::{ExplainSettings, Settings};
use crate::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use crate::proxy::latency::Instance;
use crate::proxy::names::Names;
use crate::proxy::snapshot::{Listener, Snapshot};
use crate::proxy::verdict::Verdict;
use crate::proxy::{self, Scratch, View};
use crate::run::plan;

use page::Page;

/// The longest message that is read, in bytes: no datagram is longer.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// Reads a message and tells what a running Viaduct with these settings would do with it. Where the settings or what is
/// asked cannot be used, the error says what would be right.
pub fn explain(settings: &Settings, asked: &ExplainSettings, input: impl Read) -> Result<String, ConfigError> {
    let message = read(input)?;
    let snapshot = plan::snapshot_as_set(settings)?;
    // A stamp of time that is always the same, so that what two members of a fleet print can be compared.
    let snapshot = if snapshot.latency().is_some() { snapshot.with_latency(Instance(0)) } else { snapshot };
    let listener = listener(&snapshot, asked)?;
    let local = asked.local.or_else(|| address_of(&snapshot.listeners()[listener.get()]));
    // Over a stream a message comes on some connection; as with the stamp, always the same one.
    let is_stream = snapshot.listeners()[listener.get()].transport.is_stream();
    let connection = is_stream.then_some(ConnectionRef { process: 0, number: 0 });
    let inbound = Inbound { bytes: &message, peer: asked.source, listener, local, connection, relay: None, now_us: 0 };
    // No name server is asked: where the message goes by a name, that is what is told.
    let view = View { snapshot: &snapshot, names: &Names::default() };
    let mut scratch = Scratch::default();
    let decision = proxy::decide(view, &inbound, &mut scratch);
    let mut sent = vec![0; plan::engine_options(settings).send_slot_bytes as usize];
    let len = match decision.verdict {
        Verdict::Forward { .. } | Verdict::Answer { .. } => scratch.draft.render(&message, &mut sent),
        Verdict::Absorb(_) | Verdict::Drop(_) => None,
    };
    sent.truncate(len.unwrap_or(0));
    Ok(Page { snapshot: &snapshot, inbound: &inbound, decision: &decision, sent: &sent }.text())
}

/// Reads the message. Text with the line ends of an editor gets those of SIP.
fn read(input: impl Read) -> Result<Vec<u8>, ConfigError> {
    let wrong = |value: String, wrong: &dyn std::fmt::Display| {
        ConfigError::new("standard input", value, wrong, "one SIP message of at most 65536 bytes, as: < message.txt")
    };
    let mut message = Vec::new();
    let read = input.take(MAX_MESSAGE_BYTES as u64 + 1).read_to_end(&mut message);
    read.map_err(|error| wrong("unreadable".to_owned(), &error))?;
    match message.len() {
        0 => Err(wrong("empty".to_owned(), &"there is no message in it")),
        len if len > MAX_MESSAGE_BYTES => Err(wrong("longer".to_owned(), &"no datagram is as long")),
        _ if message.contains(&b'\r') => Ok(message),
        _ => Ok(message.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])),
    }
}

fn listener(snapshot: &Snapshot, asked: &ExplainSettings) -> Result<ListenerIndex, ConfigError> {
    let listeners = snapshot.listeners();
    let family = |address: SocketAddr| address.is_ipv4();
    match asked.listener {
        Some(number) if usize::from(number) < listeners.len() => Ok(ListenerIndex(number)),
        Some(number) => {
            let right = format!("a number from 0 to {}", listeners.len() - 1);
            Err(ConfigError::new("--listener", number, "VIADUCT_LISTEN has no such place", &right))
        }
        None => {
            let same = |listener: &Listener| family(listener.address) == family(asked.source);
            let place = listeners.iter().position(same).map(|place| ListenerIndex(place as u8));
            let right = "an address of a family that VIADUCT_LISTEN has";
            place.ok_or_else(|| ConfigError::new("--source", asked.source, "no listener can receive from there", right))
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
