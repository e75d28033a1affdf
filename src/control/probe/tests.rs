//! The machine in virtual time.

use proptest::prelude::*;

use super::*;

/// A backend that answers while it is alive, at once, and the machine that asks it.
struct Scene {
    policy: ProbePolicy,
    watch: Watch,
    now: Instant,
    begun: Instant,
    draws: u64,
    asked: Vec<Duration>,
}

impl Scene {
    fn new(policy: ProbePolicy, draws: u64) -> Self {
        let begun = Instant::now();
        let watch = Watch::new(Health::Alive, Numbers::of(7), &policy, draws, begun);
        Scene { policy, watch, now: begun, begun, draws, asked: Vec::new() }
    }

    fn draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.draws
    }

    /// Lives until that time, answering so.
    fn until(&mut self, end: Duration, answer: Option<Finding>) {
        while self.watch.due(&self.policy) <= self.begun + end {
            self.now = self.now.max(self.watch.due(&self.policy));
            let draw = self.draw();
            if let Some(Step::Ask { number, .. }) = self.watch.on_time(&self.policy, draw, self.now) {
                self.asked.push(self.now - self.begun);
                if let Some(finding) = answer {
                    self.watch.on_finding(number, finding, &self.policy, draw);
                }
            }
        }
        self.now = self.begun + end;
    }

    /// Is asked once more, and this is found.
    fn found(&mut self, finding: Finding) {
        self.now = self.watch.due(&self.policy);
        let draw = self.draw();
        let Some(Step::Ask { number, .. }) = self.watch.on_time(&self.policy, draw, self.now) else {
            panic!("not asked")
        };
        self.watch.on_finding(number, finding, &self.policy, draw);
    }

    /// When its health is another one, if nothing else happens.
    fn changes_after(&mut self, answer: Option<Finding>) -> Duration {
        let (before, from) = (self.watch.health(), self.now);
        while self.watch.health() == before {
            assert!(self.now - from < Duration::from_secs(3600), "never");
            self.until(self.watch.due(&self.policy) - self.begun, answer);
        }
        self.now - from
    }
}

