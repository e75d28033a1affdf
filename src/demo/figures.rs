//! What the agents count. They all run on one thread, so a figure is a plain cell.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::call::Failure;

/// The longest latency that is told apart, in nanoseconds: longer than any INVITE waits.
const LONGEST_NS: u64 = 60_000_000_000;

/// The agents' figures.
#[derive(Debug)]
pub struct Figures {
    calling: Cell<bool>,
    started: Cell<u64>,
    completed: Cell<u64>,
    failed: Cell<u64>,
    failures: RefCell<BTreeMap<Failure, u64>>,
    at_backends: Vec<Cell<u64>>,
    latency: Option<RefCell<Histogram<u64>>>,
}

/// The calls' figures at one moment.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Started.
    pub started: u64,
    /// Neither completed nor failed.
    pub in_progress: u64,
    /// Ended as they should.
    pub completed: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Why calls failed, and how many.
    pub failures: Vec<(Failure, u64)>,
    /// How many began at each backend.
    pub at_backends: Vec<u64>,
    /// From INVITE to first response, in nanoseconds: the median, the 99th percentile and the maximum.
    pub latency_ns: [u64; 3],
}

impl Figures {
    /// All zero, for so many backends.
    pub fn new(backends: usize) -> Self {
        Figures {
            calling: Cell::new(true),
            started: Cell::default(),
            completed: Cell::default(),
            failed: Cell::default(),
            failures: RefCell::default(),
            at_backends: vec![Cell::default(); backends],
            latency: Histogram::new_with_bounds(1, LONGEST_NS, 3).ok().map(RefCell::new),
        }
    }

    /// No more calls are to be started.
    pub fn end(&self) {
        self.calling.set(false);
    }

    /// Whether calls are to be started.
    pub fn is_calling(&self) -> bool {
        self.calling.get()
    }

    /// Calls that are still in progress count as failed.
    pub fn abandon_the_rest(&self) {
        let rest = self.in_progress();
        if rest > 0 {
            self.failed.set(self.failed.get() + rest);
            self.failures.borrow_mut().insert(Failure::Unfinished, rest);
        }
    }

    /// Counts a call.
    pub fn call_started(&self) {
        add_one(&self.started);
    }

    /// Counts how a call ended.
    pub fn call_ended(&self, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => add_one(&self.completed),
            Err(failure) => {
                add_one(&self.failed);
                *self.failures.borrow_mut().entry(failure).or_default() += 1;
            }
        }
    }

    /// Counts a call that began at a backend.
    pub fn call_at_backend(&self, index: usize) {
        if let Some(count) = self.at_backends.get(index) {
            add_one(count);
        }
    }

    /// Notes how long a first response took.
    pub fn first_response(&self, latency: Duration) {
        if let Some(histogram) = &self.latency {
            let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS);
            histogram.borrow_mut().saturating_record(latency_ns);
        }
    }

    /// Calls started.
    pub fn started(&self) -> u64 {
        self.started.get()
    }

    /// Calls failed.
    pub fn failed(&self) -> u64 {
        self.failed.get()
    }

    /// Calls in progress.
    pub fn in_progress(&self) -> u64 {
        self.started.get() - self.completed.get() - self.failed.get()
    }

    /// All of it.
    pub fn calls(&self) -> Calls {
        let latency = |histogram: &RefCell<Histogram<u64>>| {
            let histogram = histogram.borrow();
            [histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99), histogram.max()]
        };
        Calls {
            started: self.started(),
            in_progress: self.in_progress(),
            completed: self.completed.get(),
            failed: self.failed(),
            failures: self.failures.borrow().iter().map(|(failure, count)| (*failure, *count)).collect(),
            at_backends: self.at_backends.iter().map(Cell::get).collect(),
            latency_ns: self.latency.as_ref().map(latency).unwrap_or_default(),
        }
    }
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_progress_completed_or_failed() {
        let figures = Figures::new(1);
        (0..4).for_each(|_| figures.call_started());
        figures.call_ended(Ok(()));
        figures.call_ended(Err(Failure::Refused(503)));
        assert_eq!((figures.in_progress(), figures.failed()), (2, 1));
        figures.abandon_the_rest();
        let calls = figures.calls();
        assert_eq!((calls.completed, calls.in_progress, calls.failed), (1, 0, 3));
        assert_eq!(calls.failures, [(Failure::Refused(503), 1), (Failure::Unfinished, 2)]);
    }
}
