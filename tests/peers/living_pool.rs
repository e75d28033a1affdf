//! Two thousand calls while a pool lives as pools do: a proxy dies and comes back, one drains, one joins by name, the name
//! server fails, weights change, a reload is refused, and Viaduct itself is replaced. Whatever is established ends as it should.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::kamailio::{Challenge, Kamailio};
use super::knot::Knot;
use super::presence::installed;
use super::scene::{Scene, until};
use super::sipp::{Called, Callers, Calling};
use super::viaduct::Viaduct;
use crate::{BACKENDS, CALLED, CALLERS, VIADUCT, callers};

const CALLS: u32 = 2000;

/// Longer than the proxy that dies is away, and than it takes to send an answer again after that.
const HELD_MS: u32 = 12_000;

/// The scene's name server.
const NAME_SERVER: u8 = 50;

#[test]
fn established_calls_outlive_all_that_becomes_of_a_pool() {
    if !installed(&["sipp", "kamailio", "knotd", "knotc"]) {
        return;
    }
    let scene = Scene::new("living-pool");
    let mut pool = Pool::start(&scene);
    let mut viaduct = pool.viaduct(&scene);
    let calls = Calls::start(&scene, &viaduct);

    calls.at(2);
    let had_before = pool.had_by_three();
    calls.at(3);
    let death = pool.lose_three(&viaduct);
    calls.at(7);
    pool.three.start_again(&scene, pool.called.address);
    until("three is up again", || is_up(&viaduct, "three"));
    calls.at(9);
    let had_by_two = pool.drain_two(&viaduct);
    calls.at(11);
    pool.add_four(&viaduct);
    calls.at(13);
    pool.weigh_one(&viaduct);
    calls.at(15);
    pool.break_settings(&scene, &viaduct);
    calls.at(17);
    pool.upgrade(&scene, &mut viaduct);

    let Outcome { established, completed, unanswered } = calls.end();
    assert_eq!(established.difference(&completed).count(), 0, "were established and not ended as they should");
    let at_risk: BTreeSet<String> = death.had.difference(&had_before).cloned().collect();
    assert!(unanswered.is_subset(&at_risk), "others than those that the one that died had just begun: {unanswered:?}");
    assert_eq!(established.len() + unanswered.len(), CALLS as usize);
    println!(
        "of {CALLS} calls {} were lost, while a proxy's death was noticed in {:?}",
        unanswered.len(),
        death.noticed_in
    );
    assert_eq!(pool.two.seen().into_keys().collect::<BTreeSet<_>>(), had_by_two, "who drains has no other calls");
    assert!(pool.four.seen().len() > 100, "{} calls went to the one that joined", pool.four.seen().len());
    viaduct.metrics_at_rest().assert_all_accounted_for();
}

/// Four proxies, of which the fourth is not known yet, and what Viaduct is told of them.
struct Pool {
    one: Kamailio,
    two: Kamailio,
    three: Kamailio,
    four: Kamailio,
    called: Called,
    knot: Knot,
}

/// What was noticed of a proxy's death.
struct Death {
    noticed_in: Duration,
    /// The calls that the proxy had until then.
    had: BTreeSet<String>,
}

impl Pool {
    fn start(scene: &Scene) -> Pool {
        let called = Called::start(scene, "answer", scene.endpoint(CALLED));
        let [one, two, three, four] =
            [0, 1, 2, 3].map(|number| Kamailio::start(scene, BACKENDS + number, called.address, Challenge::Nobody));
        let IpAddr::V4(name_server) = scene.endpoint(NAME_SERVER).ip() else { unreachable!("a scene is on IPv4") };
        let knot = Knot::start(name_server, 1, "");
        Pool { one, two, three, four, called, knot }
    }

    fn viaduct(&self, scene: &Scene) -> Viaduct {
        fs::write(scene.directory.join("settings"), self.settings()).unwrap();
        self.with_variables(scene, |variables| Viaduct::start(scene, VIADUCT, &[], variables))
    }

    /// What Viaduct is started with, besides what the file of settings says.
    fn with_variables<T>(&self, scene: &Scene, start: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let [file, meeting] = ["settings", "upgrade"].map(|name| scene.directory.join(name).display().to_string());
        let name_server = self.knot.address.to_string();
        start(&[
            ("ENV_FILE", &file),
            ("RELOAD_S", "0"),
            ("PROBE", "on"),
            ("RESOLVERS", &name_server),
            ("UPGRADE_SOCKET", &meeting),
        ])
    }

