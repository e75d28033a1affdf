//! What shards tell of single messages, and who takes it: as the settings have it.

use std::sync::Arc;

use crate::config::Settings;
use crate::control::observe::problems::ProblemLog;
use crate::metrics::collector::observe::ObservationCells;
use crate::observe::Observation;
use crate::observe::problem::ProblemQueue;
use crate::observe::rate::Rate;

/// What the shards are to tell.
pub fn wanted(settings: &Settings) -> Observation {
    let rate = Rate::per_second(settings.observe.log_problems_per_second);
    Observation { problems: rate.map(|rate| Arc::new(ProblemQueue::new(rate))) }
}

/// Who writes problems to the log, if anybody is to.
pub fn problem_log(observation: &Observation, cells: &ObservationCells) -> Option<ProblemLog> {
    let queue = observation.problems.clone()?;
    Some(ProblemLog::new(queue, cells.shards.clone(), cells.log.clone()))
}
