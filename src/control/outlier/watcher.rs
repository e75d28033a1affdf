//! Takes what the shards have counted of each backend at each window's end, and has outliers set aside.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep;

use crate::balance::backend::BackendSlot;
use crate::control::pool::LivingPool;
use crate::control::steward::{Ended, PoolHandle};
use crate::metrics::backends::BackendCells;
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::PoolCells;

use super::{Ejection, Judge, OutlierPolicy, Reason, Tally};

/// The one who watches.
#[derive(Debug)]
pub struct Watcher {
    policy: OutlierPolicy,
    judge: Judge,
    pool: PoolHandle,
    shards: Vec<Arc<ShardCells>>,
    cells: Arc<PoolCells>,
}

impl Watcher {
    /// One who watches that pool by what these shards count.
    pub fn new(policy: OutlierPolicy, pool: PoolHandle, shards: Vec<Arc<ShardCells>>, cells: Arc<PoolCells>) -> Self {
        Watcher { policy, judge: Judge::new(policy), pool, shards, cells }
    }

    /// Watches until the pool is steered no more.
    pub async fn run(mut self) {
        loop {
            let found = self.look();
            if !found.is_empty() && self.set_aside(found).await.is_err() {
                return;
            }
            sleep(self.policy.window).await;
        }
    }

    /// Judges those that the administrator lets have calls and that answer probes.
    fn look(&mut self) -> Vec<(BackendSlot, Ejection)> {
        let members = self.pool.state().borrow().members.clone();
        let judged: Vec<_> = members.iter().filter(|member| member.gets_calls()).collect();
        let tallies: Vec<_> = judged.iter().map(|member| (member.name(), self.tally(member.slot))).collect();
        let found = self.judge.judge(&tallies, Instant::now());
        let slot_of =
            |name: &str| judged.iter().find(|member| member.spec.backend.name == name).map(|member| member.slot);
        found.into_iter().filter_map(|ejection| Some((slot_of(&ejection.name)?, ejection))).collect()
    }

    async fn set_aside(&self, found: Vec<(BackendSlot, Ejection)>) -> Result<(), Ended> {
        for (slot, Ejection { name, reason, share, until }) in &found {
            let aside_s = until.saturating_duration_since(Instant::now()).as_secs();
            let what = match reason {
                Reason::Unanswered => "leaves requests unanswered",
                Reason::Errors => "answers 5xx",
            };
            tracing::warn!(name, what, share, aside_s, "a backend stands out and gets no new calls for a while");
            self.cells.ejection(*slot);
        }
        let change = move |pool: &mut LivingPool, _| {
            for (_, Ejection { name, until, .. }) in &found {
                // One that has gone meanwhile gets none anyhow.
                let _ = pool.set_aside(name, *until);
            }
        };
        self.pool.change(change).await
    }

    fn tally(&self, slot: BackendSlot) -> Tally {
        let sum = |count: fn(&BackendCells, BackendSlot) -> u64| {
            self.shards.iter().map(|cells| count(cells.backends(), slot)).sum()
        };
        Tally {
            asked: sum(BackendCells::asked_count),
            heard: sum(BackendCells::heard_count),
            finals: sum(BackendCells::final_count),
            errors: sum(BackendCells::error_count),
        }
    }
}
