//! Takes what the shards have noted of the backends' load, some twenty times a second, and has the pool and the shards act by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::balance::backend::BackendSlot;
use crate::balance::standing::Hold;
use crate::control::pool::LivingPool;
use crate::control::pool::member::Member;
use crate::control::steward::{Ended, PoolHandle};
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::PoolCells;
use crate::proxy::shedding::Shedding;

use super::loss::Losses;
use super::rest::{Plea, Rest, RestPolicy, Rests};

/// How often it is looked whether a shard has noted anything: no more than that later does a change begin.
const LOOK: Duration = Duration::from_millis(50);

/// The one who looks. There is one: nobody else may write how much is shed.
#[derive(Debug)]
pub struct Monitor {
    /// `None` where nobody is let rest.
    rests: Option<Rests>,
    losses: Losses,
    shedding: Arc<Shedding>,
    pool: PoolHandle,
    shards: Vec<Arc<ShardCells>>,
    cells: Arc<PoolCells>,
    /// How often each shard had rung at the last look.
    rung: Vec<u64>,
    /// What had been noted at the last look, for each slot that had a member.
    noted: BTreeMap<BackendSlot, Vec<Noted>>,
    /// Rests that the pool is to be told of, by the members' names.
    granted: BTreeMap<String, Instant>,
    /// The change that it is being told by.
    changing: Option<JoinHandle<Result<(), Ended>>>,
}

/// How much a shard had noted of a backend.
#[derive(Clone, Copy, Debug, Default)]
struct Noted {
    retry_afters: u64,
    reports: u64,
}

impl Noted {
    fn of(cells: &ShardCells, slot: BackendSlot) -> Self {
        let cells = cells.backends();
        Noted { retry_afters: cells.retry_after_count(slot), reports: cells.loss_count(slot) }
    }
}

impl Monitor {
    /// One who heeds what the backends of that pool say, by what these shards note.
    pub fn new(
        rests: Option<RestPolicy>,
        pool: PoolHandle,
        shards: Vec<Arc<ShardCells>>,
        cells: Arc<PoolCells>,
    ) -> Self {
        let (rests, rung) = (rests.map(Rests::new), vec![0; shards.len()]);
        let (shedding, members) = {
            let state = pool.state();
            let state = state.borrow();
            (state.snapshot.shedding().clone(), state.members.clone())
        };
        // What was said before one began to look is not heard.
        let count = |member: &Member| (member.slot, shards.iter().map(|cells| Noted::of(cells, member.slot)).collect());
        Monitor {
            rests,
            losses: Losses::default(),
            shedding,
            pool,
            noted: members.iter().map(count).collect(),
            shards,
            cells,
            rung,
            granted: BTreeMap::new(),
            changing: None,
        }
    }

    /// Looks until the pool is steered no more.
    pub async fn run(mut self) {
        loop {
            sleep(LOOK).await;
            let now = Instant::now();
            if self.has_news() {
                self.take_in(now);
            }
            self.shed(now);
            if self.change_pool().await.is_err() {
                return;
            }
        }
    }

    /// Most of the time nobody has said anything, and one number a shard tells so.
    fn has_news(&mut self) -> bool {
        let rung = self.shards.iter().map(|cells| cells.backends().load_news());
        let is_news = |(before, rung): (&mut u64, u64)| std::mem::replace(before, rung) != rung;
        self.rung.iter_mut().zip(rung).map(is_news).fold(false, |any, is_news| any | is_news)
    }

    fn take_in(&mut self, now: Instant) {
        let members = self.pool.state().borrow().members.clone();
        let mut pleas = Vec::new();
        for member in members.iter() {
            let retry_after_s = self.take_in_of(member, now);
            let is_held_otherwise = member.hold(now).is_some_and(|hold| hold != Hold::RetryAfter);
            if member.gets_calls() {
                pleas.push(Plea { name: member.name(), retry_after_s, is_held_otherwise });
            }
        }
        self.forget_those_gone(&members);
        let granted = self.rests.as_mut().map(|rests| rests.hear(&pleas, now)).unwrap_or_default();
        for Rest { name, until, is_new } in granted {
            let member = members.iter().find(|member| member.spec.backend.name == name).filter(|_| is_new);
            if let Some(member) = member {
                let rests_s = (until - now).as_secs();
                tracing::warn!(name, rests_s, "a backend answers 503 with Retry-After and gets no new calls meanwhile");
                self.cells.rest(member.slot);
            }
            self.granted.insert(name, until);
        }
    }

    /// Takes in what a member has said since the last look; gives after how many seconds it wants to be tried again.
    fn take_in_of(&mut self, member: &Member, now: Instant) -> Option<u32> {
        let Monitor { shards, losses, noted, .. } = self;
        let noted = noted.entry(member.slot).or_insert_with(|| vec![Noted::default(); shards.len()]);
        let mut retry_after_s = None;
        for (noted, cells) in noted.iter_mut().zip(shards) {
            let (count, cells, slot) = (Noted::of(cells, member.slot), cells.backends(), member.slot);
            let before = std::mem::replace(noted, count);
            if before.retry_afters != count.retry_afters {
                retry_after_s = retry_after_s.max(Some(cells.retry_after_s(slot)));
            }
            let report = cells.loss_report(slot).filter(|_| before.reports != count.reports);
            if let Some(report) = report
                && losses.hear(slot, &report, now)
            {
                let percent = report.percent;
                tracing::warn!(name = member.name(), percent, "a backend asks for fewer requests (RFC 7339)");
            }
        }
        retry_after_s
    }

    fn forget_those_gone(&mut self, members: &[Member]) {
        let is_gone = |slot: &BackendSlot| members.iter().all(|member| member.slot != *slot);
        for slot in self.losses.backends().filter(is_gone).collect::<Vec<_>>() {
            self.losses.forget(slot);
            self.shedding.set(slot, 0);
        }
    }

    /// Has the shards shed as much as is wanted at that moment.
    fn shed(&self, now: Instant) {
        for slot in self.losses.backends() {
            self.shedding.set(slot, self.losses.percent(slot, now));
        }
    }

    /// Has the pool changed by what is granted, one change after another. Nobody waits for it here: a table takes its time, and
    /// meanwhile backends say how much is to be shed.
    async fn change_pool(&mut self) -> Result<(), Ended> {
        if let Some(changing) = self.changing.take_if(|changing| changing.is_finished()) {
            changing.await.unwrap_or(Err(Ended))?;
        }
        if self.changing.is_some() || self.granted.is_empty() {
            return Ok(());
        }
        let (pool, granted) = (self.pool.clone(), std::mem::take(&mut self.granted));
        let change = move |pool: &mut LivingPool, _| {
            for (name, until) in &granted {
                // One that has gone meanwhile gets no calls anyhow.
                let _ = pool.let_rest(name, *until);
            }
        };
        self.changing = Some(tokio::spawn(async move { pool.change(change).await }));
        Ok(())
    }
}
