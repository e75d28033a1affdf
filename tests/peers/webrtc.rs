//! A WebRTC phone over WSS and a desk phone over UDP, both registered through Viaduct, call and are called.
//!
//! The phone itself, JsSIP in Chromium, is `phone`.

mod phone;

use std::net::SocketAddr;

use self::phone::Phone;
use super::certificate::{Authority, Certificate};
use super::kamailio::Kamailio;
use super::presence::installed;
use super::scene::Scene;
use super::sipp::{Called, Callers};
use super::viaduct::{Metrics, Viaduct};
use crate::{BACKENDS, CALLED, CALLERS, VIADUCT, callers};

/// What the phone does. `desk1` is the desk phone.
const STEPS: [&str; 6] =
    ["register", "answer:wait", "answer:hang-up", "call:desk1:wait", "call:desk1:hang-up", "unregister"];

/// The registrars keep registrations to themselves, so calls must go where the registration went: by the address of record.
const HASH: (&str, &str) = ("HASH", "REGISTER=to-uri,INVITE=to-uri");

#[test]
fn a_webrtc_phone_over_wss_and_agents_over_udp_call_each_other_through_registrars_over_udp() {
    call_both_ways("webrtc-udp", "udp", "auto");
}

#[test]
fn a_webrtc_phone_over_wss_and_agents_over_udp_call_each_other_through_registrars_over_tcp() {
    call_both_ways("webrtc-tcp", "tcp", "auto");
}

#[test]
fn a_webrtc_phone_over_wss_and_agents_over_udp_call_each_other_on_the_poll_engine() {
    call_both_ways("webrtc-poll", "udp", "poll");
}

/// Two calls to the phone and two by it; of either two, one is ended by each side.
fn call_both_ways(name: &str, backend: &str, io: &str) {
    if !(installed(&["sipp", "kamailio", "node", "chromium", "certutil"]) && phone::modules_installed()) {
        return;
    }
    let scene = Scene::new(name);
    let registrars: Vec<Kamailio> =
        (BACKENDS..BACKENDS + 3).map(|host| Kamailio::start_registrar_over_tcp(&scene, host)).collect();
    let secure = scene.endpoint(VIADUCT);
    let authority = Authority::new(&scene);
    let certificate = authority.issue(secure.ip());
    let backends: Vec<String> = registrars.iter().map(|at| format!("{backend}://{}", at.address)).collect();
    let viaduct = start_viaduct(&scene, secure, &certificate, &[("BACKENDS", &backends.join(",")), HASH, ("IO", io)]);
    let desk = register_desk_phone(&scene, viaduct.address);

    let aor = format!("browser@{}", viaduct.address);
    let mut phone = Phone::start(&scene, secure, &aor, &authority.path, &STEPS);
    let contact = phone.until_done("register");
    assert!(contact.contains(".invalid;transport=ws>"), "{contact}");
    call(&scene, "call-phone", viaduct.address, "browser", scene.endpoint(CALLERS));
    assert_eq!(phone.until_done("answer:wait"), "ended by remote, Terminated");
    call(&scene, "call-phone", viaduct.address, "browser", scene.endpoint(CALLERS));
    assert_eq!(phone.until_done("answer:hang-up"), "ended by local, Terminated");
    assert_eq!(phone.until_done("call:desk1:wait"), "ended by remote, Terminated");
    assert_eq!(phone.until_done("call:desk1:hang-up"), "ended by local, Terminated");
    phone.finish();
    assert_eq!(phone.until_done("unregister"), "unregistered");
    desk.finish();

    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    assert_crossed(&metrics, backend);
    assert_paths(&registrars, viaduct.address);
}

/// Starts one that listens over WSS at `secure`, and beside that over UDP and TCP: for the agents, and for registrars.
fn start_viaduct(scene: &Scene, secure: SocketAddr, certificate: &Certificate, settings: &[(&str, &str)]) -> Viaduct {
    let listen = format!("udp://{{}},tcp://{{}},wss://{secure}");
    let pair = certificate.setting();
    let secured = [("LISTEN", listen.as_str()), ("TLS_CERTIFICATES", pair.as_str())];
    Viaduct::start(scene, VIADUCT, &[], &[&secured, settings].concat())
}

/// Registers the desk phone, which is `desk1` behind address translation, and lets it wait for two calls.
fn register_desk_phone(scene: &Scene, viaduct: SocketAddr) -> Called {
    let address = scene.endpoint(CALLED);
    call(scene, "register", viaduct, "desk", address);
    Called::start_for(scene, "answer-phone", address, 2)
}

fn call(scene: &Scene, scenario: &str, viaduct: SocketAddr, service: &str, from: SocketAddr) {
    Callers { from, to: viaduct, through: viaduct, service, ..callers(scenario, 1) }.run(scene);
}

/// Calls came to clients, and went to registrars, over the transports they should: two of either phone's.
fn assert_crossed(metrics: &Metrics, backend: &str) {
    for (side, transport, calls) in [("client", "wss", 2), ("client", "udp", 2), ("backend", backend, 4)] {
        let labels = [("side", side), ("transport", transport), ("method", "INVITE")];
        let sent = metrics.sum("viaduct_messages_sent_total", &labels);
        assert!(sent >= calls, "{sent} INVITEs to the {side} side over {transport}");
    }
}

/// Every registration came with a Path that holds a flow of ours, and no request strayed.
fn assert_paths(registrars: &[Kamailio], viaduct: SocketAddr) {
    let paths: Vec<String> = registrars.iter().flat_map(|registrar| registrar.logged("path")).collect();
    // The desk phone registers twice, the WebRTC phone comes and goes.
    assert!(paths.len() >= 4, "{paths:?}");
    for path in &paths {
        assert!(path.starts_with("<sip:f") && path.contains(&format!("@{viaduct};")), "{path}");
    }
    for registrar in registrars {
        registrar.seen();
    }
}
