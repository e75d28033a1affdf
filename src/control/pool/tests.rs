//! The pool under any events at all, in virtual time.

use proptest::prelude::*;

use super::*;
use crate::balance::backend::BackendId;
use crate::balance::key::Key;
use crate::balance::past::Past;
use crate::balance::standing::Hold;

fn spec(name: &str, last: u8, weight: u32) -> MemberSpec {
    let address = format!("10.0.0.{last}:5060").parse().unwrap();
    let weight = Weight::new(weight).unwrap();
    let backend = Backend { name: name.to_owned(), address, host: format!("10.0.0.{last}"), weight };
    MemberSpec { backend, transport: Transport::Udp, also_by_tcp: false }
}

fn abc() -> Vec<MemberSpec> {
    vec![spec("a", 1, 1), spec("b", 2, 1), spec("c", 3, 2)]
}

struct Scene {
    pool: LivingPool,
    list: Source,
    now: Instant,
}

impl Scene {
    fn new(policy: PoolPolicy) -> Self {
        let (list, now) = (Source::from("list"), Instant::now());
        let pool = LivingPool::new(policy, &list, abc(), now).unwrap();
        Scene { pool, list, now }
    }

    /// Each member's standing and weight, and whether it serves.
    fn parts(&mut self) -> Vec<(String, Standing, f64, bool)> {
        self.pool.plan(self.now);
        let plan = self.pool.planned.as_ref().unwrap();
        plan.parts().map(|(name, part)| (name.to_owned(), part.standing, part.weight, part.serves)).collect()
    }

    fn weights(&mut self) -> Vec<f64> {
        self.parts().into_iter().map(|(_, _, weight, _)| weight).collect()
    }

    fn is_panic(&mut self) -> bool {
        self.parts();
        self.pool.planned.as_ref().unwrap().is_panic
    }

    fn health(&mut self, name: &str, health: Health) {
        self.pool.set_health(name, health, self.now).unwrap();
    }
}

#[test]
fn new_calls_go_to_members_that_are_up_and_a_draining_one_keeps_what_it_has() {
    let mut scene = Scene::new(PoolPolicy::default());
    assert_eq!(scene.weights(), [1.0, 1.0, 2.0]);
    scene.pool.set_word("a", Word::Draining, scene.now).unwrap();
    scene.health("b", Health::Dead);
    let parts = scene.parts();
    assert_eq!((parts[0].1, parts[0].2, parts[0].3), (Standing::Draining, 0.0, true));
    assert_eq!((parts[1].1, parts[1].2, parts[1].3), (Standing::Down, 0.0, false));
    assert_eq!((parts[2].1, parts[2].2, parts[2].3), (Standing::Up, 2.0, true));
    scene.health("c", Health::Overloaded);
    assert!(scene.is_panic(), "nobody is left to take calls");
    assert_eq!(scene.weights(), [0.0, 1.0, 2.0], "a drains by the administrator's word, which panic does not undo");
}

#[test]
fn a_probe_does_not_undo_the_administrators_word_nor_he_a_probes() {
    let mut scene = Scene::new(PoolPolicy::default());
    scene.pool.set_word("a", Word::Disabled, scene.now).unwrap();
    scene.health("a", Health::Dead);
    scene.health("a", Health::Alive);
    assert_eq!(scene.parts()[0].1, Standing::Down);
    scene.health("a", Health::Dead);
    scene.pool.set_word("a", Word::Enabled, scene.now).unwrap();
    assert_eq!(scene.parts()[0].1, Standing::Down);
    scene.health("a", Health::Alive);
    assert_eq!(scene.parts()[0].1, Standing::Up);
}

