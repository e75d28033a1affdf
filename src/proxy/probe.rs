//! Questions of our own to backends, whether they are alive: OPTIONS that leave as requests do, and the answers to them.
//!
//! A socket of the control thread's own looked simpler. It would prove another path than that of calls: another source port, another
//! connection, another rule of a firewall.
//!
//! | module | charge |
//! | --- | --- |
//! | [`exchange`] | how questions get to the shards, and answers back |

pub mod exchange;

use std::fmt::Write;
use std::net::SocketAddr;

use crate::balance::backend::{BackendId, BackendIndex};
use crate::sip::header::HeaderName;
use crate::sip::scan::Head;
use crate::sip::via::{MAGIC_COOKIE, Via};

use super::inbound::ListenerIndex;
use super::snapshot::Snapshot;
use super::token::probe::ProbeMark;
use super::verdict::NextHop;

/// An answer to a question of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// Who was asked, and what.
    pub mark: ProbeMark,
    /// The status of the answer.
    pub status: u16,
}

/// Writes a question to a member of the pool, by the transport that calls go to it. `None` where no listener reaches it, or it
/// is none.
///
/// Max-Forwards says: you, and nobody behind you (§11). It is not 0, which some proxies refuse before they look whether they
/// take calls.
pub fn write(snapshot: &Snapshot, to: BackendIndex, number: u32) -> Option<(NextHop, String)> {
    let backend = snapshot.pool().get(to)?;
    let (address, transport) = (backend.address, snapshot.invite_transport(to));
    let leaves_by = snapshot.egress(ListenerIndex(0), transport, address.ip())?;
    let listener = snapshot.listener(leaves_by)?;
    let mark = ProbeMark { backend: snapshot.pool().id_of(to)?, transport, number };
    let mark = mark.sign(&snapshot.keys().current().probe);
    let mark = String::from_utf8_lossy(&mark);
    let parameter = if transport.is_stream() { format!(";transport={}", transport.label()) } else { String::new() };
    let via = String::from_utf8_lossy(listener.via_start());
    let (host, port) = (&listener.advertised_host, listener.advertised_port);
    let uri = uri(address);
    let mut text = String::with_capacity(512);
    let _ = write!(
        text,
        "OPTIONS {uri}{parameter} SIP/2.0\r\n{via}{mark}\r\nMax-Forwards: 1\r\nFrom: <sip:viaduct@{host}:{port}>;tag={number:x}\r\n\
         To: <{uri}>\r\nCall-ID: {mark}@{host}\r\nCSeq: 1 OPTIONS\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n"
    );
    let hop =
        NextHop { listener: leaves_by, to: address, from: None, connection: None, reconnect: None, awaits_name: false };
    Some((hop, text))
}

/// What a response with no Via but ours answers, if it is a question of ours. Whose fleet the question was of is no matter: an
/// answer that comes to another of its members proves as much.
pub(super) fn answer(snapshot: &Snapshot, message: &[u8], head: &Head, status: u16) -> Option<ProbeAnswer> {
    let via = Via::parse(message, head.first(HeaderName::Via)?.value)?;
    Some(ProbeAnswer { mark: mark_of(snapshot, message, &via)?, status })
}

/// Which question of ours a message is that could not be sent, if it is one.
pub fn question(snapshot: &Snapshot, message: &[u8]) -> Option<ProbeMark> {
    let mut head = Head::default();
    head.scan(message).ok()?;
    let via = Via::parse(message, head.first(HeaderName::Via)?.value)?;
    mark_of(snapshot, message, &via)
}

fn mark_of(snapshot: &Snapshot, message: &[u8], via: &Via) -> Option<ProbeMark> {
    let mark = &via.rfc3261_branch(message)?[MAGIC_COOKIE.len()..];
    snapshot.keys().find(|keys| ProbeMark::verify(&keys.probe, mark))
}

impl ProbeMark {
    /// Whether it asks the member of that name, as it is reached.
    pub fn asks(&self, name: &str, transport: crate::sip::Transport) -> bool {
        self.backend == BackendId::of_name(name) && self.transport == transport
    }
}

/// The address as a URI; `SocketAddr` writes an IPv6 address with its brackets.
fn uri(address: SocketAddr) -> String {
    format!("sip:{address}")
}
