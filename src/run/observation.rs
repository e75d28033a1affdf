//! What shards tell of single messages, and who takes it: as the settings have it, also when they are read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::error::ConfigError;
use crate::config::hep::HepCollector;
use crate::config::{Settings, Switch};
use crate::control::observe::exporter::{ExportPolicy, Orders, export};
use crate::control::observe::link::Collector;
use crate::control::observe::problems::ProblemLog;
use crate::metrics::cells::ShardCells;
use crate::metrics::collector::observe::ObservationCells;
use crate::observe::Observation;
use crate::observe::copy::Share;
use crate::sip::Transport;

/// What shards tell, and what is counted of it.
#[derive(Debug)]
pub struct Told {
    /// For the shards.
    pub observation: Observation,
    /// For the metrics page.
    pub cells: ObservationCells,
}

/// Who takes what shards tell, each on a task of his own. End them when the shards have ended.
#[derive(Debug)]
pub struct Takers {
    telling: JoinHandle<()>,
    exporting: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// By what other settings are put in force.
#[derive(Debug)]
pub struct Wishes {
    observation: Observation,
    policies: watch::Sender<Option<ExportPolicy>>,
}

/// For how long the collector may still take copies when the process ends.
const EXPORT_GRACE: Duration = Duration::from_secs(1);

impl Told {
    /// What these shards tell through that.
    pub fn new(observation: Observation, shards: Vec<Arc<ShardCells>>) -> Self {
        Told { observation, cells: ObservationCells { shards, ..ObservationCells::default() } }
    }

    /// Has it taken, copies by that policy.
    pub fn begin(&self, policy: Option<ExportPolicy>) -> (Takers, Wishes) {
        let Told { observation, cells: ObservationCells { shards, log, export: exported } } = self;
        let (policies, changes) = watch::channel(policy);
        let (stop, stopped) = oneshot::channel();
        let orders = Orders { policies: changes, stop: stopped };
        let telling = ProblemLog::new(observation.problems.clone(), shards.clone(), log.clone());
        let takers = Takers {
            telling: tokio::spawn(telling.run()),
            exporting: tokio::spawn(export(observation.copies.clone(), exported.clone(), orders)),
            stop,
        };
        (takers, Wishes { observation: observation.clone(), policies })
    }
}

impl Takers {
    /// Ends them: what the last messages met with is told first.
    pub async fn end(self) {
        self.telling.abort();
        drop(self.stop);
        let _ = timeout(EXPORT_GRACE, self.exporting).await;
    }
}

impl Wishes {
    /// Whether copies are sent on by that policy.
    pub fn has(&self, policy: &Option<ExportPolicy>) -> bool {
        *self.policies.borrow() == *policy
    }

    /// Has other settings in force, with the policy that they lead to.
    pub fn follow(&self, settings: &Settings, policy: Option<ExportPolicy>) {
        want(&self.observation, settings);
        self.policies.send_if_modified(|in_force| {
            let is_other = *in_force != policy;
            *in_force = policy;
            is_other
        });
    }
}

/// Has the shards tell what these settings want.
pub fn want(observation: &Observation, settings: &Settings) {
    observation.problems.set_rate(settings.observe.log_problems_per_second);
    let share = if settings.hep.hep.is_some() { Share::new(settings.hep.hep_sample) } else { Share::NONE };
    observation.copies.set_share(share);
}

/// How copies are sent on, where they are to be.
pub fn export_policy(settings: &Settings) -> Result<Option<ExportPolicy>, ConfigError> {
    let hep = &settings.hep;
    let Some(HepCollector { transport, target }) = &hep.hep else { return Ok(None) };
    let host = target.ip().map_or_else(|| target.host.clone(), |ip| ip.to_string());
    Ok(Some(ExportPolicy {
        collector: Collector { is_stream: *transport == Transport::Tcp, host, port: target.port },
        agent: hep.hep_agent_id,
        key: hep.key()?,
        has_bodies: hep.hep_bodies == Switch::On,
    }))
}
