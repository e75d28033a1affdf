//! The ledger under answers of any kind, in virtual time.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::balance::backend::Weight;
use crate::control::discovery::entry::Place;
use crate::sip::Transport;

const SECOND: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_secs(60);

fn fixed(name: &str, last: u8) -> Entry {
    let at = format!("10.0.0.{last}:5060").parse().unwrap();
    entry(name, Place::At(at, Transport::Udp))
}

fn named(name: &str) -> Entry {
    entry(name, Place::Host(5060, Transport::Udp))
}

fn entry(name: &str, place: Place) -> Entry {
    let (name, host, weight) = (name.to_owned(), format!("{name}.example"), Weight::DEFAULT);
    Entry { name, is_named: true, host, place, weight, also_by_tcp: false }
}

fn target(host: Option<&str>, addresses: Option<&[u8]>) -> Target {
    let ip = |last: &u8| IpAddr::from([10, 0, 0, *last]);
    let addresses = addresses.map(|addresses| addresses.iter().map(ip).collect());
    let (transport, host) = (Transport::Udp, host.map(str::to_owned));
    Target { priority: 0, host, port: 5060, weight: 0, transport, addresses }
}

fn at(addresses: &[u8]) -> Answer {
    Answer::Targets(vec![target(None, Some(addresses))])
}

struct Scene {
    ledger: Ledger,
    now: Instant,
}

impl Scene {
    fn new(entries: Vec<Entry>) -> Self {
        let now = Instant::now();
        Scene { ledger: Ledger::new(entries, HOLD, now), now }
    }

    /// Answers every question that is due in the same way; gives what was told.
    fn answer(&mut self, answer: &Answer, ttl: Duration) -> Vec<Change> {
        let due = self.ledger.due(self.now, usize::MAX);
        assert!(!due.is_empty(), "nothing is due");
        let take_in = |(number, _)| {
            self.ledger.take_in(number, Finding { answer: answer.clone(), ttl }, self.now).map(|(_, change)| change)
        };
        due.into_iter().filter_map(take_in).collect()
    }

    /// The same when the next question is due.
    fn next(&mut self, answer: &Answer) -> Vec<Change> {
        self.now = self.ledger.tracked.iter().filter_map(|tracked| tracked.due).min().unwrap().max(self.now);
        self.answer(answer, SECOND)
    }

    fn names(&mut self) -> Vec<String> {
        self.ledger.list(|_| true).members.into_iter().map(|member| member.backend.name).collect()
    }
}

#[test]
fn a_name_is_looked_up_when_its_time_is_over_which_has_a_floor_and_a_ceiling() {
    for (ttl, expected) in [(0, 1), (5, 5), (30, 30), (86_400, 300)] {
        let mut scene = Scene::new(vec![named("kam"), fixed("a", 1)]);
        scene.answer(&at(&[2]), ttl * SECOND);
        assert_eq!(scene.ledger.next(), Some(scene.now + expected * SECOND));
        assert!(scene.ledger.due(scene.now + expected * SECOND - SECOND / 2, 9).is_empty());
    }
}

#[test]
fn members_come_and_go_with_the_answers_and_the_list_that_is_written_stays() {
    let mut scene = Scene::new(vec![fixed("a", 1), named("kam")]);
    assert_eq!(scene.names(), ["a"]);
    assert!(!scene.ledger.is_complete());
    assert_eq!(scene.next(&at(&[2, 3])), [Change::Found]);
    assert!(scene.ledger.is_complete());
    assert_eq!(scene.names(), ["a", "kam@10.0.0.2", "kam@10.0.0.3"]);
    assert_eq!(scene.next(&at(&[3, 4, 5])), []);
    assert_eq!(scene.names(), ["a", "kam@10.0.0.3", "kam@10.0.0.4", "kam@10.0.0.5"]);
}

#[test]
fn the_last_good_answer_stays_for_ever_while_nobody_answers_and_that_is_told_once() {
    let mut scene = Scene::new(vec![named("kam")]);
    scene.next(&at(&[2]));
    assert_eq!(scene.next(&Answer::Unanswered), [Change::FailsFromNowOn]);
    for _ in 0..1000 {
        assert_eq!(scene.next(&Answer::Unanswered), []);
        assert!(scene.ledger.let_go(scene.now).is_empty());
    }
    assert_eq!(scene.names(), ["kam"]);
    assert_eq!(scene.next(&at(&[2])), [Change::Found]);
}

#[test]
fn that_there_is_nothing_is_believed_after_the_hold_alone_and_never_of_the_last_members() {
    for others in [vec![fixed("a", 1)], vec![]] {
        let has_others = !others.is_empty();
        let mut scene = Scene::new([others, vec![named("kam")]].concat());
        scene.next(&at(&[2]));
        assert_eq!(scene.next(&Answer::Nothing), [Change::IsHeld]);
        let end = scene.now + HOLD;
        while scene.now + 5 * SECOND < end {
            assert_eq!(scene.next(&Answer::Nothing), []);
            assert!(scene.ledger.let_go(scene.now).is_empty());
        }
        assert!(scene.names().contains(&"kam".to_owned()));
        scene.now = end;
        assert_eq!(scene.ledger.let_go(scene.now).len(), usize::from(has_others));
        assert_eq!(scene.names(), if has_others { ["a"] } else { ["kam"] });
    }
}

#[test]
fn a_name_server_that_fails_in_between_begins_the_hold_anew() {
    let mut scene = Scene::new(vec![fixed("a", 1), named("kam")]);
    scene.next(&at(&[2]));
    scene.next(&Answer::Nothing);
    let end = scene.now + HOLD;
    scene.next(&Answer::Unanswered);
    scene.now = end;
    assert!(scene.ledger.let_go(scene.now).is_empty());
}

