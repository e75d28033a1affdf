//! What a shard counts of each backend, by the backend's slot.
//!
//! One block for every slot that there may be looked simpler. It is megabytes a shard, and most pools have a few members; so
//! there is a row of blocks, made by whoever publishes a pool that needs them, before a shard counts into them.

use std::sync::OnceLock;

use crate::balance::backend::BackendSlot;
use crate::balance::pool::MAX_BACKENDS;
use crate::proxy::latency::{MethodClass, Phase, Sample};
use crate::sip::overload::{LossReport, MAX_VALIDITY_MS};

use super::cells::{Cell, bump, value};
use super::latency::{LatencyCells, Total};

/// The status classes, 1xx to 6xx.
pub const CLASSES: usize = 6;

/// How many backends share a block.
const BLOCK: usize = 64;

/// What one shard counts of backends. What is counted for a slot without room is lost.
#[derive(Debug)]
pub struct BackendCells {
    blocks: [OnceLock<Box<[Counts; BLOCK]>>; MAX_BACKENDS / BLOCK],
    /// Rises when a backend has said something of its load.
    load_news: Cell,
}

#[derive(Debug, Default)]
struct Counts {
    requests: Cell,
    responses: [Cell; CLASSES],
    asked: Cell,
    heard: Cell,
    finals: Cell,
    errors: Cell,
    latency: LatencyCells,
    retry_afters: Cell,
    retry_after_s: Cell,
    loss: LossCells,
    shed: Cell,
}

/// The last report of a backend's that was not overtaken.
#[derive(Debug, Default)]
struct LossCells {
    reports: Cell,
    /// The sequence, and below it the percentage: one number, so that nobody reads one of one report and one of another.
    said: Cell,
    validity_ms: Cell,
    heard_us: Cell,
}

/// How many bits of what was said are the percentage.
const PERCENT_BITS: u32 = 7;

impl BackendCells {
    /// Cells with room for that many slots, all zero.
    pub(super) fn with_room(slots: usize) -> Self {
        let blocks = [const { OnceLock::new() }; MAX_BACKENDS / BLOCK];
        let cells = BackendCells { blocks, load_news: Cell::default() };
        cells.make_room(slots);
        cells
    }

    /// Makes room for that many slots; at most [`MAX_BACKENDS`]. Anybody may, at any time.
    pub fn make_room(&self, slots: usize) {
        for block in self.blocks.iter().take(slots.div_ceil(BLOCK)) {
            block.get_or_init(|| Box::new(std::array::from_fn(|_| Counts::default())));
        }
    }

    /// Counts a request to a backend.
    pub(super) fn request(&self, backend: BackendSlot) {
        if let Some(counts) = self.of(backend) {
            counts.requests.add(1);
        }
    }

    /// Counts a response from a backend.
    pub(super) fn response(&self, backend: BackendSlot, status: u16) {
        if let Some(counts) = self.of(backend) {
            bump(&counts.responses, usize::from(status / 100).clamp(1, CLASSES) - 1);
        }
    }

    /// Counts a request that is to be answered.
    pub(super) fn asked(&self, backend: BackendSlot) {
        if let Some(counts) = self.of(backend) {
            counts.asked.add(1);
        }
    }

    /// Counts a response that was verified.
    pub(super) fn heard(&self, backend: BackendSlot, status: u16) {
        if let Some(counts) = self.of(backend) {
            counts.heard.add(1);
            if status >= 200 {
                counts.finals.add(1);
            }
            if status / 100 == 5 {
                counts.errors.add(1);
            }
        }
    }

    /// Counts how long a backend took.
    pub(super) fn latency(&self, sample: &Sample) {
        if let Some(counts) = self.of(sample.backend) {
            counts.latency.observe(sample);
        }
    }

    /// Notes that a backend has answered 503, to be tried again after so many seconds.
    pub(super) fn retry_after(&self, backend: BackendSlot, seconds: u32) {
        if let Some(counts) = self.of(backend) {
            counts.retry_after_s.set(seconds.into());
            counts.retry_afters.add(1);
            self.load_news.ring();
        }
    }

    /// Notes what a backend says of its load, unless it was overtaken by what it has said since. Where its clock was set back, it is
    /// believed again when nothing that it said before can hold any more.
    pub(super) fn loss(&self, backend: BackendSlot, report: &LossReport, now_us: u64) {
        let Some(LossCells { reports, said, validity_ms, heard_us }) = self.of(backend).map(|counts| &counts.loss)
        else {
            return;
        };
        let is_old = now_us.saturating_sub(heard_us.get()) > u64::from(MAX_VALIDITY_MS) * 1_000;
        if report.sequence < said.get() >> PERCENT_BITS && !is_old {
            return;
        }
        validity_ms.set(report.validity_ms.into());
        said.set(report.sequence << PERCENT_BITS | u64::from(report.percent));
        heard_us.set(now_us);
        reports.add(1);
        self.load_news.ring();
    }

