//! Asks the members of the pool whether they are alive, by the shards' own sockets and connections, and says how they are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::balance::backend::{BackendId, BackendIndex, BackendSlot};
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::{PoolCells, ProbeOutcome};
use crate::proxy::probe;
use crate::proxy::probe::exchange::{Outcome, ProbeExchange, Question};
use crate::proxy::token::probe::ProbeMark;
use crate::sip::Transport;

use crate::control::pool::LivingPool;
use crate::control::pool::member::Health;
use crate::control::steward::{Ended, PoolHandle, PoolState};

use super::{Finding, Numbers, ProbePolicy, Step, Watch, knock};

/// The one who asks.
pub struct Prober {
    policy: ProbePolicy,
    pool: PoolHandle,
    state: watch::Receiver<PoolState>,
    exchange: Arc<ProbeExchange>,
    /// Wakes a shard.
    wake: Box<dyn Fn(usize) + Send>,
    shards: Vec<Arc<ShardCells>>,
    cells: Arc<PoolCells>,
    numbers: Numbers,
    /// The members, by the ids of their names.
    asked: BTreeMap<u32, Asked>,
    knocks: JoinSet<(u32, bool)>,
    /// Which shard asks next.
    turn: usize,
    /// When signs of life were last looked for.
    looked: Instant,
    hasher: RandomState,
    draws: u64,
    /// Whether answers to others of the fleet have come here, which the operator must know of.
    is_shared: bool,
    begun: Instant,
    reports: watch::Sender<Arc<[ProbeReport]>>,
}

struct Asked {
    name: String,
    transport: Transport,
    slot: BackendSlot,
    watch: Watch,
    /// How it is, as the pool was told.
    told: Health,
    /// How many responses of its had been verified at the last look.
    heard: u64,
    last: Option<LastProbe>,
}

/// What is known of a member by probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// The member.
    pub name: String,
    /// How it is.
    pub health: Health,
    /// The last probe that told anything.
    pub last: Option<LastProbe>,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastProbe {
    /// What was found.
    pub finding: Finding,
    /// When.
    pub at: Instant,
    /// How long the answer took; `None` where there was none.
    pub took: Option<Duration>,
}

/// What the prober works with besides the pool.
pub struct Tools {
    /// The way to the shards and back.
    pub exchange: Arc<ProbeExchange>,
    /// Wakes a shard.
    pub wake: Box<dyn Fn(usize) + Send>,
    /// What the shards count.
    pub shards: Vec<Arc<ShardCells>>,
    /// What is counted of probes.
    pub cells: Arc<PoolCells>,
    /// A random number that tells this process from the rest of its fleet.
    pub process: u16,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tools")
    }
}

/// How often signs of life are looked for in a period. A sign is taken to be as old as the look before, so that it never puts
/// off finding out a death.
const LOOKS_A_PERIOD: u32 = 8;

/// Questions that are due within so short a time are asked together.
const TOGETHER: Duration = Duration::from_millis(5);

/// How many knocks are under way at once; the others wait for the next question.
const KNOCKS_MAX: usize = 64;

impl Prober {
    /// One who asks the members of that pool.
    pub fn new(policy: ProbePolicy, pool: PoolHandle, tools: Tools) -> Self {
        let Tools { exchange, wake, shards, cells, process } = tools;
        let (mut state, hasher) = (pool.state(), RandomState::new());
        state.mark_changed();
        Prober {
            policy,
            pool,
            state,
            exchange,
            wake,
            shards,
            cells,
            numbers: Numbers::of(process),
            asked: BTreeMap::new(),
            knocks: JoinSet::new(),
            turn: 0,
            looked: Instant::now(),
            draws: hasher.hash_one(process),
            is_shared: false,
            begun: Instant::now(),
            reports: watch::Sender::new(Arc::from([])),
            hasher,
        }
    }

    /// What is known of the members by probes, as of the last look for signs of life.
    pub fn reports(&self) -> watch::Receiver<Arc<[ProbeReport]>> {
        self.reports.subscribe()
    }

