//! Told to end, Viaduct says so to whoever asks, and ends when nobody needs it any more.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::sip::{Backend, Client, options, request, request_with};
use crate::viaduct::{PATIENCE, Place, Viaduct, ask, until};

const LONG: (&str, &str) = ("VIADUCT_DRAIN_IDLE_MS", "60000");
const LONG_GRACE: (&str, &str) = ("VIADUCT_GRACE_S", "60");

#[test]
fn neighbours_are_told_at_once_and_calls_go_on_until_there_are_no_more() {
    let backend = Backend::start("127.9.0.2");
    let mut viaduct = Viaduct::start(&Place::before(backend.address), &[LONG_GRACE]);
    let sip = viaduct.place.sip;
    let client = Client::new("127.9.0.3", sip);
    assert!(viaduct.is_ready() && viaduct.metric("viaduct_draining", "") == 0.0);
    assert!(client.ask(&options(sip, "UDP")).starts_with("SIP/2.0 200 "));
    viaduct.terminate();
    viaduct.logs("draining");
    assert!(!viaduct.is_ready());
    until("it does not drain", || viaduct.metric("viaduct_draining", "") == 1.0);
    let answer = client.ask(&options(sip, "UDP"));
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: 10\r\n"), "{answer}");
    let begun = Instant::now();
    for number in 1.. {
        assert!(client.ask(&request("MESSAGE", "UDP", number)).starts_with("SIP/2.0 200 "));
        if begun.elapsed() > Duration::from_millis(1500) {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    assert_eq!(viaduct.metric("viaduct_turned_away_requests_total", "options"), 1.0);
    assert!(viaduct.ends_within(PATIENCE), "nothing is forwarded, and it does not end");
    viaduct.logs("nothing is forwarded any more");
}

#[test]
fn neighbours_find_nobody_and_new_requests_are_answered_503_where_that_is_set() {
    let backend = Backend::start("127.9.0.4");
    let place = Place::before(backend.address);
    let words = [("VIADUCT_DRAIN_OPTIONS", "silence"), ("VIADUCT_DRAIN_NEW_REQUESTS", "503")];
    let settings = [words[0], words[1], ("VIADUCT_DRAIN_RETRY_AFTER_S", "7"), LONG, LONG_GRACE];
    let mut viaduct = Viaduct::start(&place, &settings);
    let client = Client::new("127.9.0.5", place.sip);
    let invited = client.ask(&request("INVITE", "UDP", 1));
    let route = invited.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap();
    viaduct.terminate();
    until("it does not drain", || viaduct.metric("viaduct_draining", "") == 1.0);
    client.send(&options(place.sip, "UDP"));
    assert!(client.hears_nothing());
    let answer = client.ask(&request("REGISTER", "UDP", 2));
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: 7\r\n"), "{answer}");
    let bye = request_with("BYE", "UDP", 1, "<sip:b@b.example>;tag=backend", &format!("Route: {route}\r\n"));
    assert!(client.ask(&bye).starts_with("SIP/2.0 200 "));
    assert_eq!(backend.count(), 2);
    assert_eq!(viaduct.metric("viaduct_messages_absorbed_total", "\"draining\""), 1.0);
    assert_eq!(viaduct.metric("viaduct_turned_away_requests_total", ""), 2.0);
    viaduct.terminate();
    assert!(viaduct.ends_within(PATIENCE), "told again, it does not end");
    viaduct.logs("told again");
}

#[test]
fn the_administrator_has_it_drain_by_the_api_and_by_ctl_and_nobody_else_does() {
    let backend = Backend::start("127.9.0.8");
    let token = ("VIADUCT_ADMIN_TOKEN", "a token for tests only");
    for by_ctl in [false, true] {
        let mut viaduct = Viaduct::start(&Place::before(backend.address), &[token, LONG_GRACE]);
        let admin = viaduct.place.admin;
        assert!(ask(admin, "POST /api/drain", "").starts_with("HTTP/1.1 401"));
        assert!(viaduct.is_ready() && ask(admin, "GET /api/status", "").contains(r#""is_draining":false"#));
        if by_ctl {
            let mut ctl = viaduct.place.command(&[token, ("VIADUCT_ADMIN_URL", &format!("http://{admin}"))]);
            let told = String::from_utf8(ctl.args(["ctl", "drain-viaduct"]).output().unwrap().stdout).unwrap();
            assert!(told.starts_with("Viaduct drains"), "{told}");
        } else {
            let answer = ask(admin, "POST /api/drain", "Authorization: Bearer a token for tests only\r\n");
            assert!(answer.starts_with("HTTP/1.1 202") && answer.contains(r#"{"is_draining":true}"#), "{answer}");
        }
        assert!(viaduct.ends_within(PATIENCE), "it does not end");
        viaduct.logs("draining why=\"the administrator\"");
    }
}

#[test]
fn it_ends_after_its_grace_though_calls_go_on_and_not_before_the_idle_time_that_is_set() {
    let backend = Backend::start("127.9.0.6");
    let mut viaduct = Viaduct::start(&Place::before(backend.address), &[("VIADUCT_GRACE_S", "1")]);
    let client = Client::new("127.9.0.7", viaduct.place.sip);
    viaduct.terminate();
    let begun = Instant::now();
    while !viaduct.ends_within(Duration::from_millis(20)) {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        client.send(&request("MESSAGE", "UDP", begun.elapsed().as_millis() as u64));
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    viaduct.logs("the time is over");

    let mut viaduct = Viaduct::start(&Place::before(backend.address), &[("VIADUCT_DRAIN_IDLE_MS", "1500")]);
    viaduct.terminate();
    let begun = Instant::now();
    assert!(viaduct.ends_within(PATIENCE) && begun.elapsed() >= Duration::from_millis(1400));
}
