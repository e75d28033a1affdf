//! A flow whose listener is gone.

use crate::peers::agent::{Agent, TIMEOUT, request};
use crate::peers::scene::Scene;
use crate::peers::viaduct::Viaduct;
use crate::{BACKENDS, CALLED, CALLERS, VIADUCT, loopback_ipv6};

#[test]
fn a_request_along_a_flow_whose_listener_cannot_reach_the_client_any_more_is_answered_430() {
    let scene = Scene::new("lost-flow");
    let registrar = Agent::open(scene.endpoint(BACKENDS));
    let client = Agent::open(scene.endpoint(CALLED));
    let mut viaduct = Viaduct::start(&scene, VIADUCT, &[registrar.address], &[("PATH", "on")]);
    client.send(viaduct.address, &request("REGISTER", viaduct.address, client.address, "register", 70));
    let (register, _) = registrar.receive().expect(TIMEOUT);
    let path = register.lines().find_map(|line| line.strip_prefix("Path: ")).unwrap();

    let options = request("OPTIONS", scene.endpoint(CALLERS), registrar.address, "along-the-flow", 70);
    let along = options.replace("Max-Forwards:", &format!("Route: {path}\r\nMax-Forwards:"));
    registrar.send(viaduct.address, &along);
    let (options, _) = client.receive().expect(TIMEOUT);
    assert!(options.starts_with("OPTIONS "), "{options}");

    let listeners = format!("udp://{},udp://{{}}", loopback_ipv6());
    let backends = format!("udp://{}", registrar.address);
    viaduct.replace(&scene, &[("BACKENDS", &backends), ("LISTEN", &listeners)]);
    let answer = registrar.ask(viaduct.address, &along).expect(TIMEOUT);
    assert!(answer.starts_with("SIP/2.0 430 "), "{answer}");
}
