//! What tells of the backends' health: questions that the control thread has this shard send, what becomes of them, and what real
//! requests meet with.

use std::net::SocketAddr;

use crate::balance::backend::BackendSlot;
use crate::io::Output;
use crate::metrics::cells::SentTag;
use crate::proxy::inbound::{Inbound, Side};
use crate::proxy::probe::exchange::{Outcome, Question};
use crate::proxy::probe::{self, ProbeAnswer};
use crate::proxy::verdict::{AbsorbReason, Decision, MessageKind, Verdict};

use super::delivery::{Content, Shipment, Undelivered};
use super::worker::Worker;

/// What a server answers that has too much to do.
const SERVICE_UNAVAILABLE: u16 = 503;

/// The most questions that are sent in one turn.
const QUESTIONS_A_TURN: usize = 64;

impl Worker {
    /// Sends the questions that there are.
    pub(super) fn send_questions(&mut self, out: &mut Output) {
        let number = self.delivery.number();
        if !self.delivery.post.probes().has_questions(number) {
            return;
        }
        let (post, now_us) = (self.delivery.post.clone(), self.now_us());
        for _ in 0..QUESTIONS_A_TURN {
            let Some(Question { hop, bytes }) = post.probes().take(number) else { return };
            let (content, tag) = (Content::Bytes(&bytes), SentTag::PROBE);
            let shipment = Shipment { content, hop, tag, backend: None, lane: 0, host: None };
            if self.delivery.send(&self.snapshot, &shipment, now_us, out).is_err() {
                // No room, or a route that rests since it failed: neither tells anything of the backend.
                self.tell(&bytes, Outcome::Unsent);
            }
        }
    }

    /// What waited for its connection to open could not be sent after all. A question was refused; of a second copy nothing is
    /// lost.
    pub(super) fn waiting_not_sent(
        &mut self,
        bytes: &[u8],
        tag: SentTag,
        to: Option<SocketAddr>,
        undelivered: Undelivered,
        out: &mut Output,
    ) {
        match SentTag::is_extra(tag.value()) {
            true => self.tell(bytes, Outcome::Refused),
            false => self.not_sent(bytes, to, undelivered, out),
        }
    }

    /// Counts a response, and what it tells of its backend's health: an answer to a question, or one that was verified.
    pub(super) fn note_response(&self, decision: &Decision, inbound: &Inbound<'_>) {
        let MessageKind::Response(status) = decision.kind else { return };
        if let Some(ProbeAnswer { mark, status }) = decision.probe {
            return self.delivery.post.probes().tell(mark, Outcome::Answered(status));
        }
        let Some(backend) = self.snapshot.pool().by_source(inbound.peer).map(|index| self.snapshot.slot(index)) else {
            return;
        };
        self.cells.backend_response(backend, status);
        if matches!(decision.verdict, Verdict::Forward { .. } | Verdict::Absorb(AbsorbReason::DoubledAnswer)) {
            self.cells.backend_heard(backend, status);
            if let Some(report) = &decision.load {
                self.cells.backend_loss(backend, report, inbound.now_us);
            }
            if status == SERVICE_UNAVAILABLE {
                self.note_unavailable(decision.side, inbound, backend);
            }
        }
    }

    /// A backend says that it can take no more (RFC 3261 §21.5.4); one without Retry-After says nothing of other requests. Where
    /// clients share a backend's address, the sender must be the backend itself.
    #[cold]
    fn note_unavailable(&self, side: Side, inbound: &Inbound<'_>, backend: BackendSlot) {
        let seconds = self.scratch.retry_after_s(inbound.bytes).filter(|_| side == Side::Backend);
        if let Some(seconds) = seconds {
            self.cells.backend_retry_after(backend, seconds);
        }
    }

    fn tell(&self, bytes: &[u8], outcome: Outcome) {
        if let Some(mark) = probe::question(&self.snapshot, bytes) {
            self.delivery.post.probes().tell(mark, outcome);
        }
    }
}
