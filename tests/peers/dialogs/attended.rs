//! Attended transfer (RFC 5589 §7): the transferee calls the target by an INVITE with Replaces, whose proxy is that of the
//! call to be replaced.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::changing_pool::ChangingPool;
use super::dialog::{Dialog, call};
use crate::peers::agent::Agent;
use crate::peers::kamailio::{Challenge, Kamailio};
use crate::peers::presence::installed;
use crate::peers::scene::Scene;
use crate::{CALLED, CALLERS};

const TRANSFERS: usize = 50;

/// The three parties.
struct Parties {
    transferee: Agent,
    transferor: Agent,
    target: Agent,
}

/// The calls before a transfer: as the transferor sees that with the transferee, as either side sees that with the target.
struct Calls<'a> {
    transferee: Dialog<'a>,
    transferor: Dialog<'a>,
    target: Dialog<'a>,
    consultation: Dialog<'a>,
}

#[test]
fn an_invite_with_replaces_reaches_the_proxy_of_the_call_that_it_replaces() {
    if !installed(&["kamailio"]) {
        return;
    }
    let scene = Scene::new("attended");
    let parties = Parties {
        transferee: Agent::open(scene.endpoint(CALLERS)),
        transferor: Agent::open(scene.endpoint(CALLED)),
        target: Agent::open(scene.endpoint(CALLED + 1)),
    };
    let called = parties.transferor.address;
    let pool = ChangingPool::start(&scene, |host| Kamailio::start(&scene, host, called, Challenge::Nobody));
    let mut viaduct = pool.viaduct(&scene, &[]);
    let calls: Vec<Calls<'_>> = (0..TRANSFERS).map(|number| parties.consult(viaduct.address, number)).collect();
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.change_without_shares(&scene, &mut viaduct, &[]);
    for (number, calls) in calls.into_iter().enumerate() {
        parties.transfer(viaduct.address, number, calls);
    }
    viaduct.metrics_at_rest().assert_all_accounted_for();
    pool.assert_calls_at_one_proxy_each(3 * TRANSFERS);
    assert_replacements_at_their_proxies(&pool.proxies);
}

impl Parties {
    /// The transferee calls the transferor, who then calls the target.
    fn consult(&self, viaduct: SocketAddr, number: usize) -> Calls<'_> {
        let Parties { transferee, transferor, target } = self;
        let uri = |agent: &Agent| format!("sip:{}", agent.address);
        let first = format!("first-{number}-{viaduct}");
        let (transferee, held, _) = call(transferee, viaduct, (transferor, &uri(transferor)), &first, "");
        let second = format!("second-{number}-{viaduct}");
        let (consultation, target, _) = call(transferor, viaduct, (target, &uri(target)), &second, "");
        Calls { transferee, transferor: held, target, consultation }
    }

    /// The transferor brings the other two together, and both calls of its own end.
    fn transfer(&self, viaduct: SocketAddr, number: usize, calls: Calls<'_>) {
        let Parties { transferee, transferor, target } = self;
        let Calls { transferee: mut to_transferor, transferor: mut to_transferee, target: mut replaced, consultation } =
            calls;
        let to = format!("sip:{}", target.address);
        // The tags as the target sees them: its own, then the transferor's.
        let (own, other) = (tag(&consultation.remote), tag(&consultation.local));
        let id = &consultation.call_id;
        let refer_to = format!("Refer-To: <{to}?Replaces={id}%3Bto-tag%3D{own}%3Bfrom-tag%3D{other}>\r\n");
        to_transferee.ask(transferee, "REFER", &refer_to, "202 Accepted");
        let notify = |state| format!("Event: refer\r\nSubscription-State: {state}\r\n");
        to_transferor.ask(transferor, "NOTIFY", &notify("active;expires=60"), "200 OK");

        let replaces = format!("Replaces: {id};to-tag={own};from-tag={other}\r\n");
        let third = format!("third-{number}-{viaduct}");
        let (mut joined, _, invite) = call(transferee, viaduct, (target, &to), &third, &replaces);
        assert!(invite.contains(&replaces), "{invite}");
        replaced.ask(transferor, "BYE", "", "200 OK");
        to_transferor.ask(transferor, "NOTIFY", &notify("terminated;reason=noresource"), "200 OK");
        to_transferee.ask(transferee, "BYE", "", "200 OK");
        joined.ask(target, "BYE", "", "200 OK");
    }
}

fn tag(party: &str) -> &str {
    party.split_once(";tag=").unwrap().1
}

/// Each replacement was seen at the proxy of the call that it replaced.
fn assert_replacements_at_their_proxies(proxies: &[Kamailio]) {
    let mut replaced = BTreeSet::new();
    for proxy in proxies {
        let seen = proxy.seen();
        for replaces in proxy.logged("replaces") {
            let call_id = replaces.split(';').next().unwrap_or_default().to_owned();
            assert!(seen.contains_key(&call_id), "{} did not have the call {call_id}", proxy.address);
            replaced.insert(call_id);
        }
    }
    assert_eq!(replaced.len(), TRANSFERS);
}
