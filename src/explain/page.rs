//! A decision and its trace become lines: a word at the left, what it says at the right, the outgoing message below.

use std::fmt;

use crate::balance::backend::BackendIndex;
use crate::proxy::inbound::{Inbound, ListenerIndex, Side};
use crate::proxy::snapshot::Snapshot;
use crate::proxy::trace::{Reason, Trace};
use crate::proxy::verdict::{Decision, MessageKind, NextHop, Verdict};
use crate::sip::overload::LossReport;

use super::changes::Changes;
use super::words;

/// Where the right column begins.
const LEFT_COLUMNS: usize = 10;

/// What is explained.
#[derive(Debug)]
pub struct Page<'a> {
    /// What the decision rests on.
    pub snapshot: &'a Snapshot,
    /// What came in.
    pub inbound: &'a Inbound<'a>,
    /// What was decided.
    pub decision: &'a Decision,
    /// The message that would be sent; empty where none would.
    pub sent: &'a [u8],
    /// For how many seconds a backend wants no new calls, where the message says so.
    pub retry_after_s: Option<u32>,
}

/// What is said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// `forwarded`, `answered`, `absorbed` or `dropped`.
    pub outcome: &'static str,
    /// The name of the backend that it is forwarded to, where it is one.
    pub backend: Option<String>,
    /// A word, and what is said about it. An empty word goes on with the one before.
    pub lines: Vec<(&'static str, String)>,
    /// The message that would be sent; empty where none would.
    pub sent: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, text) in &self.lines {
            writeln!(f, "{word:<LEFT_COLUMNS$} {text}")?;
        }
        if !self.sent.is_empty() {
            let end = if self.sent.ends_with('\n') { "" } else { "\n" };
            write!(f, "\n{}{end}", self.sent.replace("\r\n", "\n"))?;
        }
        Ok(())
    }
}

