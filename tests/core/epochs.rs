//! A change of the pool orphans no call that is being set up: its CANCEL, and the ACK for its refusal, reach the backend that has
//! the INVITE, whether that was sent before the change or after it.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use viaduct::balance::past::Past;
use viaduct::control::pool::member::{Health, Word};
use viaduct::control::pool::{AFTERLIFE, LivingPool, MemberSpec, PoolPolicy};
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{AbsorbReason, Verdict};
use viaduct::proxy::{Scratch, View, decide, decide_second};
use viaduct::sip::Transport;

use crate::support::{backend, decided, pool, snapshot_of};

const CLIENT: &str = "198.51.100.7:5060";

#[derive(Clone, Debug)]
enum Event {
    List(Vec<usize>),
    Word(usize, Word),
    Health(usize, Health),
}

fn event() -> impl Strategy<Value = Event> {
    let words = prop_oneof![Just(Word::Enabled), Just(Word::Draining), Just(Word::Disabled)];
    let healths = prop_oneof![Just(Health::Alive), Just(Health::Overloaded), Just(Health::Dead)];
    prop_oneof![
        proptest::sample::subsequence((0..MEMBERS).collect::<Vec<usize>>(), 1..MEMBERS).prop_map(Event::List),
        (0..MEMBERS, words).prop_map(|(member, word)| Event::Word(member, word)),
        (0..MEMBERS, healths).prop_map(|(member, health)| Event::Health(member, health)),
    ]
}

const MEMBERS: usize = 5;

struct Scene {
    pool: LivingPool,
    past: Past,
    now: Instant,
    snapshot: Snapshot,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let pool = LivingPool::new(PoolPolicy::default(), &"list".into(), specs(0..4), now).unwrap();
        let mut scene = Scene { pool, past: Past::new(AFTERLIFE, now), now, snapshot: snapshot_of(self::pool()) };
        scene.renew();
        scene
    }

    fn happens(&mut self, events: &[Event]) {
        for event in events {
            let name = |member: &usize| format!("m{member}");
            match event {
                Event::List(members) => {
                    self.pool.replace(&"list".into(), specs(members.iter().copied()), self.now).unwrap();
                }
                Event::Word(member, word) => drop(self.pool.set_word(&name(member), *word, self.now)),
                Event::Health(member, health) => drop(self.pool.set_health(&name(member), *health, self.now)),
            }
        }
        self.renew();
    }

    fn renew(&mut self) {
        if let Some((plan, _)) = self.pool.plan(self.now) {
            let roster = plan.build(&self.snapshot.keys().table, &mut self.past, self.now).unwrap();
            self.snapshot = self.snapshot.with_roster(roster, plan.transports());
        }
    }

    /// Where a client's request goes: the backends' names, with what each is sent.
    fn sent(&self, bytes: &[u8]) -> Vec<(String, String)> {
        let view = View { snapshot: &self.snapshot, names: &Names::default() };
        let (peer, listener) = (CLIENT.parse().unwrap(), ListenerIndex(0));
        let inbound = Inbound { bytes, peer, listener, local: None, connection: None, relay: None, now_us: 0 };
        let mut scratch = Scratch::default();
        let first = decide(view, &inbound, &mut scratch);
        let mut sent = vec![(first, rendered(&scratch, bytes))];
        if let Some(second) = first.second {
            let second = decide_second(view, &inbound, second, &mut scratch);
            assert_eq!(second.second, None);
            sent.push((second, rendered(&scratch, bytes)));
        }
        let named = |(decision, text)| match decision {
            viaduct::proxy::verdict::Decision { verdict: Verdict::Forward { backend: Some(index), .. }, .. } => {
                Some((self.snapshot.pool().get(index).unwrap().name.clone(), text))
            }
            _ => None,
        };
        sent.into_iter().filter_map(named).collect()
    }

    /// Whether a backend still has the calls that it had.
    fn serves(&self, name: &str) -> bool {
        let backends = self.snapshot.pool().backends();
        let index = backends.iter().position(|backend| backend.name == name);
        index.is_some_and(|index| self.snapshot.serves(viaduct::balance::backend::BackendIndex(index as u16)))
    }
}

fn specs(members: impl Iterator<Item = usize>) -> Vec<MemberSpec> {
    let spec = |member: usize| MemberSpec {
        backend: backend(&format!("m{member}"), &format!("10.0.0.{}:5060", 20 + member)),
        transport: Transport::Udp,
        also_by_tcp: false,
    };
    members.map(spec).collect()
}

