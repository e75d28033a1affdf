//! How many requests a second each backend is sent, over the last seconds.
//!
//! To leave the reckoning to whoever asks looked enough, as Prometheus and the status page do it. A single look, as by `viaduct ctl`, would
//! then show no rate at all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::balance::backend::BackendSlot;

use super::api::Api;

/// How often the counts are noted.
const PERIOD: Duration = Duration::from_secs(1);

/// How many notes are kept: a rate is that of the time since the oldest.
const NOTES_MAX: usize = 5;

/// The counts of the last seconds, of those that are members.
#[derive(Debug, Default)]
pub struct Rates {
    notes: Mutex<VecDeque<Note>>,
}

#[derive(Debug)]
struct Note {
    at: Instant,
    requests: HashMap<BackendSlot, u64>,
}

impl Rates {
    /// Notes what the backends in these slots were sent until then.
    fn note(&self, at: Instant, requests: HashMap<BackendSlot, u64>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.truncate(NOTES_MAX - 1);
        notes.push_front(Note { at, requests });
    }

    /// Requests a second since the oldest note of that backend, which was sent so many until `now`. Nothing where there is no note yet.
    pub(super) fn requests_per_s(&self, slot: BackendSlot, requests: u64, now: Instant) -> f64 {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = notes.iter().rev().find_map(|note| Some((note.at, *note.requests.get(&slot)?)));
        let Some((at, before)) = oldest else { return 0.0 };
        let took_s = now.saturating_duration_since(at).as_secs_f64();
        if took_s > 0.0 { requests.saturating_sub(before) as f64 / took_s } else { 0.0 }
    }
}

/// Notes what each backend is sent, each second, for as long as it is polled.
pub(super) async fn note_each_second(api: &Api) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = api.pool.state().borrow().clone();
        let requests = state.members.iter().map(|member| (member.slot, api.requests(member.slot))).collect();
        api.rates.note(Instant::now(), requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: BackendSlot = BackendSlot(7);

    #[test]
    fn a_rate_is_that_of_the_last_seconds_alone() {
        let (rates, start) = (Rates::default(), Instant::now());
        assert_eq!(rates.requests_per_s(SLOT, 9, start), 0.0);
        let at = |second: u64| start + Duration::from_secs(second);
        for second in 0..20 {
            // A burst at the start, then ten a second.
            rates.note(at(second), HashMap::from([(SLOT, 1000 + 10 * second)]));
            assert!(rates.notes.lock().unwrap().len() <= NOTES_MAX);
        }
        assert_eq!(rates.requests_per_s(SLOT, 1200, at(20)), 10.0);
        assert_eq!(rates.requests_per_s(SLOT, 1190, at(19)), 10.0);
    }

    #[test]
    fn one_that_has_come_since_is_reckoned_from_when_it_came_and_a_count_that_fell_is_no_rate() {
        let (rates, start) = (Rates::default(), Instant::now());
        rates.note(start, HashMap::new());
        rates.note(start + PERIOD, HashMap::from([(SLOT, 100)]));
        assert_eq!(rates.requests_per_s(SLOT, 150, start + 2 * PERIOD), 50.0);
        assert_eq!(rates.requests_per_s(SLOT, 50, start + 2 * PERIOD), 0.0);
        assert_eq!(rates.requests_per_s(BackendSlot(8), 50, start + 2 * PERIOD), 0.0);
    }
}
