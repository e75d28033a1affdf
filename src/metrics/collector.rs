//! Sums the cells of all shards when Prometheus asks.

mod admin;
mod drain;
mod labels;
mod layers;
mod load;
mod names;
pub mod observe;

use std::fmt;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use crate::balance::backend::BackendIndex;
use crate::balance::standing::Standing;
use crate::frame::stream::Fault as FramingFault;
use crate::proxy::inbound::Side;
use crate::proxy::latency::{MethodClass, Phase};
use crate::proxy::publication::Publication;
use crate::proxy::snapshot::Snapshot;
use crate::proxy::verdict::{AbsorbReason, Fault, MessageKind, RejectedToken};
use crate::sip::Transport;
use crate::sip::reply::Status;

use super::admin::AdminCells;
use super::cells::{Dropped, ShardCells};
use super::certificates::Certificates;
use super::connections::{ConnectionCells, Direction, Ended, Refused};
use super::latency::{self, Total};
use super::names::NameCells;
use super::pool::{PoolCells, ProbeOutcome};
use super::turns::TurnCells;
use super::{self as metrics, Metric};

use labels::{CLASS_LABELS, kind_labels};
pub use labels::{dropped_label, fault_label};

/// Everything on the metrics page.
pub struct Metrics {
    registry: Registry,
    /// What is not a shard's. A registry takes one collector alone that makes its families at each scrape.
    parts: Vec<Box<dyn Collector>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The page over these shards, what is counted of names, and the certificates in use.
    pub fn new(
        shards: Vec<Arc<ShardCells>>,
        names: Arc<NameCells>,
        certificates: Arc<Certificates>,
        pool: Arc<PoolCells>,
        admin: Arc<AdminCells>,
        publication: Publication,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        registry.register(Box::new(Sum { shards, names, certificates, pool, admin, publication }))?;
        Ok(Metrics { registry, parts: Vec::new() })
    }

    /// The same with further families, of what is not a shard's.
    pub fn with(mut self, part: impl Collector + 'static) -> Self {
        self.parts.push(Box::new(part));
        self
    }

    /// The page as text, in the Prometheus exposition format.
    pub fn page(&self) -> prometheus::Result<String> {
        // As in the registry: a family of which there is nothing is not shown.
        let parts = self.parts.iter().flat_map(|part| part.collect()).filter(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&self.registry.gather().into_iter().chain(parts).collect::<Vec<_>>())
    }
}

struct Sum {
    shards: Vec<Arc<ShardCells>>,
    names: Arc<NameCells>,
    certificates: Arc<Certificates>,
    pool: Arc<PoolCells>,
    admin: Arc<AdminCells>,
    publication: Publication,
}

impl Collector for Sum {
    /// None: an unchecked collector, because its families are made at each scrape.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.messages();
        families.extend(self.reasons());
        let snapshot = self.publication.current();
        families.extend(self.backends(&snapshot));
        families.extend(self.latencies(&snapshot));
        families.extend(self.pool(&snapshot));
        families.extend(self.load(&snapshot));
        families.extend(self.connections());
        families.extend(self.streams());
        families.extend(self.layers());
        families.extend(self.certificates());
        families.extend(self.names());
        families.extend(self.engines());
        families.extend(self.admin());
        families.extend(self.drain(&snapshot));
        families.extend(gauge(&metrics::BUILD, [(vec![env!("CARGO_PKG_VERSION")], 1.0)]));
        families
    }
}

impl Sum {
    fn total(&self, count: impl Fn(&ShardCells) -> u64) -> u64 {
        self.shards.iter().map(|cells| count(cells)).sum()
    }

    /// The transports that there are listeners for: rows of the others would be zero for ever.
    fn transports(&self) -> Vec<Transport> {
        let snapshot = self.publication.current();
        let has = |known: &Transport| snapshot.listeners().iter().any(|listener| listener.transport == *known);
        Transport::ALL.into_iter().filter(has).collect()
    }

    fn messages(&self) -> Vec<MetricFamily> {
        let (mut received, mut sent) = (Vec::new(), Vec::new());
        let transports = self.transports();
        for side in Side::ALL {
            for transport in transports.iter().copied() {
                let place = [side.label(), transport.label()];
                for kind in 0..MessageKind::COUNT {
                    let (method, class) = kind_labels(kind);
                    let labels = vec![place[0], place[1], method, class];
                    received.push((labels, self.total(|cells| cells.received_count(side, transport, kind))));
                    let labels = vec!["forwarded", place[0], place[1], method, class];
                    sent.push((labels, self.total(|cells| cells.forwarded_count(side, transport, kind))));
                }
                for (class, label) in CLASS_LABELS.into_iter().enumerate() {
                    let of_class = |status: &Status| usize::from(status.code() / 100) == class + 1;
                    let count = |cells: &ShardCells| {
                        Status::ALL.into_iter().filter(of_class).map(|s| cells.answered_count(side, transport, s)).sum()
                    };
                    let labels = vec!["answered", place[0], place[1], "", label];
                    sent.push((labels, self.total(count)));
                }
            }
        }
        sent.push((vec!["stun", "", Transport::Udp.label(), "", ""], self.total(ShardCells::stun_answered_count)));
        let received = counter(&metrics::MESSAGES_RECEIVED, received);
        received.into_iter().chain(counter(&metrics::MESSAGES_SENT, sent)).collect()
    }