#[test]
fn where_all_are_down_calls_go_to_all_unless_that_is_switched_off() {
    for panic in [true, false] {
        let mut scene = Scene::new(PoolPolicy { panic, ..PoolPolicy::default() });
        ["a", "b"].iter().for_each(|name| scene.health(name, Health::Dead));
        assert_eq!((scene.is_panic(), scene.weights()), (false, vec![0.0, 0.0, 2.0]));
        scene.health("c", Health::Dead);
        let all = if panic { vec![1.0, 1.0, 2.0] } else { vec![0.0; 3] };
        assert_eq!((scene.is_panic(), scene.weights()), (panic, all));
        assert!(scene.parts().iter().all(|part| part.1 == Standing::Down && part.3 == panic));
        scene.health("b", Health::Alive);
        assert_eq!((scene.is_panic(), scene.weights()), (false, vec![0.0, 1.0, 0.0]));
    }
}

#[test]
fn a_weight_rises_in_eight_steps_after_its_member_has_come_back() {
    let slow_start = Duration::from_secs(80);
    let mut scene = Scene::new(PoolPolicy { slow_start, ..PoolPolicy::default() });
    assert_eq!((scene.weights(), scene.pool.due(scene.now)), (vec![1.0, 1.0, 2.0], None), "at the start all are warm");
    scene.health("c", Health::Dead);
    scene.parts();
    scene.health("c", Health::Alive);
    let mut seen = Vec::new();
    loop {
        seen.push(scene.weights()[2]);
        let Some(due) = scene.pool.due(scene.now) else { break };
        assert_eq!(due - scene.now, Duration::from_secs(10));
        scene.now = due;
    }
    assert_eq!(seen, [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]);
}

#[test]
fn one_that_is_set_aside_gets_no_new_calls_for_that_time_and_keeps_what_it_has() {
    let mut scene = Scene::new(PoolPolicy::default());
    let until = scene.now + Duration::from_secs(5);
    scene.pool.set_aside("a", until).unwrap();
    assert_eq!(scene.parts()[0], ("a".to_owned(), Standing::Up, 0.0, true));
    assert_eq!(scene.pool.due(scene.now), Some(until));
    scene.now = until;
    assert_eq!((scene.weights()[0], scene.pool.due(scene.now)), (1.0, None));
}

#[test]
fn one_that_asked_for_a_rest_gets_it_apart_from_being_set_aside_and_where_all_rest_calls_go_to_all() {
    let mut scene = Scene::new(PoolPolicy::default());
    let (short, long) = (scene.now + Duration::from_secs(5), scene.now + Duration::from_secs(9));
    scene.pool.let_rest("a", short).unwrap();
    assert_eq!(scene.parts()[0], ("a".to_owned(), Standing::Up, 0.0, true));
    scene.pool.set_aside("a", long).unwrap();
    let hold = |scene: &Scene| scene.pool.members().next().unwrap().hold(scene.now);
    assert_eq!((hold(&scene), scene.pool.due(scene.now)), (Some(Hold::RetryAfter), Some(short)));
    scene.now = short;
    assert_eq!((scene.weights()[0], hold(&scene), scene.pool.due(scene.now)), (0.0, Some(Hold::Outlier), Some(long)));
    scene.now = long;
    assert_eq!((scene.weights()[0], hold(&scene), scene.pool.due(scene.now)), (1.0, None, None));
    for name in ["a", "b", "c"] {
        assert!(!scene.is_panic());
        scene.pool.let_rest(name, long + Duration::from_secs(1)).unwrap();
    }
    assert_eq!((scene.is_panic(), scene.weights()), (true, vec![1.0, 1.0, 2.0]));
}

