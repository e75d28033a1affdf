//! A member leaves the pool while it has dialogs.

use super::changing_pool::ChangingPool;
use super::dialog::call;
use crate::peers::agent::Agent;
use crate::peers::kamailio::{Challenge, Kamailio};
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::{CALLED, CALLERS};

const CALLS: usize = 50;

#[test]
fn dialogs_of_a_removed_proxy_are_refused_or_go_to_another_which_follows_their_route() {
    if !installed(&["kamailio"]) {
        return;
    }
    let scene = Scene::new("removed");
    let (caller, called) = (Agent::open(scene.endpoint(CALLERS)), Agent::open(scene.endpoint(CALLED)));
    let pool = ChangingPool::start(&scene, |host| Kamailio::start(&scene, host, called.address, Challenge::Nobody));
    let mut viaduct = pool.viaduct(&scene, &[]);
    let uri = format!("sip:{}", called.address);
    let id = |number: usize| format!("removed-{number}-{}", caller.address);
    let mut dialogs: Vec<_> =
        (0..CALLS).map(|number| call(&caller, viaduct.address, (&called, &uri), &id(number), "").0).collect();
    let removed = &pool.proxies[0];
    let lost = removed.seen();
    assert!(!lost.is_empty() && lost.len() < CALLS);

    pool.remove_one(&scene, &mut viaduct, "481");
    for dialog in &mut dialogs {
        match lost.contains_key(&dialog.call_id) {
            true => dialog.ask_in_vain("INFO", "481"),
            false => drop(dialog.ask(&called, "INFO", "", "200 OK")),
        }
    }
    viaduct.metrics_at_rest().assert_all_accounted_for();
    assert_eq!(removed.seen(), lost, "a request reached the removed proxy");

    pool.remove_one(&scene, &mut viaduct, "rehash");
    for dialog in &mut dialogs {
        dialog.ask(&called, "BYE", "", "200 OK");
    }
    viaduct.metrics_at_rest().assert_all_accounted_for();
}
