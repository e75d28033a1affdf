//! Calls that go on while one Viaduct takes over from another, again and again.

use std::thread::sleep;
use std::time::Duration;

use crate::peers::kamailio::{Challenge, Kamailio, assert_one_proxy_for_each_call};
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::peers::sipp::{Called, Callers};
use crate::peers::viaduct::Viaduct;
use crate::{BACKENDS, CALLED, CALLERS, VIADUCT, callers};

#[test]
fn calls_over_udp_go_on_through_upgrades() {
    calls_through_upgrades("upgraded-udp", ("u1", "udp"), &["auto", "poll", "auto"]);
}

#[test]
fn calls_on_one_connection_go_on_through_upgrades() {
    calls_through_upgrades("upgraded-one-connection", ("t1", "udp"), &["poll", "auto", "poll"]);
}

#[test]
fn calls_on_a_connection_each_to_proxies_over_tcp_go_on_through_an_upgrade() {
    calls_through_upgrades("upgraded-tcp", ("tn", "tcp"), &["auto", "auto"]);
}

const CALLS: u32 = 600;
const PER_SECOND: u32 = 100;

/// How long each process has the sockets, but for the last.
const BETWEEN: Duration = Duration::from_millis(1500);

/// How long a process may still have connections, in seconds. The last calls have ended by then.
const GRACE_S: &str = "8";

/// Calls of which some are being set up, and many are up, when one process takes over from the next, each on its engine.
fn calls_through_upgrades(name: &str, (transport, backend): (&str, &str), engines: &[&str]) {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new(name);
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let proxy = |host| match backend {
        "tcp" => Kamailio::start_over_tcp(&scene, host, called.address),
        _ => Kamailio::start(&scene, host, called.address, Challenge::Nobody),
    };
    let proxies: Vec<Kamailio> = (BACKENDS..BACKENDS + 3).map(proxy).collect();
    let backends: Vec<String> = proxies.iter().map(|proxy| format!("{backend}://{}", proxy.address)).collect();
    let (backends, meeting) = (backends.join(","), scene.directory.join("upgrade"));
    let settings = [
        ("LISTEN", "udp://{},tcp://{}"),
        ("BACKENDS", &backends),
        ("UPGRADE_SOCKET", meeting.to_str().unwrap()),
        ("GRACE_S", GRACE_S),
    ];
    let on = |engine| [&settings[..], &[("IO", engine)]].concat();
    let mut viaduct = Viaduct::start(&scene, VIADUCT, &[], &on(engines[0]));
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    let calls = Callers { from, to, through: to, transport, per_second: PER_SECOND, ..callers("call", CALLS) };
    let calling = calls.start(&scene);
    let mut before = Vec::new();
    for engine in &engines[1..] {
        sleep(BETWEEN);
        before.push(viaduct.upgrade_beside(&scene, &on(engine)));
    }
    calling.finish();
    for mut process in before {
        let status = process.wait(Duration::from_secs(20));
        assert!(status.success(), "{status}: {}", process.tail());
    }
    assert_one_proxy_for_each_call(&proxies, CALLS, &["INVITE", "ACK", "BYE"]);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    // Over one connection, all requests come to the process that has it, and all responses to the last one.
    let sent = metrics.sum("viaduct_messages_sent_total", &[("side", "backend"), ("method", "BYE")]);
    let handed_on = metrics.sum("viaduct_messages_absorbed_total", &[("reason", "handed_on")]);
    assert!(if transport == "t1" { handed_on > 300 } else { sent > 100 }, "{sent} BYEs, {handed_on} handed on");
}
