//! Requests from backends to host names: what is decided rests on the message, the snapshot and the table of names alone.

use std::collections::HashMap;
use std::net::SocketAddr;

use viaduct::proxy::View;
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::names::Names;
use viaduct::proxy::names::name::Lookup;
use viaduct::proxy::verdict::{Decision, DropReason, Verdict};

use crate::support::{decided_with, name, names, pool, snapshot_of};

const BACKEND: &str = "10.0.0.11:5060";
const CLIENT: &str = "198.51.100.77:5060";

fn request(method: &str, uri: &str, call: usize) -> Vec<u8> {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.11:5060;branch=z9hG4bK{call}\r\nFrom: <sip:b@b>;tag=2\r\n\
         To: <sip:c@c>\r\nCall-ID: call-{call}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n\r\n"
    )
    .into_bytes()
}

fn decided(view: View<'_>, message: &[u8], peer: &str) -> (Decision, Vec<u8>) {
    let peer = peer.parse().expect("an address");
    decided_with(
        view,
        &Inbound {
            bytes: message,
            peer,
            listener: ListenerIndex(0),
            local: None,
            connection: None,
            relay: None,
            now_us: 0,
        },
    )
}

fn hop(view: View<'_>, method: &str, call: usize) -> SocketAddr {
    match decided(view, &request(method, "sip:carol@carol.example.net", call), BACKEND).0.verdict {
        Verdict::Forward { hop, .. } => hop.to,
        other => panic!("not forwarded: {other:?}"),
    }
}

#[test]
fn calls_share_the_targets_of_the_lowest_priority_by_weight() {
    let (snapshot, names) = (snapshot_of(pool()), names());
    let view = View { snapshot: &snapshot, names: &names };
    let mut counts: HashMap<SocketAddr, usize> = HashMap::new();
    for call in 0..4000 {
        *counts.entry(hop(view, "INVITE", call)).or_default() += 1;
    }
    let share = |address: &str| counts.get(&address.parse().unwrap()).copied().unwrap_or(0) as f64 / 4000.0;
    assert!((share("198.51.100.1:5062") - 0.75).abs() < 0.03, "{counts:?}");
    assert!((share("198.51.100.2:5062") - 0.25).abs() < 0.03, "{counts:?}");
}

#[test]
fn what_belongs_to_an_invite_goes_to_its_target_on_any_instance() {
    let instances = [(snapshot_of(pool()), names()), (snapshot_of(pool()), names())];
    let [one, other] = instances.each_ref().map(|(snapshot, names)| View { snapshot, names });
    for call in 0..100 {
        let invited = hop(one, "INVITE", call);
        for method in ["INVITE", "CANCEL", "ACK", "BYE"] {
            assert_eq!(hop(other, method, call), invited, "{method}");
        }
    }
}

#[test]
fn a_name_that_is_not_known_is_asked_for_and_one_that_is_known_is_told_to_be_in_use() {
    let snapshot = snapshot_of(pool());
    let (none, some) = (Names::default(), names());
    let message = request("INVITE", "sip:carol@Carol.example.net", 1);
    for (names, is_known) in [(&none, false), (&some, true)] {
        let (decision, _) = decided(View { snapshot: &snapshot, names }, &message, BACKEND);
        let wanted = decision.named.and_then(|wanted| wanted.name(&message));
        assert_eq!(wanted, Some(name("carol.example.net", Lookup::Service)));
        assert_eq!(decision.verdict == Verdict::Drop(DropReason::NameBeingResolved), !is_known);
    }
}

#[test]
fn a_client_makes_nobody_look_up_a_name() {
    let (snapshot, names) = (snapshot_of(pool()), Names::default());
    for uri in ["sip:carol@new.example.net", "sip:carol@10.9.9.9;maddr=new.example.net"] {
        let (decision, _) = decided(View { snapshot: &snapshot, names: &names }, &request("INVITE", uri, 1), CLIENT);
        assert_eq!(decision.named, None);
        assert!(matches!(decision.verdict, Verdict::Forward { backend: Some(_), .. }));
    }
}