    fn reasons(&self) -> Vec<MetricFamily> {
        let absorbed = AbsorbReason::ALL.map(|reason| (vec![reason.label()], self.total(|c| c.absorbed_count(reason))));
        let dropped = (0..Dropped::COUNT).map(|i| (vec![dropped_label(i)], self.total(|c| c.dropped_count(i))));
        let faults = (0..Fault::COUNT).map(|i| (vec![fault_label(i)], self.total(|c| c.fault_count(i))));
        let codes = Status::ALL.map(|status| status.code().to_string());
        let answers = Status::ALL.iter().zip(&codes).map(|(status, code)| {
            let over_all = |cells: &ShardCells| {
                let sides = Side::ALL.into_iter().flat_map(|side| Transport::ALL.map(|transport| (side, transport)));
                sides.map(|(side, transport)| cells.answered_count(side, transport, *status)).sum()
            };
            (vec![code.as_str()], self.total(over_all))
        });
        let mut families = counter(&metrics::MESSAGES_ABSORBED, absorbed);
        families.extend(counter(&metrics::SECOND_COPIES, [(vec![], self.total(ShardCells::second_count))]));
        families.extend(counter(&metrics::MESSAGES_DROPPED, dropped));
        families.extend(counter(&metrics::ANSWERS, answers));
        families.extend(counter(&metrics::MALFORMED, faults));
        let rejected = RejectedToken::ALL.map(|token| (vec![token.label()], self.total(|c| c.rejected_count(token))));
        families.extend(counter(&metrics::REJECTED_TOKENS, rejected));
        families
    }

    fn backends(&self, snapshot: &Snapshot) -> Vec<MetricFamily> {
        let (mut requests, mut responses) = (Vec::new(), Vec::new());
        let (mut weights, mut effective, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for (index, backend) in snapshot.pool().backends().iter().enumerate() {
            let (index, name) = (BackendIndex(index as u16), backend.name.as_str());
            let slot = snapshot.slot(index);
            requests.push((vec![name], self.total(|cells| cells.backends().request_count(slot))));
            for (class, label) in CLASS_LABELS.into_iter().enumerate() {
                responses.push((vec![name, label], self.total(|cells| cells.backends().response_count(slot, class))));
            }
            weights.push((vec![name], f64::from(backend.weight.value())));
            effective.push((vec![name], snapshot.roster().part(index).map_or(0.0, |part| part.weight)));
            shares.push((vec![name], snapshot.roster().share(index)));
        }
        let mut families = counter(&metrics::BACKEND_REQUESTS, requests);
        families.extend(counter(&metrics::BACKEND_RESPONSES, responses));
        families.extend(gauge(&metrics::BACKEND_WEIGHT, weights));
        families.extend(gauge(&metrics::BACKEND_EFFECTIVE_WEIGHT, effective));
        families.extend(gauge(&metrics::BACKEND_SHARE, shares));
        families
    }

    /// How the pool is steered.
    fn pool(&self, snapshot: &Snapshot) -> Vec<MetricFamily> {
        let (mut probes, mut changes, mut standings) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ups, mut ejections) = (Vec::new(), Vec::new());
        for (index, backend) in snapshot.pool().backends().iter().enumerate() {
            let Some(part) = snapshot.roster().part(BackendIndex(index as u16)) else { continue };
            let name = backend.name.as_str();
            for outcome in ProbeOutcome::ALL {
                probes.push((vec![name, outcome.label()], self.pool.probe_count(part.slot, outcome)));
            }
            for standing in Standing::ALL {
                changes.push((vec![name, standing.label()], self.pool.change_count(part.slot, standing)));
                let stands = if part.standing == standing { 1.0 } else { 0.0 };
                standings.push((vec![name, standing.label()], stands));
            }
            ejections.push((vec![name], self.pool.ejection_count(part.slot)));
            ups.push((vec![name], if part.standing == Standing::Up { 1.0 } else { 0.0 }));
        }
        let mut families = gauge(&metrics::BACKEND_UP, ups);
        families.extend(gauge(&metrics::BACKEND_STANDING, standings));
        families.extend(counter(&metrics::BACKEND_CHANGES, changes));
        families.extend(counter(&metrics::BACKEND_EJECTIONS, ejections));
        families.extend(counter(&metrics::PROBES, probes));
        families.extend(counter(&metrics::PROBES_SENT, [(vec![], self.total(ShardCells::probe_count))]));
        families.extend(gauge(&metrics::PANIC, [(vec![], f64::from(u8::from(snapshot.roster().is_panic())))]));
        families
    }

