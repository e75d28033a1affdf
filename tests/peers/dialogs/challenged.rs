//! RFC 3665 §3.2 between real programs: a pre-loaded Route, a challenge, two proxies, and a BYE from the called.

use std::collections::BTreeMap;

use super::changing_pool::ChangingPool;
use super::record_routes::told_to_both;
use crate::peers::kamailio::{Challenge, Kamailio, assert_one_proxy_for_each_call};
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::peers::sipp::{Called, Callers};
use crate::{CALLED, CALLERS, callers};

/// The host of the proxy that stands behind the pool.
const SECOND_PROXY: u8 = 50;

const CALLS: u32 = 100;

#[test]
fn a_challenged_call_through_two_proxies_is_ended_by_the_called_after_the_pool_has_changed() {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new("challenged-and-ended");
    let called = Called::start_for(&scene, "hangs-up", scene.endpoint(CALLED), CALLS);
    let second = Kamailio::start(&scene, SECOND_PROXY, called.address, Challenge::Nobody);
    let pool = ChangingPool::start(&scene, |host| Kamailio::start(&scene, host, second.address, Challenge::Everybody));
    let mut viaduct = pool.viaduct(&scene, &[]);
    let (from, to) = (scene.endpoint(CALLERS), viaduct.address);
    let calling = Callers { from, to, through: to, ..callers("challenged-caller", CALLS) }.start(&scene);
    // One ACK for each 407, one for each 200.
    viaduct.until_sent("ACK", 2 * CALLS);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.change(&scene, &mut viaduct, &[]);

    let (calling, called) = (calling.finish(), called.finish());
    let homes = homes(&pool.proxies);
    for (call_id, route) in told_to_both(&calling, &called, CALLS) {
        let ours = format!("@{to};lr");
        let [beyond, member, viaduct] = &route[..] else { panic!("{route:?}") };
        assert!(beyond.starts_with(&format!("sip:{};", second.address)), "{route:?}");
        assert!(member.starts_with(&format!("sip:{};", homes[&call_id])), "{route:?}");
        assert!(viaduct.starts_with("sip:p") && viaduct.ends_with(&ours), "{route:?}");
    }
    assert_one_proxy_for_each_call(&pool.proxies, CALLS, &["INVITE", "ACK", "BYE"]);
    assert_eq!(pool.newcomer.seen().len(), 0);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    let byes = metrics.sum("viaduct_messages_sent_total", &[("side", "client"), ("method", "BYE")]);
    assert!(byes >= u64::from(CALLS), "{byes} BYEs came out");
}

/// The address of the proxy that each Call-ID was seen at.
fn homes(proxies: &[Kamailio]) -> BTreeMap<String, String> {
    let of = |proxy: &Kamailio| {
        let address = proxy.address.to_string();
        proxy.seen().into_keys().map(move |call_id| (call_id, address.clone())).collect::<Vec<_>>()
    };
    proxies.iter().flat_map(of).collect()
}
