//! How often something may happen: so many times a second, and a few times at once after a rest.
//!
//! A count for each second looked simpler. It lets twice as many through where two seconds meet, and says nothing of a rest.

/// So many times a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time that one takes.
    interval_us: u64,
    /// How far ahead of the time those may be that happen at once.
    ahead_us: u64,
}

/// A token bucket: when what has happened so far would be due, were it to happen evenly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    due_us: u64,
}

/// How many seconds' worth may happen at once.
pub const BURST_S: u64 = 5;

impl Rate {
    /// `None` where it may not happen at all.
    pub fn per_second(times: u32) -> Option<Self> {
        let times = u64::from(times.min(1_000_000));
        let interval_us = 1_000_000u64.checked_div(times)?;
        Some(Rate { interval_us, ahead_us: interval_us * (times * BURST_S - 1) })
    }
}

impl Bucket {
    /// Whether it may happen now, which is then taken to happen. The clock never steps back.
    pub fn take(&mut self, rate: Rate, now_us: u64) -> bool {
        let due_us = self.due_us.max(now_us);
        if due_us - now_us > rate.ahead_us {
            return false;
        }
        self.due_us = due_us + rate.interval_us;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_more_happen_in_any_time_than_the_rate_and_the_burst_allow(
            times in 1u32..2_000,
            gaps_us in prop::collection::vec(0u64..300_000, 1..500),
        ) {
            let (rate, mut bucket, mut now_us) = (Rate::per_second(times).unwrap(), Bucket::default(), 7_000_000);
            let mut taken = Vec::new();
            for gap_us in gaps_us {
                now_us += gap_us;
                if bucket.take(rate, now_us) {
                    taken.push(now_us);
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, until) in taken.iter().enumerate().skip(first) {
                    let burst = u64::from(times) * BURST_S;
                    let allowed = burst + (until - from) / rate.interval_us + 1;
                    prop_assert!((last - first + 1) as u64 <= allowed);
                }
            }
        }
    }

    #[test]
    fn five_seconds_worth_may_happen_at_once_and_then_the_rate_holds() {
        let (rate, mut bucket) = (Rate::per_second(2).unwrap(), Bucket::default());
        let at_once = (0..100).filter(|_| bucket.take(rate, 1_000_000)).count();
        assert_eq!(at_once, 10);
        let later = (0..100).filter(|step| bucket.take(rate, 1_000_000 + step * 100_000)).count();
        assert_eq!(later, 19, "two a second for ten seconds but the first");
    }

    #[test]
    fn at_a_rate_of_none_nothing_may_happen() {
        assert_eq!(Rate::per_second(0), None);
    }
}
