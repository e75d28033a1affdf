//! How many requests each backend is not to be sent, by what it has said last and for how long that holds (RFC 7339). Driven by
//! reports and time alone.
//!
//! To let what was said last hold until the next word looked steadier. A backend that is sent nothing, since it has asked for that,
//! has no response left to take it back by; so each word ends by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::balance::backend::BackendSlot;
use crate::sip::overload::{LossReport, MAX_VALIDITY_MS};

/// What was said, by the backends' slots.
#[derive(Debug, Default)]
pub struct Losses {
    said: BTreeMap<BackendSlot, Said>,
}

#[derive(Debug)]
struct Said {
    sequence: u64,
    percent: u8,
    heard: Instant,
    until: Instant,
    /// When it last asked for fewer, or was last told of.
    wanted: Option<Instant>,
}

/// For how long a backend has wanted all before it is told again that it wants fewer: one that goes to and fro is told of once.
const QUIET: Duration = Duration::from_secs(10);

impl Losses {
    /// Takes a report in, unless it was overtaken. Whether the operator is to be told that this backend wants fewer requests.
    pub fn hear(&mut self, backend: BackendSlot, report: &LossReport, now: Instant) -> bool {
        let holds_at_most = Duration::from_millis(MAX_VALIDITY_MS.into());
        let before = self.said.get(&backend);
        if before.is_some_and(|said| report.sequence < said.sequence && now < said.heard + holds_at_most) {
            return false;
        }
        let was_wanted = before.and_then(|said| said.wanted);
        let wanted = if report.percent > 0 { Some(now) } else { was_wanted };
        let is_news = report.percent > 0 && was_wanted.is_none_or(|wanted| wanted + QUIET <= now);
        let until = now + Duration::from_millis(report.validity_ms.into());
        let LossReport { sequence, percent, .. } = *report;
        self.said.insert(backend, Said { sequence, percent, heard: now, until, wanted });
        is_news
    }

    /// How many in a hundred requests a backend is not to be sent at that moment.
    pub fn percent(&self, backend: BackendSlot, now: Instant) -> u8 {
        self.said.get(&backend).filter(|said| now < said.until).map_or(0, |said| said.percent)
    }

    /// The backends that have said anything.
    pub fn backends(&self) -> impl Iterator<Item = BackendSlot> {
        self.said.keys().copied()
    }

    /// Forgets a backend.
    pub fn forget(&mut self, backend: BackendSlot) {
        self.said.remove(&backend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKEND: BackendSlot = BackendSlot(3);

    fn report(percent: u8, sequence: u64, validity_ms: u32) -> LossReport {
        LossReport { percent, validity_ms, sequence }
    }

    #[test]
    fn what_was_said_holds_for_its_time_and_a_word_that_was_overtaken_changes_nothing() {
        let (mut losses, begun) = (Losses::default(), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        assert!(losses.hear(BACKEND, &report(40, 5, 500), at(0)));
        assert!(!losses.hear(BACKEND, &report(90, 4, 500), at(100)));
        assert_eq!([499, 500].map(|ms| losses.percent(BACKEND, at(ms))), [40, 0]);
        assert!(!losses.hear(BACKEND, &report(40, 5, 500), at(600)), "one that goes to and fro is told of once");
        assert_eq!([1_099, 1_100].map(|ms| losses.percent(BACKEND, at(ms))), [40, 0]);
        losses.hear(BACKEND, &report(0, 6, 0), at(700));
        assert_eq!(losses.percent(BACKEND, at(700)), 0, "it has taken it back");
        assert!(losses.hear(BACKEND, &report(10, 7, 500), at(20_000)));
        losses.hear(BACKEND, &report(80, 1, 500), at(20_000 + u64::from(MAX_VALIDITY_MS)));
        assert_eq!(losses.percent(BACKEND, at(20_001 + u64::from(MAX_VALIDITY_MS))), 80, "its clock was set back");
        losses.forget(BACKEND);
        assert_eq!((losses.percent(BACKEND, at(0)), losses.backends().count()), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// In whatever order reports come: what holds is what the one with the highest sequence says.
        #[test]
        fn the_latest_word_holds_in_whatever_order_the_words_come(said in proptest::collection::vec((0..=100u8, 0..50u64), 1..40)) {
            let (mut losses, now) = (Losses::default(), Instant::now());
            let mut latest = said[0];
            for (percent, sequence) in said {
                losses.hear(BACKEND, &report(percent, sequence, 500), now);
                if sequence >= latest.1 {
                    latest = (percent, sequence);
                }
                prop_assert_eq!(losses.percent(BACKEND, now), latest.0);
            }
        }
    }
}