#[test]
fn one_that_was_removed_drains_and_is_gone_after_its_time_unless_it_comes_back() {
    let mut scene = Scene::new(PoolPolicy::default());
    scene.parts();
    scene.pool.replace(&scene.list.clone(), vec![spec("b", 2, 1), spec("d", 4, 1)], scene.now).unwrap();
    let standings: Vec<_> = scene.parts().into_iter().map(|part| part.1).collect();
    assert_eq!(standings, [Standing::Draining, Standing::Up, Standing::Draining, Standing::Up]);
    assert_eq!(scene.pool.set_word("a", Word::Enabled, scene.now), Err(NoSuchMember), "it is no member any more");
    scene.health("a", Health::Dead);
    assert_eq!(scene.parts()[0].1, Standing::Down, "nothing is left that it could keep");
    scene.pool.add(&"hand".into(), spec("c", 3, 2), scene.now).unwrap();
    scene.now = scene.pool.due(scene.now).unwrap();
    let names: Vec<_> = scene.parts().into_iter().map(|part| (part.0, part.1)).collect();
    assert_eq!(names, ["b", "c", "d"].map(|name| (name.to_owned(), Standing::Up)));
    assert_eq!(scene.pool.due(scene.now), None);
}

#[test]
fn a_list_replaces_its_own_members_alone_and_a_bad_one_changes_nothing() {
    let mut scene = Scene::new(PoolPolicy::default());
    scene.pool.replace(&"file".into(), vec![spec("x", 9, 1)], scene.now).unwrap();
    let before = scene.parts();
    for bad in [vec![spec("y", 1, 1)], vec![spec("y", 8, 1), spec("y", 7, 1)]] {
        assert!(scene.pool.replace(&"file".into(), bad, scene.now).is_err());
        assert_eq!(scene.parts(), before);
    }
    scene.pool.replace(&"file".into(), Vec::new(), scene.now).unwrap();
    let up: Vec<_> = scene.parts().into_iter().filter(|part| part.1 == Standing::Up).map(|part| part.0).collect();
    assert_eq!(up, ["a", "b", "c"]);
}

#[test]
fn health_and_slot_go_with_the_name_though_the_address_changes_and_one_that_leaves_gives_up_its_address() {
    let mut scene = Scene::new(PoolPolicy::default());
    scene.health("a", Health::Dead);
    let slots = |scene: &Scene| scene.pool.members().map(|member| (member.name(), member.slot)).collect::<Vec<_>>();
    let before = slots(&scene);
    scene.pool.add(&scene.list.clone(), spec("a", 77, 1), scene.now).unwrap();
    assert_eq!((scene.parts()[0].1, slots(&scene)), (Standing::Down, before));
    scene.pool.remove("b", scene.now).unwrap();
    scene.pool.add(&scene.list.clone(), spec("e", 2, 1), scene.now).unwrap();
    let names: Vec<_> = scene.parts().into_iter().map(|part| part.0).collect();
    assert_eq!(names, ["a", "c", "e"], "b's address is e's");
}

#[test]
fn who_was_removed_stays_away_until_no_list_names_him_or_he_is_added() {
    let mut scene = Scene::new(PoolPolicy::default());
    let up = |scene: &mut Scene| -> Vec<String> {
        scene.parts().into_iter().filter(|part| part.1 == Standing::Up).map(|part| part.0).collect()
    };
    let replace = |scene: &mut Scene, list| scene.pool.replace(&"list".into(), list, scene.now).unwrap();
    scene.pool.remove("b", scene.now).unwrap();
    scene.now += scene.pool.policy().afterlife;
    assert_eq!(scene.parts().len(), 2);
    replace(&mut scene, abc());
    assert_eq!(up(&mut scene), ["a", "c"]);
    scene.pool.add(&"hand".into(), spec("d", 2, 1), scene.now).unwrap();
    replace(&mut scene, abc());
    assert_eq!(up(&mut scene), ["a", "c", "d"], "its address is free");
    replace(&mut scene, vec![spec("a", 1, 1)]);
    replace(&mut scene, vec![spec("b", 4, 1)]);
    assert_eq!(up(&mut scene), ["b", "d"], "it was named no more, and is again");
    scene.pool.remove("b", scene.now).unwrap();
    scene.pool.add(&"hand".into(), spec("b", 4, 1), scene.now).unwrap();
    replace(&mut scene, vec![spec("b", 4, 1)]);
    assert_eq!(up(&mut scene), ["b", "d"]);
}

