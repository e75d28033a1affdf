//! Steers the pool while Viaduct runs: takes changes from whoever knows of any, one after another, and publishes what comes of them.
//!
//! A lock around the pool looked simpler, as anybody could change it and publish. The table of a large pool takes a second to
//! make, and whoever waits for the lock would hold up the admin listener or a probe's timer meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep_until;

use crate::balance::past::Past;
use crate::balance::standing::Standing;
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::PoolCells;
use crate::proxy::keys::Keys;
use crate::proxy::latency::Instance;
use crate::proxy::publication::Publisher;
use crate::proxy::snapshot::{Policy, Snapshot};

use super::pool::member::Member;
use super::pool::plan::RosterPlan;
use super::pool::{LivingPool, StandingChange};

/// How many changes wait to be made at most; who asks for more waits.
const CHANGES_MAX: usize = 256;

/// After how long at most it is looked whether old snapshots can be freed, and whether something is due.
const LOOK: Duration = Duration::from_secs(1);

/// The one who steers.
#[derive(Debug)]
pub struct Steward {
    pool: LivingPool,
    publisher: Publisher,
    /// Where backends are counted: there must be room before a shard counts.
    cells: Vec<Arc<ShardCells>>,
    orders: mpsc::Receiver<Order>,
    state: watch::Sender<PoolState>,
    was_panic: bool,
    /// Away while a roster is made.
    past: Option<Past>,
    /// Rules that are to be in force.
    rules: Option<Box<Rules>>,
    counts: Arc<PoolCells>,
}

/// By what the pool is changed and watched. Clones are the same one.
#[derive(Clone, Debug)]
pub struct PoolHandle {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<PoolState>,
}

/// The pool as it is in force.
#[derive(Clone, Debug)]
pub struct PoolState {
    /// The members, by name, those that are leaving too.
    pub members: Arc<[Member]>,
    /// What the shards decide by: standing, weights in effect and shares are its roster's.
    pub snapshot: Arc<Snapshot>,
}

/// What decisions rest on besides the pool and the listeners.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The fleet's keys.
    pub keys: Keys,
    /// What the operator wants where the protocol leaves a choice.
    pub policy: Policy,
    /// The number that marks stamps of time; `None` where backends are not timed.
    pub latency: Option<Instance>,
}

type PoolChange = dyn FnOnce(&mut LivingPool, Instant) + Send;

enum Change {
    Pool(Box<PoolChange>),
    Rules(Box<Rules>),
    /// Viaduct itself drains.
    Drain,
}

struct Order {
    change: Change,
    in_force: oneshot::Sender<()>,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order")
    }
}

/// Nobody steers the pool any more: the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl PoolHandle {
    /// Makes a change. What it gives comes back when the change is in force: the shards take it up with their next message.
    pub async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut LivingPool, Instant) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (tell, told) = oneshot::channel();
        let (in_force, is_in_force) = oneshot::channel();
        let change = move |pool: &mut LivingPool, now| {
            // Who asked may have gone; the change is made all the same.
            let _ = tell.send(change(pool, now));
        };
        let order = Order { change: Change::Pool(Box::new(change)), in_force };
        self.orders.send(order).await.map_err(|_| Ended)?;
        is_in_force.await.map_err(|_| Ended)?;
        told.await.map_err(|_| Ended)
    }

    /// Puts other rules in force. Health, standing and figures stay.
    pub async fn set_rules(&self, rules: Rules) -> Result<(), Ended> {
        let (in_force, is_in_force) = oneshot::channel();
        let order = Order { change: Change::Rules(Box::new(rules)), in_force };
        self.orders.send(order).await.map_err(|_| Ended)?;
        is_in_force.await.map_err(|_| Ended)
    }

    /// Puts in force that Viaduct itself drains. It stays so, whatever else changes.
    pub async fn drain(&self) -> Result<(), Ended> {
        let (in_force, is_in_force) = oneshot::channel();
        self.orders.send(Order { change: Change::Drain, in_force }).await.map_err(|_| Ended)?;
        is_in_force.await.map_err(|_| Ended)
    }

    /// The pool as it is in force, and each time that it changes.
    pub fn state(&self) -> watch::Receiver<PoolState> {
        self.state.clone()
    }
}

