//! What a backend says of its load is heeded: new calls go elsewhere, dialogs stay.

use std::time::{Duration, Instant};

use crate::SLACK;
use crate::backend::{Backend, Over};
use crate::viaduct::Viaduct;

/// No other reason is to hold anybody back.
const ALONE: [(&str, &str); 2] = [("VIADUCT_PROBE", "off"), ("VIADUCT_OUTLIER", "off")];

fn name_in(answer: &str) -> &str {
    answer.lines().find_map(|line| line.strip_prefix("Server: ")).unwrap_or("nobody")
}

/// Begins dialogs; gives the Call-ID of each that a backend has, and the Route of its later requests.
fn dialogs_of(viaduct: &Viaduct, name: &str) -> Vec<(String, String)> {
    let begin = |number: usize| {
        let call_id = format!("dialog-{number}@a.example");
        let answer = viaduct.request("INVITE", &call_id, "");
        let route = answer.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap();
        (name_in(&answer) == name).then(|| (call_id, format!("Route: {route}\r\n")))
    };
    (0..40).filter_map(begin).collect()
}

fn begins_to_rest(viaduct: &Viaduct, name: &str) {
    let (begun, held) =
        (Instant::now(), format!("viaduct_backend_held_back{{backend=\"{name}\",reason=\"retry_after\"}}"));
    while viaduct.sum(&held) == 0 {
        assert!(begun.elapsed() < SLACK, "it does not rest");
        viaduct.call_all();
    }
}

#[test]
fn a_backend_that_answers_503_with_retry_after_gets_no_new_calls_for_that_time_and_keeps_its_dialogs() {
    let mut backends = [Backend::start("a", Over::Udp), Backend::start("b", Over::Udp), Backend::start("c", Over::Udp)];
    let viaduct = Viaduct::start_with(&backends, &ALONE);
    let dialogs = dialogs_of(&viaduct, "b");
    assert!(!dialogs.is_empty());
    backends[1].reject("3 (too much to do);duration=60");
    let begun = Instant::now();
    begins_to_rest(&viaduct, "b");
    let rested = Instant::now();
    backends[1].speak();
    while rested.elapsed() < Duration::from_secs(2) {
        assert_eq!(viaduct.call_all(), ["a", "c"], "after {:?}", begun.elapsed());
        for (call_id, route) in &dialogs {
            assert_eq!(name_in(&viaduct.request("INFO", call_id, route)), "b");
        }
    }
    assert!(viaduct.is_up("b"), "it keeps what it has");
    while viaduct.call_all() != ["a", "b", "c"] {
        assert!(rested.elapsed() < Duration::from_secs(5), "it never gets calls again");
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "after {:?}", begun.elapsed());
    assert_eq!(viaduct.sum("viaduct_backend_rests_total{backend=\"b\"}"), 1);
    assert_eq!(viaduct.sum("viaduct_answers_total"), 0, "its 503 went to the clients as it came");
    viaduct.is_accounted_for();
}

#[test]
fn no_more_than_a_part_of_the_pool_rests_and_none_where_that_is_switched_off() {
    let mut backends = [Backend::start("a", Over::Tcp), Backend::start("b", Over::Tcp), Backend::start("c", Over::Tcp)];
    for (retry_after, resting) in [("on", 1), ("off", 0)] {
        let viaduct = Viaduct::start_with(&backends, &[&ALONE[..], &[("VIADUCT_RETRY_AFTER", retry_after)]].concat());
        backends.iter_mut().for_each(|backend| backend.reject("30"));
        let begun = Instant::now();
        while begun.elapsed() < SLACK {
            viaduct.call_all();
        }
        assert_eq!(viaduct.sum("viaduct_backend_held_back"), resting, "{retry_after}");
        assert!(viaduct.sum("viaduct_backend_retry_after_total") > 3);
        assert_eq!(viaduct.sum("viaduct_pool_panic"), 0);
        backends.iter_mut().for_each(Backend::speak);
        viaduct.is_accounted_for();
    }
}

