//! The program among its real peers on loopback: SIPp calls, Kamailio proxies, Prometheus reads.
//!
//! Where a program that a test needs is not installed, the test is skipped with a line that says so; with
//! `VIADUCT_TEST_PEERS=required` it fails instead. The WebRTC phone needs `npm ci --prefix tests/peers/webrtc` too.
//!
//! | module | charge |
//! | --- | --- |
//! | `presence` | whether a peer is installed |
//! | `scene` | a directory, loopback addresses and the machine to one test |
//! | `process` | children that cannot outlive their test |
//! | `viaduct`, `sipp`, `kamailio`, `knot` | the programs |
//! | `splitter` | every other datagram of a call to another instance |
//! | `agent` | a user agent of a few lines, for messages that SIPp does not send |
//! | `certificate` | an authority, and what it issues |
//! | `secure` | callers, a phone and proxies over TLS, by OpenSSL |
//! | `webrtc` | a phone in a browser, over WSS |
//! | `living_pool` | calls while proxies die, come back, drain and join, and another Viaduct takes over |
//! | `dialogs` | dialogs, registrations and transfers, carried on while the pool changes |
//! | `upgraded` | calls that go on while one Viaduct takes over from another |

mod peers {
    pub mod agent;
    mod certificate;
    mod dialogs;
    pub mod kamailio;
    mod knot;
    mod living_pool;
    pub mod presence;
    pub mod process;
    pub mod scene;
    mod secure;
    pub mod sipp;
    pub mod splitter;
    mod upgraded;
    pub mod viaduct;
    mod webrtc;
}

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};

use peers::agent::{Agent, TIMEOUT, request};
use peers::kamailio::{Challenge, Kamailio, assert_one_proxy_for_each_call};
use peers::presence::installed;
use peers::scene::{Scene, free_port};
use peers::sipp::{Called, Callers};
use peers::splitter::Splitter;
use peers::viaduct::{Metrics, Viaduct};

/// Hosts of a scene.
const CALLERS: u8 = 1;
const VIADUCT: u8 = 2;
const OTHER_VIADUCT: u8 = 3;
const BACKENDS: u8 = 10;
const CALLED: u8 = 20;
const SPLITTER: u8 = 30;
const FLEET: u8 = 40;

#[test]
fn every_message_of_a_call_is_accounted_for() {
    calls_to_two_agents("two-agents", 500, "auto");
}

#[test]
fn every_message_of_a_call_is_accounted_for_on_the_poll_engine() {
    calls_to_two_agents("two-agents-poll", 200, "poll");
}

#[test]
fn calls_through_three_proxies_keep_to_one_each() {
    calls_to_three_proxies("three-proxies", 1000, "auto");
}

#[test]
fn calls_through_three_proxies_keep_to_one_each_on_the_poll_engine() {
    calls_to_three_proxies("three-proxies-poll", 300, "poll");
}

#[test]
fn two_instances_carry_each_call_together() {
    calls_by_two_instances("two-instances", ("call", "answer"), 1000, Challenge::Nobody, &["INVITE", "ACK", "BYE"]);
}

#[test]
fn one_instance_cancels_what_the_other_forwarded() {
    let methods = ["INVITE", "CANCEL", "ACK"];
    calls_by_two_instances("two-cancel", ("cancelled-call", "ringing"), 100, Challenge::Nobody, &methods);
}

#[test]
fn one_instance_acknowledges_the_challenge_that_the_other_brought() {
    let methods = ["INVITE", "ACK", "BYE"];
    calls_by_two_instances("two-challenge", ("challenged-call", "answer"), 100, Challenge::Everybody, &methods);
}

#[test]
fn a_ringing_call_is_cancelled_at_its_proxy() {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new("cancel");
    let called = Called::start(&scene, "ringing", scene.endpoint(CALLED));
    let proxies = three_proxies(&scene, called.address, Challenge::Nobody);
    let viaduct = Viaduct::start(&scene, VIADUCT, &addresses(&proxies), &[]);
    call(&scene, &viaduct, "cancelled-call", 100);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    assert_one_proxy_for_each_call(&proxies, 100, &["INVITE", "CANCEL", "ACK"]);
}

#[test]
fn a_challenged_request_comes_back_to_the_proxy_that_challenged_it() {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new("challenge");
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let proxies = three_proxies(&scene, called.address, Challenge::Everybody);
    let viaduct = Viaduct::start(&scene, VIADUCT, &addresses(&proxies), &[]);
    call(&scene, &viaduct, "challenged-call", 100);
    assert_one_proxy_for_each_call(&proxies, 100, &["INVITE", "ACK", "BYE"]);
    call(&scene, &viaduct, "challenged-register", 100);
    viaduct.metrics_at_rest().assert_all_accounted_for();
}

