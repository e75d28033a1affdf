//! What a shard counts of each backend, by the backend's slot.
//!
//! One block for every slot that there may be looked simpler. It is megabytes a shard, and most pools have a few members; so
//! there is a row of blocks, made by whoever publishes a pool that needs them, before a shard counts into them.

use std::sync::OnceLock;

use crate::balance::backend::BackendSlot;
use crate::balance::pool::MAX_BACKENDS;
use crate::proxy::latency::{MethodClass, Phase, Sample};

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
}

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
}
