//! What shards tell of single messages, and who takes it: as the settings have it.

use std::sync::Arc;

use crate::config::error::ConfigError;
use crate::config::hep::HepCollector;
use crate::config::{Settings, Switch};
use crate::control::observe::exporter::{ExportPolicy, Exporter};
use crate::control::observe::link::Collector;
use crate::control::observe::problems::ProblemLog;
use crate::metrics::collector::observe::ObservationCells;
use crate::observe::Observation;
use crate::observe::copy::{CopyQueue, Share};
use crate::observe::problem::ProblemQueue;
use crate::observe::rate::Rate;
use crate::sip::Transport;

/// What the shards are to tell.
pub fn wanted(settings: &Settings) -> Observation {
    let rate = Rate::per_second(settings.observe.log_problems_per_second);
    let share = settings.hep.hep.as_ref().and_then(|_| Share::new(settings.hep.hep_sample));
    Observation {
        problems: rate.map(|rate| Arc::new(ProblemQueue::new(rate))),
        copies: share.map(|share| Arc::new(CopyQueue::new(share))),
    }
}

/// Who writes problems to the log, if anybody is to.
pub fn problem_log(observation: &Observation, cells: &ObservationCells) -> Option<ProblemLog> {
    let queue = observation.problems.clone()?;
    Some(ProblemLog::new(queue, cells.shards.clone(), cells.log.clone()))
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

/// Who sends copies on, if anybody is to.
pub fn exporter(policy: ExportPolicy, observation: &Observation, cells: &ObservationCells) -> Option<Exporter> {
    Some(Exporter::new(policy, observation.copies.clone()?, cells.export.clone()))
}
