//! The second copy of a message that goes to two backends, since the pool has changed while its call was being set up.

use crate::io::Output;
use crate::metrics::cells::SentTag;
use crate::proxy::inbound::Inbound;
use crate::proxy::verdict::{Decision, Verdict};
use crate::proxy::{self, View};

use super::delivery::{Content, Shipment};
use super::worker::Worker;

impl Worker {
    /// Sends a message to another backend as well, where the decision says so. Where it cannot, the first is sent all the same,
    /// and nothing is lost.
    pub(super) fn send_second(&mut self, first: &Decision, inbound: &Inbound<'_>, out: &mut Output) {
        let Some(second) = first.second else { return };
        let view = View { snapshot: &self.snapshot, names: self.names.table() };
        let decision = proxy::decide_second(view, inbound, second, &mut self.scratch);
        let Verdict::Forward { hop, backend: Some(backend), .. } = decision.verdict else { return };
        let lane = self.lane(inbound.bytes);
        let content = Content::Draft(&self.scratch.draft, inbound.bytes);
        let backend = Some(self.snapshot.slot(backend));
        let shipment = Shipment { content, hop, tag: SentTag::SECOND, backend, lane, host: None };
        if self.delivery.send(&self.snapshot, &shipment, inbound.now_us, out).is_ok() {
            self.copy_own(hop, inbound.bytes);
        }
    }
}