    /// Nothing where backends are not timed: a histogram that stays empty looks like a pool that is dead.
    fn latencies(&self, snapshot: &Snapshot) -> Option<MetricFamily> {
        snapshot.latency()?;
        let mut rows = Vec::new();
        for (index, backend) in snapshot.pool().backends().iter().enumerate() {
            let slot = snapshot.slot(BackendIndex(index as u16));
            for (phase, class) in Phase::ALL.into_iter().flat_map(|phase| MethodClass::ALL.map(|class| (phase, class)))
            {
                let mut total = Total::default();
                for cells in &self.shards {
                    cells.backends().add_latency(slot, phase, class, &mut total);
                }
                rows.push((vec![backend.name.as_str(), phase.label(), class.label()], total));
            }
        }
        (!rows.is_empty()).then(|| latency::family(&metrics::BACKEND_RESPONSE, rows))
    }

    fn connections(&self) -> Vec<MetricFamily> {
        let (mut opened, mut ended, mut open) = (Vec::new(), Vec::new(), Vec::new());
        let transports = self.transports();
        let streams = || transports.iter().copied().filter(|transport| transport.is_stream());
        let places = Side::ALL.into_iter().flat_map(|side| streams().map(move |transport| (side, transport)));
        for (side, transport) in places {
            for direction in Direction::ALL {
                let total = |count: fn(&ConnectionCells, Side, Transport, Direction) -> u64| {
                    self.total(|cells| count(cells.connections(), side, transport, direction))
                };
                let labels = || vec![side.label(), transport.label(), direction.label()];
                open.push((labels(), total(ConnectionCells::open_count) as f64));
                opened.push((labels(), total(ConnectionCells::opened_count)));
                for why in Ended::ALL {
                    let of_cells =
                        |cells: &ShardCells| cells.connections().ended_count(side, transport, direction, why);
                    ended.push(([labels(), vec![why.label()]].concat(), self.total(of_cells)));
                }
            }
        }
        let mut families = gauge(&metrics::CONNECTIONS, open);
        families.extend(counter(&metrics::CONNECTIONS_OPENED, opened));
        families.extend(counter(&metrics::CONNECTIONS_ENDED, ended));
        families
    }

    /// What streams bring besides messages, and what becomes of messages between shards.
    fn streams(&self) -> Vec<MetricFamily> {
        let faults = FramingFault::ALL
            .map(|fault| (vec![fault.label()], self.total(|cells| cells.connections().framing_fault_count(fault))));
        let alone = |metric, read: fn(&ConnectionCells) -> u64| {
            counter(metric, [(vec![], self.total(|cells| read(cells.connections())))])
        };
        let refused =
            Refused::ALL.map(|why| (vec![why.label()], self.total(|cells| cells.connections().refused_count(why))));
        let mut families = counter(&metrics::FRAMING_FAULTS, faults);
        families.extend(counter(&metrics::CONNECTIONS_REFUSED, refused));
        families.extend(alone(&metrics::PINGS_ANSWERED, |cells| cells.pings_answered.get()));
        let stun_answered = self.total(ShardCells::stun_answered_count);
        families.extend(counter(&metrics::STUN_ANSWERED, [(vec![], stun_answered)]));
        families.extend(alone(&metrics::HANDED_OVER, |cells| cells.handed_over.get()));
        families
    }

    fn engines(&self) -> Vec<MetricFamily> {
        let names: Vec<String> = (0..self.shards.len()).map(|shard| shard.to_string()).collect();
        let shards = || names.iter().map(String::as_str).zip(&self.shards);
        let of_turns = |metric, read: fn(&TurnCells) -> u64| {
            counter(metric, shards().map(|(name, cells)| (vec![name], read(cells.turns()))))
        };
        let mut families = of_turns(&metrics::TURNS, |turns| turns.turns.get());
        families.extend(of_turns(&metrics::COMPLETIONS, |turns| turns.completions.get()));
        families.extend(of_turns(&metrics::DATAGRAMS, |turns| turns.datagrams.get()));
        families.extend(of_turns(&metrics::STARVED, |turns| turns.starved.get()));
        families.extend(of_turns(&metrics::REARMED, |turns| turns.rearmed.get()));
        families.extend(of_turns(&metrics::RECEIVE_ERRORS, |turns| turns.receive_errors.get()));
        families.extend(of_turns(&metrics::KERNEL_DROPS, |turns| turns.kernel_drops.get()));
        families.extend(of_turns(&metrics::ACCEPTED, |turns| turns.accepted.get()));
        families.extend(of_turns(&metrics::ACCEPTS_REFUSED, |turns| turns.accepts_refused.get()));
        families.extend(of_turns(&metrics::ACCEPT_ERRORS, |turns| turns.accept_errors.get()));
        families.extend(of_turns(&metrics::STREAM_BYTES, |turns| turns.stream_bytes.get()));
        families.extend(of_turns(&metrics::STREAM_STARVED, |turns| turns.stream_starved.get()));
        let engines = shards().map(|(name, cells)| (vec![name, cells.engine.label()], 1.0));
        families.extend(gauge(&metrics::ENGINE, engines));
        let fallbacks = shards().map(|(name, cells)| (vec![name], f64::from(u8::from(cells.fallback))));
        families.extend(gauge(&metrics::FALLBACK, fallbacks));
        families
    }
}

