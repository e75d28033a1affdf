//! Which backends stand out by what real requests meet with there: requests unanswered, or answered 5xx. They get no new calls for a
//! while. Driven by counts and time alone.
//!
//! To judge each response as it comes looked quicker. One gateway behind a backend that answers 503 for a minute would take the
//! backend out, and then the next one that its calls are moved to; a share over a window, beside that of the others, tells a
//! backend's trouble from everybody's.
//!
//! | module | charge |
//! | --- | --- |
//! | [`watcher`] | takes the counts at each window's end, and has outliers set aside |

pub mod watcher;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// When a backend is an outlier, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierPolicy {
    /// Over how long requests and responses are counted.
    pub window: Duration,
    /// How many requests, or final responses, in a window a share must be of.
    pub requests_min: u64,
    /// From which share of requests that are unanswered, or of final responses that are 5xx, a backend is an outlier.
    pub share: f64,
    /// The largest share of the pool that is set aside at a time.
    pub ejected_max: f64,
    /// For how long one is set aside the first time. Each further time it is so much longer, up to [`LONGEST`] times.
    pub base: Duration,
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        let (window, base) = (Duration::from_secs(10), Duration::from_secs(30));
        OutlierPolicy { window, requests_min: 100, share: 0.5, ejected_max: 0.34, base }
    }
}

/// How many times its base a time aside is at most.
pub const LONGEST: u32 = 10;

/// What was counted of a backend since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that are to be answered.
    pub asked: u64,
    /// Responses, provisional ones too. A request may have several, so the share unanswered is this at least.
    pub heard: u64,
    /// Final responses.
    pub finals: u64,
    /// Final responses of 5xx.
    pub errors: u64,
}

/// Why a backend is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It leaves requests unanswered.
    Unanswered,
    /// It answers 5xx.
    Errors,
}

/// A backend to be set aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Ejection {
    /// The backend.
    pub name: String,
    /// Why.
    pub reason: Reason,
    /// The share that was found.
    pub share: f64,
    /// For how long.
    pub until: Instant,
}

/// One who judges at each window's end.
#[derive(Debug)]
pub struct Judge {
    policy: OutlierPolicy,
    records: BTreeMap<String, Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    tally: Tally,
    /// How often it was set aside, less one for each base's time that it was well since.
    times: u32,
    until: Option<Instant>,
    forgiven: Instant,
}

impl Judge {
    /// One who has seen nothing.
    pub fn new(policy: OutlierPolicy) -> Self {
        Judge { policy, records: BTreeMap::new() }
    }

    /// Judges the members that get new calls, by what was counted of each since the start; those that are gone are forgotten.
    pub fn judge(&mut self, members: &[(String, Tally)], now: Instant) -> Vec<Ejection> {
        let windows: Vec<(&String, Tally)> =
            members.iter().map(|(name, tally)| (name, self.window(name, *tally, now))).collect();
        self.records.retain(|name, _| members.binary_search_by(|(other, _)| other.cmp(name)).is_ok());
        let whole = windows.iter().fold(Tally::default(), |sum, (_, tally)| sum.and(tally));
        let mut found: Vec<(&String, Reason, f64)> = windows
            .iter()
            .filter(|(name, _)| self.records.get(*name).is_some_and(|record| record.until.is_none()))
            .filter_map(|(name, tally)| {
                self.outlier(tally, &whole.less(tally)).map(|(reason, share)| (*name, reason, share))
            })
            .collect();
        found.sort_by(|(_, _, a), (_, _, b)| b.total_cmp(a));
        let aside = self.records.values().filter(|record| record.until.is_some()).count();
        let room = ((members.len() as f64 * self.policy.ejected_max) as usize).saturating_sub(aside);
        found.into_iter().take(room).map(|(name, reason, share)| self.eject(name, reason, share, now)).collect()
    }

    /// What was counted since the window before.
    fn window(&mut self, name: &str, tally: Tally, now: Instant) -> Tally {
        let Some(record) = self.records.get_mut(name) else {
            let record = Record { tally, times: 0, until: None, forgiven: now };
            self.records.insert(name.to_owned(), record);
            return Tally::default();
        };
        record.until = record.until.filter(|until| now < *until);
        while record.times > 0 && record.until.is_none() && now >= record.forgiven + self.policy.base {
            (record.times, record.forgiven) = (record.times - 1, record.forgiven + self.policy.base);
        }
        let before = std::mem::replace(&mut record.tally, tally);
        tally.less(&before)
    }

    /// Whether one stands out beside the others: it has a large share, and they have not half as large a one. One that has
    /// no others does not.
    fn outlier(&self, own: &Tally, others: &Tally) -> Option<(Reason, f64)> {
        let stands_out = |of: fn(&Tally) -> (u64, u64)| {
            let ((bad, all), (bad_elsewhere, all_elsewhere)) = (of(own), of(others));
            let enough = all >= self.policy.requests_min && all_elsewhere >= self.policy.requests_min;
            let (share, elsewhere) =
                (bad as f64 / all.max(1) as f64, bad_elsewhere as f64 / all_elsewhere.max(1) as f64);
            (enough && share >= self.policy.share && elsewhere < self.policy.share / 2.0).then_some(share)
        };
        let unanswered = stands_out(|tally| (tally.asked.saturating_sub(tally.heard), tally.asked));
        let errors = || stands_out(|tally| (tally.errors, tally.finals));
        let unanswered = unanswered.map(|share| (Reason::Unanswered, share));
        unanswered.or_else(|| errors().map(|share| (Reason::Errors, share)))
    }

