//! Writes the problems that shards tell of to the log: one line each, none too often, and how many were left out.
//!
//! To write nothing but a count now and then looked quieter. Who looks for one call wants the line of that call, with its Call-ID,
//! and a count has none.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::field::display;

use crate::metrics::cells::ShardCells;
use crate::metrics::collector::dropped_label;
use crate::metrics::problems::{LogCells, Problem};
use crate::observe::problem::{ProblemQueue, Record};
use crate::observe::rate::Bucket;

/// How often it is told how many were left out, of kinds that nothing is written of meanwhile.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// Who writes problems to the log.
#[derive(Debug)]
pub struct ProblemLog {
    queue: Arc<ProblemQueue>,
    shards: Vec<Arc<ShardCells>>,
    cells: Arc<LogCells>,
    buckets: [Bucket; Problem::COUNT],
    /// How many of each kind have been told to be left out.
    said: [u64; Problem::COUNT],
    /// The last problem of each kind, by which its kind is told.
    last: [Option<Problem>; Problem::COUNT],
    begun: Instant,
}

impl ProblemLog {
    /// One that writes what these shards tell through that queue.
    pub fn new(queue: Arc<ProblemQueue>, shards: Vec<Arc<ShardCells>>, cells: Arc<LogCells>) -> Self {
        ProblemLog {
            queue,
            shards,
            cells,
            buckets: [Bucket::default(); Problem::COUNT],
            said: [0; Problem::COUNT],
            last: [None; Problem::COUNT],
            begun: Instant::now(),
        }
    }

    /// Writes until it is dropped.
    pub async fn run(mut self) {
        let mut summary = Instant::now() + SUMMARY_EVERY;
        loop {
            let queue = self.queue.clone();
            tokio::select! {
                () = queue.bell() => self.write_all(),
                () = sleep(summary.saturating_duration_since(Instant::now())) => {
                    self.summarise();
                    summary = Instant::now() + SUMMARY_EVERY;
                }
            }
        }
    }
}

impl Drop for ProblemLog {
    /// What the last messages met with is told too, however this ends.
    fn drop(&mut self) {
        self.write_all();
        self.summarise();
    }
}

impl ProblemLog {
    /// Writes what waits: as many as the queue holds at most, so that others have their turn.
    fn write_all(&mut self) {
        while let Some(record) = self.queue.take() {
            self.write(&record);
        }
    }

    fn write(&mut self, record: &Record) {
        let (problem, index) = (record.problem, record.problem.index());
        self.last[index] = Some(problem);
        let now_us = self.begun.elapsed().as_micros() as u64;
        if !self.queue.rate().is_some_and(|rate| self.buckets[index].take(rate, now_us)) {
            return self.cells.suppress(problem);
        }
        let left_out = self.left_out(index);
        self.cells.logged.add(1);
        line(record, left_out);
    }

    /// Tells of kinds of which some were left out since their last line.
    fn summarise(&mut self) {
        for index in 0..Problem::COUNT {
            if let (Some(problem), Some(suppressed)) = (self.last[index], self.left_out(index)) {
                let (what, reason) = (problem.sentence(), problem.reason());
                let status = status(problem);
                tracing::info!(what, reason, status, suppressed, "more of the same was left out of the log");
            }
        }
    }

    /// How many of a kind were left out and have not been told of; they are from now on.
    fn left_out(&mut self, index: usize) -> Option<u64> {
        let of_shards: u64 = self.shards.iter().map(|cells| cells.problems().left_out_count(index)).sum();
        let all = of_shards + self.cells.suppressed_count(index);
        let untold = all - std::mem::replace(&mut self.said[index], all);
        (untold > 0).then_some(untold)
    }
}

/// Writes the line of one problem.
fn line(record: &Record, suppressed: Option<u64>) {
    let Record { problem, cause, peer, next_hop, transport, read, phrase } = record;
    let what = problem.sentence();
    let cause = cause.map(|cause| dropped_label(cause.index()));
    let reason = problem.reason().or(std::str::from_utf8(phrase).ok().filter(|phrase| !phrase.is_empty()));
    let (fault, direction) = (problem.fault(), problem.direction().map(|direction| direction.label()));
    let (method, status) = (read.method.map(|method| method.label()), status(*problem).or(read.status));
    let (peer, next_hop) = (peer.map(display), next_hop.map(display));
    let transport = transport.map(|transport| transport.label());
    let call_id = problem.is_of_a_message().then_some(display(Plain(&read.call_id)));
    macro_rules! at {
        ($level:ident) => {
            tracing::$level!(
                reason, fault, cause, method, status, direction, transport, peer, next_hop, call_id, suppressed,
                "{what}"
            )
        };
    }
    match problem.is_ours() {
        true => at!(warn),
        false => at!(info),
    }
}

/// The status of our own answer.
fn status(problem: Problem) -> Option<u16> {
    match problem {
        Problem::Answered(status, _) => Some(status.code()),
        _ => None,
    }
}

/// Bytes of a message as text that can neither end a line nor begin another field: all but the visible characters of ASCII, and the
/// backslash and the quotation mark, are written as `\x` and two digits.
struct Plain<'a>(&'a [u8]);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b'\\' | b'"' => write!(f, "\\x{byte:02x}")?,
                0x21..=0x7e => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}