pub(super) fn counter<'a>(metric: &Metric, rows: impl IntoIterator<Item = (Vec<&'a str>, u64)>) -> Vec<MetricFamily> {
    let Ok(family) = IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels) else { return Vec::new() };
    for (labels, value) in rows {
        family.with_label_values(&labels).inc_by(value);
    }
    family.collect()
}

pub(super) fn gauge<'a>(metric: &Metric, rows: impl IntoIterator<Item = (Vec<&'a str>, f64)>) -> Vec<MetricFamily> {
    let Ok(family) = GaugeVec::new(Opts::new(metric.name, metric.help), metric.labels) else { return Vec::new() };
    for (labels, value) in rows {
        family.with_label_values(&labels).set(value);
    }
    family.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::pool::Pool;
    use crate::io::{EngineKind, Turn};
    use crate::metrics::cells::SentTag;
    use crate::proxy::keys::Keys;
    use crate::proxy::snapshot::{Listener, Policy};

    #[test]
    fn connections_of_all_shards_stand_on_the_page_by_side_transport_direction_and_reason() {
        let shards: Vec<_> = (0..2).map(|_| Arc::new(ShardCells::new(EngineKind::Poll, false, 0))).collect();
        for cells in &shards {
            for _ in 0..3 {
                cells.connection_opened(Side::Client, Transport::Tcp, Direction::Accepted);
            }
            cells.connection_ended(Side::Client, Transport::Tcp, Direction::Accepted, Ended::MessageTimeout);
            cells.framing_fault(FramingFault::NoContentLength);
            cells.handed_over();
            cells.sent(SentTag::STUN.value());
            cells.dropped(Dropped::MailboxFull);
            cells.turn(&Turn { stream_bytes: 7, accepts_refused: 1, ..Turn::default() });
        }
        let keys = Keys::derive(b"a secret for tests only").unwrap();
        let listener = Listener::new(Transport::Tcp, ([127, 0, 0, 1], 5060).into(), "127.0.0.1", 5060);
        let snapshot = Snapshot::new(vec![listener], Pool::default(), keys, Policy::default());
        let page =
            Metrics::new(shards, Arc::default(), Arc::default(), Arc::default(), Arc::default(), snapshot.into())
                .unwrap()
                .page()
                .unwrap();
        let accepted = r#"direction="accepted",side="client",transport="tcp"}"#;
        let timed_out = r#"direction="accepted",reason="message_timeout",side="client",transport="tcp"}"#;
        for (metric, labels, value) in [
            (metrics::CONNECTIONS, accepted, 4),
            (metrics::CONNECTIONS_OPENED, accepted, 6),
            (metrics::CONNECTIONS_ENDED, timed_out, 2),
            (metrics::CONNECTIONS, r#"direction="connected",side="backend",transport="tcp"}"#, 0),
            (metrics::FRAMING_FAULTS, r#"fault="no_content_length"}"#, 2),
            (metrics::MESSAGES_DROPPED, r#"reason="mailbox_full"}"#, 2),
            (metrics::STREAM_BYTES, r#"shard="1"}"#, 7),
            (metrics::ACCEPTS_REFUSED, r#"shard="0"}"#, 1),
        ] {
            let line = format!("{}{{{labels} {value}", metric.name);
            assert!(page.lines().any(|found| found == line), "{line} is missing in:\n{page}");
        }
        assert!(page.contains(&format!("\n{} 2\n", metrics::HANDED_OVER.name)));
        assert!(page.contains(&format!("\n{} 2\n", metrics::STUN_ANSWERED.name)), "an answer counts once it is sent");
        let over_udp = |line: &str| line.starts_with(metrics::CONNECTIONS.name) && line.contains(r#""udp""#);
        assert!(!page.lines().any(over_udp), "UDP has no connections");
    }
}