#[test]
fn a_target_about_which_nobody_answers_keeps_the_addresses_that_it_had() {
    let mut scene = Scene::new(vec![entry("kam", Place::Service(Some(Transport::Udp)))]);
    let both = |of_b: Option<&[u8]>| Answer::Targets(vec![target(Some("a"), Some(&[1])), target(Some("b"), of_b)]);
    scene.next(&both(Some(&[2])));
    scene.next(&both(None));
    assert_eq!(scene.names(), ["kam@a:5060", "kam@b:5060"]);
    scene.next(&both(Some(&[])));
    assert_eq!(scene.names(), ["kam@a:5060"]);
    let none_answers = Answer::Targets(vec![target(Some("c"), None)]);
    assert_eq!(scene.next(&none_answers), [Change::FailsFromNowOn]);
    assert_eq!(scene.names(), ["kam@a:5060"]);
}

#[test]
fn the_one_that_was_alone_and_is_one_of_several_has_another_name_and_is_known_to_be_the_same() {
    let mut scene = Scene::new(vec![named("kam")]);
    let pair = |from: &str, to: &str| vec![(from.to_owned(), to.to_owned())];
    scene.next(&at(&[2]));
    assert_eq!(scene.ledger.list(|_| true).renamed, []);
    scene.next(&at(&[2, 3]));
    assert_eq!(scene.ledger.list(|_| true).renamed, pair("kam", "kam@10.0.0.2"));
    assert_eq!(scene.ledger.list(|_| true).renamed, []);
    scene.next(&at(&[3]));
    assert_eq!(scene.ledger.list(|_| true).renamed, pair("kam@10.0.0.3", "kam"));
    scene.next(&at(&[4]));
    assert_eq!(scene.ledger.list(|_| true).renamed, [], "it has moved and keeps its name");
}

#[test]
fn an_address_that_another_has_or_viaduct_itself_is_left_out() {
    let mut scene = Scene::new(vec![fixed("a", 1), named("kam"), named("again")]);
    scene.next(&at(&[1, 2, 9]));
    let own = "10.0.0.9:5060".parse().unwrap();
    let listing = scene.ledger.list(|member| member.backend.address != own);
    let names: Vec<_> = listing.members.iter().map(|member| member.backend.name.as_str()).collect();
    assert_eq!(names, ["a", "kam@10.0.0.2"]);
    assert_eq!(
        listing.left_out,
        ["kam@10.0.0.1", "kam@10.0.0.9", "again@10.0.0.1", "again@10.0.0.2", "again@10.0.0.9"]
    );
    assert_eq!(listing.found, [("kam".to_owned(), 1), ("again".to_owned(), 0)]);
}

#[test]
fn another_list_keeps_what_is_known_of_what_stays() {
    let mut scene = Scene::new(vec![named("kam"), named("gone")]);
    scene.next(&at(&[2, 3]));
    let renamed = Entry { name: "other".to_owned(), host: "kam.example".to_owned(), ..named("other") };
    scene.ledger = scene.ledger.renewed(vec![renamed, named("come")], HOLD, scene.now);
    assert_eq!(scene.names(), ["other@10.0.0.2", "other@10.0.0.3"]);
    assert_eq!((scene.ledger.missing(), scene.ledger.is_complete()), (vec!["come".to_owned()], false));
}

#[test]
fn a_look_up_that_was_lost_is_begun_anew_and_counts_no_more() {
    let mut scene = Scene::new(vec![named("kam")]);
    let first = scene.ledger.due(scene.now, 9);
    assert!(scene.ledger.due(scene.now + SECOND, 9).is_empty());
    let second = scene.ledger.due(scene.now + LOST_AFTER, 9);
    assert_eq!((first.len(), second.len()), (1, 1));
    let finding = Finding { answer: at(&[2]), ttl: SECOND };
    assert_eq!(scene.ledger.take_in(first[0].0, finding.clone(), scene.now), None);
    assert!(scene.ledger.take_in(second[0].0, finding, scene.now).is_some());
}

fn answer() -> impl Strategy<Value = Answer> {
    let addresses = proptest::collection::vec(1..9u8, 0..4);
    let targets = proptest::collection::vec((0..3u8, proptest::option::of(addresses)), 0..4);
    let of = |targets: Vec<(u8, Option<Vec<u8>>)>| {
        Answer::Targets(targets.iter().map(|(host, at)| target(Some(&format!("h{host}")), at.as_deref())).collect())
    };
    prop_oneof![targets.prop_map(of), Just(Answer::Nothing), Just(Answer::Unanswered)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever name servers say: a pool that had a member has one for ever, each name and address stands once, and questions are
    /// neither forgotten nor asked without end.
    #[test]
    fn a_pool_that_has_a_member_is_never_emptied(answers in proptest::collection::vec((answer(), 0..200u64), 1..60)) {
        let mut scene = Scene::new(vec![entry("one", Place::Service(None)), entry("other", Place::Service(None))]);
        let mut had_members = false;
        for (answer, pause_s) in answers {
            for (number, _) in scene.ledger.due(scene.now, 1) {
                scene.ledger.take_in(number, Finding { answer: answer.clone(), ttl: SECOND }, scene.now);
            }
            scene.ledger.let_go(scene.now);
            let members = scene.ledger.list(|_| true).members;
            let mut names: Vec<_> = members.iter().map(|member| member.backend.name.clone()).collect();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), members.len());
            prop_assert!(!had_members || !members.is_empty());
            had_members |= !members.is_empty();
            let next = scene.ledger.next().unwrap();
            prop_assert!(next <= scene.now + TTL_MAX.max(LOST_AFTER));
            scene.now += Duration::from_secs(pause_s);
        }
    }
}
