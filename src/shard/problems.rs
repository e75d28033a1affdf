//! Tells of problems with messages and connections, for the log.
//!
//! To tell where each is counted, inside the cells, looked simpler. The cells know a reason and no message, and what reads a counter
//! must not depend on what is logged.

use std::net::SocketAddr;

use crate::metrics::cells::Dropped;
use crate::metrics::connections::{Direction, Ended};
use crate::metrics::problems::Problem;
use crate::observe::problem::{Phrase, Record};
use crate::proxy::inbound::{Inbound, Side};
use crate::sip::Transport;

use super::connections::Connection;
use super::delivery::Content;
use super::worker::Worker;

/// What a problem is with. Nothing of it is read or copied unless the problem is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About<'a> {
    /// The message, as it came or as it was to go; empty where there is none.
    pub(super) message: &'a [u8],
    /// Who sent it, or has the connection.
    pub(super) peer: Option<SocketAddr>,
    /// Where it was to go.
    pub(super) next_hop: Option<SocketAddr>,
    pub(super) transport: Option<Transport>,
    /// Why it could not be delivered, where it is answered for that.
    pub(super) cause: Option<Dropped>,
}

impl<'a> About<'a> {
    /// A message, of which nothing else is known.
    pub(super) fn message(message: &'a [u8]) -> Self {
        About { message, ..About::default() }
    }

    /// A message as it came.
    pub(super) fn inbound(inbound: &Inbound<'a>) -> Self {
        About::message(inbound.bytes).from(inbound.peer)
    }

    pub(super) fn from(self, peer: SocketAddr) -> Self {
        About { peer: Some(peer), ..self }
    }

    pub(super) fn to(self, next_hop: Option<SocketAddr>) -> Self {
        About { next_hop, ..self }
    }

    pub(super) fn over(self, transport: Transport) -> Self {
        About { transport: Some(transport), ..self }
    }
}

impl Worker {
    /// Counts a message as dropped, and tells of it.
    #[cold]
    pub(super) fn drop_message(&mut self, reason: Dropped, about: About<'_>) {
        self.cells.dropped(reason);
        self.report(Problem::Dropped(reason), about);
    }

    /// Tells of a problem, where that is set and there have not been too many of its kind.
    #[cold]
    pub(super) fn report(&mut self, problem: Problem, about: About<'_>) {
        self.report_with(problem, about, false);
    }

    /// The same of an answer of our own, which the draft holds: its reason phrase tells why.
    #[cold]
    pub(super) fn report_answer(&mut self, problem: Problem, about: About<'_>) {
        self.report_with(problem, about, true);
    }

    /// Tells of the end of a connection, where it is one that an operator would want to know of.
    pub(super) fn report_end(&mut self, gone: &Connection, ended: Ended, transport: Transport) {
        if is_problem(gone, ended) {
            self.report(Problem::Ended(gone.direction(), ended), About::default().from(gone.peer).over(transport));
        }
    }

    fn report_with(&mut self, problem: Problem, about: About<'_>, has_answer: bool) {
        let now_us = self.now_us();
        let reporter = &mut self.reporter;
        if !reporter.admits(problem, now_us) {
            return;
        }
        let About { message, peer, next_hop, transport, cause } = about;
        let read = reporter.read(message);
        let answer = Content::Draft(&self.scratch.draft, message);
        let phrase = if has_answer { reporter.phrase(|room| answer.write(room)) } else { Phrase::new() };
        reporter.report(Record { problem, cause, peer, next_hop, transport, read, phrase });
    }
}

/// Whether the end of a connection is more than a peer's own business. What TLS, WebSocket and framing found is told where they
/// found it.
fn is_problem(gone: &Connection, ended: Ended) -> bool {
    let is_unopened = gone.direction() == Direction::Connected && !gone.is_established;
    match ended {
        Ended::Tls | Ended::WebSocket | Ended::Framing | Ended::Stopped | Ended::Idle => false,
        // A phone that leaves its network does not say goodbye; a backend that does not is a problem.
        Ended::Reset | Ended::TimedOut => is_unopened || gone.side == Side::Backend,
        Ended::PeerFinished => is_unopened,
        Ended::ConnectFailed
        | Ended::ConnectTimeout
        | Ended::HandshakeTimeout
        | Ended::HandshakesFull
        | Ended::ProxyProtocol
        | Ended::MessageTimeout
        | Ended::NoBuffer
        | Ended::QueueFull
        | Ended::Failed => true,
    }
}
