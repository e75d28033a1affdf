//! Resolves the names that shards ask for, keeps their answers fresh while they are in use, and publishes them as a table.
//!
//! | module | charge |
//! | --- | --- |
//! | `book` | which names are known, when each is looked up again, and what a failure changes: no clock and no socket |
//! | `walk` | from a name to addresses: NAPTR, SRV, A and AAAA (RFC 3263) |
//! | [`servers`] | which name servers are asked, and how |
//!
//! The resolver's own cache looked sufficient. It forgets an answer when its time is over, so that each name would cost a
//! retransmission now and then for as long as it is used, and a name server's outage would become Viaduct's at once.

pub mod servers;

pub(in crate::control) mod walk;

mod book;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::metrics::names::{NameCells, Outcome};
use crate::proxy::names::exchange::Exchange;
use crate::proxy::names::name::Name;
use crate::proxy::names::{Answer, Families, Names};

use book::{Book, Change};
use servers::Servers;
use walk::Found;

/// How many look-ups are under way at once.
const MAX_LOOKUPS: usize = 64;

/// How often it is looked for names whose time is over.
const TICK: Duration = Duration::from_millis(200);

/// The one who resolves.
#[derive(Debug)]
pub struct Resolver {
    exchange: Arc<Exchange>,
    cells: Arc<NameCells>,
    servers: Servers,
    families: Families,
    book: Book,
    lookups: JoinSet<(Name, Found)>,
    /// Tables that some shard may still hold. Each shard holds one at most, so they are few.
    retired: Vec<Arc<Names>>,
}

impl Resolver {
    /// One that asks these name servers, and gives addresses of these families only.
    pub fn new(exchange: Arc<Exchange>, cells: Arc<NameCells>, servers: Servers, families: Families) -> Self {
        let (book, lookups) = (Book::default(), JoinSet::new());
        Resolver { exchange, cells, servers, families, book, lookups, retired: Vec::new() }
    }

    /// Resolves until it is dropped.
    pub async fn run(mut self) {
        loop {
            let has_names = !self.book.is_empty();
            tokio::select! {
                () = self.exchange.asked() => self.take_in_names(),
                Some(done) = self.lookups.join_next() => self.take_in(done.ok()),
                () = tokio::time::sleep(TICK), if has_names => {}
            }
            while let Some(done) = self.lookups.try_join_next() {
                self.take_in(done.ok());
            }
            self.start_lookups();
            self.publish();
        }
    }

    fn take_in_names(&mut self) {
        let now = Instant::now();
        while let Some(name) = self.exchange.take() {
            if self.book.ask(name, now) {
                self.cells.crowded_out.add(1);
            }
        }
    }

    fn start_lookups(&mut self) {
        let room = MAX_LOOKUPS - self.lookups.len();
        for name in self.book.due(Instant::now(), room) {
            let (servers, families) = (self.servers.clone(), self.families);
            self.lookups.spawn(async move {
                let found = walk::resolve(&servers, &name, families).await;
                (name, found)
            });
        }
    }

    fn take_in(&mut self, done: Option<(Name, Found)>) {
        // A look-up that panicked is lost; the book begins it anew.
        let Some((name, found)) = done else { return };
        tracing::debug!(%name, answer = ?found.answer, ttl = ?found.ttl, "looked up");
        self.cells.lookup(match &found.answer {
            Answer::Targets(_) => Outcome::Resolved,
            Answer::Failed(failure) => Outcome::Failed(*failure),
        });
        match self.book.found(&name, found, Instant::now()) {
            Change::None => {}
            Change::FailsFromNowOn => {
                tracing::warn!(%name, "the name servers do not answer about a name in use; its last answer stays in use");
            }
            Change::AnswersAgain => tracing::info!(%name, "the name servers answer again about a name in use"),
            Change::IsGone => tracing::warn!(%name, "a name in use leads nowhere any more"),
        }
    }

    /// Publishes the table if an answer in it has changed. The old one stays here until no shard holds it: none is to spend
    /// its time on freeing it.
    fn publish(&mut self) {
        self.retired.retain(|table| Arc::strong_count(table) > 1);
        if !self.book.take_changed() {
            return;
        }
        let names = Arc::new(self.book.names());
        self.cells.known.set(names.len() as u64);
        self.retired.push(self.exchange.publish(names));
    }
}
