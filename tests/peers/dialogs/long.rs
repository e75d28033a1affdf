//! A long dialog in which both sides renegotiate, while the pool changes.

use std::net::{Ipv6Addr, SocketAddr};

use super::changing_pool::ChangingPool;
use crate::peers::kamailio::{Challenge, Kamailio, assert_one_proxy_for_each_call};
use crate::peers::presence::installed;
use crate::peers::scene::{Scene, free_port};
use crate::peers::sipp::{Called, Callers};
use crate::{CALLED, CALLERS, callers};

const CALLS: u32 = 100;

#[test]
fn either_side_renegotiates_at_the_proxy_of_the_dialog_after_the_pool_has_changed() {
    renegotiate("long", |scene| scene.endpoint(CALLERS));
}

/// The dialogs cross two listeners, so that they have two Record-Routes of Viaduct's (RFC 5658).
#[test]
fn either_side_renegotiates_across_address_families_after_the_pool_has_changed() {
    renegotiate("long-across", |_| free_port(Ipv6Addr::LOCALHOST.into()));
}

fn renegotiate(name: &str, callers_at: impl FnOnce(&Scene) -> SocketAddr) {
    if !installed(&["sipp", "kamailio"]) {
        return;
    }
    let scene = Scene::new(name);
    let called = Called::start_for(&scene, "long-called", scene.endpoint(CALLED), CALLS);
    let pool = ChangingPool::start(&scene, |host| Kamailio::start(&scene, host, called.address, Challenge::Nobody));
    let on_ipv6 = free_port(Ipv6Addr::LOCALHOST.into());
    let listeners = format!("udp://{{}},udp://{on_ipv6}");
    let settings = [("LISTEN", listeners.as_str())];
    let mut viaduct = pool.viaduct(&scene, &settings);
    let from = callers_at(&scene);
    let to = if from.is_ipv6() { on_ipv6 } else { viaduct.address };
    let calling = Callers { from, to, through: to, ..callers("long-caller", CALLS) }.start(&scene);
    viaduct.until_sent("ACK", CALLS);
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.change(&scene, &mut viaduct, &settings);

    calling.finish();
    called.finish();
    assert_one_proxy_for_each_call(&pool.proxies, CALLS, &["INVITE", "ACK", "UPDATE", "INFO", "BYE"]);
    assert_eq!(pool.newcomer.seen().len(), 0);
    let metrics = viaduct.metrics_at_rest();
    metrics.assert_all_accounted_for();
    for side in ["backend", "client"] {
        for method in ["INVITE", "ACK", "UPDATE", "INFO"] {
            let sent = metrics.sum("viaduct_messages_sent_total", &[("side", side), ("method", method)]);
            assert!(sent >= u64::from(CALLS), "{sent} {method} to the {side} side");
        }
    }
}
