//! What runs on a core: a loop that feeds the decision and sends what it says.
//!
//! | module | charge |
//! | --- | --- |
//! | [`thread`] | starts a shard on its core and stops it |
//! | `worker` | what is done with what the engine tells |
//! | `session` | what lies between a connection's bytes and its messages |
//! | `copies` | copies of the messages of some calls, for whoever sends them on |
//! | `delivery` | how a message leaves: by a datagram, on a connection, by another shard |
//! | `connections` | what is known of each connection |
//! | `ending` | what a shard does before it ends |
//! | `limits` | what is refused because too much of it would leave too little for others |
//! | [`networks`] | how many connections each source network has |
//! | `dialed` | the connections that the shard opened, and what waits for them |
//! | [`mailbox`] | how a message gets to the shard that has its connection |
//! | [`kin`] | messages for connections of the process before, or after |
//! | `probes` | questions to backends, and what becomes of them |
//! | `problems` | tells of problems with messages and connections, for the log |
//! | `second` | the second copy of a message that goes to two backends |
//! | [`asker`] | asks for names, none too often |
//! | [`policy`] | how connections are kept: times and numbers that the operator sets |
//!
//! One multi-threaded runtime for all cores looked simpler. Tasks that move between cores share their queues, and a shared
//! queue costs more per message than the decision does; shards share nothing but the snapshot, which nobody writes.

pub mod asker;
mod connections;
mod copies;
mod delivery;
mod dialed;
mod ending;
pub mod kin;
mod limits;
pub mod mailbox;
pub mod networks;
pub mod policy;
mod probes;
mod problems;
mod second;
mod session;
pub mod thread;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::io::{Engine, Turn};
use crate::metrics::cells::ShardCells;
use crate::observe::Observation;
use crate::observe::copy::Copier;
use crate::observe::problem::Reporter;
use crate::proxy::names::exchange::Exchange;
use crate::proxy::publication::Publication;

use asker::Asker;
use delivery::Delivery;
use limits::Limits;
use mailbox::PostOffice;
use networks::Networks;
use policy::SharedPolicy;
use worker::Worker;

/// One shard: an engine, and what is done with what it receives.
#[derive(Debug)]
pub struct Shard {
    engine: Engine,
    worker: Worker,
}

/// What a shard works with besides its engine.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What decisions rest on. The listeners of every snapshot are the engine's sockets: those for datagrams and those for
    /// streams each in their order.
    pub publication: Publication,
    /// What it asks for names by, and learns of them.
    pub exchange: Arc<Exchange>,
    /// What it counts.
    pub cells: Arc<ShardCells>,
    /// How it keeps connections.
    pub policy: SharedPolicy,
    /// The connections of all networks to all shards.
    pub networks: Networks,
    /// The mailboxes of all shards.
    pub post: PostOffice,
    /// What it tells of single messages, and to whom.
    pub observation: Observation,
    /// Its number, from 0: the place of its mailbox.
    pub number: usize,
}

impl Shard {
    /// A shard over an engine. Call it on the shard's own thread.
    pub fn new(mut engine: Engine, parts: Parts) -> Self {
        let Parts { publication, exchange, cells, policy, networks, post, observation, number } = parts;
        let snapshot = publication.reader();
        let connections_max = engine.output().streams.connections_max();
        let policy = policy.reader();
        let limits = Limits::new(&policy, networks, connections_max);
        let (names, asker) = (exchange.reader(), Asker::new(exchange));
        let delivery = Delivery::new(&snapshot, (policy, limits), post, number, cells.clone());
        let reporter = Box::new(Reporter::new(observation.problems, cells.clone()));
        let copier = Box::new(Copier::new(observation.copies, cells.clone()));
        Shard { engine, worker: Worker::new(snapshot, names, asker, cells, delivery, (reporter, copier)) }
    }

    /// Sends what is staged, waits for datagrams, streams or the doorbell, and handles what has come: a bounded amount.
    /// Allocates nothing for datagrams. An error is the engine's, never one message's or one peer's.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<Turn> {
        self.worker.begin_turn();
        let timeout = self.wait(timeout);
        let turn = self.engine.turn(&mut self.worker, timeout)?;
        self.worker.end_turn(self.engine.output());
        self.worker.cells.turn(&turn);
        Ok(turn)
    }

    /// Accepts no more connections: later ones are refused. All else goes on.
    pub fn stop_accepting(&mut self) {
        self.engine.stop_accepting();
    }

    /// Takes nothing more from sockets and listeners, which go to another process; connections go on.
    pub fn release(&mut self) {
        self.engine.release();
    }

    /// Whether everything that was taken from released sockets has been handled, and nothing more will be taken.
    pub fn is_released(&self) -> bool {
        self.engine.is_released()
    }

    /// Takes from sockets and listeners, which another process had, or which were released.
    pub fn take_up(&mut self) -> io::Result<()> {
        self.engine.take_up()
    }

    /// Sends or answers what there is and closes connections and sockets; their ports are free at once. Every message that was
    /// received is counted then, but for what was posted to other shards.
    pub fn close(mut self) {
        self.worker.end(self.engine.output());
        self.engine.finish(&mut self.worker);
    }

    /// No longer than until some connections are to be looked at again.
    fn wait(&self, timeout: Option<Duration>) -> Option<Duration> {
        if self.worker.delivery.connections.is_empty() {
            return timeout;
        }
        let look = Duration::from_micros(connections::LOOK_US);
        Some(timeout.map_or(look, |timeout| timeout.min(look)))
    }
}
