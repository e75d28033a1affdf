//! What a shard counts into: plain numbers, each with one writer, read by anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use crate::balance::backend::BackendSlot;
use crate::io::{EngineKind, SendError};
use crate::proxy::drain::TurnedAway;
use crate::proxy::inbound::Side;
use crate::proxy::latency::Sample;
use crate::proxy::verdict::{AbsorbReason, DropReason, Fault, MessageKind, RejectedToken};
use crate::sip::Transport;
use crate::sip::overload::LossReport;
use crate::sip::reply::Status;
use crate::sip::start_line::Method;

use super::backends::BackendCells;
use super::backends::CLASSES;
use super::connections::ConnectionCells;

use super::copies::CopyCells;
use super::layers::LayerCells;
use super::problems::ProblemCells;
use super::turns::TurnCells;

/// A counter with one writer. A plain load and store: no locked instruction.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds to it. Only the owning shard may.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Puts a value in its place. Only its owner may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one to it, to be seen when what was written before it is. Only its owner may.
    pub fn ring(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// How often it was rung. What was written before that is read behind this.
    pub fn rings(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

const SIDES: usize = Side::ALL.len();
const TRANSPORTS: usize = Transport::ALL.len();
const KINDS: usize = MessageKind::COUNT;
const STATUSES: usize = Status::ALL.len();
const FORWARDED: usize = SIDES * TRANSPORTS * KINDS;
const ANSWERED: usize = SIDES * TRANSPORTS * STATUSES;
/// What is neither forwarded nor answered: see the constants of [`SentTag`].
const EXTRAS: usize = 3;

/// What an outgoing message is counted under once the kernel has taken it. It travels through the engine as the tag of
/// the message, so that only what really went out is counted as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentTag(u16);

impl SentTag {
    /// An answer to a STUN binding request.
    pub const STUN: SentTag = SentTag((FORWARDED + ANSWERED) as u16);

    /// The second copy of a message that goes to two backends. It is one more than what came in.
    pub const SECOND: SentTag = SentTag((FORWARDED + ANSWERED) as u16 + 1);

    /// A probe of our own.
    pub const PROBE: SentTag = SentTag((FORWARDED + ANSWERED) as u16 + 2);

    /// A forwarded message that goes to that side.
    pub fn forwarded(to: Side, transport: Transport, kind: MessageKind) -> Self {
        SentTag((grid(to, transport, KINDS) + kind.index()) as u16)
    }

    /// An answer of our own to that side.
    pub fn answered(to: Side, transport: Transport, status: Status) -> Self {
        SentTag((FORWARDED + grid(to, transport, STATUSES) + status.index()) as u16)
    }

    /// Whether what the engine carries under this tag is of our own making, so that nothing that came in is lost with it.
    pub fn is_extra(tag: u16) -> bool {
        tag == SentTag::SECOND.0 || tag == SentTag::PROBE.0
    }

    /// Whether it is of a request, be it forwarded or of our own making.
    pub fn is_request(self) -> bool {
        usize::from(self.0) < FORWARDED && usize::from(self.0) % KINDS < Method::COUNT || SentTag::is_extra(self.0)
    }

    /// Whether it is of a request that is forwarded and is to be answered. Of two copies the first alone is.
    pub fn awaits_response(self) -> bool {
        self.is_request() && !SentTag::is_extra(self.0) && usize::from(self.0) % KINDS != Method::Ack as usize
    }

    /// Whether it is of a final response, forwarded or our own.
    pub fn is_final_response(self) -> bool {
        let is_final = |kind: usize| (Method::COUNT + 1..Method::COUNT + CLASSES).contains(&kind);
        let number = usize::from(self.0);
        if number < FORWARDED { is_final(number % KINDS) } else { number < FORWARDED + ANSWERED }
    }

    /// As the engine carries it.
    pub fn value(self) -> u16 {
        self.0
    }
}

fn grid(side: Side, transport: Transport, width: usize) -> usize {
    (side.index() * TRANSPORTS + transport.index()) * width
}

/// Why a message was dropped, for counting: a decision's reasons and the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The decision's word.
    Decided(DropReason),
    /// The datagram was longer than a receive buffer.
    Truncated,
    /// The message that was found in a stream ends it: what comes behind could not be told from it.
    Framing,
    /// The datagram came from a load balancer and did not say from whom it is.
    NoOrigin,
    /// No send slot was free.
    NoSendSlot,
    /// The outgoing message is longer than a send slot.
    TooLong,
    /// The connection that it had to go by is gone, and there is no other way.
    ConnectionGone,
    /// The connection's send queue is full.
    QueueFull,
    /// All send queues together are full.
    QueuesFull,
    /// The shard that has the connection had ended.
    Ended,
    /// The shard that has the connection does not keep up with what others post to it.
    MailboxFull,
    /// No connection could be opened for it: the table is full, or too many requests wait.
    NoConnection,
    /// The kernel refused the outgoing datagram, or the connection ended before the message had gone.
    SendFailed(SendError),
}

impl Dropped {
    /// How many reasons are counted apart.
    pub const COUNT: usize = 17 + SendError::ALL.len();

    /// The place of a reason among [`Dropped::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Dropped::Decided(DropReason::Malformed(_)) => 0,
            Dropped::Decided(DropReason::ResponseUnverified) => 1,
            Dropped::Decided(DropReason::ResponseExhausted) => 2,
            Dropped::Decided(DropReason::AckRefused) => 3,
            Dropped::Decided(DropReason::DraftFull) => 4,
            Dropped::Decided(DropReason::NameBeingResolved) => 5,
            Dropped::Truncated => 6,
            Dropped::NoSendSlot => 7,
            Dropped::TooLong => 8,
            Dropped::ConnectionGone => 9,
            Dropped::QueueFull => 10,
            Dropped::MailboxFull => 11,
            Dropped::NoConnection => 12,
            Dropped::Framing => 13,
            Dropped::QueuesFull => 14,
            Dropped::Ended => 15,
            Dropped::NoOrigin => 16,
            Dropped::SendFailed(error) => 17 + error.index(),
        }
    }
}

