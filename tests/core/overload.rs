//! Overload control (RFC 7339): what is offered, what is heard, and who is refused for it.

use std::sync::LazyLock;

use proptest::prelude::*;
use viaduct::balance::backend::BackendIndex;
use viaduct::proxy::shedding::OverloadPolicy;
use viaduct::proxy::snapshot::{Policy, Snapshot};
use viaduct::proxy::verdict::{Decision, Verdict};
use viaduct::sip::overload::{LossReport, OFFER};
use viaduct::sip::reply::Status;

use crate::support::{decided, pool, snapshot_of};

const CLIENT: &str = "198.51.100.7:5060";
const BACKEND: &str = "10.0.0.11:5060";

/// The usual snapshot with overload control, and all of its backends wanting so many in a hundred requests fewer.
pub fn wanting(percent: u8) -> Snapshot {
    let base = snapshot_of(pool());
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    let overload = OverloadPolicy {
        is_offered: true,
        retry_after_s: 7,
        exempt_numbers: words(&["112"]),
        exempt_namespaces: words(&["esnet"]),
    };
    let policy = Policy { overload, ..base.policy().clone() };
    let snapshot = Snapshot::new(base.listeners().to_vec(), pool(), base.keys().clone(), policy);
    want(&snapshot, percent);
    snapshot
}

fn want(snapshot: &Snapshot, percent: u8) {
    for index in 0..pool().backends().len() as u16 {
        snapshot.shedding().set(snapshot.slot(BackendIndex(index)), percent);
    }
}

fn request(method: &str, uri: &str, call: u64, to: &str, rest: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;rport;branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a>;tag=1\r\nTo: {to}\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n{rest}\r\n"
    )
}

fn invite(call: u64) -> String {
    request("INVITE", "sip:bob@b.example", call, "<sip:bob@b>", "")
}

