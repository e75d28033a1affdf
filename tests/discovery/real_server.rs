//! A real name server, Knot DNS: times to live, service records, answers too long for a datagram, a record that flaps, and a zone that
//! is written wrong.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::dns::Dns;
use crate::knot::Knot;
use crate::presence::installed;
use crate::scene::{Backend, Scene, eventually, host, port};
use crate::{CALLS, names};

fn start(network: u8, ttl_s: u32, records: &str) -> Option<Knot> {
    installed(&["knotd", "knotc"]).then(|| Knot::start(host(network, 53), ttl_s, records))
}

fn scene(knot: &Knot, network: u8, backends: &str) -> Scene {
    let settings = [("VIADUCT_BACKENDS", backends), ("VIADUCT_RESOLVERS", &knot.address.to_string())];
    // The scene's own server is not asked.
    let scene = Scene::start_with(Dns::start(host(network, 54)), network, &[], &settings);
    assert!(scene.has_logged("metrics at /metrics"), "it does not start");
    scene
}

fn records(network: u8, numbers: &[u8]) -> String {
    numbers.iter().map(|number| format!("kam A {}\n", host(network, *number))).collect()
}

fn backends<const N: usize>(scene: &Scene, numbers: [u8; N]) -> [Backend; N] {
    numbers.map(|number| scene.backend(number))
}

#[test]
fn addresses_are_looked_up_when_their_time_is_over_and_not_before() {
    let network = 12;
    let Some(knot) = start(network, 3, &records(network, &[11])) else { return };
    let scene = scene(&knot, network, &format!("udp://kam.example:{}", port(network)));
    let [one, two] = backends(&scene, [11, 12]);
    let lookups = || scene.metric(r#"viaduct_discovery_lookups_total{outcome="found"}"#).unwrap();
    eventually("it is looked up", || lookups() >= 2.0);
    let (before, begun) = (lookups(), Instant::now());
    knot.set(3, &records(network, &[11, 12]));
    assert_eq!(scene.reached(CALLS), names(&[&one]), "the answer holds for three seconds");
    eventually("it is looked up again", || scene.reached(CALLS) == names(&[&one, &two]));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(7).saturating_sub(begun.elapsed()));
    let asked = lookups() - before;
    assert!((1.0..=3.0).contains(&asked), "{asked} look-ups in seven seconds");
    // What stands in the zone for a minute is asked for once.
    knot.set(60, &records(network, &[12]));
    eventually("the longer time is learnt", || scene.reached(CALLS) == names(&[&two]));
    let before = lookups();
    sleep(Duration::from_secs(5));
    assert_eq!(lookups(), before);
}

#[test]
fn services_are_found_by_naptr_and_srv_with_priorities_and_weights() {
    let network = 13;
    let port = port(network);
    let (a, b, c) = (host(network, 11), host(network, 12), host(network, 13));
    let zone = format!(
        "@ NAPTR 10 10 \"s\" \"SIPS+D2T\" \"\" _sips._tcp\n@ NAPTR 20 10 \"s\" \"SIP+D2U\" \"\" _sip._udp\n\
         _sip._udp SRV 1 10 {port} a\n_sip._udp SRV 1 30 {port} b\n_sip._udp SRV 2 1 {port} c\n\
         a A {a}\nb A {b}\nc A {c}\n"
    );
    let Some(knot) = start(network, 1, &zone) else { return };
    let scene = scene(&knot, network, "farm=sip://example");
    let [one, two, three] = backends(&scene, [11, 12, 13]);
    assert_eq!(scene.reached(CALLS), names(&[&one, &two]));
    assert_eq!(scene.metric(&format!(r#"viaduct_backend_weight{{backend="farm@b.example:{port}"}}"#)), Some(3.0));
    let dialogs = scene.calls(CALLS);
    // A pod that comes back elsewhere has its name, and so its dialogs.
    let moved = scene.backend(14);
    let of_two = dialogs.iter().filter(|dialog| dialog.backend == two.address.to_string()).count();
    knot.set(1, &zone.replace(&format!("b A {b}"), &format!("b A {}", moved.ip())));
    eventually("the move is noticed", || scene.reached(CALLS) == names(&[&one, &moved]));
    assert_eq!(scene.reached_within(&dialogs, &moved), of_two);
    knot.set(1, &zone.replace("SRV 2 1", "SRV 1 10"));
    eventually("the priority is raised", || scene.reached(CALLS) == names(&[&one, &two, &three]));
}

#[test]
fn an_answer_too_long_for_a_datagram_is_taken_over_tcp() {
    let network = 14;
    let many: Vec<u8> = (100..220).collect();
    let Some(knot) = start(network, 60, &records(network, &many)) else { return };
    let name = format!("kam.example:{}", port(network));
    let scene = scene(&knot, network, &format!("udp://{name}"));
    assert_eq!(scene.metric(&format!(r#"viaduct_discovered_backends{{entry="{name}"}}"#)), Some(120.0));
}

#[test]
fn a_record_that_flaps_costs_no_dialog_and_no_call() {
    let network = 15;
    let Some(knot) = start(network, 1, &records(network, &[11, 12])) else { return };
    let scene = scene(&knot, network, &format!("udp://kam.example:{}", port(network)));
    let [one, two] = backends(&scene, [11, 12]);
    let mut dialogs = scene.calls(CALLS);
    let flaps: [&[u8]; 5] = [&[11], &[], &[11, 12], &[12], &[]];
    let begun = Instant::now();
    for said in flaps.iter().cycle().take_while(|_| begun.elapsed() < Duration::from_secs(15)) {
        knot.set(1, &records(network, said));
        dialogs.extend(scene.calls(10));
        assert_eq!(scene.lost(&dialogs[dialogs.len() - 10..]), 0);
        sleep(Duration::from_millis(300));
    }
    assert_eq!(scene.lost(&dialogs), 0);
    assert!(
        scene.metric(r#"viaduct_discovery_lookups_total{outcome="found"}"#).unwrap() < 40.0,
        "it is not asked without end"
    );
    knot.set(1, &records(network, &[11, 12]));
    eventually("it settles", || scene.reached(CALLS) == names(&[&one, &two]));
}

#[test]
fn while_the_server_fails_or_is_gone_the_last_good_answer_stays_and_that_is_told() {
    let network = 16;
    let Some(mut knot) = start(network, 1, &records(network, &[11, 12])) else { return };
    let name = format!("kam.example:{}", port(network));
    let scene = scene(&knot, network, &format!("udp://{name}"));
    let [one, two] = backends(&scene, [11, 12]);
    let dialogs = scene.calls(CALLS);
    let doubtful = || scene.metric(&format!(r#"viaduct_discovery_doubtful{{entry="{name}"}}"#));
    assert_eq!(doubtful(), Some(0.0));
    knot.fail();
    eventually("SERVFAIL is told", || doubtful() == Some(1.0));
    assert!(scene.has_logged("do not answer about a name of backends; what was known stays in use"));
    assert_eq!((scene.lost(&dialogs), scene.reached(CALLS)), (0, names(&[&one, &two])));
    knot.set(1, &records(network, &[12]));
    eventually("it is found again", || doubtful() == Some(0.0) && scene.reached(CALLS) == names(&[&two]));
    knot.end();
    eventually("silence is told", || doubtful() == Some(1.0));
    assert_eq!((scene.lost(&dialogs), scene.reached(CALLS)), (0, names(&[&two])));
}
