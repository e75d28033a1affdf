//! Calls over TLS, whose far ends are OpenSSL's: callers in front of proxies over UDP, TCP and TLS, and proxies over TLS that
//! prove who they are and want Viaduct to.
//!
//! The SIPp that Debian has speaks no TLS. It speaks TCP to an stunnel here, which opens a connection over TLS for each of
//! SIPp's, so that all of SIPp's calls are made as by its own `l1` and `ln`; and it says TLS in its Vias and Contacts. One that
//! speaks both itself is `phone`, which is baresip.

mod phone;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::agent::{Agent, request};
use super::certificate::Authority;
use super::kamailio::{Kamailio, assert_one_proxy_for_each_call};
use super::presence::installed;
use super::process::Process;
use super::scene::{Scene, until};
use super::sipp::{Called, Callers};
use super::viaduct::{Metrics, Viaduct};
use phone::Phone;

use crate::{BACKENDS, CALLED, CALLERS, SPLITTER, VIADUCT, assert_carried, callers};

const CALLS: u32 = 200;

/// Each call costs handshakes on both ends of the machine, whose timers of SIP must not run out.
const PER_SECOND: u32 = 50;

#[test]
fn callers_on_one_tls_connection_reach_proxies_over_tcp() {
    calls_over_tls("tls-to-tcp", "t1", "tcp", "auto");
}

#[test]
fn callers_on_a_tls_connection_each_reach_proxies_over_tcp() {
    calls_over_tls("tls-each-to-tcp", "tn", "tcp", "auto");
}

#[test]
fn callers_on_a_tls_connection_each_reach_proxies_over_tcp_on_the_poll_engine() {
    calls_over_tls("tls-each-to-tcp-poll", "tn", "tcp", "poll");
}

#[test]
fn callers_on_one_tls_connection_reach_proxies_over_udp() {
    calls_over_tls("tls-to-udp", "t1", "udp", "auto");
}

#[test]
fn callers_on_a_tls_connection_each_reach_proxies_over_udp() {
    calls_over_tls("tls-each-to-udp", "tn", "udp", "auto");
}

#[test]
fn callers_over_udp_reach_proxies_over_tls_where_both_sides_prove_who_they_are() {
    calls_to_secure_proxies("udp-to-tls", "u1", "auto");
}

#[test]
fn callers_over_udp_reach_proxies_over_tls_on_the_poll_engine() {
    calls_to_secure_proxies("udp-to-tls-poll", "u1", "poll");
}

#[test]
fn callers_on_a_tls_connection_each_reach_proxies_over_tls() {
    calls_to_secure_proxies("tls-to-tls", "tn", "auto");
}

#[test]
fn a_proxy_that_proves_to_be_another_is_sent_nothing() {
    if !installed(&["kamailio"]) {
        return;
    }
    let scene = Scene::new("tls-other");
    let authority = Authority::new(&scene);
    let other = scene.endpoint(BACKENDS + 1).ip();
    let proxy = Kamailio::start_over_tls(&scene, BACKENDS, scene.endpoint(CALLED), &authority, Some(other));
    let (viaduct, _) = start_viaduct(&scene, &authority, &[("BACKENDS", &format!("tls://{}", proxy.address))]);
    let agent = Agent::open(scene.endpoint(CALLERS));
    let answer = agent.ask(viaduct.address, &request("OPTIONS", proxy.address, agent.address, "other", 70)).unwrap();
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    assert!(proxy.seen().is_empty());
    let handshakes = [("direction", "connected"), ("result", "wrong_name")];
    assert_eq!(viaduct.metrics_at_rest().sum("viaduct_tls_handshakes_total", &handshakes), 1);
}

/// The registrars keep registrations to themselves, so calls must go where the registration went: by the address of record.
const HASH: (&str, &str) = ("HASH", "REGISTER=to-uri,INVITE=to-uri");