fn policy() -> impl Strategy<Value = ProbePolicy> {
    (50..10_000u64, 10..10_000u64, 1..8u32, 1..8u32).prop_map(|(interval_ms, timeout_ms, fall, rise)| ProbePolicy {
        interval: Duration::from_millis(interval_ms),
        timeout: Duration::from_millis(timeout_ms),
        fall,
        rise,
        ..ProbePolicy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_death_is_found_out_within_interval_times_fall(policy in policy(), draws: u64, died_ms in 0..60_000u64) {
        let most = policy.interval * policy.fall;
        let mut scene = Scene::new(policy, draws);
        scene.until(Duration::from_millis(died_ms), Some(Finding::Alive));
        prop_assert!(scene.changes_after(None) <= most);
        prop_assert_eq!(scene.watch.health(), Health::Dead);
    }

    /// A sign is taken to be older than it is, never younger.
    #[test]
    fn signs_of_life_do_not_put_it_off(policy in policy(), draws: u64, signs in proptest::collection::vec(0..3_000u64, 0..30)) {
        let most = policy.interval * policy.fall;
        let mut scene = Scene::new(policy, draws);
        for pause_ms in signs {
            scene.until(scene.now - scene.begun + Duration::from_millis(pause_ms), Some(Finding::Alive));
            let (draw, look) = (scene.draw(), scene.policy.period() / 8);
            scene.watch.on_sign_of_life(scene.now - look, &scene.policy, draw);
        }
        prop_assert!(scene.changes_after(None) <= most);
    }

    #[test]
    fn it_comes_back_after_as_many_answers_as_are_wanted(policy in policy(), draws: u64) {
        let (rise, most) = (policy.rise as usize, policy.interval * (policy.rise + 1));
        let mut scene = Scene::new(policy, draws);
        scene.changes_after(None);
        scene.asked.clear();
        prop_assert!(scene.changes_after(Some(Finding::Alive)) <= most);
        prop_assert_eq!((scene.watch.health(), scene.asked.len()), (Health::Alive, rise));
    }

    #[test]
    fn fewer_failures_in_a_row_than_are_wanted_change_nothing(draws: u64, fall in 2..6u32) {
        let mut scene = Scene::new(ProbePolicy { fall, ..ProbePolicy::default() }, draws);
        for _ in 0..50 {
            (1..fall).for_each(|_| scene.found(Finding::Failing));
            scene.found(Finding::Alive);
            prop_assert_eq!(scene.watch.health(), Health::Alive);
        }
    }
}

#[test]
fn where_nobody_is_there_one_question_suffices() {
    let mut scene = Scene::new(ProbePolicy::default(), 1);
    scene.until(Duration::from_secs(10), Some(Finding::Alive));
    assert!(scene.changes_after(Some(Finding::Absent)) <= scene.policy.interval);
    assert_eq!(scene.watch.health(), Health::Dead);
}

#[test]
fn one_that_is_overloaded_is_not_dead_and_what_was_not_sent_tells_nothing() {
    let mut scene = Scene::new(ProbePolicy::default(), 1);
    assert!(scene.changes_after(Some(Finding::Overloaded)) <= scene.policy.interval * scene.policy.fall);
    assert_eq!(scene.watch.health(), Health::Overloaded);
    scene.until(Duration::from_secs(60), Some(Finding::Unknown));
    assert_eq!(scene.watch.health(), Health::Overloaded);
    scene.changes_after(Some(Finding::Alive));
    assert_eq!(scene.watch.health(), Health::Alive);
    scene.until(Duration::from_secs(120), Some(Finding::Unknown));
    assert_eq!(scene.watch.health(), Health::Alive);
}

#[test]
fn failures_of_both_kinds_count_together() {
    let mut scene = Scene::new(ProbePolicy::default(), 1);
    for finding in [Finding::Failing, Finding::Overloaded, Finding::Failing] {
        assert_eq!(scene.watch.health(), Health::Alive);
        scene.found(finding);
    }
    assert_eq!(scene.watch.health(), Health::Dead);
}

#[test]
fn traffic_keeps_questions_away_and_they_are_a_period_apart_without() {
    let mut scene = Scene::new(ProbePolicy::default(), 1);
    scene.until(Duration::from_secs(100), Some(Finding::Alive));
    let pauses: Vec<Duration> = scene.asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let period = scene.policy.period();
    assert!(pauses.iter().all(|pause| (period * 9 / 10..=period).contains(pause)), "{pauses:?}");
    scene.asked.clear();
    for _ in 0..100 {
        let draw = scene.draw();
        scene.watch.on_sign_of_life(scene.now, &scene.policy, draw);
        scene.until(scene.now - scene.begun + Duration::from_secs(1), Some(Finding::Alive));
    }
    assert!(scene.asked.is_empty(), "{:?}", scene.asked);
}

#[test]
fn an_answer_that_comes_too_late_or_twice_counts_for_nothing() {
    let mut scene = Scene::new(ProbePolicy::default(), 1);
    scene.until(Duration::from_secs(10), Some(Finding::Alive));
    let number = 7 << 16 | scene.watch.numbers.last as u32;
    scene.watch.on_finding(number, Finding::Absent, &scene.policy, 0);
    assert_eq!(scene.watch.health(), Health::Alive);
}

#[test]
fn answers_are_judged_by_their_codes_and_503_by_itself() {
    let policy = ProbePolicy::default();
    let finding = |status| policy.finding(status);
    assert_eq!([100, 183].map(finding), [None; 2]);
    assert_eq!([200, 302, 404, 481, 483, 499].map(finding), [Some(Finding::Alive); 6]);
    assert_eq!(finding(503), Some(Finding::Overloaded));
    assert_eq!([500, 501, 504, 603].map(finding), [Some(Finding::Failing); 4]);
    let strict = ProbePolicy { codes: vec![200..=200, 503..=503], ..ProbePolicy::default() };
    assert_eq!(
        [200, 503, 404].map(|status| strict.finding(status)),
        [Finding::Alive, Finding::Alive, Finding::Failing].map(Some)
    );
}