    fn settings(&self) -> String {
        let Pool { one, two, three, four, .. } = self;
        let [one, two, three] = [one, two, three].map(|proxy| proxy.address);
        let port = four.address.port();
        format!("VIADUCT_BACKENDS=one=udp://{one},two=udp://{two},three=udp://{three},four=udp://kam.example:{port}\n")
    }

    fn had_by_three(&self) -> BTreeSet<String> {
        self.three.seen().into_keys().collect()
    }

    /// Has a proxy die, until Viaduct knows.
    fn lose_three(&mut self, viaduct: &Viaduct) -> Death {
        self.three.kill();
        let died = Instant::now();
        until("the one that died is down", || !is_up(viaduct, "three"));
        Death { noticed_in: died.elapsed(), had: self.had_by_three() }
    }

    /// Gives the calls that it had until then.
    fn drain_two(&self, viaduct: &Viaduct) -> BTreeSet<String> {
        told(viaduct, &["drain", "two"]);
        // What was sent before is on its way.
        sleep(Duration::from_millis(200));
        self.two.seen().into_keys().collect()
    }

    /// Has a proxy join by its name, and the name server fail from then on.
    fn add_four(&mut self, viaduct: &Viaduct) {
        self.knot.set(1, &format!("kam A {}\n", self.four.address.ip()));
        let found = || viaduct.metrics().value("viaduct_discovered_backends", &[("entry", "four")]);
        until("four is found", || found() == Some(1.0));
        self.knot.fail();
        let doubt = || viaduct.metrics().value("viaduct_discovery_doubtful", &[("entry", "four")]);
        until("the name is in doubt", || doubt() == Some(1.0));
    }

    fn weigh_one(&self, viaduct: &Viaduct) {
        let share = || viaduct.metrics().value("viaduct_backend_key_share_ratio", &[("backend", "one")]).unwrap();
        let before = share();
        told(viaduct, &["weight", "one", "3"]);
        assert!(share() > before * 1.5, "from {before} to {}", share());
    }

    /// Has Viaduct read settings with which it could not go on, and then those that are in force again.
    fn break_settings(&self, scene: &Scene, viaduct: &Viaduct) {
        let file = scene.directory.join("settings");
        fs::write(&file, format!("{}VIADUCT_HASH=by-luck\n", self.settings().replace("three=", "third="))).unwrap();
        let (refusal, is_taken) = viaduct.ctl(&["reload"]);
        assert!(!is_taken && refusal.contains("VIADUCT_HASH"), "{refusal}");
        assert_eq!(viaduct.metrics().value("viaduct_last_reload_taken", &[]), Some(0.0));
        fs::write(&file, self.settings()).unwrap();
        assert!(told(viaduct, &["reload"]).starts_with("nothing has changed"));
    }

    /// Puts another process into the place of the one that runs. It would not take over while a name leads nowhere.
    fn upgrade(&self, scene: &Scene, viaduct: &mut Viaduct) {
        self.knot.set(1, &format!("kam A {}\n", self.four.address.ip()));
        viaduct.metrics().assert_accounted_for_under_load();
        self.with_variables(scene, |variables| viaduct.upgrade(scene, variables));
        let draining = [("backend", "two"), ("standing", "draining")];
        assert_eq!(viaduct.metrics().value("viaduct_backend_standing", &draining), Some(1.0));
    }
}

/// What has become of the calls, by their Call-IDs.
struct Outcome {
    established: BTreeSet<String>,
    completed: BTreeSet<String>,
    unanswered: BTreeSet<String>,
}

/// Calls that are being made.
struct Calls {
    calling: Calling,
    begun: Instant,
}

impl Calls {
    fn start(scene: &Scene, viaduct: &Viaduct) -> Calls {
        let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
        let calls =
            Callers { from, to, through: to, per_second: 100, pause_ms: HELD_MS, ..callers("held-call", CALLS) };
        Calls { calling: calls.start(scene), begun: Instant::now() }
    }

    /// Waits until they have been made for so many seconds.
    fn at(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds).saturating_sub(self.begun.elapsed()));
    }

    fn end(self) -> Outcome {
        let logged = self.calling.finish();
        let which = |word: &str| {
            let call_ids = logged.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
            call_ids.map(str::to_owned).collect()
        };
        let (established, completed) = (which("established"), which("completed"));
        Outcome { established, completed, unanswered: which("unanswered") }
    }
}

fn is_up(viaduct: &Viaduct, backend: &str) -> bool {
    viaduct.metrics().value("viaduct_backend_up", &[("backend", backend)]) == Some(1.0)
}

/// What `viaduct ctl` prints when it does as it is told.
fn told(viaduct: &Viaduct, words: &[&str]) -> String {
    let (text, is_done) = viaduct.ctl(words);
    assert!(is_done, "{words:?}: {text}");
    text
}
