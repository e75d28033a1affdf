//! Copies of the messages of some calls, as they came and as they went, for whoever sends them on.
//!
//! To copy what goes out where it is written into its send slot looked nearer to the truth. Each way out would ask whether it is to,
//! for every message; here one question is asked for both, and a draft is written out once more for those few that are copied.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::observe::copy::Path;
use crate::proxy::inbound::{Inbound, ListenerIndex};
use crate::proxy::verdict::{Decision, MessageKind, NextHop, Verdict};
use crate::sip::via::parse_ip;

use super::delivery::Content;
use super::worker::Worker;

/// What became of the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// There was none.
    Nowhere,
    /// It is on its way, and still there to be read.
    Off,
    /// Nothing of it is to be copied here: it could not be sent, and the message as it came is copied already; or another process
    /// decides about the message.
    Settled,
}

impl Worker {
    /// Copies a message as it came, and as it went, where its call is one of those.
    #[inline(never)]
    pub(super) fn copy(&self, decision: &Decision, inbound: &Inbound<'_>, went: Went) {
        if decision.kind == MessageKind::Unread || went == Went::Settled {
            return;
        }
        let copier = &self.copier;
        let call_id = self.scratch.call_id(inbound.bytes);
        if !copier.takes(&self.snapshot.keys().sample, call_id) {
            return;
        }
        let at = SystemTime::now();
        let path = Path {
            source: inbound.peer,
            destination: self.address_at(inbound.listener, inbound.local),
            transport: self.delivery.transport(inbound.listener),
        };
        copier.copy(path, at, call_id, |buffer| buffer.extend_from_slice(inbound.bytes));
        if let (Went::Off, Verdict::Forward { hop, .. } | Verdict::Answer { hop, .. }) = (went, decision.verdict) {
            // Collectors put messages in order by their times, which have microseconds.
            let later = at.checked_add(Duration::from_micros(1)).unwrap_or(at);
            self.copy_draft(hop, later, call_id, inbound.bytes);
        }
    }

    /// Copies what the draft holds of `message` as it goes, where its call is one of those.
    #[cold]
    pub(super) fn copy_own(&mut self, hop: NextHop, message: &[u8]) {
        if !self.copier.is_on() {
            return;
        }
        let call_id = self.copier.call_id(message);
        if self.copier.takes(&self.snapshot.keys().sample, call_id) {
            self.copy_draft(hop, SystemTime::now(), call_id, message);
        }
    }

    fn copy_draft(&self, hop: NextHop, at: SystemTime, call_id: &[u8], message: &[u8]) {
        let path = Path {
            source: self.address_at(hop.listener, hop.from),
            destination: hop.to,
            transport: self.delivery.transport(hop.listener),
        };
        self.copier.copy(path, at, call_id, |buffer| {
            Content::Draft(&self.scratch.draft, message).write_to(buffer);
        });
    }

    /// Our end: the address of ours that is known, or else the listener's. One on all addresses is told by what others reach it by,
    /// where that is an address.
    fn address_at(&self, listener: ListenerIndex, local: Option<IpAddr>) -> SocketAddr {
        let Some(listener) = self.snapshot.listeners().get(listener.get()) else { return ([0; 4], 0).into() };
        let advertised = || parse_ip(listener.advertised_host.as_bytes()).filter(|_| listener.is_wildcard());
        let ip = local.or_else(advertised).unwrap_or(listener.address.ip());
        SocketAddr::new(ip, listener.address.port())
    }
}