/// All that one shard counts. On cache lines of its own, so that shards do not slow each other down.
#[derive(Debug)]
pub struct ShardCells {
    /// Which engine the shard runs on.
    pub engine: EngineKind,
    /// Whether it wanted the other.
    pub fallback: bool,
    counts: Box<CachePadded<Counts>>,
    backends: BackendCells,
    problems: Box<ProblemCells>,
    copies: CopyCells,
}

#[derive(Debug)]
struct Counts {
    received: [Cell; SIDES * TRANSPORTS * KINDS],
    sent: [Cell; FORWARDED + ANSWERED + EXTRAS],
    absorbed: [Cell; AbsorbReason::ALL.len()],
    dropped: [Cell; Dropped::COUNT],
    faults: [Cell; Fault::COUNT],
    rejected: [Cell; RejectedToken::ALL.len()],
    turned_away: [Cell; TurnedAway::ALL.len()],
    names_not_asked: Cell,
    connections: ConnectionCells,
    layers: LayerCells,
    turns: TurnCells,
}

impl ShardCells {
    /// Cells with room for that many backends, all zero.
    pub fn new(engine: EngineKind, fallback: bool, backends: usize) -> Self {
        let counts = Counts {
            received: std::array::from_fn(|_| Cell::default()),
            sent: std::array::from_fn(|_| Cell::default()),
            absorbed: Default::default(),
            dropped: Default::default(),
            faults: Default::default(),
            rejected: Default::default(),
            turned_away: Default::default(),
            names_not_asked: Cell::default(),
            connections: ConnectionCells::default(),
            layers: LayerCells::default(),
            turns: TurnCells::default(),
        };
        let backends = BackendCells::with_room(backends);
        let (problems, copies) = (Box::default(), CopyCells::default());
        ShardCells { engine, fallback, counts: Box::new(CachePadded::new(counts)), backends, problems, copies }
    }

    /// Counts a message in.
    pub fn received(&self, side: Side, transport: Transport, kind: MessageKind) {
        bump(&self.counts.received, grid(side, transport, KINDS) + kind.index());
    }

    /// Counts a message out, once the kernel has taken it.
    pub fn sent(&self, tag: u16) {
        bump(&self.counts.sent, usize::from(tag));
    }

    /// Counts a message that ended here as it should.
    pub fn absorbed(&self, reason: AbsorbReason) {
        bump(&self.counts.absorbed, reason.index());
    }

    /// Counts a message discarded.
    pub fn dropped(&self, reason: Dropped) {
        bump(&self.counts.dropped, reason.index());
    }

    /// Counts what is wrong with a malformed message.
    pub fn fault(&self, fault: Fault) {
        bump(&self.counts.faults, fault.index());
    }

    /// Counts a token of ours that was found damaged or forged.
    pub fn rejected(&self, token: RejectedToken) {
        bump(&self.counts.rejected, token.index());
    }

    /// Counts a request turned away because Viaduct drains.
    pub fn turned_away(&self, request: TurnedAway) {
        bump(&self.counts.turned_away, request.index());
    }

    /// Counts a name that could not be asked for because the queue was full.
    pub fn name_not_asked(&self) {
        self.counts.names_not_asked.add(1);
    }

    /// What is counted of backends.
    pub fn backends(&self) -> &BackendCells {
        &self.backends
    }