#[test]
fn a_backend_calls_an_agent_outside_the_pool() {
    if !installed(&["sipp"]) {
        return;
    }
    let scene = Scene::new("outward");
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let from = scene.endpoint(BACKENDS);
    let viaduct = Viaduct::start(&scene, VIADUCT, &[from], &[]);
    Callers { from, to: called.address, through: viaduct.address, ..callers("call", 100) }.run(&scene);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    let byes = metrics.sum("viaduct_messages_sent_total", &[("side", "client"), ("method", "BYE")]);
    assert!(byes >= 100, "{byes} BYEs went out");
}

#[test]
fn callers_on_ipv4_reach_a_backend_on_ipv6() {
    calls_across("to-ipv6", |scene| [scene.endpoint(CALLERS), loopback_ipv6(), scene.endpoint(VIADUCT)]);
}

#[test]
fn callers_on_ipv6_reach_a_backend_on_ipv4() {
    calls_across("from-ipv6", |scene| [loopback_ipv6(), scene.endpoint(BACKENDS), loopback_ipv6()]);
}

/// IPv6 has one loopback address, so that Viaduct takes the callers for backends, whose requests for Viaduct itself are
/// balanced as anybody's.
#[test]
fn callers_on_ipv6_reach_a_backend_on_ipv6() {
    calls_across("ipv6", |_| [loopback_ipv6(), loopback_ipv6(), loopback_ipv6()]);
}

#[test]
fn an_options_for_viaduct_itself_is_answered_200() {
    let scene = Scene::new("options");
    let viaduct = Viaduct::start(&scene, VIADUCT, &[scene.endpoint(BACKENDS)], &[]);
    let agent = Agent::open(scene.endpoint(CALLERS));
    let to = viaduct.address;
    let answer = agent.ask(to, &request("OPTIONS", to, agent.address, "options", 70)).unwrap();
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(answer.contains("\r\nAllow: INVITE, "), "{answer}");
}

#[test]
fn an_invite_without_hops_left_is_refused_and_its_ack_ends_there() {
    let scene = Scene::new("too-many-hops");
    let backend = Agent::open(scene.endpoint(BACKENDS));
    let viaduct = Viaduct::start(&scene, VIADUCT, &[backend.address], &[]);
    let agent = Agent::open(scene.endpoint(CALLERS));
    let invite = request("INVITE", viaduct.address, agent.address, "hops", 0);
    let answer = agent.ask(viaduct.address, &invite).unwrap();
    assert!(answer.starts_with("SIP/2.0 483 "), "{answer}");
    let to = answer.lines().find(|line| line.starts_with("To: ")).unwrap();
    let ack = request("ACK", viaduct.address, agent.address, "hops", 70);
    let without_tag = ack.lines().find(|line| line.starts_with("To: ")).unwrap();
    agent.send(viaduct.address, &ack.replace(without_tag, to));
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    assert_eq!(metrics.sum("viaduct_messages_absorbed_total", &[("reason", "ack_to_own_answer")]), 1);
    assert_eq!(metrics.sum("viaduct_answers_total", &[("code", "483")]), 1);
    assert_eq!(metrics.sum("viaduct_messages_sent_total", &[("side", "backend")]), 0);
}

#[test]
fn without_a_backend_every_call_is_refused() {
    let scene = Scene::new("no-backend");
    let viaduct = Viaduct::start(&scene, VIADUCT, &[], &[]);
    let agent = Agent::open(scene.endpoint(CALLERS));
    let invite = request("INVITE", viaduct.address, agent.address, "nobody", 70);
    let answer = agent.ask(viaduct.address, &invite).unwrap();
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
}

#[test]
fn a_response_goes_back_by_either_instance() {
    let scene = Scene::new("either-instance");
    let backend = Agent::open(scene.endpoint(BACKENDS));
    let listen = format!("udp://{{}};advertise={}", scene.endpoint(FLEET));
    let instance = |host| Viaduct::start(&scene, host, &[backend.address], &[("LISTEN", &listen)]);
    let (one, other) = (instance(VIADUCT), instance(OTHER_VIADUCT));
    let agent = Agent::open(scene.endpoint(CALLERS));
    agent.send(one.address, &request("INVITE", one.address, agent.address, "either", 70));
    let (invite, _) = backend.receive().unwrap();
    backend.send(other.address, &peers::agent::answer_200(&invite, one.address));
    let (answer, from) = agent.receive().expect(TIMEOUT);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert_eq!(from, other.address);
}

