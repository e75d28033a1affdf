//! The families of TLS, WebSocket and the PROXY protocol.

use prometheus::proto::MetricFamily;

use crate::frame::websocket::Refusal;
use crate::metrics;
use crate::metrics::connections::Direction;
use crate::metrics::layers::{Handshake, Head};

use super::{Sum, counter, gauge};

impl Sum {
    pub(super) fn layers(&self) -> Vec<MetricFamily> {
        let handshakes = Direction::ALL.into_iter().flat_map(|direction| {
            Handshake::all().map(move |outcome| {
                let count = self.total(|cells| cells.layers().handshake_count(direction, outcome));
                (vec![direction.label(), outcome.label()], count)
            })
        });
        let refusals = Refusal::ALL
            .map(|refusal| (vec![refusal.label()], self.total(|cells| cells.layers().refusal_count(refusal))));
        let heads = Head::ALL.map(|head| (vec![head.label()], self.total(|cells| cells.layers().head_count(head))));
        let mut families = counter(&metrics::TLS_HANDSHAKES, handshakes);
        families.extend(counter(&metrics::WEBSOCKET_REFUSALS, refusals));
        families.extend(counter(&metrics::PROXY_PROTOCOL_HEADS, heads));
        families
    }

    pub(super) fn certificates(&self) -> Vec<MetricFamily> {
        let ends = self.certificates.ends();
        let rows = ends.iter().map(|(file, end)| (vec![file.as_str()], *end));
        let (reloaded, refused) = (self.certificates.reloaded.get(), self.certificates.refused.get());
        let mut families = gauge(&metrics::CERTIFICATE_END, rows);
        families
            .extend(counter(&metrics::CERTIFICATE_RELOADS, [(vec!["reloaded"], reloaded), (vec!["refused"], refused)]));
        families
    }
}
