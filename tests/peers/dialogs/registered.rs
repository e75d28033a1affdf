//! Agents behind address translation register, are called by their Path, and go.

use std::net::SocketAddr;

use super::changing_pool::ChangingPool;
use super::record_routes::told_to_both;
use crate::peers::kamailio::Kamailio;
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::peers::sipp::{Called, Callers, Calling};
use crate::peers::viaduct::Viaduct;
use crate::{CALLED, CALLERS, callers};

/// Agents at each of two addresses.
const AGENTS: u32 = 50;

/// The registrars keep registrations to themselves, so calls must go where the registration went: by the address of record.
const HASH: (&str, &str) = ("HASH", "REGISTER=to-uri,INVITE=to-uri");

/// What stands before the @ of a Record-Route whose pin has no flow: scheme and token.
const PIN_CHARACTERS: usize = "sip:".len() + 25;

/// Addresses by which agents are reached, and whose agents they are.
type Sites = [(SocketAddr, &'static str); 2];

#[test]
fn agents_and_callers_behind_address_translation_speak_by_path_and_flow_while_the_pool_changes() {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new("registered");
    let pool = ChangingPool::start(&scene, |host| Kamailio::start_registrar(&scene, host));
    let mut viaduct = pool.viaduct(&scene, &[HASH]);
    let sites = [(scene.endpoint(CALLED), "left"), (scene.endpoint(CALLED + 1), "right")];
    register(&scene, &viaduct, &sites, "register");
    assert_paths(&pool, viaduct.address);

    let calls = Calls::start(&scene, &viaduct, &sites, ["call-registered-ended", "hangs-up-behind-nat"]);
    viaduct.until_sent("ACK", 2 * AGENTS);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.change_without_shares(&scene, &mut viaduct, &[HASH]);
    calls.finish(&pool);
    viaduct.until_sent("BYE", 2 * AGENTS);
    Calls::start(&scene, &viaduct, &sites, ["call-registered", "answer-behind-nat"]).finish(&pool);

    register(&scene, &viaduct, &sites, "deregister");
    for (_, agents) in sites {
        call(&scene, &viaduct, "call-nobody", agents).run(&scene);
    }
    viaduct.metrics_at_rest().assert_all_accounted_for();
    // Registrations, two rounds of calls, the ends of the registrations, and the calls to nobody.
    pool.assert_calls_at_one_proxy_each(10 * AGENTS as usize);
}

/// Lets the agents of both sites do what `scenario` says, from where they are called later.
fn register(scene: &Scene, viaduct: &Viaduct, sites: &Sites, scenario: &str) {
    let to = viaduct.address;
    let at = |&(from, service)| Callers { from, to, through: to, service, ..callers(scenario, AGENTS) }.start(scene);
    for registering in sites.each_ref().map(at) {
        registering.finish();
    }
}

/// Each agent registered, and renewed its registration, at one registrar, with a Path that holds a flow of ours.
fn assert_paths(pool: &ChangingPool, viaduct: SocketAddr) {
    let paths: Vec<String> = pool.proxies.iter().flat_map(|proxy| proxy.logged("path")).collect();
    assert!(paths.len() >= 4 * AGENTS as usize, "{} registrations had a Path", paths.len());
    for path in &paths {
        assert!(path.starts_with("<sip:f") && path.ends_with(&format!("@{viaduct};lr>")), "{path}");
    }
    for proxy in &pool.proxies {
        assert!(!proxy.logged("path").is_empty(), "{} had no registration", proxy.address);
    }
}

/// Calls to the agents of both sites.
struct Calls {
    callers: Vec<Calling>,
    called: Vec<Called>,
    viaduct: SocketAddr,
}

impl Calls {
    fn start(scene: &Scene, viaduct: &Viaduct, sites: &Sites, scenarios: [&str; 2]) -> Calls {
        let [calling, answering] = scenarios;
        let called = sites.map(|(at, _)| Called::start_for(scene, answering, at, AGENTS));
        let callers = sites.map(|(_, agents)| call(scene, viaduct, calling, agents).start(scene));
        Calls { callers: callers.into(), called: called.into(), viaduct: viaduct.address }
    }

    /// Waits for their end. Each call crossed Viaduct twice, and each time got a value with the flow of the client on that side.
    /// Between them is the registrar, with two values where it sent from another address than it received at.
    fn finish(self, pool: &ChangingPool) {
        let there: Vec<String> = self.callers.into_iter().flat_map(|calling| calling.finish()).collect();
        let here: Vec<String> = self.called.into_iter().flat_map(|called| called.finish()).collect();
        for (call_id, route) in told_to_both(&there, &here, 2 * AGENTS) {
            let is_ours =
                |value: &&String| value.starts_with("sip:p") && value.ends_with(&format!("@{};lr", self.viaduct));
            let [inner, members @ .., outer] = &route[..] else { panic!("{call_id}: {route:?}") };
            let has_flow = |value: &&String| value.split('@').next().is_some_and(|token| token.len() > PIN_CHARACTERS);
            assert!([inner, outer].iter().all(|value| is_ours(value) && has_flow(value)), "{call_id}: {route:?}");
            let is_of = |value: &String, at: SocketAddr| value.starts_with(&format!("sip:{at};"));
            let named = |proxy: &Kamailio, value| is_of(value, proxy.address) || is_of(value, proxy.other_address);
            let by_one = |proxy: &Kamailio| !members.is_empty() && members.iter().all(|value| named(proxy, value));
            assert!(pool.proxies.iter().any(by_one), "{call_id}: {route:?}");
        }
    }
}

/// Calls from an address of their own to each of a site's agents.
fn call<'a>(scene: &Scene, viaduct: &Viaduct, scenario: &'a str, agents: &'a str) -> Callers<'a> {
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    Callers { from, to, through: to, service: agents, ..callers(scenario, AGENTS) }
}
