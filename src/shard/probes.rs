//! Questions to backends, which the control thread has this shard send, and what becomes of them.

use std::net::SocketAddr;

use crate::io::Output;
use crate::metrics::cells::SentTag;
use crate::proxy::probe::exchange::{Outcome, Question};
use crate::proxy::probe::{self, ProbeAnswer};
use crate::proxy::verdict::{Decision, MessageKind, Verdict};

use super::delivery::{Content, Shipment, Undelivered};
use super::worker::Worker;

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
            let shipment = Shipment { content: Content::Bytes(&bytes), hop, tag: SentTag::PROBE, lane: 0, host: None };
            if self.delivery.send(&self.snapshot, &shipment, now_us, out).is_err() {
                // No room, or a route that rests since it failed: neither tells anything of the backend.
                self.tell(&bytes, Outcome::Unsent);
            }
        }
    }

    /// What waited for its connection to open could not be sent after all. A question was refused; of a second copy nothing is
    /// lost.
    pub(super) fn waiting_not_sent(&mut self, bytes: &[u8], tag: SentTag, undelivered: Undelivered, out: &mut Output) {
        match SentTag::is_extra(tag.value()) {
            true => self.tell(bytes, Outcome::Refused),
            false => self.not_sent(bytes, undelivered, out),
        }
    }

    /// Notes what a message tells of a backend's health: an answer to a question, or any response that was verified.
    pub(super) fn note_health(&self, decision: &Decision, peer: SocketAddr) {
        if let Some(ProbeAnswer { mark, status }) = decision.probe {
            self.delivery.post.probes().tell(mark, Outcome::Answered(status));
        }
        if let (MessageKind::Response(_), Verdict::Forward { .. }) = (decision.kind, decision.verdict)
            && let Some(backend) = self.snapshot.pool().by_source(peer)
        {
            self.cells.backend_heard(self.snapshot.slot(backend));
        }
    }

    fn tell(&self, bytes: &[u8], outcome: Outcome) {
        if let Some(mark) = probe::question(&self.snapshot, bytes) {
            self.delivery.post.probes().tell(mark, outcome);
        }
    }
}