/// The phone is reached by the connection that it opened, and by that it reaches an agent over UDP, whom it calls.
#[test]
fn a_phone_over_tls_registers_is_called_and_calls() {
    if !installed(&["sipp", "kamailio", "baresip"]) {
        return;
    }
    let scene = Scene::new("tls-phone");
    let authority = Authority::new(&scene);
    let registrars: Vec<Kamailio> =
        (BACKENDS..BACKENDS + 3).map(|host| Kamailio::start_registrar(&scene, host)).collect();
    let backends: Vec<String> = registrars.iter().map(|registrar| format!("udp://{}", registrar.address)).collect();
    let (viaduct, secure) = start_viaduct(&scene, &authority, &[("BACKENDS", &backends.join(",")), HASH]);
    let (from, to, desk) = (scene.endpoint(CALLERS), viaduct.address, scene.endpoint(CALLED));
    let call = |scenario, service, from| {
        Callers { from, to, through: to, service, ..callers(scenario, 1) }.run(&scene);
    };
    call("register", "desk", desk);
    let desk = Called::start_for(&scene, "answer", desk, 1);

    let registered = || registrars.iter().flat_map(|registrar| registrar.logged("path")).count();
    let before = registered();
    let at = scene.endpoint(SPLITTER + 1).ip();
    let phone = Phone::start(&scene, at, secure, (&format!("phone@{to}"), &format!("desk1@{to}")), &authority.path);
    until("the phone is registered", || registered() > before);
    call("call", "phone", from);
    desk.finish();
    assert_eq!(phone.finish(), 0);

    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    for (side, transport) in [("client", "tls"), ("client", "udp"), ("backend", "udp")] {
        let labels = [("side", side), ("transport", transport), ("method", "INVITE")];
        assert!(
            metrics.sum("viaduct_messages_sent_total", &labels) >= 1,
            "no INVITE to the {side} side over {transport}"
        );
    }
    registrars.iter().for_each(|registrar| drop(registrar.seen()));
}

/// Calls over TLS to proxies over another transport. Two shards share the work, so half of all responses come to another
/// shard than the one that has the caller's connection.
fn calls_over_tls(name: &str, transport: &str, backend: &str, io: &str) {
    if !installed(&["sipp", "kamailio", "stunnel"]) {
        return;
    }
    let scene = Scene::new(name);
    let authority = Authority::new(&scene);
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let proxies: Vec<Kamailio> =
        (BACKENDS..BACKENDS + 3).map(|host| Kamailio::start_over_tcp(&scene, host, called.address)).collect();
    let metrics = carry(&scene, &authority, transport, (backend, &proxies), io);
    assert_handshakes(&metrics, "accepted", if transport == "tn" { u64::from(CALLS) } else { 1 });
}

fn calls_to_secure_proxies(name: &str, transport: &str, io: &str) {
    if !installed(&["sipp", "kamailio", "stunnel"]) {
        return;
    }
    let scene = Scene::new(name);
    let authority = Authority::new(&scene);
    let called = Called::start(&scene, "answer", scene.endpoint(CALLED));
    let start = |host| Kamailio::start_over_tls(&scene, host, called.address, &authority, None);
    let proxies: Vec<Kamailio> = (BACKENDS..BACKENDS + 3).map(start).collect();
    let metrics = carry(&scene, &authority, transport, ("tls", &proxies), io);
    // Each shard opens connections of its own to each.
    assert_handshakes(&metrics, "connected", 3);
}