fn rendered(scratch: &Scratch, bytes: &[u8]) -> String {
    let mut out = vec![0; 4096];
    let len = scratch.draft.render(bytes, &mut out).unwrap_or(0);
    out.truncate(len);
    String::from_utf8(out).unwrap()
}

fn message(method: &str, call: usize, to_tag: &str) -> Vec<u8> {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>{to_tag}\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n\r\n"
    )
    .into_bytes()
}

/// Our branch on what was sent: by it the backend finds the INVITE.
fn branch(sent: &str) -> &str {
    let via = sent.lines().find(|line| line.starts_with("Via: ")).unwrap();
    via.split(";branch=").nth(1).unwrap().split(';').next().unwrap()
}

fn response(sent: &str, status: u16) -> Vec<u8> {
    format!("SIP/2.0 {status} Reason\r\n{}", &sent[sent.find("\r\n").unwrap() + 2..]).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// INVITE, change, CANCEL; and change, INVITE, CANCEL; and the same with the ACK.
    #[test]
    fn a_cancel_and_an_ack_reach_the_backend_that_has_the_invite(
        before in proptest::collection::vec(event(), 0..4),
        change in proptest::collection::vec(event(), 1..4),
        after_s in 0..AFTERLIFE.as_secs(),
    ) {
        let mut scene = Scene::new();
        scene.happens(&before);
        let invites: Vec<_> = (0..60).map(|call| scene.sent(&message("INVITE", call, "")).pop()).collect();
        scene.happens(&change);
        scene.now += Duration::from_secs(after_s);
        for (call, earlier) in invites.into_iter().enumerate() {
            let later = scene.sent(&message("INVITE", call, "")).pop();
            for (method, to_tag) in [("CANCEL", ""), ("ACK", ";tag=x")] {
                let copies = scene.sent(&message(method, call, to_tag));
                prop_assert!(copies.len() <= 2);
                for (owner, invite) in earlier.iter().chain(&later).filter(|(owner, _)| scene.serves(owner)) {
                    let copy = copies.iter().find(|(name, _)| name == owner);
                    let (_, copy) = copy.expect("it reaches the backend that has the INVITE");
                    prop_assert_eq!(branch(copy), branch(invite));
                }
            }
        }
    }
}

/// A draining backend and the owners after it, with a call whose INVITE may be at either.
fn drained() -> (Scene, Vec<usize>) {
    let mut scene = Scene::new();
    let of_first = |call: &usize| scene.sent(&message("INVITE", *call, ""))[0].0 == "m0";
    let calls: Vec<usize> = (0..100).filter(of_first).collect();
    scene.happens(&[Event::Word(0, Word::Draining)]);
    (scene, calls)
}

#[test]
fn of_two_answers_to_a_cancel_the_client_gets_that_of_the_backend_that_has_the_invite() {
    let (scene, calls) = drained();
    assert!(!calls.is_empty());
    for call in calls {
        let copies = scene.sent(&message("CANCEL", call, ""));
        assert_eq!(copies.len(), 2);
        for (_, copy) in copies {
            let verdict = |status| decided(&scene.snapshot, &response(&copy, status), "10.0.0.20:5060").0.verdict;
            assert!(matches!(verdict(200), Verdict::Forward { hop, .. } if hop.to == CLIENT.parse().unwrap()));
            for status in [100, 404, 481, 500] {
                assert_eq!(verdict(status), Verdict::Absorb(AbsorbReason::DoubledAnswer), "{status}");
            }
        }
    }
}

#[test]
fn nothing_is_doubled_but_what_belongs_to_an_invite_whose_owner_has_changed() {
    let (scene, calls) = drained();
    for call in 0..100 {
        for method in ["INVITE", "BYE", "OPTIONS", "REGISTER", "CANCEL"] {
            let is_doubled = method == "CANCEL" && calls.contains(&call);
            assert_eq!(scene.sent(&message(method, call, "")).len(), 1 + usize::from(is_doubled), "{method}");
        }
    }
}

#[test]
fn former_owners_are_forgotten_when_no_call_rings_that_long() {
    let (mut scene, calls) = drained();
    let over = scene.past.over().unwrap();
    assert_eq!(over - scene.now, AFTERLIFE + Duration::from_secs(1));
    scene.now = over;
    scene.happens(&[Event::Health(1, Health::Dead), Event::Health(1, Health::Alive), Event::Word(3, Word::Draining)]);
    let still_one = |call: &usize| scene.sent(&message("CANCEL", *call, "")).iter().all(|(name, _)| name != "m0");
    assert!(calls.iter().all(still_one));
    assert!(scene.past.earlier(scene.snapshot.roster(), scene.past.over().unwrap()).is_none());
    assert!(!scene.snapshot.without_earlier().roster().has_earlier());
}
