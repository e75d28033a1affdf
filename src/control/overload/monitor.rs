//! Takes what the shards have noted of the backends' load, a few times a second, and has the pool changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::balance::backend::BackendSlot;
use crate::balance::standing::Hold;
use crate::control::pool::LivingPool;
use crate::control::pool::member::Member;
use crate::control::steward::{Ended, PoolHandle};
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::PoolCells;

use super::rest::{Plea, Rest, RestPolicy, Rests};

/// How often it is looked whether a shard has noted anything: no more than that later does a change begin.
const LOOK: Duration = Duration::from_millis(50);

/// The one who looks.
#[derive(Debug)]
pub struct Monitor {
    rests: Rests,
    pool: PoolHandle,
    shards: Vec<Arc<ShardCells>>,
    cells: Arc<PoolCells>,
    /// How often each shard had rung at the last look.
    rung: Vec<u64>,
    /// For each slot that had a member, how many 503 with Retry-After each shard had noted at the last look.
    noted: BTreeMap<BackendSlot, Vec<u64>>,
}

impl Monitor {
    /// One who has the backends of that pool rest by what these shards note.
    pub fn new(policy: RestPolicy, pool: PoolHandle, shards: Vec<Arc<ShardCells>>, cells: Arc<PoolCells>) -> Self {
        let (rests, rung) = (Rests::new(policy), vec![0; shards.len()]);
        Monitor { rests, pool, shards, cells, rung, noted: BTreeMap::new() }
    }

    /// Looks until the pool is steered no more.
    pub async fn run(mut self) {
        loop {
            sleep(LOOK).await;
            if self.has_news() && self.take_in().await.is_err() {
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

    async fn take_in(&mut self) -> Result<(), Ended> {
        let members = self.pool.state().borrow().members.clone();
        let now = Instant::now();
        let pleas: Vec<Plea> = members.iter().map(|member| self.plea(member, now)).collect();
        let in_use = pleas.into_iter().zip(members.iter()).filter(|(_, member)| member.gets_calls());
        let granted = self.rests.hear(&in_use.map(|(plea, _)| plea).collect::<Vec<_>>(), now);
        if granted.is_empty() {
            return Ok(());
        }
        let slot_of = |name: &str| members.iter().find(|member| member.spec.backend.name == name).map(|it| it.slot);
        for Rest { name, until, .. } in granted.iter().filter(|rest| rest.is_new) {
            let rests_s = (*until - now).as_secs();
            tracing::warn!(name, rests_s, "a backend answers 503 with Retry-After and gets no new calls meanwhile");
            if let Some(slot) = slot_of(name) {
                self.cells.rest(slot);
            }
        }
        let change = move |pool: &mut LivingPool, _| {
            for Rest { name, until, .. } in &granted {
                // One that has gone meanwhile gets no calls anyhow.
                let _ = pool.let_rest(name, *until);
            }
        };
        self.pool.change(change).await
    }

    /// What a member has said since the last look.
    fn plea(&mut self, member: &Member, now: Instant) -> Plea {
        let noted = self.noted.entry(member.slot).or_insert_with(|| vec![0; self.shards.len()]);
        let mut retry_after_s = None;
        for (before, cells) in noted.iter_mut().zip(&self.shards) {
            let count = cells.backends().retry_after_count(member.slot);
            if std::mem::replace(before, count) != count {
                retry_after_s = retry_after_s.max(Some(cells.backends().retry_after_s(member.slot)));
            }
        }
        let is_held_otherwise = member.hold(now).is_some_and(|hold| hold != Hold::RetryAfter);
        Plea { name: member.name(), retry_after_s, is_held_otherwise }
    }
}