fn is_shed(snapshot: &Snapshot, message: &str) -> bool {
    let (decision, sent) = decided(snapshot, message.as_bytes(), CLIENT);
    match decision.verdict {
        Verdict::Answer { status, .. } => {
            let text = String::from_utf8(sent).unwrap();
            assert_eq!((status, decision.shed.is_some()), (Status::ServiceUnavailable, true), "{text}");
            assert!(text.starts_with("SIP/2.0 503 Service Unavailable - Backend Is Overloaded\r\n"), "{text}");
            assert!(text.contains("\r\nRetry-After: 7\r\n"), "{text}");
            true
        }
        Verdict::Forward { .. } => {
            assert!(decision.shed.is_none());
            false
        }
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn as_many_in_a_hundred_are_refused_as_backends_want_and_who_is_stays_so_as_they_want_more() {
    let (snapshot, mut refused) = (wanting(0), Vec::new());
    for percent in [0, 1, 20, 50, 99, 100] {
        want(&snapshot, percent);
        let now: Vec<u64> = (0..5_000).filter(|call| is_shed(&snapshot, &invite(*call))).collect();
        let share = now.len() as f64 / 50.0;
        assert!((share - f64::from(percent)).abs() < 2.5, "{share} % in the place of {percent} %");
        assert!([0, 100].iter().all(|all| percent != *all || share == f64::from(*all)));
        assert!(refused.iter().all(|call| now.contains(call)));
        refused = now;
    }
}

#[test]
fn one_backends_word_is_not_the_others() {
    let snapshot = wanting(0);
    snapshot.shedding().set(snapshot.slot(BackendIndex(1)), 100);
    for call in 0..200 {
        let (decision, _) = decided(&snapshot, invite(call).as_bytes(), CLIENT);
        match decision.verdict {
            Verdict::Forward { backend, .. } => assert_ne!(backend, Some(BackendIndex(1))),
            _ => assert_eq!(decision.shed, Some(BackendIndex(1))),
        }
    }
}

#[test]
fn emergency_calls_and_what_belongs_to_a_dialog_or_a_transaction_are_never_refused() {
    let snapshot = wanting(100);
    let (uri, to) = ("sip:bob@b.example", "<sip:bob@b>");
    for message in [
        request("INVITE", "urn:service:sos", 1, to, ""),
        request("INVITE", "URN:service:SOS.fire", 1, to, ""),
        request("INVITE", "sip:psap@b.example", 1, "Help <urn:service:sos.police>", ""),
        request("INVITE", "sip:112@b.example;user=phone", 1, to, ""),
        request("INVITE", "sip:112;phone-context=x@b.example", 1, to, ""),
        request("INVITE", "tel:112;phone-context=b.example", 1, to, ""),
        request("INVITE", uri, 1, to, "Resource-Priority: dsn.flash,\r\n ESNET.1\r\n"),
        request("BYE", uri, 1, "<sip:bob@b>;tag=2", ""),
        request("INVITE", uri, 1, "<sip:bob@b>;tag=2", ""),
        request("ACK", uri, 1, to, ""),
        request("CANCEL", uri, 1, to, ""),
    ] {
        assert!(!is_shed(&snapshot, &message), "{message}");
    }
    for message in [
        request("INVITE", "urn:service:sosx", 1, to, ""),
        request("INVITE", "sip:1123@b.example", 1, to, ""),
        request("INVITE", "tel:1120", 1, to, ""),
        request("INVITE", uri, 1, to, "Resource-Priority: dsn.esnet, wps.0\r\nX: \r\n Resource-Priority: esnet.0\r\n"),
        request("REGISTER", uri, 1, to, ""),
        request("OPTIONS", uri, 1, to, ""),
    ] {
        assert!(is_shed(&snapshot, &message), "{message}");
    }
}

/// What comes of a response with those parameters in our Via, to a request that was forwarded by that snapshot.
fn heard(snapshot: &Snapshot, parameters: &str, from: &str) -> Decision {
    let (_, sent) = decided(snapshot, invite(1).as_bytes(), CLIENT);
    let sent = String::from_utf8(sent).unwrap();
    let vias: Vec<&str> = sent.lines().filter(|line| line.starts_with("Via:")).collect();
    let own = vias[0].strip_suffix(OFFER).unwrap_or(vias[0]);
    let response = format!(
        "SIP/2.0 200 OK\r\n{own}{parameters}\r\n{}\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:bob@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n",
        vias[1]
    );
    let (decision, bytes) = decided(snapshot, response.as_bytes(), from);
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains(";oc") && text.contains(vias[1]), "it is ours to hear, and goes no further: {text}");
    decision
}

#[test]
fn what_a_backend_says_is_heard_where_it_was_offered_and_verified_and_from_nobody_else() {
    let parameters = ";oc=20;oc-algo=\"loss\";oc-validity=800;oc-seq=1282321615.782";
    let (on, off) = (wanting(0), snapshot_of(pool()));
    let report = LossReport { percent: 20, validity_ms: 800, sequence: 128_232_161_578_200 };
    assert_eq!(heard(&on, parameters, BACKEND).load, Some(report));
    assert_eq!(heard(&on, OFFER, BACKEND).load, None);
    assert_eq!(heard(&on, parameters, CLIENT).load, None);
    assert_eq!(heard(&off, parameters, BACKEND).load, None);
    let forged = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP sip.example.com;branch=z9hG4bKx{parameters}\r\nVia: SIP/2.0/UDP 198.51.100.7\r\n\
         From: <sip:a@a>;tag=1\r\nTo: <sip:bob@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
    );
    let (decision, _) = decided(&on, forged.as_bytes(), BACKEND);
    assert!(matches!(decision.verdict, Verdict::Drop(_)) && decision.load.is_none());
}

#[test]
fn it_is_offered_to_backends_alone_and_where_that_is_set() {
    let via = |snapshot: &Snapshot, message: &str, from: &str| {
        let (_, sent) = decided(snapshot, message.as_bytes(), from);
        String::from_utf8(sent).unwrap().lines().find(|line| line.starts_with("Via:")).unwrap().to_owned()
    };
    let outwards = request("INVITE", "sip:bob@198.51.100.9", 1, "<sip:bob@b>", "");
    assert!(via(&wanting(0), &invite(1), CLIENT).ends_with(OFFER));
    assert!(!via(&wanting(0), &outwards, BACKEND).contains(";oc"));
    assert!(!via(&snapshot_of(pool()), &invite(1), CLIENT).contains(";oc"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A retransmission, by whichever port it comes and whichever member of a fleet it comes to, shares the fate of its first.
    #[test]
    fn a_retransmission_shares_the_fate_of_its_first(call: u64, percent in 0..=100u8, port in 1024..u16::MAX) {
        static MEMBERS: LazyLock<[Snapshot; 2]> = LazyLock::new(|| [wanting(0), wanting(0)]);
        MEMBERS.iter().for_each(|member| want(member, percent));
        let first = is_shed(&MEMBERS[0], &invite(call));
        let (decision, _) = decided(&MEMBERS[1], invite(call).as_bytes(), &format!("198.51.100.7:{port}"));
        prop_assert_eq!(decision.shed.is_some(), first);
    }
}