    /// Asks until the pool is steered no more.
    pub async fn run(mut self) {
        loop {
            let look = self.looked + self.policy.period() / LOOKS_A_PERIOD;
            let due = self.asked.values().map(|asked| asked.watch.due(&self.policy)).min();
            let due = due.map_or(look, |due| due.max(Instant::now() + TOGETHER)).min(look);
            let exchange = self.exchange.clone();
            tokio::select! {
                changed = self.state.changed() => match changed {
                    Ok(()) => self.take_in_members(),
                    Err(_) => return,
                },
                () = exchange.bell() => {}
                Some(knocked) = self.knocks.join_next() => self.take_in_knock(knocked.ok()),
                () = sleep_until(due.into()) => {}
            }
            // Answers first: one that waits here has not come too late.
            self.take_in_outcomes();
            self.look_for_signs(look);
            self.go_on();
            if self.tell().await.is_err() {
                return;
            }
        }
    }

    /// Takes up the pool as it is.
    fn take_in_members(&mut self) {
        let state = self.state.borrow_and_update().clone();
        let mut earlier = std::mem::take(&mut self.asked);
        for member in state.members.iter() {
            let name = member.name();
            let id = BackendId::of_name(&name);
            let index = state.snapshot.pool().by_id(id);
            let transport = index.map_or(member.spec.transport, |index| state.snapshot.invite_transport(index));
            let id = id.0.get();
            let asked = earlier.remove(&id).filter(|asked| asked.transport == transport);
            let asked = asked.unwrap_or_else(|| {
                let draw = self.draw();
                let watch = Watch::new(member.health, self.numbers, &self.policy, draw, Instant::now());
                let (slot, heard) = (member.slot, self.heard(member.slot));
                Asked { name, transport, slot, watch, told: member.health, heard, last: None }
            });
            self.asked.insert(id, Asked { slot: member.slot, told: member.health, ..asked });
        }
    }

    fn take_in_outcomes(&mut self) {
        let now = Instant::now();
        while let Some((ProbeMark { backend, transport, number }, outcome)) = self.exchange.told() {
            let draw = self.draw();
            let Prober { policy, asked, numbers, cells, is_shared, begun, .. } = self;
            let Some(asked) = asked.get_mut(&backend.0.get()).filter(|asked| asked.transport == transport) else {
                continue;
            };
            let finding = match outcome {
                Outcome::Answered(status) => policy.finding(status),
                Outcome::Refused => Some(Finding::Absent),
                Outcome::Unsent => Some(Finding::Unknown),
            };
            let Some(finding) = finding else { continue };
            if numbers.has(number) {
                cells.probe(asked.slot, counted_as(finding));
                if let Some(since) = asked.watch.waits_since(number) {
                    asked.last = Some(LastProbe { finding, at: now, took: Some(now.saturating_duration_since(since)) });
                }
                asked.watch.on_finding(number, finding, policy, draw);
            } else {
                // Another member of the fleet asked, and the answer came here; or at first, the process that was here before.
                let is_news = now > *begun + policy.interval * 2 && !std::mem::replace(is_shared, true);
                if is_news {
                    tracing::warn!(
                        "answers to another Viaduct's probes come here, and perhaps answers to ours go there: members of a fleet \
                         that share an address towards their backends need VIADUCT_PROBE=off"
                    );
                }
                if finding == Finding::Alive {
                    asked.watch.on_sign_of_life(now, policy, draw);
                }
            }
        }
    }

    fn take_in_knock(&mut self, knocked: Option<(u32, bool)>) {
        let (Some((id, true)), draw, now) = (knocked, self.draw(), Instant::now()) else { return };
        if let Some(asked) = self.asked.get_mut(&id) {
            self.cells.probe(asked.slot, ProbeOutcome::Refused);
            asked.last = Some(LastProbe { finding: Finding::Absent, at: now, took: None });
            asked.watch.on_absence(&self.policy, draw, now);
        }
    }