impl Steward {
    /// One who steers a pool of which a snapshot is in force already.
    pub fn new(
        mut pool: LivingPool,
        publisher: Publisher,
        cells: Vec<Arc<ShardCells>>,
        counts: Arc<PoolCells>,
    ) -> (Self, PoolHandle) {
        let now = Instant::now();
        pool.plan(now);
        let mut past = Past::new(pool.policy().afterlife, now);
        past.note(publisher.current().roster(), now);
        let (orders, taken) = mpsc::channel(CHANGES_MAX);
        let members = pool.members().cloned().collect();
        let (state, watched) = watch::channel(PoolState { members, snapshot: publisher.current() });
        let handle = PoolHandle { orders, state: watched };
        (
            Steward {
                pool,
                publisher,
                cells,
                orders: taken,
                state,
                was_panic: false,
                past: Some(past),
                rules: None,
                counts,
            },
            handle,
        )
    }

    /// Steers until every handle is dropped.
    pub async fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let now = Instant::now();
            let due = [self.pool.due(now), Some(now + LOOK)].into_iter().flatten().min().unwrap_or(now);
            let is_end = tokio::select! {
                taken = self.orders.recv_many(&mut waiting, CHANGES_MAX) => taken == 0,
                () = sleep_until(due.into()) => false,
            };
            if is_end {
                return;
            }
            let in_force: Vec<_> = waiting.drain(..).map(|order| self.obey(order)).collect();
            self.renew().await;
            self.forget();
            if !in_force.is_empty() {
                // A change that moves no call is to be seen too.
                self.show();
            }
            self.publisher.free();
            for tell in in_force {
                let _ = tell.send(());
            }
        }
    }

    fn obey(&mut self, order: Order) -> oneshot::Sender<()> {
        match order.change {
            Change::Pool(change) => change(&mut self.pool, Instant::now()),
            Change::Rules(rules) => {
                self.pool.plan_anew();
                self.rules = Some(rules);
            }
            Change::Drain => self.publish(self.publisher.current().while_draining()),
        }
        order.in_force
    }

    /// Publishes what has changed, if anything has.
    async fn renew(&mut self) {
        let now = Instant::now();
        let Some((plan, changes)) = self.pool.plan(now) else { return };
        let is_panic = plan.is_panic;
        for cells in &self.cells {
            cells.backends().make_room(self.pool.slots_used());
        }
        let current = match self.rules.take() {
            Some(rules) => {
                let ruled = self.publisher.current().with_rules(rules.keys, rules.policy);
                Arc::new(ruled.with_latency_of(rules.latency))
            }
            None => self.publisher.current(),
        };
        let span = self.pool.policy().afterlife;
        let mut past = self.past.take().unwrap_or_else(|| Past::new(span, now));
        let building = spawn_blocking(move || (renewed(&current, &plan, &mut past, now), past));
        let Ok((Some(snapshot), past)) = building.await else {
            return tracing::error!("no table could be made for the pool as it stands; calls go as before");
        };
        self.past = Some(past);
        self.publish(snapshot);
        for change in &changes {
            log(change);
            if let Some(to) = change.to {
                self.counts.change(change.slot, to);
            }
        }
        self.log_panic(is_panic);
    }

    /// Publishes that former owners are forgotten, once their time is over.
    fn forget(&mut self) {
        let current = self.publisher.current();
        if current.roster().has_earlier()
            && self.past.as_ref().and_then(Past::over).is_none_or(|over| over <= Instant::now())
        {
            self.publish(current.without_earlier());
        }
    }

    fn publish(&mut self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.publisher.publish(snapshot);
        self.show();
    }

    fn show(&self) {
        let (members, snapshot) = (self.pool.members().cloned().collect(), self.publisher.current());
        self.state.send_replace(PoolState { members, snapshot });
    }

    fn log_panic(&mut self, is_panic: bool) {
        match (self.was_panic, is_panic) {
            (false, true) => tracing::error!("no backend can take calls, so they go to all (VIADUCT_PANIC)"),
            (true, false) => tracing::info!("calls go to the backends that are up again"),
            _ => {}
        }
        self.was_panic = is_panic;
    }
}

/// The snapshot in force with the pool as planned. The plan was checked member by member, so it makes a pool.
fn renewed(current: &Snapshot, plan: &RosterPlan, past: &mut Past, now: Instant) -> Option<Snapshot> {
    let roster = plan.build(&current.keys().table, past, now).ok()?;
    Some(current.with_roster(roster, plan.transports()).with_backends_also_by_tcp(plan.also_by_tcp()))
}