/// Makes the calls, and asserts that each was carried over the transports it should be.
fn carry(
    scene: &Scene,
    authority: &Authority,
    transport: &str,
    (backend, proxies): (&str, &[Kamailio]),
    io: &str,
) -> Metrics {
    let backends: Vec<String> = proxies.iter().map(|proxy| format!("{backend}://{}", proxy.address)).collect();
    let (viaduct, secure) = start_viaduct(scene, authority, &[("BACKENDS", &backends.join(",")), ("IO", io)]);
    let from = scene.endpoint(CALLERS);
    let clients = if transport == "u1" { "udp" } else { "tls" };
    if clients == "udp" {
        let (to, through) = (viaduct.address, viaduct.address);
        Callers { from, to, through, transport, per_second: PER_SECOND, ..callers("call", CALLS) }.run(scene);
    } else {
        let tunnel = Tunnel::start(scene, authority, secure);
        write_secure_scenario(scene);
        Callers {
            from,
            to: secure,
            through: tunnel.address,
            transport,
            per_second: PER_SECOND,
            ..callers("secure-call", CALLS)
        }
        .run(scene);
    }
    assert_one_proxy_for_each_call(proxies, CALLS, &["INVITE", "ACK", "BYE"]);
    let metrics = viaduct.metrics_at_rest();
    // A 200 that the called sends again, over UDP, may come when the caller has ended the call and its connection.
    metrics.assert_accounted_for_but("connection_gone", if transport == "tn" { u64::from(CALLS) / 10 } else { 0 });
    assert_carried(&metrics, CALLS);
    for (side, transport) in [("client", clients), ("backend", backend)] {
        let sent = metrics.sum("viaduct_messages_sent_total", &[("side", side), ("transport", transport)]);
        assert!(sent >= 3 * u64::from(CALLS), "{sent} to the {side} side over {transport}");
    }
    metrics
}

fn assert_handshakes(metrics: &Metrics, direction: &str, least: u64) {
    let of = |result| metrics.sum("viaduct_tls_handshakes_total", &[("direction", direction), ("result", result)]);
    let good = of("full") + of("resumed");
    assert!(good >= least, "{good} handshakes");
    assert_eq!(metrics.sum("viaduct_tls_handshakes_total", &[("direction", direction)]), good, "some failed");
}

/// Starts one that listens over UDP, TCP and TLS; gives its address for TLS too.
fn start_viaduct(scene: &Scene, authority: &Authority, settings: &[(&str, &str)]) -> (Viaduct, SocketAddr) {
    let secure = scene.endpoint(VIADUCT);
    let own = authority.issue(secure.ip()).setting();
    let listen = format!("udp://{{}},tcp://{{}},tls://{secure}");
    let trusted = authority.path.display().to_string();
    let secured = [
        ("LISTEN", listen.as_str()),
        ("TLS_CERTIFICATES", own.as_str()),
        ("TLS_CONNECT_CERTIFICATE", own.as_str()),
        ("TLS_CONNECT_CA", trusted.as_str()),
    ];
    (Viaduct::start(scene, VIADUCT, &[], &[&secured, settings].concat()), secure)
}

/// The scenario of a call as one writes it who speaks TLS.
fn write_secure_scenario(scene: &Scene) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/call.xml");
    let contact = "Contact: <sip:caller@[local_ip]:[local_port]";
    let text = fs::read_to_string(path).unwrap().replace("[transport]", "TLS");
    let text = text.replace(contact, &format!("{contact};transport=tls"));
    fs::write(scene.directory.join("secure-call.xml"), text).unwrap();
}

/// An stunnel that carries each TCP connection to Viaduct over TLS, if Viaduct proves who it is.
struct Tunnel {
    address: SocketAddr,
    _process: Process,
}

impl Tunnel {
    fn start(scene: &Scene, authority: &Authority, secure: SocketAddr) -> Tunnel {
        let address = scene.endpoint(SPLITTER);
        let settings = format!(
            "foreground = yes\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n[sip]\nclient = yes\n\
             accept = {address}\nlocal = {}\nconnect = {secure}\nCAfile = {}\nverifyChain = yes\ncheckIP = {}\n",
            address.ip(),
            authority.path.display(),
            secure.ip()
        );
        let path = scene.directory.join("stunnel.conf");
        fs::write(&path, settings).unwrap();
        let mut process = Process::start(scene, "stunnel", Command::new("stunnel").arg(path));
        until("the tunnel is open", || {
            process.assert_running();
            process.output().contains("Configuration successful")
        });
        Tunnel { address, _process: process }
    }
}
