//! Finds the members of the pool: names of backends are looked up for as long as Viaduct runs, and what they lead to is kept in the pool.
//!
//! | module | charge |
//! | --- | --- |
//! | [`entry`] | one entry of the list of backends: an address, or a name that leads to any number of them |
//! | [`finding`] | what a look-up finds, and what members it makes |
//! | [`ledger`] | what is known of each entry, when it is looked up again, what an answer changes: no clock and no socket |
//! | [`standing`] | how what is known of an entry stands |
//! | `walk` | from an entry to its targets: NAPTR, SRV, A and AAAA |
//! | [`mailbox`] | how others have another list put in the place of the one in force |
//!
//! Look-ups at the start alone, and again on request, looked predictable. Pods move while nobody asks.

pub mod entry;
pub mod finding;
pub mod ledger;
pub mod mailbox;
pub mod standing;

mod walk;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::balance::pool::PoolError;
use crate::metrics::discovery::{DiscoveryCells, Outcome, Row};

use super::pool::{LivingPool, MemberSpec, Source};
use super::resolve::servers::Servers;
use super::steward::{Ended, PoolHandle};

use entry::{Entry, Reach};
use finding::{Answer, Finding};
use ledger::{Ledger, Listing};
use mailbox::{DiscoveryHandle, Order, Refused};

/// How many look-ups are under way at once.
const LOOKUPS_MAX: usize = 64;

/// For how long the start, or another list, waits for names that are looked up for the first time.
pub const FIRST_LOOK: Duration = Duration::from_secs(5);

/// After how long Viaduct is ready though nobody has answered about a name: where a zone is out of order, what there is must do.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How soon it is looked again at the least, where more is due than there is room for.
const PAUSE: Duration = Duration::from_millis(20);

/// How often it is looked at the most seldom.
const LOOK: Duration = Duration::from_secs(1);

/// What discovery works with.
#[derive(Debug)]
pub struct Tools {
    /// Who is asked.
    pub servers: Servers,
    /// What the listeners reach.
    pub reach: Reach,
    /// How long what is known is held while name servers say that there is nothing.
    pub hold: Duration,
    /// What is counted.
    pub cells: Arc<DiscoveryCells>,
}

/// Where what is found goes.
pub struct Steered {
    /// What the members found are known by, among others'.
    pub source: Source,
    /// The pool.
    pub pool: PoolHandle,
    /// Whether what was found can be a member at all: a listener reaches it, and it is not Viaduct itself.
    pub admits: Box<dyn Fn(&MemberSpec) -> bool + Send + Sync>,
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steered").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The one who looks for members.
#[derive(Debug)]
pub struct Discovery {
    tools: Tools,
    ledger: Ledger,
    lookups: JoinSet<(u64, Finding)>,
    /// As it is in the pool.
    listing: Listing,
    /// Why what was found last is not.
    refused: Option<PoolError>,
    begun: Instant,
    ready: watch::Sender<bool>,
    orders: mpsc::Receiver<Order>,
}

impl Discovery {
    /// One who knows these entries and has looked none of them up, and by what it is told of others.
    pub fn new(entries: Vec<Entry>, tools: Tools) -> (Self, DiscoveryHandle) {
        let (now, ready) = (Instant::now(), watch::Sender::new(false));
        let (handle, orders) = mailbox::open(ready.subscribe());
        let ledger = Ledger::new(entries, tools.hold, now);
        let (listing, lookups) = (Listing::default(), JoinSet::new());
        (Discovery { tools, ledger, lookups, listing, refused: None, begun: now, ready, orders }, handle)
    }

    /// Looks up what was not yet; returns when about all of it something was said, and in no more than that time. Gives the members
    /// that are known then, with which the pool is to begin; which of them are admitted, is not known yet.
    pub async fn begin(&mut self, within: Duration) -> &Listing {
        self.look_up_all(within).await;
        self.listing = self.ledger.list(|_| true);
        self.show();
        &self.listing
    }

    /// The entries that lead nowhere, as far as is known.
    pub fn missing(&self) -> Vec<String> {
        self.ledger.missing()
    }

    /// Keeps the members of a source what the entries lead to, until the pool is steered no more.
    pub async fn run(mut self, steered: Steered) {
        // The pool has begun with all of them; which are admitted, was not known.
        let listing = self.ledger.list(&steered.admits);
        self.tell_left_out(&listing);
        self.listing = listing;
        if self.put(&self.listing, &steered).await.is_err() {
            return;
        }
        loop {
            self.start_lookups();
            let now = Instant::now();
            let next = self.ledger.next().map_or(now + LOOK, |next| next.clamp(now + PAUSE, now + LOOK));
            tokio::select! {
                Some(done) = self.lookups.join_next() => self.take_in(done.ok()),
                Some(order) = self.orders.recv() => match self.obey(order, &steered).await {
                    Ok(()) => {}
                    Err(Ended) => return,
                },
                () = sleep_until(next.into()) => {}
            }
            while let Some(done) = self.lookups.try_join_next() {
                self.take_in(done.ok());
            }
            for entry in self.ledger.let_go(Instant::now()) {
                tracing::warn!(
                    entry,
                    "a name of backends has led nowhere for VIADUCT_DNS_HOLD_S: its backends are let go"
                );
            }
            if self.publish(&steered).await.is_err() {
                return;
            }
        }
    }