    fn eject(&mut self, name: &str, reason: Reason, share: f64, now: Instant) -> Ejection {
        let base = self.policy.base;
        let record = self.records.get_mut(name);
        let until = record.map_or(now, |record| {
            record.times = (record.times + 1).min(LONGEST);
            let until = now + base * record.times;
            (record.until, record.forgiven) = (Some(until), until);
            until
        });
        Ejection { name: name.to_owned(), reason, share, until }
    }
}

impl Tally {
    fn and(&self, other: &Tally) -> Tally {
        Tally {
            asked: self.asked + other.asked,
            heard: self.heard + other.heard,
            finals: self.finals + other.finals,
            errors: self.errors + other.errors,
        }
    }

    /// Counts only rise, but two that are read one after the other may be of two moments.
    fn less(&self, other: &Tally) -> Tally {
        Tally {
            asked: self.asked.saturating_sub(other.asked),
            heard: self.heard.saturating_sub(other.heard),
            finals: self.finals.saturating_sub(other.finals),
            errors: self.errors.saturating_sub(other.errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Members that count up, window by window.
    struct Scene {
        judge: Judge,
        now: Instant,
        members: Vec<(String, Tally)>,
    }

    const WELL: (u64, u64) = (0, 0);

    impl Scene {
        fn new(members: usize) -> Self {
            let judge = Judge::new(OutlierPolicy::default());
            let members = (0..members).map(|member| (format!("m{member:02}"), Tally::default())).collect();
            let mut scene = Scene { judge, now: Instant::now(), members };
            scene.window(&[]);
            scene
        }

        /// 200 requests to each; of each member, how many of them are unanswered and how many are errors. Gives who is set
        /// aside, and for how long.
        fn window(&mut self, bad: &[(u64, u64)]) -> Vec<(String, Reason, Duration)> {
            for (place, (_, tally)) in self.members.iter_mut().enumerate() {
                let (unanswered, errors) = bad.get(place).copied().unwrap_or(WELL);
                let heard = 200 - unanswered.min(200);
                *tally = tally.and(&Tally { asked: 200, heard, finals: heard, errors: errors.min(heard) });
            }
            self.now += self.judge.policy.window;
            let found = self.judge.judge(&self.members, self.now);
            found.into_iter().map(|ejection| (ejection.name, ejection.reason, ejection.until - self.now)).collect()
        }
    }

    #[test]
    fn one_that_leaves_half_unanswered_or_answers_5xx_is_set_aside_ever_longer_and_forgiven_in_time() {
        for (bad, reason) in [((100, 0), Reason::Unanswered), ((0, 150), Reason::Errors)] {
            let mut scene = Scene::new(4);
            let base = scene.judge.policy.base;
            for times in 1..=LONGEST + 2 {
                let aside = base * times.min(LONGEST);
                assert_eq!(scene.window(&[WELL, bad]), [("m01".to_owned(), reason, aside)]);
                assert!(scene.window(&[WELL, bad]).is_empty(), "it is set aside already");
                scene.now += aside;
            }
            scene.window(&[]);
            scene.now += base * (LONGEST + 1);
            scene.window(&[]);
            assert_eq!(scene.window(&[WELL, bad]), [("m01".to_owned(), reason, base)]);
        }
    }

    #[test]
    fn what_all_meet_with_is_no_backends_fault_and_a_few_requests_tell_nothing() {
        let mut scene = Scene::new(4);
        assert!(scene.window(&[(0, 150), (0, 140), (0, 160), (0, 90)]).is_empty());
        assert!(scene.window(&[(99, 0)]).is_empty());
        scene.judge.policy.requests_min = 201;
        assert!(scene.window(&[(200, 0)]).is_empty());
        assert!(Scene::new(1).window(&[(200, 0)]).is_empty(), "it has no others");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However bad they are, never more than that share of the pool is set aside at once.
        #[test]
        fn never_more_than_a_share_of_the_pool_is_set_aside(
            size in 1..12usize,
            windows in proptest::collection::vec(proptest::collection::vec((0..220u64, 0..220u64), 12), 1..20),
        ) {
            let mut scene = Scene::new(size);
            let mut aside: Vec<(String, Instant)> = Vec::new();
            for bad in windows {
                let found = scene.window(&bad);
                aside.retain(|(_, until)| scene.now < *until);
                aside.extend(found.into_iter().map(|(name, _, time)| (name, scene.now + time)));
                prop_assert!(aside.len() as f64 <= size as f64 * scene.judge.policy.ejected_max);
            }
        }
    }
}