    /// Real traffic is a sign of life, and as good as an answer.
    fn look_for_signs(&mut self, look: Instant) {
        let now = Instant::now();
        if now < look {
            return;
        }
        let since = std::mem::replace(&mut self.looked, now);
        let mut members = std::mem::take(&mut self.asked);
        for asked in members.values_mut() {
            let heard = self.heard(asked.slot);
            if std::mem::replace(&mut asked.heard, heard) != heard {
                let draw = self.draw();
                asked.watch.on_sign_of_life(since, &self.policy, draw);
            }
        }
        let report =
            |asked: &Asked| ProbeReport { name: asked.name.clone(), health: asked.watch.health(), last: asked.last };
        if self.reports.receiver_count() > 0 {
            self.reports.send_replace(members.values().map(report).collect());
        }
        self.asked = members;
    }

    fn go_on(&mut self) {
        let now = Instant::now();
        let mut members = std::mem::take(&mut self.asked);
        for (id, asked) in &mut members {
            let draw = self.draw();
            match asked.watch.on_time(&self.policy, draw, now) {
                Some(Step::Ask { number, is_doubtful }) => self.ask(*id, asked, number, is_doubtful),
                Some(Step::TimedOut) => {
                    asked.last = Some(LastProbe { finding: Finding::Failing, at: now, took: None });
                    self.cells.probe(asked.slot, ProbeOutcome::Unanswered);
                }
                None => {}
            }
        }
        self.asked = members;
    }

    /// Has a shard ask, each in its turn.
    fn ask(&mut self, id: u32, asked: &mut Asked, number: u32, is_doubtful: bool) {
        let snapshot = self.state.borrow().snapshot.clone();
        let index = BackendId::new(id).and_then(|id| snapshot.pool().by_id(id));
        let question = index.and_then(|index: BackendIndex| probe::write(&snapshot, index, number));
        let shard = self.turn % self.exchange.shards().max(1);
        self.turn = shard + 1;
        let draw = self.draw();
        let Some((hop, text)) = question else {
            return asked.watch.on_finding(number, Finding::Unknown, &self.policy, draw);
        };
        if is_doubtful && asked.transport == Transport::Udp {
            let listener = snapshot.listeners().get(hop.listener.get());
            let from = listener.map(|listener| listener.address.ip());
            self.knock(id, from, hop.to);
        }
        if self.exchange.ask(shard, Question { hop, bytes: text.into_bytes() }) {
            (self.wake)(shard);
        } else {
            asked.watch.on_finding(number, Finding::Unknown, &self.policy, draw);
        }
    }

    fn knock(&mut self, id: u32, from: Option<IpAddr>, to: SocketAddr) {
        if self.knocks.len() < KNOCKS_MAX {
            let patience = self.policy.patience();
            self.knocks.spawn(async move { (id, knock::is_closed(from, to, patience).await) });
        }
    }

    /// Says whose health has changed.
    async fn tell(&mut self) -> Result<(), Ended> {
        let mut changed = Vec::new();
        for asked in self.asked.values_mut().filter(|asked| asked.watch.health() != asked.told) {
            asked.told = asked.watch.health();
            changed.push((asked.name.clone(), asked.told));
        }
        if changed.is_empty() {
            return Ok(());
        }
        let change = move |pool: &mut LivingPool, now| {
            for (name, health) in &changed {
                // One that has gone meanwhile needs no health.
                let _ = pool.set_health(name, *health, now);
            }
        };
        self.pool.change(change).await
    }

    fn heard(&self, slot: BackendSlot) -> u64 {
        self.shards.iter().map(|cells| cells.backends().heard_count(slot)).sum()
    }

    fn draw(&mut self) -> u64 {
        self.draws = self.hasher.hash_one(self.draws.wrapping_add(1));
        self.draws
    }
}

fn counted_as(finding: Finding) -> ProbeOutcome {
    match finding {
        Finding::Alive => ProbeOutcome::Alive,
        Finding::Overloaded => ProbeOutcome::Overloaded,
        Finding::Failing => ProbeOutcome::Failing,
        Finding::Absent => ProbeOutcome::Refused,
        Finding::Unknown => ProbeOutcome::Unsent,
    }
}