fn log(change: &StandingChange) {
    let label = |standing: Option<Standing>| standing.map_or("none", Standing::label);
    let StandingChange { name, from, to, why, .. } = change;
    let (from, to) = (label(*from), label(*to));
    match change.to {
        Some(Standing::Down) => tracing::warn!(name, from, to, why, "a backend's standing has changed"),
        _ => tracing::info!(name, from, to, why, "a backend's standing has changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::{Backend, BackendIndex, Weight};
    use crate::balance::pool::Pool;
    use crate::control::block_on;
    use crate::control::pool::member::Word;
    use crate::control::pool::{MemberSpec, NoSuchMember, PoolPolicy};
    use crate::proxy::publication::Publication;
    use crate::sip::Transport;

    fn spec(name: &str, port: u16) -> MemberSpec {
        let address = ([10, 0, 0, 1], port).into();
        let backend = Backend { name: name.to_owned(), address, host: "10.0.0.1".to_owned(), weight: Weight::DEFAULT };
        MemberSpec { backend, transport: Transport::Udp, also_by_tcp: false }
    }

    fn owners(publication: &Publication) -> Vec<(String, f64)> {
        let snapshot = publication.current();
        let backends = snapshot.pool().backends().iter().enumerate();
        let share = |index: usize| snapshot.roster().share(BackendIndex(index as u16));
        backends.map(|(index, backend)| (backend.name.clone(), (share(index) * 10.0).round() / 10.0)).collect()
    }

    #[test]
    fn a_change_is_in_force_when_it_returns_and_whoever_watches_is_told() {
        let specs = vec![spec("a", 1), spec("b", 2)];
        let pool = Pool::new(specs.iter().map(|spec| spec.backend.clone()).collect()).unwrap();
        let keys = Keys::derive(b"a secret for tests only").unwrap();
        let publication = Publication::from(Snapshot::new(Vec::new(), pool, keys, Policy::default()));
        let living = LivingPool::new(PoolPolicy::default(), &"list".into(), specs, Instant::now()).unwrap();
        let (steward, handle) = Steward::new(living, publication.publisher(), Vec::new(), Arc::default());
        block_on(false, async {
            let steering = tokio::spawn(steward.run());
            let mut state = handle.state();
            let drained = handle.change(|pool, now| pool.set_word("a", Word::Draining, now)).await;
            assert_eq!(drained, Ok(Ok(())));
            assert_eq!(owners(&publication), [("a".to_owned(), 0.0), ("b".to_owned(), 1.0)]);
            assert!(state.has_changed().unwrap());
            assert_eq!(state.borrow_and_update().members[0].word, Word::Draining);
            let unknown = handle.change(|pool, now| pool.set_word("z", Word::Draining, now)).await;
            assert_eq!(unknown, Ok(Err(NoSuchMember)));
            assert_eq!(state.borrow_and_update().members.len(), 2);
            let heavier = handle.change(|pool, _| pool.set_weight("a", Weight::new(7))).await;
            assert_eq!(heavier, Ok(Ok(())));
            assert_eq!(state.borrow_and_update().members[0].weight(), Weight::new(7).unwrap(), "though a still drains");
            handle.change(|pool, now| pool.add(&"hand".into(), spec("c", 3), now)).await.unwrap().unwrap();
            assert_eq!(owners(&publication).iter().map(|(_, share)| *share).collect::<Vec<_>>(), [0.0, 0.5, 0.5]);
            let also_by_tcp = MemberSpec { also_by_tcp: true, ..spec("d", 4) };
            handle.change(|pool, now| pool.add(&"hand".into(), also_by_tcp, now)).await.unwrap().unwrap();
            let also = |index| publication.current().is_also_reached_by_tcp(BackendIndex(index));
            assert_eq!([2, 3].map(also), [false, true]);
            let keys = Keys::derive(b"another secret for tests").unwrap();
            let policy = Policy { record_route: true, ..Policy::default() };
            handle.set_rules(Rules { keys, policy, latency: Some(Instance(7)) }).await.unwrap();
            let snapshot = publication.current();
            assert!(
                snapshot.policy().record_route
                    && snapshot.latency() == Some(Instance(7))
                    && snapshot.roster().has_earlier(),
                "other places, and the ones before"
            );
            assert_eq!(owners(&publication)[0].1, 0.0, "it drains by any rules");
            handle.drain().await.unwrap();
            assert!(publication.current().is_draining());
            handle.change(|pool, now| pool.set_word("a", Word::Enabled, now)).await.unwrap().unwrap();
            assert!(publication.current().is_draining() && owners(&publication)[0].1 > 0.0);
            drop(handle);
            steering.await.unwrap();
        })
        .unwrap();
    }
}