    /// Counts a request to a backend that leaves by a datagram or on an open connection.
    pub fn backend_request(&self, backend: BackendSlot) {
        self.backends.request(backend);
    }

    /// Counts a response from a backend.
    pub fn backend_response(&self, backend: BackendSlot, status: u16) {
        self.backends.response(backend, status);
    }

    /// Counts a request to a backend that is to be answered.
    pub fn backend_asked(&self, backend: BackendSlot) {
        self.backends.asked(backend);
    }

    /// Counts a response of a backend's that was verified: it is alive.
    pub fn backend_heard(&self, backend: BackendSlot, status: u16) {
        self.backends.heard(backend, status);
    }

    /// Notes that a backend has answered 503, to be tried again after so many seconds.
    pub fn backend_retry_after(&self, backend: BackendSlot, seconds: u32) {
        self.backends.retry_after(backend, seconds);
    }

    /// Notes what a backend says of its load.
    pub fn backend_loss(&self, backend: BackendSlot, report: &LossReport, now_us: u64) {
        self.backends.loss(backend, report, now_us);
    }

    /// Counts a request that was refused, since its backend has asked for fewer.
    pub fn backend_shed(&self, backend: BackendSlot) {
        self.backends.shed(backend);
    }

    /// Counts how long a backend took.
    pub fn backend_latency(&self, sample: &Sample) {
        self.backends.latency(sample);
    }

    /// The shard's health.
    pub fn turns(&self) -> &TurnCells {
        &self.counts.turns
    }

    /// What is counted of connections.
    pub fn connections(&self) -> &ConnectionCells {
        &self.counts.connections
    }

    /// What is counted of TLS, WebSocket and the PROXY protocol.
    pub fn layers(&self) -> &LayerCells {
        &self.counts.layers
    }

    /// What is left out of copies.
    pub fn copies(&self) -> &CopyCells {
        &self.copies
    }

    /// What is left out of the log.
    pub fn problems(&self) -> &ProblemCells {
        &self.problems
    }

    /// Messages in.
    pub fn received_count(&self, side: Side, transport: Transport, kind_index: usize) -> u64 {
        value(&self.counts.received, grid(side, transport, KINDS) + kind_index)
    }

    /// Messages forwarded.
    pub fn forwarded_count(&self, to: Side, transport: Transport, kind_index: usize) -> u64 {
        value(&self.counts.sent, grid(to, transport, KINDS) + kind_index)
    }

    /// Messages forwarded, of all kinds.
    pub fn forwarded_total(&self) -> u64 {
        self.counts.sent[..FORWARDED].iter().map(Cell::get).sum()
    }

    /// Requests answered.
    pub fn answered_count(&self, to: Side, transport: Transport, status: Status) -> u64 {
        value(&self.counts.sent, FORWARDED + grid(to, transport, STATUSES) + status.index())
    }

    /// STUN binding requests answered.
    pub fn stun_answered_count(&self) -> u64 {
        value(&self.counts.sent, usize::from(SentTag::STUN.value()))
    }

    /// Second copies sent.
    pub fn second_count(&self) -> u64 {
        value(&self.counts.sent, usize::from(SentTag::SECOND.value()))
    }

    /// Probes sent.
    pub fn probe_count(&self) -> u64 {
        value(&self.counts.sent, usize::from(SentTag::PROBE.value()))
    }

    /// Messages absorbed.
    pub fn absorbed_count(&self, reason: AbsorbReason) -> u64 {
        value(&self.counts.absorbed, reason.index())
    }

    /// Messages dropped, by [`Dropped::index`].
    pub fn dropped_count(&self, index: usize) -> u64 {
        value(&self.counts.dropped, index)
    }

    /// Tokens of ours found damaged or forged.
    pub fn rejected_count(&self, token: RejectedToken) -> u64 {
        value(&self.counts.rejected, token.index())
    }

    /// Requests turned away because Viaduct drains.
    pub fn turned_away_count(&self, request: TurnedAway) -> u64 {
        value(&self.counts.turned_away, request.index())
    }

    /// Names that could not be asked for.
    pub fn name_not_asked_count(&self) -> u64 {
        self.counts.names_not_asked.get()
    }

    /// Malformed messages, by [`Fault::index`].
    pub fn fault_count(&self, index: usize) -> u64 {
        value(&self.counts.faults, index)
    }
}

pub(super) fn bump(cells: &[Cell], index: usize) {
    debug_assert!(index < cells.len());
    if let Some(cell) = cells.get(index) {
        cell.add(1);
    }
}

pub(super) fn value(cells: &[Cell], index: usize) -> u64 {
    cells.get(index).map_or(0, Cell::get)
}
