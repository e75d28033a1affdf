//! A call is transferred by REFER, while the pool changes.

use std::collections::BTreeSet;

use super::changing_pool::ChangingPool;
use crate::peers::kamailio::{Challenge, Kamailio};
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::peers::sipp::{Called, Callers};
use crate::{CALLED, CALLERS, callers};

const CALLS: u32 = 100;

#[test]
fn a_call_is_transferred_by_refer_after_the_pool_has_changed() {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new("refer");
    let target = Called::start(&scene, "answer", scene.endpoint(CALLED + 1));
    let called = Called::start_referring(&scene, "transferor", scene.endpoint(CALLED), CALLS, target.address);
    let pool = ChangingPool::start(&scene, |host| Kamailio::start(&scene, host, called.address, Challenge::Nobody));
    let mut viaduct = pool.viaduct(&scene, &[]);
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    let calling = Callers { from, to, through: to, ..callers("transferee", CALLS) }.start(&scene);
    viaduct.until_sent("ACK", CALLS);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.change(&scene, &mut viaduct, &[]);

    calling.finish();
    called.finish();
    viaduct.metrics_at_rest().assert_all_accounted_for();
    assert_each_call_at_one_proxy(&pool);
}

/// The first call has REFER and NOTIFY in it, the second, which has a Call-ID of its own, has not. The second goes where the
/// changed pool says: not to `two`, which has no share any more.
fn assert_each_call_at_one_proxy(pool: &ChangingPool) {
    let [first, second] = [&["INVITE", "ACK", "REFER", "NOTIFY", "BYE"][..], &["INVITE", "ACK", "BYE"]]
        .map(|methods| methods.iter().map(|method| method.to_string()).collect::<BTreeSet<_>>());
    for proxy in pool.proxies.iter().chain([&pool.newcomer]) {
        for (call_id, methods) in proxy.seen() {
            let is_second = call_id.starts_with("second///");
            assert_eq!(&methods, if is_second { &second } else { &first }, "{call_id} at {}", proxy.address);
            assert!(
                !is_second || proxy.address != pool.proxies[1].address,
                "{call_id} came to a proxy without a share"
            );
        }
    }
    pool.assert_calls_at_one_proxy_each(2 * CALLS as usize);
    assert!(pool.newcomer.seen().len() > 1, "the newcomer had its share of second calls");
}
