//! What runs on a core: a loop that feeds the decision and sends what it says.
//!
//! | module | charge |
//! | --- | --- |
//! | [`thread`] | starts a shard on its core and stops it |
//! | [`asker`] | asks for names, none too often |
//!
//! One multi-threaded runtime for all cores looked simpler. Tasks that move between cores share their queues, and a shared
//! queue costs more per message than the decision does; shards share nothing but the snapshot, which nobody writes.

pub mod asker;
pub mod thread;

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::io::{Datagram, Engine, Handler, Outbox, Output, SendError, Transmit, Turn};
use crate::metrics::cells::{Dropped, SentTag, ShardCells};
use crate::proxy::inbound::{Inbound, ListenerIndex};
use crate::proxy::names::exchange::{Exchange, Reader};
use crate::proxy::snapshot::Snapshot;
use crate::proxy::verdict::{Decision, DropReason, Fault, MessageKind, NextHop, Verdict};
use crate::proxy::{self, Scratch, View};
use crate::sip::Transport;

use asker::Asker;

/// One shard: an engine, and what is done with what it receives.
#[derive(Debug)]
pub struct Shard {
    engine: Engine,
    worker: Worker,
}

impl Shard {
    /// A shard over an engine whose sockets are the snapshot's listeners, in their order. It asks for names, and learns of
    /// them, by `exchange`. Call it on the shard's own thread.
    pub fn new(engine: Engine, snapshot: Arc<Snapshot>, exchange: Arc<Exchange>, cells: Arc<ShardCells>) -> Self {
        let (names, asker) = (exchange.reader(), Asker::new(exchange));
        Shard { engine, worker: Worker { snapshot, names, asker, cells, scratch: Scratch::default(), now_us: None } }
    }

    /// Sends what is staged, waits for datagrams or the doorbell, and handles what has come: a bounded amount. Allocates
    /// nothing. An error is the engine's, never one message's or one peer's.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        self.worker.now_us = None;
        let turn = self.engine.turn(&mut self.worker, timeout)?;
        self.worker.cells.turn(&turn);
        Ok(turn)
    }

    /// Closes the sockets; their ports are free at once.
    pub fn close(self) {
        self.engine.close();
    }
}

#[derive(Debug)]
struct Worker {
    snapshot: Arc<Snapshot>,
    names: Reader,
    asker: Asker,
    cells: Arc<ShardCells>,
    scratch: Scratch,
    /// The time of this turn, once its first datagram has come.
    now_us: Option<u64>,
}

/// From where time is counted: one for all shards, since a response may come to another one than its request did.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Handler for Worker {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        let inbound = Inbound {
            bytes: datagram.bytes,
            peer: datagram.peer,
            listener: ListenerIndex(datagram.socket as u8),
            local: datagram.local,
            now_us: self.now_us(),
        };
        if datagram.truncated {
            let side = self.snapshot.side_of(datagram.peer);
            self.cells.received(side, Transport::Udp, MessageKind::Unread);
            return self.cells.dropped(Dropped::Truncated);
        }
        // Looked at here, not at the turn's beginning: a turn may have waited for long, and a retransmission that ends the
        // wait must find the name that it was first dropped for.
        let view = View { snapshot: &self.snapshot, names: self.names.table() };
        let decision = proxy::decide(view, &inbound, &mut self.scratch);
        self.cells.received(decision.side, Transport::Udp, decision.kind);
        self.count_response(&decision, &inbound);
        if let Some(token) = decision.rejected {
            self.cells.rejected(token);
        }
        if let Some(sample) = &decision.sample {
            self.cells.backend_latency(sample);
        }
        self.ask(&decision, &inbound);
        self.carry_out(&decision, &inbound, &mut out.datagrams);
    }

    fn sent(&mut self, tag: u16) {
        self.cells.sent(tag);
    }

    fn send_failed(&mut self, _tag: u16, error: SendError) {
        self.cells.dropped(Dropped::SendFailed(error));
    }
}

impl Worker {
    /// The clock is read once a turn, and after the wait.
    fn now_us(&mut self) -> u64 {
        *self.now_us.get_or_insert_with(|| BEGINNING.elapsed().as_micros() as u64)
    }

    fn carry_out(&self, decision: &Decision, inbound: &Inbound<'_>, outbox: &mut Outbox) {
        match decision.verdict {
            Verdict::Forward { hop, to, backend } => {
                let tag = SentTag::forwarded(to, Transport::Udp, decision.kind);
                if self.send(inbound, &hop, tag, outbox)
                    && let Some(backend) = backend
                {
                    self.cells.backend_request(backend);
                }
            }
            Verdict::Answer { hop, status, fault } => {
                self.count_fault(fault);
                let _ = self.send(inbound, &hop, SentTag::answered(decision.side, Transport::Udp, status), outbox);
            }
            Verdict::Absorb(reason) => self.cells.absorbed(reason),
            Verdict::Drop(reason) => {
                if let DropReason::Malformed(fault) = reason {
                    self.cells.fault(fault);
                }
                self.cells.dropped(Dropped::Decided(reason));
            }
        }
    }

    /// Has the name that the message goes by resolved, or kept as one in use.
    fn ask(&mut self, decision: &Decision, inbound: &Inbound<'_>) {
        let Some(name) = decision.named.and_then(|wanted| wanted.name(inbound.bytes)) else { return };
        let is_unknown = decision.verdict == Verdict::Drop(DropReason::NameBeingResolved);
        if !self.asker.ask(name, is_unknown) {
            self.cells.name_not_asked();
        }
    }

    /// Stages the draft; where there is no room for it, counts it as dropped and says so.
    fn send(&self, inbound: &Inbound<'_>, hop: &NextHop, tag: SentTag, outbox: &mut Outbox) -> bool {
        let Some(mut slot) = outbox.reserve() else {
            self.cells.dropped(Dropped::NoSendSlot);
            return false;
        };
        let Some(len) = self.scratch.draft.render(inbound.bytes, slot.buffer()) else {
            self.cells.dropped(Dropped::TooLong);
            return false;
        };
        slot.send(len, Transmit { socket: hop.listener.get(), to: hop.to, from: hop.from, tag: tag.value() });
        true
    }

    fn count_fault(&self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            self.cells.fault(fault);
        }
    }

    fn count_response(&self, decision: &Decision, inbound: &Inbound<'_>) {
        if let MessageKind::Response(status) = decision.kind
            && let Some(backend) = self.snapshot.pool().by_source(inbound.peer)
        {
            self.cells.backend_response(backend, status);
        }
    }
}
