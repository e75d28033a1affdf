//! Which backends are let rest since they asked for that by a 503 with Retry-After, and for how long. Driven by what they say and
//! time alone.
//!
//! To grant each what it asks looked enough. A backend that passes a gateway's 503 on as its own, which RFC 3261 §16.7 item 6 warns
//! of, would put itself away for that gateway's hours, and then the next one that its calls are moved to; so a rest has a longest
//! time, and no more than a part of the pool rests at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How much rest there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestPolicy {
    /// The longest rest, whatever is asked for.
    pub longest: Duration,
    /// The largest share of the pool that is held back at a time, for whatever reason, before nobody else is let rest.
    pub share_max: f64,
}

impl Default for RestPolicy {
    fn default() -> Self {
        RestPolicy { longest: Duration::from_secs(60), share_max: 0.5 }
    }
}

/// What is known of a member that new calls go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plea {
    /// The member.
    pub name: String,
    /// After how many seconds it wants to be tried again, where it has said so since the last look.
    pub retry_after_s: Option<u32>,
    /// Whether it gets no new calls for another reason.
    pub is_held_otherwise: bool,
}

/// A rest that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The member.
    pub name: String,
    /// Until when it rests.
    pub until: Instant,
    /// Whether it did not rest before.
    pub is_new: bool,
}

/// Who rests.
#[derive(Debug)]
pub struct Rests {
    policy: RestPolicy,
    until: BTreeMap<String, Instant>,
}

impl Rests {
    /// Nobody rests.
    pub fn new(policy: RestPolicy) -> Self {
        Rests { policy, until: BTreeMap::new() }
    }

    /// Hears all members that new calls go to, by name, and grants rests: one that rests may rest for longer, and others begin as long
    /// as there is room. Whoever is no such member any more is forgotten.
    pub fn hear(&mut self, members: &[Plea], now: Instant) -> Vec<Rest> {
        let is_member = |name: &String| members.binary_search_by(|plea| plea.name.cmp(name)).is_ok();
        self.until.retain(|name, until| now < *until && is_member(name));
        let is_held = |plea: &&Plea| plea.is_held_otherwise || self.until.contains_key(&plea.name);
        let held = members.iter().filter(is_held).count();
        let mut room = ((members.len() as f64 * self.policy.share_max) as usize).saturating_sub(held);
        let mut granted = Vec::new();
        for plea in members {
            let Some(seconds) = plea.retry_after_s.filter(|seconds| *seconds > 0) else { continue };
            let is_new = !self.until.contains_key(&plea.name);
            if is_new && !plea.is_held_otherwise {
                let Some(left) = room.checked_sub(1) else { continue };
                room = left;
            }
            let asked = now + Duration::from_secs(seconds.into()).min(self.policy.longest);
            let before = self.until.insert(plea.name.clone(), asked).filter(|before| asked < *before);
            // A response that was late, or that says less than the one before, does not end a rest.
            let until = before.unwrap_or(asked);
            self.until.insert(plea.name.clone(), until);
            granted.push(Rest { name: plea.name.clone(), until, is_new });
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pleas(asked: &[Option<u32>]) -> Vec<Plea> {
        let plea = |(place, asked): (usize, &Option<u32>)| Plea {
            name: format!("m{place:02}"),
            retry_after_s: *asked,
            is_held_otherwise: false,
        };
        asked.iter().enumerate().map(plea).collect()
    }

    #[test]
    fn one_rests_for_as_long_as_it_asked_longer_if_it_asks_again_and_never_beyond_the_longest() {
        let (mut rests, begun) = (Rests::new(RestPolicy::default()), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut hear = |asked, now| {
            let granted = rests.hear(&pleas(&[None, Some(asked)]), at(now));
            granted.into_iter().map(|rest| ((rest.until - begun).as_secs(), rest.is_new)).collect::<Vec<_>>()
        };
        assert_eq!(hear(0, 0), []);
        assert_eq!(hear(3, 0), [(3, true)]);
        assert_eq!(hear(1, 1), [(3, false)], "a later word that says less does not end it");
        assert_eq!(hear(5, 1), [(6, false)]);
        assert_eq!(hear(u32::MAX, 2), [(62, false)]);
        assert_eq!(hear(2, 62), [(64, true)], "its rest was over");
    }

    #[test]
    fn one_that_is_held_back_already_takes_no_room_from_the_others() {
        let mut rests = Rests::new(RestPolicy::default());
        let mut members = pleas(&[Some(9), Some(9), None, None]);
        members[3].is_held_otherwise = true;
        let names = |granted: Vec<Rest>| granted.into_iter().map(|rest| rest.name).collect::<Vec<_>>();
        assert_eq!(names(rests.hear(&members, Instant::now())), ["m00"], "two of four are held back");
        members[3].retry_after_s = Some(9);
        assert_eq!(names(rests.hear(&members, Instant::now())), ["m00", "m03"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever they ask: no more than the share rests at once, and nobody for longer than the longest from its last word.
        #[test]
        fn never_more_than_a_share_of_the_pool_rests_and_nobody_for_longer_than_is_allowed(
            size in 1..10usize,
            looks in proptest::collection::vec((proptest::collection::vec(proptest::option::of(0..5_000u32), 10), 0..90u64), 1..30),
        ) {
            let policy = RestPolicy::default();
            let (mut rests, mut now) = (Rests::new(policy), Instant::now());
            for (asked, wait_s) in looks {
                now += Duration::from_secs(wait_s);
                for rest in rests.hear(&pleas(&asked[..size]), now) {
                    prop_assert!(rest.until <= now + policy.longest);
                }
                let resting = rests.until.values().filter(|until| now < **until).count();
                prop_assert!(resting as f64 <= size as f64 * policy.share_max);
            }
        }
    }
}
