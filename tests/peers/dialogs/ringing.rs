//! A ringing call is given up after the pool has changed.

use super::changing_pool::ChangingPool;
use crate::peers::kamailio::{Challenge, Kamailio, assert_one_proxy_for_each_call};
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::peers::sipp::{Called, Callers};
use crate::{CALLED, CALLERS, callers};

const CALLS: u32 = 100;

/// A CANCEL has no Route that could name its proxy, so it follows the hash: the shares must not change under it.
#[test]
fn a_ringing_call_is_cancelled_at_its_proxy_which_is_known_by_another_address_by_then() {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new("cancel-later");
    let called = Called::start_for(&scene, "ringing", scene.endpoint(CALLED), CALLS);
    let pool = ChangingPool::start(&scene, |host| Kamailio::start(&scene, host, called.address, Challenge::Nobody));
    let mut viaduct = pool.viaduct(&scene, &[]);
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    let calling = Callers { from, to, through: to, pause_ms: 3500, ..callers("cancelled-call", CALLS) }.start(&scene);
    viaduct.until_sent("INVITE", CALLS);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.change_without_shares(&scene, &mut viaduct, &[]);

    calling.finish();
    called.finish();
    viaduct.until_sent("CANCEL", CALLS);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    assert_one_proxy_for_each_call(&pool.proxies, CALLS, &["INVITE", "CANCEL", "ACK"]);
}