    /// Counts a request that was refused, since its backend has asked for fewer.
    pub(super) fn shed(&self, backend: BackendSlot) {
        if let Some(counts) = self.of(backend) {
            counts.shed.add(1);
        }
    }

    /// Requests refused, since their backend has asked for fewer.
    pub fn shed_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.shed.get())
    }

    /// How many reports of its load a backend has made that were not overtaken.
    pub fn loss_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.loss.reports.get())
    }

    /// The last of them.
    pub fn loss_report(&self, backend: BackendSlot) -> Option<LossReport> {
        let LossCells { said, validity_ms, .. } = &self.of(backend)?.loss;
        let said = said.get();
        let percent = (said & ((1 << PERCENT_BITS) - 1)) as u8;
        Some(LossReport { percent, validity_ms: validity_ms.get() as u32, sequence: said >> PERCENT_BITS })
    }

    /// Rises when any backend has said something of its load.
    pub fn load_news(&self) -> u64 {
        self.load_news.rings()
    }

    /// How often a backend has answered 503 with a Retry-After.
    pub fn retry_after_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.retry_afters.get())
    }

    /// After how many seconds it was to be tried again, by the last of these.
    pub fn retry_after_s(&self, backend: BackendSlot) -> u32 {
        self.of(backend).map_or(0, |counts| counts.retry_after_s.get() as u32)
    }

    /// Requests to a backend.
    pub fn request_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.requests.get())
    }

    /// Responses from a backend, by class less one.
    pub fn response_count(&self, backend: BackendSlot, class_index: usize) -> u64 {
        self.of(backend).map_or(0, |counts| value(&counts.responses, class_index))
    }

    /// Responses of a backend's that were verified. Where it rises, the backend is alive.
    pub fn heard_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.heard.get())
    }

    /// Requests to a backend that are to be answered: all but ACKs.
    pub fn asked_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.asked.get())
    }

    /// Final responses of a backend's that were verified.
    pub fn final_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.finals.get())
    }

    /// Those of them that are 5xx.
    pub fn error_count(&self, backend: BackendSlot) -> u64 {
        self.of(backend).map_or(0, |counts| counts.errors.get())
    }

    /// Adds how long a backend took to a total.
    pub fn add_latency(&self, backend: BackendSlot, phase: Phase, class: MethodClass, total: &mut Total) {
        if let Some(counts) = self.of(backend) {
            counts.latency.add_to(phase, class, total);
        }
    }

    fn of(&self, backend: BackendSlot) -> Option<&Counts> {
        self.blocks.get(backend.get() / BLOCK)?.get()?.get(backend.get() % BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_is_counted_apart_once_there_is_room_for_it() {
        let cells = BackendCells::with_room(1);
        let slots = [0, 63, 64, 4095].map(BackendSlot);
        slots.iter().for_each(|slot| cells.request(*slot));
        assert_eq!(slots.map(|slot| cells.request_count(slot)), [1, 1, 0, 0]);
        cells.make_room(MAX_BACKENDS);
        slots.iter().for_each(|slot| cells.request(*slot));
        cells.request(BackendSlot(u16::MAX));
        assert_eq!(slots.map(|slot| cells.request_count(slot)), [2, 2, 1, 1]);
    }

    #[test]
    fn a_report_that_was_overtaken_is_not_noted_until_a_later_one_cannot_hold_any_more() {
        let (cells, backend) = (BackendCells::with_room(1), BackendSlot(0));
        let report = |percent, sequence| LossReport { percent, validity_ms: 500, sequence };
        let last = (1 << 57) - 1;
        let said = |reported: LossReport, now_us| {
            cells.loss(backend, &reported, now_us);
            (cells.loss_report(backend).unwrap(), cells.loss_count(backend), cells.load_news())
        };
        assert_eq!(said(report(20, 7), 1), (report(20, 7), 1, 1));
        assert_eq!(said(report(90, 6), 2), (report(20, 7), 1, 1));
        assert_eq!(said(report(20, 7), 3), (report(20, 7), 2, 2), "the same again holds for longer");
        assert_eq!(said(report(100, last), 4), (report(100, last), 3, 3));
        let later_us = u64::from(MAX_VALIDITY_MS) * 1_000 + 5;
        assert_eq!(said(report(5, 1), later_us - 1), (report(100, last), 3, 3));
        assert_eq!(said(report(5, 1), later_us), (report(5, 1), 4, 4), "its clock was set back");
    }
}