#[test]
fn a_request_within_a_dialog_goes_to_the_backend_that_its_route_names() {
    let scene = Scene::new("route");
    let backends = [BACKENDS, BACKENDS + 1].map(|host| Agent::open(scene.endpoint(host)));
    let viaduct = Viaduct::start(&scene, VIADUCT, &backends.each_ref().map(|b| b.address), &[]);
    let agent = Agent::open(scene.endpoint(CALLERS));
    for backend in &backends {
        // One Call-ID for both: its hash alone would choose the same backend twice.
        let bye = request("BYE", scene.endpoint(CALLED), agent.address, "dialog", 70);
        let route = format!("Route: <sip:{};lr>\r\nFrom: ", backend.address);
        agent.send(viaduct.address, &bye.replace("From: ", &route));
        let (bye, _) = backend.receive().expect(TIMEOUT);
        assert!(bye.contains(&route), "the backend's own Route is the backend's to take off: {bye}");
    }
}

#[test]
fn promtool_finds_no_fault_with_the_metrics_page() {
    if !installed(&["promtool"]) {
        return;
    }
    let scene = Scene::new("promtool");
    let viaduct = Viaduct::start(&scene, VIADUCT, &[scene.endpoint(BACKENDS)], &[]);
    let agent = Agent::open(scene.endpoint(CALLERS));
    let to = viaduct.address;
    agent.ask(to, &request("OPTIONS", to, agent.address, "options", 70)).unwrap();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(viaduct.page().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn callers_on_one_connection_reach_proxies_over_udp() {
    calls_over_tcp("tcp-to-udp", ("t1", "udp"), "auto");
}

#[test]
fn callers_on_a_connection_each_reach_proxies_over_tcp() {
    calls_over_tcp("tcp-to-tcp", ("tn", "tcp"), "auto");
}

#[test]
fn callers_on_a_connection_each_reach_proxies_over_tcp_on_the_poll_engine() {
    calls_over_tcp("tcp-to-tcp-poll", ("tn", "tcp"), "poll");
}

#[test]
fn callers_over_udp_reach_proxies_over_tcp() {
    calls_over_tcp("udp-to-tcp", ("u1", "tcp"), "auto");
}

/// Calls whose callers, or whose proxies, or both, are reached over TCP. Two shards share the work, so half of all responses
/// come to another shard than the one that has the caller's connection.
fn calls_over_tcp(name: &str, (transport, backend): (&str, &str), io: &str) {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    const CALLS: u32 = 400;
    let scene = Scene::new(name);
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let proxies: Vec<Kamailio> =
        (BACKENDS..BACKENDS + 3).map(|host| Kamailio::start_over_tcp(&scene, host, called.address)).collect();
    let backends: Vec<String> = proxies.iter().map(|proxy| format!("{backend}://{}", proxy.address)).collect();
    let settings = [("LISTEN", "udp://{},tcp://{}"), ("BACKENDS", &backends.join(",")), ("IO", io)];
    let viaduct = Viaduct::start(&scene, VIADUCT, &[], &settings);
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    Callers { from, to, through: to, transport, ..callers("call", CALLS) }.run(&scene);
    assert_one_proxy_for_each_call(&proxies, CALLS, &["INVITE", "ACK", "BYE"]);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    assert_carried(&metrics, CALLS);
    let over =
        |side, transport| metrics.sum("viaduct_messages_sent_total", &[("side", side), ("transport", transport)]);
    let clients = if transport == "u1" { "udp" } else { "tcp" };
    assert!(over("client", clients) >= 3 * u64::from(CALLS), "{}", over("client", clients));
    assert!(over("backend", backend) >= 3 * u64::from(CALLS), "{}", over("backend", backend));
}

fn calls_to_two_agents(name: &str, calls: u32, io: &str) {
    if !installed(&["sipp"]) {
        return;
    }
    let scene = Scene::new(name);
    let called = [BACKENDS, BACKENDS + 1].map(|host| Called::start(&scene, "answer", scene.endpoint(host)));
    let viaduct = Viaduct::start(&scene, VIADUCT, &called.each_ref().map(|c| c.address), &[("IO", io)]);
    call(&scene, &viaduct, "call", calls);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    assert_carried(&metrics, calls);
    for called in &called {
        let backend = called.address.to_string();
        let requests = metrics.sum("viaduct_backend_requests_total", &[("backend", &backend)]);
        assert!(requests > u64::from(calls) / 2, "{backend} had {requests} requests");
    }
}

fn calls_to_three_proxies(name: &str, calls: u32, io: &str) {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new(name);
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let proxies = three_proxies(&scene, called.address, Challenge::Nobody);
    let viaduct = Viaduct::start(&scene, VIADUCT, &addresses(&proxies), &[("IO", io)]);
    call(&scene, &viaduct, "call", calls);
    assert_one_proxy_for_each_call(&proxies, calls, &["INVITE", "ACK", "BYE"]);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    assert_carried(&metrics, calls);
    // Each call had the 100 of its proxy and the 180 of the called.
    let provisional = [("side", "client"), ("status_class", "1xx")];
    assert!(metrics.sum("viaduct_messages_sent_total", &provisional) >= 2 * u64::from(calls));
}

/// Calls between address families. `addresses` gives the callers', the backend's and the one that is called at Viaduct.
fn calls_across(name: &str, addresses: impl FnOnce(&Scene) -> [SocketAddr; 3]) {
    if !installed(&["sipp"]) {
        return;
    }
    let scene = Scene::new(name);
    let [from, backend, to] = addresses(&scene);
    let called = Called::start(&scene, "answer", backend);
    let other = if to.is_ipv4() { loopback_ipv6() } else { scene.endpoint(OTHER_VIADUCT) };
    let listen = format!("udp://{to},udp://{other}");
    let viaduct = Viaduct::start(&scene, VIADUCT, &[called.address], &[("LISTEN", &listen)]);
    Callers { from, to, through: to, ..callers("call", 100) }.run(&scene);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    assert_carried(&metrics, 100);
}

fn loopback_ipv6() -> SocketAddr {
    free_port(Ipv6Addr::LOCALHOST.into())
}

/// Two instances that decide apart, and a router that sends every other datagram of a call to the other one. Within a
/// dialog the Route says where to; the CANCEL, the ACK for a refusal and the second INVITE of a challenged call have
/// only the hash, which both must compute alike.
fn calls_by_two_instances(name: &str, scenarios: (&str, &str), calls: u32, challenge: Challenge, methods: &[&str]) {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new(name);
    let (scenario, answers) = scenarios;
    let called = Called::start(&scene, answers, scene.endpoint(CALLED));
    let proxies = three_proxies(&scene, called.address, challenge);
    let fleet = scene.endpoint(FLEET);
    let listen = format!("udp://{{}};advertise={fleet}");
    let instances =
        [VIADUCT, OTHER_VIADUCT].map(|host| Viaduct::start(&scene, host, &addresses(&proxies), &[("LISTEN", &listen)]));
    let from = scene.endpoint(CALLERS);
    let both = instances.each_ref().map(|instance| instance.address);
    let splitter = Splitter::start(scene.endpoint(SPLITTER), scene.endpoint(SPLITTER + 1), from, both);
    Callers { from, to: fleet, through: splitter.front, ..callers(scenario, calls) }.run(&scene);
    assert_eq!(splitter.calls_by_both(), calls as usize);
    assert_one_proxy_for_each_call(&proxies, calls, methods);
    for instance in &instances {
        instance.metrics_at_rest().assert_all_accounted_for();
    }
}

/// Asserts that each call's requests went to a backend; retransmissions may add to them.
fn assert_carried(metrics: &Metrics, calls: u32) {
    for method in ["INVITE", "ACK", "BYE"] {
        let sent = metrics.sum("viaduct_messages_sent_total", &[("side", "backend"), ("method", method)]);
        assert!(sent >= u64::from(calls), "{sent} {method}");
    }
}

fn three_proxies(scene: &Scene, called: SocketAddr, challenge: Challenge) -> Vec<Kamailio> {
    (BACKENDS..BACKENDS + 3).map(|host| Kamailio::start(scene, host, called, challenge)).collect()
}

fn addresses(proxies: &[Kamailio]) -> Vec<SocketAddr> {
    proxies.iter().map(|proxy| proxy.address).collect()
}

/// Makes calls to Viaduct, each of which must end as its scenario says.
fn call(scene: &Scene, viaduct: &Viaduct, scenario: &str, calls: u32) {
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    Callers { from, to, through: to, ..callers(scenario, calls) }.run(scene);
}

fn callers(scenario: &str, calls: u32) -> Callers<'_> {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let (from, to, through) = (nowhere, nowhere, nowhere);
    Callers { scenario, from, to, through, calls, per_second: 200, pause_ms: 100, service: "service", transport: "u1" }
}
