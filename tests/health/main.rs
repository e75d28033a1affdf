//! The real program finds out that a backend has died and that it has come back, in the time that it promises; calls follow.

mod backend;
mod overload;
mod shares;
mod viaduct;

use std::time::{Duration, Instant};

use backend::{Backend, Over};
use viaduct::{FALL, INTERVAL, RISE, Viaduct};

/// What the machine and the test's own looking may add to a time that is promised.
const SLACK: Duration = Duration::from_millis(400);

#[test]
fn a_backend_that_falls_silent_is_found_out_in_time_and_comes_back() {
    for over in [Over::Udp, Over::Tcp] {
        let mut backends = [Backend::start("a", over), Backend::start("b", over), Backend::start("c", over)];
        let viaduct = Viaduct::start(&backends, "on");
        assert_eq!(viaduct.call_all(), ["a", "b", "c"]);
        backends[1].fall_silent();
        let took = viaduct.until_up("b", false);
        assert!(took <= INTERVAL * FALL + SLACK, "{over:?}: it took {took:?} to find out");
        assert_eq!(viaduct.call_all(), ["a", "c"]);
        backends[1].speak();
        let took = viaduct.until_up("b", true);
        assert!(took <= INTERVAL * (RISE + 1) + SLACK, "{over:?}: it took {took:?} to come back");
        assert_eq!(viaduct.call_all(), ["a", "b", "c"]);
        viaduct.is_accounted_for();
    }
}

#[test]
fn a_backend_whose_process_has_gone_is_found_out_by_one_refusal() {
    for over in [Over::Udp, Over::Tcp] {
        let mut backends = [Backend::start("a", over), Backend::start("b", over)];
        let viaduct = Viaduct::start(&backends, "on");
        assert_eq!(viaduct.call_all(), ["a", "b"]);
        backends[0].end();
        let took = viaduct.until_up("a", false);
        assert!(took <= INTERVAL * FALL + SLACK, "{over:?}: it took {took:?} to find out");
        assert!(viaduct.sum("viaduct_probes_total{backend=\"a\",outcome=\"refused\"}") >= 1, "{over:?}");
        assert_eq!(viaduct.call_all(), ["b"]);
        backends[0].begin_again();
        viaduct.until_up("a", true);
        assert_eq!(viaduct.call_all(), ["a", "b"]);
    }
}

#[test]
fn where_all_are_silent_calls_go_to_all() {
    let mut backends = [Backend::start("a", Over::Udp), Backend::start("b", Over::Udp)];
    let viaduct = Viaduct::start(&backends, "on");
    backends.iter_mut().for_each(Backend::fall_silent);
    for name in ["a", "b"] {
        viaduct.until_up(name, false);
    }
    let begun = Instant::now();
    while viaduct.sum("viaduct_pool_panic") == 0 {
        assert!(begun.elapsed() < SLACK, "no panic");
    }
    backends.iter_mut().for_each(Backend::speak);
    assert_eq!(viaduct.call_all(), ["a", "b"]);
}

#[test]
fn traffic_is_a_sign_of_life_that_spares_probes() {
    let backends = [Backend::start("a", Over::Udp)];
    let viaduct = Viaduct::start(&backends, "on");
    viaduct.call_all();
    let (begun, before) = (Instant::now(), viaduct.sum("viaduct_probes_sent_total"));
    while begun.elapsed() < INTERVAL * 8 {
        assert_eq!(viaduct.call(0), "a");
        std::thread::sleep(Duration::from_millis(10));
    }
    let probes = viaduct.sum("viaduct_probes_sent_total") - before;
    assert!(probes <= 2, "{probes} probes beside traffic");
    std::thread::sleep(INTERVAL * 4);
    let probes = viaduct.sum("viaduct_probes_sent_total") - before;
    assert!(probes >= 2, "{probes} probes without traffic");
    viaduct.is_accounted_for();
}

#[test]
fn switched_off_it_asks_nobody() {
    let mut backends = [Backend::start("a", Over::Udp), Backend::start("b", Over::Udp)];
    let viaduct = Viaduct::start(&backends, "off");
    backends[0].fall_silent();
    std::thread::sleep(INTERVAL * (FALL + 1));
    assert_eq!(viaduct.sum("viaduct_probes_sent_total"), 0);
    assert!(viaduct.is_up("a"));
}

#[test]
fn a_backend_that_answers_5xx_where_others_do_not_gets_no_new_calls_for_a_while() {
    let mut backends = [Backend::start("a", Over::Udp), Backend::start("b", Over::Udp), Backend::start("c", Over::Udp)];
    let viaduct = Viaduct::start(&backends, "on");
    backends[2].fail();
    let begun = Instant::now();
    while viaduct.sum("viaduct_backend_ejections_total{backend=\"c\"}") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody is set aside");
        viaduct.call_all();
    }
    let begun = Instant::now();
    while viaduct.call_all() != ["a", "b"] {
        assert!(begun.elapsed() < SLACK, "it still gets calls");
    }
    assert!(viaduct.is_up("c"), "it keeps what it has");
    backends[2].speak();
    while viaduct.call_all() != ["a", "b", "c"] {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never gets calls again");
    }
}
