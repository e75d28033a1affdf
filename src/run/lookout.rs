//! Who looks after the backends while Viaduct runs, each on a task of its own: probes, outliers, those that ask for rest.
//!
//! To tell the tasks of other settings by a channel looked kinder. Whether each is there at all is a setting too; and what they
//! find goes into the pool, where the next one takes it up.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::config::overload::OverloadSettings;
use crate::config::{Settings, Switch};
use crate::control::outlier::watcher::Watcher;
use crate::control::overload::monitor::Monitor;
use crate::control::pool::LivingPool;
use crate::control::pool::member::Health;
use crate::control::probe::prober::{Prober, Tools};
use crate::control::steward::PoolHandle;
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::PoolCells;
use crate::shard::mailbox::PostOffice;

use super::plan;

/// What they work with.
#[derive(Clone, Debug)]
pub struct Means {
    /// The pool.
    pub pool: PoolHandle,
    /// The way to the shards.
    pub post: PostOffice,
    /// What the shards count.
    pub shards: Vec<Arc<ShardCells>>,
    /// What is counted of the pool.
    pub cells: Arc<PoolCells>,
}

/// Those who look, as long as this lives.
#[derive(Debug)]
pub struct Lookout {
    means: Means,
    probing: Option<JoinHandle<()>>,
    watching: Option<JoinHandle<()>>,
    monitoring: Option<JoinHandle<()>>,
}

impl Lookout {
    /// Has those look that the settings want.
    pub fn begin(settings: &Settings, means: Means) -> Self {
        let probing = means.prober(settings).map(|prober| tokio::spawn(prober.run()));
        let watching = means.watcher(settings).map(|watcher| tokio::spawn(watcher.run()));
        let monitoring = means.monitor(settings).map(|monitor| tokio::spawn(monitor.run()));
        Lookout { means, probing, watching, monitoring }
    }

    /// Has those begin anew that are to look by other settings than before.
    pub async fn follow(&mut self, before: &Settings, settings: &Settings) {
        if before.probe != settings.probe {
            end(&mut self.probing);
            self.means.forget_probes(settings).await;
            self.probing = self.means.prober(settings).map(|prober| tokio::spawn(prober.run()));
        }
        if before.outlier != settings.outlier {
            end(&mut self.watching);
            self.watching = self.means.watcher(settings).map(|watcher| tokio::spawn(watcher.run()));
        }
        if before.overload != settings.overload {
            end(&mut self.monitoring);
            self.means.shed_nothing();
            self.monitoring = self.means.monitor(settings).map(|monitor| tokio::spawn(monitor.run()));
        }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        [&mut self.probing, &mut self.watching, &mut self.monitoring].into_iter().for_each(end);
    }
}

fn end(task: &mut Option<JoinHandle<()>>) {
    if let Some(task) = task.take() {
        task.abort();
    }
}

impl Means {
    /// Where nobody asks any more, nobody would find out that a backend lives again.
    async fn forget_probes(&self, settings: &Settings) {
        if settings.probe.probe == Switch::On {
            return;
        }
        let change = |pool: &mut LivingPool, now| {
            let names: Vec<String> = pool.members().map(|member| member.name()).collect();
            for name in names {
                // Each is a member.
                let _ = pool.set_health(&name, Health::Alive, now);
            }
        };
        // The process may end meanwhile.
        let _ = self.pool.change(change).await;
    }

    /// Who asks the backends whether they are alive, if anybody is to.
    fn prober(&self, settings: &Settings) -> Option<Prober> {
        if settings.probe.probe == Switch::Off {
            return None;
        }
        let post = self.post.clone();
        let process = getrandom::u32().unwrap_or_else(|_| std::process::id()) as u16;
        let tools = Tools {
            exchange: post.probes().clone(),
            wake: Box::new(move |shard| post.wake(shard)),
            shards: self.shards.clone(),
            cells: self.cells.clone(),
            process,
        };
        Some(Prober::new(plan::probe_policy(settings), self.pool.clone(), tools))
    }

    /// Who looks for backends that stand out, if anybody is to.
    fn watcher(&self, settings: &Settings) -> Option<Watcher> {
        let policy = plan::outlier_policy(settings);
        let watcher = || Watcher::new(policy, self.pool.clone(), self.shards.clone(), self.cells.clone());
        (settings.outlier.outlier == Switch::On).then(watcher)
    }

    /// Who heeds what backends say of their load, if anybody is to.
    fn monitor(&self, settings: &Settings) -> Option<Monitor> {
        let OverloadSettings { retry_after, overload_control, .. } = &settings.overload;
        let rests = (*retry_after == Switch::On).then(|| plan::rest_policy(settings));
        let is_needed = rests.is_some() || *overload_control == Switch::On;
        is_needed.then(|| Monitor::new(rests, self.pool.clone(), self.shards.clone(), self.cells.clone()))
    }

    /// Where nobody heeds what backends ask for, nobody would find out that they ask no more.
    fn shed_nothing(&self) {
        let state = self.pool.state();
        let state = state.borrow();
        state.members.iter().for_each(|member| state.snapshot.shedding().set(member.slot, 0));
    }
}