impl Page<'_> {
    /// What there is to say.
    pub fn explanation(&self) -> Explanation {
        let mut lines = Lines::default();
        lines.line("message", self.message());
        lines.line("source", self.source());
        lines.line("listener", self.listener());
        if let Some(trace) = &self.decision.trace {
            self.trace(trace, &mut lines);
        } else if let Some(rejected) = self.decision.rejected {
            lines.line("token", words::rejected(rejected));
        }
        self.load(&mut lines);
        self.verdict(&mut lines);
        if self.is_too_long() {
            lines.line("sent", "nothing, because with what is added it is longer than any datagram");
        } else {
            self.changes(&mut lines);
        }
        let (outcome, backend) = match self.decision.verdict {
            Verdict::Forward { backend, .. } => ("forwarded", backend),
            Verdict::Answer { .. } => ("answered", None),
            Verdict::Absorb(_) => ("absorbed", None),
            Verdict::Drop(_) => ("dropped", None),
        };
        let backend = backend.map(|index| self.name(index).to_owned());
        Explanation { outcome, backend, lines: lines.0, sent: words::lossy(self.sent).into_owned() }
    }

    fn is_too_long(&self) -> bool {
        self.sent.is_empty() && matches!(self.decision.verdict, Verdict::Forward { .. } | Verdict::Answer { .. })
    }

    fn message(&self) -> String {
        let text = words::lossy(self.inbound.bytes);
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("(no text)");
        format!("{first} ({} bytes)", self.inbound.bytes.len())
    }

    fn source(&self) -> String {
        let peer = self.inbound.peer;
        let why = if self.snapshot.is_member(peer) {
            match self.snapshot.pool().by_source(peer) {
                Some(index) => format!("a backend, because it is the pool member {}", self.name(index)),
                None => "a backend, because it is at the address of several pool members".to_owned(),
            }
        } else if self.snapshot.is_trusted(peer) {
            "on the backends' side, because it is in VIADUCT_TRUSTED".to_owned()
        } else {
            "a client, because it is neither a pool member nor in VIADUCT_TRUSTED".to_owned()
        };
        format!("{peer}: {why}")
    }

    fn listener(&self) -> String {
        let ListenerIndex(place) = self.inbound.listener;
        let Some(listener) = self.snapshot.listeners().get(usize::from(place)) else { return place.to_string() };
        let local = self.inbound.local.map_or(String::new(), |local| format!(", sent to {local}"));
        format!(
            "{place}, {}://{}, advertised as {}:{}{local}",
            listener.transport.label(),
            listener.address,
            listener.advertised_host,
            listener.advertised_port
        )
    }

    fn trace(&self, trace: &Trace, lines: &mut Lines) {
        if trace.strict {
            lines.line("routes", "the previous hop is a strict router: the Request-URI is a Record-Route of ours");
        }
        lines.line(
            "routes",
            match trace.own_routes {
                0 => "none is ours".to_owned(),
                1 => "1 is ours and is taken out".to_owned(),
                count => format!("{count} are ours and are taken out"),
            },
        );
        if let Some(pin) = &trace.pin {
            let backend = match pin.backend {
                None => "no backend".to_owned(),
                Some(id) => match self.snapshot.pool().by_id(id) {
                    Some(index) => format!("backend {}", self.name(index)),
                    None => format!("a backend that is gone from the pool (id {:08x})", id.0),
                },
            };
            let flow = pin.flow.map_or("no flow".to_owned(), |flow| format!("the flow to {}", words::flow(&flow)));
            lines.line("pin", format!("{backend}, {}, {flow}", words::facing(pin.facing)));
        }
        if let Some(flow) = &trace.flow {
            lines.line("flow", words::flow(flow));
        }
        if let Some(rejected) = self.decision.rejected {
            lines.line("token", words::rejected(rejected));
        }
        if let Some(Reason::Hash(hashed)) = trace.reason {
            let owner = self.snapshot.table().owner(hashed.hash).map_or("nobody", |index| self.name(index));
            lines.line("key", format!("{}: hash {:016x}, owned by {owner}", words::hashed(hashed.by), hashed.hash));
        }
    }

    /// What a backend says of its load, and what comes of what it has said.
    fn load(&self, lines: &mut Lines) {
        if let Some(seconds) = self.retry_after_s {
            lines.line("load", format!("the backend wants no new calls for {seconds} s (Retry-After)"));
        }
        if let Some(LossReport { percent, validity_ms, .. }) = self.decision.load {
            let wanted = format!("{percent} % fewer requests that begin something");
            lines.line("load", format!("the backend wants {wanted}, for {validity_ms} ms (RFC 7339)"));
        }
        if let Some(index) = self.decision.shed {
            let percent = self.snapshot.shedding().percent(self.snapshot.slot(index));
            let wants = format!("backend {} wants {percent} % fewer such requests (RFC 7339)", self.name(index));
            lines.line("load", format!("{wants}, and this is one of those that it is not sent"));
        }
    }

    fn verdict(&self, lines: &mut Lines) {
        let reason = self.decision.trace.and_then(|trace| trace.reason);
        match self.decision.verdict {
            Verdict::Forward { hop, to, backend } => {
                let to = self.destination(&hop, to, backend);
                let why = match self.decision.kind {
                    MessageKind::Response(_) => "because our Via, whose signature holds, says so",
                    _ => reason.map_or("", words::reason),
                };
                lines.line("target", format!("{to}, {why}"));
                let from = hop.from.map_or(String::new(), |from| format!(" from {from}"));
                lines.line("verdict", format!("forwarded by listener {}{from}", hop.listener.0));
            }
            Verdict::Answer { hop, status, fault } => {
                let fault = fault.map_or(String::new(), |fault| format!(", because {}", words::fault(fault)));
                let first = words::lossy(self.sent);
                let first = first.lines().next().and_then(|line| line.strip_prefix("SIP/2.0 "));
                let said = first.map_or_else(|| status.code().to_string(), str::to_owned);
                lines.line(
                    "verdict",
                    format!("answered \"{said}\" to {} by listener {}{fault}", self.address(&hop), hop.listener.0),
                );
            }
            Verdict::Absorb(reason) => lines.line("verdict", format!("absorbed: {}", words::absorbed(reason))),
            Verdict::Drop(reason) => lines.line("verdict", format!("dropped: {}", words::dropped(reason))),
        }
    }

    fn destination(&self, hop: &NextHop, side: Side, backend: Option<BackendIndex>) -> String {
        let to = self.address(hop);
        match (backend, side) {
            (Some(index), _) => format!("backend {} at {to}", self.name(index)),
            (None, Side::Backend) => format!("{to} on the backends' side"),
            (None, Side::Client) => to,
        }
    }

    /// Where it goes, with the transport where that is a stream.
    fn address(&self, hop: &NextHop) -> String {
        let listener = self.snapshot.listeners().get(hop.listener.get());
        let transport = listener.map(|listener| listener.transport).filter(|transport| transport.is_stream());
        transport.map_or_else(|| hop.to.to_string(), |transport| format!("{}://{}", transport.label(), hop.to))
    }

    fn changes(&self, lines: &mut Lines) {
        if !matches!(self.decision.verdict, Verdict::Forward { .. }) {
            return;
        }
        let changes = Changes::between(&words::lossy(self.inbound.bytes), &words::lossy(self.sent));
        for header in &changes.added {
            lines.line("added", format!("{header}{}", words::added(header)));
        }
        for (before, after) in &changes.changed {
            lines.line("changed", before);
            lines.line("", format!("to {after}"));
        }
        for header in &changes.removed {
            lines.line("removed", header);
        }
    }

    fn name(&self, index: BackendIndex) -> &str {
        self.snapshot.pool().get(index).map_or("?", |backend| &backend.name)
    }
}

#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn line(&mut self, word: &'static str, text: impl ToString) {
        self.0.push((word, text.to_string()));
    }
}
