//! What others are told while Viaduct drains, and what goes on as ever.

use proptest::prelude::*;
use viaduct::proxy::drain::{DrainNewRequests, DrainOptions, DrainPolicy, TurnedAway};
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::snapshot::{Policy, Snapshot};
use viaduct::proxy::verdict::{AbsorbReason, Decision, Verdict};
use viaduct::sip::reply::Status;

use crate::support::{decided, decided_inbound, pool, snapshot_of};

const CLIENT: &str = "198.51.100.7:5060";
const BACKEND: &str = "10.0.0.11:5060";

/// The usual snapshot while Viaduct drains by these settings.
fn draining(options: DrainOptions, new_requests: DrainNewRequests) -> Snapshot {
    let base = snapshot_of(pool());
    let drain = DrainPolicy { options, new_requests, retry_after_s: 17 };
    base.with_rules(base.keys().clone(), Policy { drain, ..base.policy().clone() }).while_draining()
}

fn message(method: &str, uri: &str, to: &str, rest: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a>;tag=1\r\nTo: {to}\r\nCall-ID: one@a\r\nCSeq: 1 {method}\r\n{rest}\r\n"
    )
}

fn told(snapshot: &Snapshot, message: &str, peer: &str) -> (Decision, String) {
    let (decision, bytes) = decided(snapshot, message.as_bytes(), peer);
    (decision, String::from_utf8(bytes).unwrap())
}

/// The Route by which requests of a dialog come back that a client's INVITE has begun.
fn route(snapshot: &Snapshot) -> String {
    let (_, text) = told(snapshot, &message("INVITE", "sip:b@b.example", "<sip:b@b>", ""), CLIENT);
    let value = text.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap();
    format!("Route: {value}\r\n")
}

#[test]
fn options_for_viaduct_itself_are_answered_503_with_retry_after_or_not_at_all_as_is_set() {
    let own = message("OPTIONS", "sip:sip.example.com", "<sip:sip.example.com>", "");
    let out_of_hops = message("OPTIONS", "sip:b@b.example", "<sip:b@b>", "").replace("Forwards: 70", "Forwards: 0");
    for asked in [&own, &out_of_hops] {
        for peer in [CLIENT, BACKEND] {
            let (_, ready) = told(&snapshot_of(pool()), asked, peer);
            assert!(ready.starts_with("SIP/2.0 200 OK\r\n") && !ready.contains("Retry-After"), "{ready}");
            let (decision, text) = told(&draining(DrainOptions::Refuse, DrainNewRequests::Forward), asked, peer);
            assert!(text.starts_with("SIP/2.0 503 Service Unavailable - Draining\r\n"), "{text}");
            assert!(text.contains("\r\nRetry-After: 17\r\n") && text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
            assert_eq!(decision.turned_away, Some(TurnedAway::Options));
            let (decision, _) = told(&draining(DrainOptions::Ignore, DrainNewRequests::Refuse), asked, peer);
            assert_eq!(decision.verdict, Verdict::Absorb(AbsorbReason::Draining));
            assert_eq!(decision.turned_away, Some(TurnedAway::Options));
        }
    }
}

#[test]
fn clients_requests_that_begin_something_are_answered_503_with_retry_after_where_that_is_set() {
    let refusing = draining(DrainOptions::Refuse, DrainNewRequests::Refuse);
    for method in ["INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "OPTIONS", "PUBLISH", "REFER"] {
        let request = message(method, "sip:b@b.example", "<sip:b@b>", "");
        let (decision, text) = told(&refusing, &request, CLIENT);
        assert!(matches!(decision.verdict, Verdict::Answer { status: Status::ServiceUnavailable, .. }), "{method}");
        assert!(text.contains("\r\nRetry-After: 17\r\n"), "{text}");
        assert_eq!(decision.turned_away, Some(TurnedAway::NewRequest));
    }
}

#[test]
fn what_belongs_to_something_that_has_begun_goes_on_whatever_is_set() {
    let ready = snapshot_of(pool());
    let refusing = draining(DrainOptions::Ignore, DrainNewRequests::Refuse);
    let route = route(&ready);
    let (in_dialog, tagged) = ("sip:b@198.51.100.9", "<sip:b@b>;tag=2");
    let going_on = [
        message("BYE", in_dialog, tagged, &route),
        message("INVITE", in_dialog, tagged, &route),
        message("ACK", in_dialog, tagged, &route),
        message("BYE", in_dialog, tagged, ""),
        // A client of RFC 2543 has no tags, but follows our Record-Route.
        message("BYE", in_dialog, "<sip:b@b>", &route),
        // Nobody knows whether an emergency call finds another way.
        message("INVITE", "sip:sos@b.example", "<urn:service:sos.fire>", ""),
        message("CANCEL", "sip:b@b.example", "<sip:b@b>", ""),
        message("ACK", "sip:b@b.example", "<sip:b@b>;tag=2", ""),
    ];
    for request in going_on {
        assert_eq!(told(&refusing, &request, CLIENT), told(&ready, &request, CLIENT), "{request}");
        assert!(matches!(told(&ready, &request, CLIENT).0.verdict, Verdict::Forward { .. }), "{request}");
    }
    let outward = message("INVITE", "sip:c@198.51.100.9", "<sip:c@c>", "");
    assert_eq!(told(&refusing, &outward, BACKEND), told(&ready, &outward, BACKEND));
}

#[test]
fn an_ack_for_the_503_is_absorbed() {
    let refusing = draining(DrainOptions::Refuse, DrainNewRequests::Refuse);
    let (_, text) = told(&refusing, &message("INVITE", "sip:b@b.example", "<sip:b@b>", ""), CLIENT);
    let to = text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap();
    let ack = message("ACK", "sip:b@b.example", to, "").replace("z9hG4bKACK", "z9hG4bKINVITE");
    assert_eq!(told(&refusing, &ack, CLIENT).0.verdict, Verdict::Absorb(AbsorbReason::AckToOwnAnswer));
}

proptest! {
    /// By default only neighbours that ask for our health notice, so any member of a fleet may drain at any moment.
    #[test]
    fn all_but_options_for_viaduct_itself_is_decided_as_ever_by_default(
        method in prop::sample::select(vec!["INVITE", "REGISTER", "BYE", "ACK", "CANCEL", "MESSAGE", "OPTIONS"]),
        tagged: bool,
        from_backend: bool,
        call in 0..1000u32,
    ) {
        let (ready, draining) = (snapshot_of(pool()), snapshot_of(pool()).while_draining());
        let to = if tagged { "<sip:b@b>;tag=2" } else { "<sip:b@b>" };
        let bytes = message(method, "sip:b@198.51.100.9", to, "").replace("one@a", &call.to_string()).into_bytes();
        let peer = if from_backend { BACKEND } else { CLIENT }.parse().unwrap();
        let inbound =
            Inbound { bytes: &bytes, peer, listener: ListenerIndex(0), local: None, connection: None, relay: None, now_us: 0 };
        prop_assert_eq!(decided_inbound(&ready, &inbound), decided_inbound(&draining, &inbound));
    }
}