#[test]
fn a_list_takes_over_whom_it_names() {
    let mut scene = Scene::new(PoolPolicy::default());
    scene.pool.add(&"hand".into(), spec("d", 4, 5), scene.now).unwrap();
    scene.health("d", Health::Dead);
    let list = [abc(), vec![spec("d", 4, 2)]].concat();
    scene.pool.replace(&"list".into(), list, scene.now).unwrap();
    assert_eq!(scene.parts()[3].1, Standing::Down, "it is the same one");
    scene.pool.replace(&"list".into(), abc(), scene.now).unwrap();
    assert_eq!(scene.parts()[3].0, "d");
    assert!(scene.pool.members().last().unwrap().leaving.is_some());
}

#[test]
fn changes_of_standing_are_told_once() {
    let mut scene = Scene::new(PoolPolicy::default());
    assert!(scene.pool.plan(scene.now).unwrap().1.is_empty());
    scene.health("b", Health::Dead);
    let (_, changes) = scene.pool.plan(scene.now).unwrap();
    let told = |change: &StandingChange| (change.name.clone(), change.from, change.to, change.why);
    let died = ("b".to_owned(), Some(Standing::Up), Some(Standing::Down), "it does not answer");
    assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), [died]);
    scene.health("b", Health::Dead);
    assert!(scene.pool.plan(scene.now).is_none());
}

