//! What a response tells about its backend, and what is not believed.

use viaduct::balance::backend::BackendIndex;
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::latency::{Instance, MethodClass, Phase, Sample};
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::Verdict;

use crate::support::{decided_inbound, pool, snapshot_of};

const CLIENT: &str = "198.51.100.7:5060";
const BACKEND: &str = "10.0.0.11:5060";
const SENT_US: u64 = 7_000_000_000;

fn timed() -> Snapshot {
    snapshot_of(pool()).with_latency(Instance(7))
}

/// What comes of a message at a time.
fn at(snapshot: &Snapshot, now_us: u64, bytes: &[u8], peer: &str) -> (Option<Sample>, Option<BackendIndex>, String) {
    let inbound = Inbound {
        bytes,
        peer: peer.parse().unwrap(),
        listener: ListenerIndex(0),
        local: None,
        connection: None,
        relay: None,
        now_us,
    };
    let (decision, sent) = decided_inbound(snapshot, &inbound);
    let Verdict::Forward { backend, .. } = decision.verdict else { panic!("{:?}", decision.verdict) };
    (decision.sample, backend, String::from_utf8(sent).unwrap())
}

fn request(method: &str) -> String {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\n\
         To: <sip:b@b>\r\nCall-ID: timed\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n\r\n"
    )
}

fn response(sent: &str, status: u16) -> String {
    format!("SIP/2.0 {status} Reason\r\n{}", &sent[sent.find("\r\n").unwrap() + 2..])
}

/// What is told by a response that comes so long after its request.
fn sample(method: &str, status: u16, after_us: u64) -> Option<Sample> {
    let snapshot = timed();
    let (_, backend, sent) = at(&snapshot, SENT_US, request(method).as_bytes(), CLIENT);
    let (sample, ..) = at(&snapshot, SENT_US + after_us, response(&sent, status).as_bytes(), BACKEND);
    let slot = backend.map(|backend| snapshot.slot(backend));
    assert!(sample.is_none_or(|sample| Some(sample.backend) == slot));
    sample
}

#[test]
fn a_response_tells_how_long_the_backend_took_that_the_request_went_to() {
    let told = |method, status| sample(method, status, 1_500).map(|told| (told.class, told.phases, told.elapsed_us));
    assert_eq!(told("INVITE", 100), Some((MethodClass::Invite, &[Phase::First][..], 1_500)));
    assert_eq!(told("INVITE", 200), Some((MethodClass::Invite, &[Phase::Final][..], 1_500)));
    assert_eq!(told("OPTIONS", 404), Some((MethodClass::Other, &Phase::ALL[..], 1_500)));
    assert_eq!(told("INVITE", 180), None);
    assert_eq!(told("OPTIONS", 100), None);
}

#[test]
fn a_time_beyond_belief_or_before_the_request_is_left_out() {
    assert_eq!(sample("INVITE", 200, 60_000_000).map(|sample| sample.elapsed_us), Some(60_000_000));
    assert_eq!(sample("INVITE", 200, 60_000_001), None);
    assert_eq!(sample("INVITE", 200, 0).map(|sample| sample.elapsed_us), Some(0));
    let snapshot = timed();
    let (.., sent) = at(&snapshot, SENT_US, request("INVITE").as_bytes(), CLIENT);
    assert_eq!(at(&snapshot, SENT_US - 1, response(&sent, 200).as_bytes(), BACKEND).0, None);
}

#[test]
fn the_clock_may_come_round_between_request_and_response() {
    let snapshot = timed();
    let before = u64::from(u32::MAX) - 10;
    let (.., sent) = at(&snapshot, before, request("INVITE").as_bytes(), CLIENT);
    let (sample, ..) = at(&snapshot, before + 1_000, response(&sent, 200).as_bytes(), BACKEND);
    assert_eq!(sample.map(|sample| sample.elapsed_us), Some(1_000));
}

#[test]
fn a_stamp_of_another_instance_or_from_a_client_or_damaged_is_not_believed_and_the_response_passes() {
    let snapshot = timed();
    let (.., sent) = at(&snapshot, SENT_US, request("INVITE").as_bytes(), CLIENT);
    let ok = response(&sent, 200);
    let other = snapshot.clone().with_latency(Instance(8));
    assert_eq!(at(&other, SENT_US, ok.as_bytes(), BACKEND).0, None);
    assert_eq!(at(&snapshot, SENT_US, ok.as_bytes(), "203.0.113.5:5060").0, None);
    let damaged = ok.replacen(";vt=", ";vt=%", 1);
    assert_eq!(at(&snapshot, SENT_US, damaged.as_bytes(), BACKEND).0, None);
    assert_eq!(at(&snapshot_of(pool()), SENT_US, ok.as_bytes(), BACKEND).0, None);
}

#[test]
fn what_goes_to_a_client_or_is_not_timed_has_no_stamp() {
    let to_client = request("BYE").replacen("sip:bob@b.example", "sip:alice@198.51.100.7:5062", 1);
    assert!(!at(&timed(), SENT_US, to_client.as_bytes(), BACKEND).2.contains(";vt="));
    assert!(!at(&timed(), SENT_US, request("ACK").as_bytes(), CLIENT).2.contains(";vt="));
    assert!(!at(&snapshot_of(pool()), SENT_US, request("BYE").as_bytes(), CLIENT).2.contains(";vt="));
}