    async fn look_up_all(&mut self, within: Duration) {
        let all = async {
            self.start_lookups();
            while let Some(done) = self.lookups.join_next().await {
                self.take_in(done.ok());
                if self.ledger.is_complete() {
                    return;
                }
                self.start_lookups();
            }
        };
        // What is not found by then is looked for further.
        let _ = timeout(within, all).await;
    }

    fn start_lookups(&mut self) {
        let room = LOOKUPS_MAX.saturating_sub(self.lookups.len());
        for (number, entry) in self.ledger.due(Instant::now(), room) {
            let (servers, reach) = (self.tools.servers.clone(), self.tools.reach.clone());
            self.lookups.spawn(async move { (number, walk::look_up(&servers, &entry, &reach).await) });
        }
    }

    fn take_in(&mut self, done: Option<(u64, Finding)>) {
        // A look-up that panicked is lost; the ledger begins it anew.
        let Some((number, finding)) = done else { return };
        self.tools.cells.lookup(match finding.answer {
            Answer::Targets(_) => Outcome::Found,
            Answer::Nothing => Outcome::Nothing,
            Answer::Unanswered => Outcome::Unanswered,
        });
        if let Some((entry, change)) = self.ledger.take_in(number, finding, Instant::now()) {
            change.log(&entry);
        }
    }

    /// Puts what is known into the pool, where it is another than before.
    async fn publish(&mut self, steered: &Steered) -> Result<(), Ended> {
        let listing = self.ledger.list(&steered.admits);
        if listing != self.listing {
            let refused = self.put(&listing, steered).await?.err();
            match &refused {
                None => {
                    self.tell_left_out(&listing);
                    self.listing = listing;
                }
                Some(error) if self.refused.as_ref() != Some(error) => tracing::error!(
                    "the pool stays as it was, because what was found makes none with the other members: {error}"
                ),
                // It is tried until it is taken, and told once.
                Some(_) => {}
            }
            self.refused = refused;
        }
        self.show();
        Ok(())
    }

    async fn put(&self, listing: &Listing, steered: &Steered) -> Result<Result<(), PoolError>, Ended> {
        let (listing, source) = (listing.clone(), steered.source.clone());
        steered.pool.change(move |pool, now| take_up(pool, &source, listing, now)).await
    }

    /// Puts another list into the place of the one in force, once its names were looked up. All or nothing.
    async fn obey(&mut self, order: Order, steered: &Steered) -> Result<(), Ended> {
        let renewed = self.ledger.renewed(order.entries, order.hold, Instant::now());
        let before = std::mem::replace(&mut self.ledger, renewed);
        // What is under way is of the old list.
        self.lookups.abort_all();
        self.lookups = JoinSet::new();
        let usual = self.tools.servers.clone();
        self.tools.servers = order.servers.unwrap_or_else(|| usual.clone());
        self.look_up_all(FIRST_LOOK).await;
        self.tools.servers = usual;
        let listing = self.ledger.list(&steered.admits);
        let missing = self.ledger.missing();
        let taken = match listing.members.is_empty() {
            true if !missing.is_empty() => Err(Refused::NothingFound(missing)),
            // As of a file that is just being written: whoever wants no backends removes them one by one.
            true if !self.listing.members.is_empty() => Err(Refused::Empty),
            _ => self.put(&listing, steered).await?.map_err(Refused::NoPool),
        };
        match &taken {
            Ok(()) => {
                self.tell_left_out(&listing);
                (self.listing, self.tools.hold) = (listing, order.hold);
            }
            Err(_) => {
                self.ledger = before.resumed(Instant::now());
                // What is under way is of the list that was refused, and its numbers are given anew.
                self.lookups = JoinSet::new();
            }
        }
        // Who asked may have gone; the change is made all the same.
        let _ = order.taken.send(taken);
        Ok(())
    }

    fn tell_left_out(&self, listing: &Listing) {
        if listing.left_out != self.listing.left_out && !listing.left_out.is_empty() {
            let names = listing.left_out.join(", ");
            tracing::warn!(
                names,
                "backends that were found are left out: another has the address, or Viaduct itself, no listener reaches them, or \
                 there are too many"
            );
        }
    }

    fn show(&self) {
        let members =
            |entry: &str| self.listing.found.iter().find(|(name, _)| name == entry).map_or(0, |(_, found)| *found);
        let row = |(entry, state): (&str, standing::EntryState)| Row {
            entry: entry.to_owned(),
            members: members(entry),
            is_doubtful: state.is_doubtful(),
        };
        self.tools.cells.show(self.ledger.states().map(row).collect(), self.listing.left_out.len());
        let has_names = self.ledger.states().next().is_some();
        let is_late = self.begun.elapsed() >= READY_WITHIN;
        let is_ready = !has_names || !self.listing.members.is_empty() && (is_late || self.ledger.is_complete());
        // Once ready, it stays so: what is known by then stays in use.
        self.ready.send_if_modified(|ready| is_ready && !std::mem::replace(ready, true));
    }
}

/// Makes a listing a source's members. All or nothing.
fn take_up(pool: &mut LivingPool, source: &Source, listing: Listing, now: Instant) -> Result<(), PoolError> {
    let Listing { members, ranks, renamed, .. } = listing;
    renamed.iter().for_each(|(from, to)| pool.rename(from, to));
    if let Err(error) = pool.replace(source, members, now) {
        renamed.iter().rev().for_each(|(from, to)| pool.rename(to, from));
        return Err(error);
    }
    pool.set_ranks(source, ranks);
    Ok(())
}