#[derive(Clone, Debug)]
enum Event {
    List(Vec<usize>),
    Remove(usize),
    Word(usize, Word),
    Health(usize, Health),
    Aside(usize, u64),
    Rest(usize, u64),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let words = prop_oneof![Just(Word::Enabled), Just(Word::Draining), Just(Word::Disabled)];
    let healths = prop_oneof![Just(Health::Alive), Just(Health::Overloaded), Just(Health::Dead)];
    prop_oneof![
        proptest::sample::subsequence((0..6).collect::<Vec<usize>>(), 0..6).prop_map(Event::List),
        (0..6usize).prop_map(Event::Remove),
        (0..6usize, words).prop_map(|(member, word)| Event::Word(member, word)),
        (0..6usize, healths).prop_map(|(member, health)| Event::Health(member, health)),
        (0..6usize, 0..100u64).prop_map(|(member, seconds)| Event::Aside(member, seconds)),
        (0..6usize, 0..100u64).prop_map(|(member, seconds)| Event::Rest(member, seconds)),
        (0..300u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: somebody gets calls if the administrator lets anybody have any, nobody gets any who is disabled or to
    /// drain, who is up or draining keeps his dialogs, and what is planned can be built.
    #[test]
    fn calls_go_only_where_they_may_and_go_somewhere_if_they_can(events in proptest::collection::vec(event(), 1..40)) {
        let slow_start = Duration::from_secs(30);
        let mut scene = Scene::new(PoolPolicy { slow_start, ..PoolPolicy::default() });
        for event in events {
            let name = |member: usize| format!("m{member}");
            let (now, list) = (scene.now, scene.list.clone());
            match event {
                Event::List(members) => {
                    let specs = members.into_iter().map(|member| spec(&name(member), member as u8, 1 + member as u32 % 2));
                    scene.pool.replace(&list, specs.collect(), now).unwrap();
                }
                Event::Remove(member) => drop(scene.pool.remove(&name(member), now)),
                Event::Word(member, word) => drop(scene.pool.set_word(&name(member), word, now)),
                Event::Health(member, health) => drop(scene.pool.set_health(&name(member), health, now)),
                Event::Aside(member, seconds) => drop(scene.pool.set_aside(&name(member), now + Duration::from_secs(seconds))),
                Event::Rest(member, seconds) => drop(scene.pool.let_rest(&name(member), now + Duration::from_secs(seconds))),
                Event::Wait(seconds) => scene.now += Duration::from_secs(seconds),
            }
            let parts = scene.parts();
            for (member, (name, standing, weight, serves)) in scene.pool.members().zip(&parts) {
                prop_assert_eq!(&member.name(), name);
                let may = member.word == Word::Enabled && member.leaving.is_none();
                prop_assert!(may || *weight == 0.0);
                prop_assert!(*standing == Standing::Down || *serves);
            }
            let any_may = scene.pool.members().any(|member| member.weight_in_panic() > 0.0);
            prop_assert_eq!(any_may, parts.iter().any(|(_, _, weight, _)| *weight > 0.0));
            let backends = scene.pool.members().map(|member| member.spec.backend.clone()).collect();
            prop_assert!(Pool::new(backends).is_ok());
            prop_assert!(scene.pool.due(scene.now).is_none_or(|due| due > scene.now));
        }
    }
}

#[test]
fn one_that_has_another_name_keeps_its_figures_its_health_and_its_word_and_what_is_pinned_to_the_former_name() {
    let mut scene = Scene::new(PoolPolicy::default());
    scene.parts();
    scene.pool.set_word("a", Word::Draining, scene.now).unwrap();
    let slot = scene.pool.members().next().unwrap().slot;
    scene.pool.rename("a", "z");
    scene.pool.rename("nobody", "y");
    scene.pool.rename("b", "c");
    scene
        .pool
        .replace(&scene.list.clone(), vec![spec("z", 1, 1), spec("b", 2, 1), spec("c", 3, 2)], scene.now)
        .unwrap();
    let (plan, changes) = scene.pool.plan(scene.now).unwrap();
    assert_eq!(
        changes.iter().map(|change| change.from).collect::<Vec<_>>(),
        [Some(Standing::Up)],
        "nobody has come or gone"
    );
    let z = scene.pool.members().find(|member| member.name() == "z").unwrap();
    assert_eq!((z.slot, z.word, z.leaving), (slot, Word::Draining, None));
    let mut past = Past::new(Duration::from_secs(200), scene.now);
    let roster = plan.build(&Key::new([1; 16]), &mut past, scene.now).unwrap();
    let id = |name| roster.pool().by_id(BackendId::of_name(name));
    assert_eq!((id("a"), id("nobody")), (id("z"), None));
    scene.pool.add(&"hand".into(), spec("a", 7, 1), scene.now).unwrap();
    let (plan, _) = scene.pool.plan(scene.now).unwrap();
    let roster = plan.build(&Key::new([1; 16]), &mut past, scene.now).unwrap();
    let id = |name| roster.pool().by_id(BackendId::of_name(name));
    assert_ne!(id("a"), id("z"), "a member's own name comes before a former one");
}

#[test]
fn later_ranks_get_calls_only_while_nobody_before_them_can_take_any() {
    let mut scene = Scene::new(PoolPolicy::default());
    let rank = |name: &str, tier| (name.to_owned(), Rank { group: "farm".into(), tier });
    scene.pool.set_ranks(&scene.list.clone(), [rank("a", 1), rank("b", 2), rank("c", 3)].into());
    assert_eq!(scene.weights(), [1.0, 0.0, 0.0]);
    scene.health("a", Health::Overloaded);
    assert_eq!(scene.weights(), [0.0, 1.0, 0.0]);
    scene.health("b", Health::Dead);
    assert_eq!(scene.weights(), [0.0, 0.0, 2.0]);
    scene.health("c", Health::Dead);
    assert_eq!((scene.is_panic(), scene.weights()), (true, vec![1.0, 0.0, 0.0]), "the first ones, as by RFC 2782");
    scene.pool.set_ranks(&scene.list.clone(), BTreeMap::new());
    assert_eq!(scene.weights(), [1.0, 1.0, 2.0]);
}