#[test]
fn a_503_without_retry_after_or_with_one_that_is_malformed_says_nothing_of_other_calls() {
    let mut backends = [Backend::start("a", Over::Udp), Backend::start("b", Over::Udp)];
    let viaduct = Viaduct::start_with(&backends, &ALONE);
    for retry_after in ["", "soon", "0", "-3"] {
        backends[0].reject(retry_after);
        assert_eq!(viaduct.call_all(), ["a", "b"]);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(viaduct.sum("viaduct_backend_held_back"), 0, "{retry_after}");
    }
}

fn loss_of(viaduct: &Viaduct, name: &str) -> f64 {
    let line = format!("viaduct_backend_loss_ratio{{backend=\"{name}\"}} ");
    viaduct.page().lines().find_map(|row| row.strip_prefix(&line)).unwrap().parse().unwrap()
}

fn until_loss_is(viaduct: &Viaduct, name: &str, loss: f64, within: Duration) {
    let begun = Instant::now();
    while loss_of(viaduct, name) != loss {
        assert!(begun.elapsed() < within, "the loss is {}", loss_of(viaduct, name));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_backend_that_asks_for_half_gets_half_of_what_begins_and_all_that_goes_on_and_the_rest_is_answered_503() {
    let mut backends = [Backend::start("a", Over::Udp), Backend::start("b", Over::Tcp)];
    let viaduct = Viaduct::start_with(&backends, &[&ALONE[..], &[("VIADUCT_OVERLOAD_CONTROL", "on")]].concat());
    let dialogs = dialogs_of(&viaduct, "a");
    let call_id = |number: usize| format!("{number}@a.example");
    let of_a: Vec<bool> = (0..400).map(|number| viaduct.call(number) == "a").collect();
    backends[0].want_fewer(50, 30_000);
    viaduct.call(of_a.iter().position(|is| *is).unwrap());
    until_loss_is(&viaduct, "a", 0.5, SLACK);
    let requests = viaduct.sum("viaduct_backend_requests_total");
    let (mut passed, mut shed) = (0, 0);
    for number in (0..400).filter(|number| of_a[*number]) {
        let text = Viaduct::request_text("INVITE", &call_id(number), "");
        let answer = viaduct.exchange(&text);
        if name_in(&answer) == "a" {
            passed += 1;
        } else {
            shed += 1;
            assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
        }
        assert_eq!(name_in(&viaduct.exchange(&text)), name_in(&answer), "one that is sent again shares its fate");
    }
    let share = f64::from(shed) / f64::from(passed + shed);
    assert!((0.35..0.65).contains(&share), "{shed} of {} are shed", passed + shed);
    for number in (0..400).filter(|number| !of_a[*number]) {
        assert_eq!(viaduct.call(number), "b");
    }
    for (call_id, route) in &dialogs {
        assert_eq!(name_in(&viaduct.request("BYE", call_id, route)), "a");
    }
    assert_eq!(viaduct.sum("viaduct_backend_requests_shed_total{backend=\"a\"}"), 2 * shed as u64);
    assert_eq!(viaduct.sum("viaduct_answers_total{code=\"503\"}"), 2 * shed as u64);
    let others = of_a.iter().filter(|is| !**is).count() + dialogs.len();
    let sent = viaduct.sum("viaduct_backend_requests_total") - requests;
    assert_eq!(sent, 2 * passed as u64 + others as u64, "each was sent or shed");
    backends[0].want_fewer(50, 0);
    let (call_id, route) = &dialogs[0];
    viaduct.request("INFO", call_id, route);
    until_loss_is(&viaduct, "a", 0.0, SLACK);
    assert_eq!(viaduct.call_all(), ["a", "b"]);
    viaduct.is_accounted_for();
}

#[test]
fn what_a_backend_wanted_ends_by_itself_when_it_says_no_more_and_is_not_asked_for_where_that_is_off() {
    let mut backends = [Backend::start("a", Over::Udp)];
    for (control, loss) in [("on", 1.0), ("off", 0.0)] {
        let viaduct = Viaduct::start_with(&backends, &[&ALONE[..], &[("VIADUCT_OVERLOAD_CONTROL", control)]].concat());
        backends[0].want_fewer(100, 1_500);
        assert_eq!(viaduct.call(1), "a");
        until_loss_is(&viaduct, "a", loss, SLACK);
        until_loss_is(&viaduct, "a", 0.0, Duration::from_secs(4));
        assert_eq!(viaduct.call(2), "a");
        viaduct.is_accounted_for();
    }
}
