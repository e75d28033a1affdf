//! The answer to a forwarded request that could not be delivered, as properties: it is the answer that Viaduct would have given
//! at once, and goes where a response would go.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use viaduct::proxy::bounce::bounce;
use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{AbsorbReason, Decision, NextHop, Verdict};
use viaduct::proxy::{Scratch, View, refuse_unframed};
use viaduct::sip::Transport;
use viaduct::sip::reply::Status;

use crate::stateless::{Call, call, response_to};
use crate::support::{decided, decided_inbound, pool, snapshot_with_streams};

/// Two instances that have TCP too, with backends over it.
fn instances() -> &'static (Snapshot, Snapshot) {
    static INSTANCES: LazyLock<(Snapshot, Snapshot)> = LazyLock::new(|| {
        let instance = || snapshot_with_streams(pool(), Transport::Tcp);
        (instance(), instance())
    });
    &INSTANCES
}

/// What is answered, and how.
fn bounced(snapshot: &Snapshot, forwarded: &[u8], status: Status) -> Option<(Decision, Vec<u8>)> {
    let mut scratch = Scratch::default();
    let decision = bounce(View { snapshot, names: &Names::default() }, forwarded, status, &mut scratch)?;
    let mut out = vec![0; 70_000];
    let len = scratch.draft.render(forwarded, &mut out).expect("room");
    out.truncate(len);
    Some((decision, out))
}

/// A request as it comes, over a connection or not.
fn inbound<'a>(call: &Call, bytes: &'a [u8], connection: Option<ConnectionRef>) -> Inbound<'a> {
    let listener = ListenerIndex(match (connection.is_some(), call.peer.is_ipv4()) {
        (false, true) => 0,
        (false, false) => 2,
        (true, true) => 3,
        (true, false) => 4,
    });
    Inbound { bytes, peer: call.peer, listener, local: None, connection, relay: None, now_us: 0 }
}

/// The answer that Viaduct gives by itself, and how.
fn own_answer(snapshot: &Snapshot, inbound: &Inbound<'_>, status: Status) -> (NextHop, Vec<u8>) {
    let mut scratch = Scratch::default();
    let decision = refuse_unframed(View { snapshot, names: &Names::default() }, inbound, status, &mut scratch);
    let Verdict::Answer { hop, .. } = decision.verdict else { panic!("{:?}", decision.verdict) };
    let mut out = vec![0; 70_000];
    let len = scratch.draft.render(inbound.bytes, &mut out).expect("room");
    out.truncate(len);
    (hop, out)
}

/// All but the first line.
fn headers(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).expect("text");
    text.split_once("\r\n").expect("a line").1.to_owned()
}

fn hop_of(decision: &Decision) -> Option<NextHop> {
    match decision.verdict {
        Verdict::Forward { hop, .. } | Verdict::Answer { hop, .. } => Some(hop),
        Verdict::Absorb(_) | Verdict::Drop(_) => None,
    }
}

/// The value of a parameter of our Via with another character in it.
fn with_other(message: &[u8], parameter: &str, place: Index) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).expect("text");
    let start = text.find(parameter).expect("our Via") + parameter.len();
    let len = text[start..].find([';', '\r']).expect("an end");
    let mut bytes = text.into_bytes();
    let place = start + place.index(len);
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    bytes
}

fn connection() -> impl Strategy<Value = Option<ConnectionRef>> {
    let any = (any::<u32>(), any::<u64>()).prop_map(|(process, number)| ConnectionRef { process, number });
    proptest::option::of(any)
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["INVITE", "BYE", "CANCEL", "REGISTER", "OPTIONS", "FOO"])
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![Status::ServiceUnavailable, Status::FlowFailed, Status::ServerError])
}

proptest! {
    #[test]
    fn the_answer_is_the_one_that_viaduct_would_have_given_itself_on_any_instance(
        call in call(), connection in connection(), method in method(), status in status(), to_tag in proptest::option::of("[a-z]{1,9}"),
    ) {
        let (one, other) = instances();
        let request = call.request(method, to_tag.as_deref());
        let inbound = inbound(&call, &request, connection);
        let (decision, forwarded) = decided_inbound(one, &inbound);
        prop_assume!(matches!(decision.verdict, Verdict::Forward { .. }));
        let (decision, answer) = bounced(other, &forwarded, status).expect("an answer");
        let (hop, own) = own_answer(one, &inbound, status);
        prop_assert_eq!(headers(&answer), headers(&own));
        prop_assert_eq!(hop_of(&decision), Some(NextHop { reconnect: hop_of(&decision).unwrap().reconnect, ..hop }));
        let expected = format!("SIP/2.0 {} {}\r\n", status.code(), status.reason());
        prop_assert!(answer.starts_with(expected.as_bytes()));
    }

    #[test]
    fn it_goes_where_a_response_goes(call in call(), connection in connection(), method in method()) {
        let (one, other) = instances();
        let request = call.request(method, None);
        let (decision, forwarded) = decided_inbound(one, &inbound(&call, &request, connection));
        prop_assume!(matches!(decision.verdict, Verdict::Forward { .. }));
        let (decision, _) = bounced(one, &forwarded, Status::ServiceUnavailable).expect("an answer");
        let (response, _) = decided(other, &response_to(&forwarded, "503 No"), "10.0.0.11:5060");
        prop_assert_eq!(hop_of(&decision), hop_of(&response));
        prop_assert!(hop_of(&decision).is_some());
    }

    #[test]
    fn its_ack_is_absorbed(call in call(), connection in connection()) {
        let (one, other) = instances();
        let request = call.request("INVITE", None);
        let (_, forwarded) = decided_inbound(one, &inbound(&call, &request, connection));
        let (_, answer) = bounced(one, &forwarded, Status::ServiceUnavailable).expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let tag = answer.split("b.example>;tag=").nth(1).expect("a tag").split("\r\n").next();
        let ack = call.request("ACK", tag);
        let (decision, _) = decided_inbound(other, &inbound(&call, &ack, connection));
        prop_assert_eq!(decision.verdict, Verdict::Absorb(AbsorbReason::AckToOwnAnswer));
    }

    #[test]
    fn nobody_is_answered_who_has_not_asked_through_us(call in call(), connection in connection(), place in any::<Index>()) {
        let (one, _) = instances();
        let none = |bytes: &[u8]| bounced(one, bytes, Status::ServiceUnavailable).is_none();
        let forwarded = |method: &str| decided_inbound(one, &inbound(&call, &call.request(method, None), connection)).1;
        let invite = forwarded("INVITE");
        prop_assert!(none(&forwarded("ACK")), "an ACK");
        prop_assert!(none(&response_to(&invite, "200 OK")), "a response");
        prop_assert!(none(&call.request("INVITE", None)), "a request that is not ours");
        prop_assert!(none(&with_other(&invite, ";branch=z9hG4bK", place)), "another branch");
        prop_assert!(none(&with_other(&invite, ";vd=", place)), "another return path");
    }

    #[test]
    fn a_damaged_request_is_answered_nowhere_else(
        call in call(), connection in connection(), place in any::<Index>(), byte in any::<u8>(), len in any::<Index>(),
    ) {
        let (one, _) = instances();
        let request = call.request("INVITE", None);
        let (_, forwarded) = decided_inbound(one, &inbound(&call, &request, connection));
        let hop = bounced(one, &forwarded, Status::ServiceUnavailable).and_then(|(decision, _)| hop_of(&decision));
        let mut damaged = forwarded.clone();
        damaged[place.index(forwarded.len())] = byte;
        for bytes in [&damaged[..], &forwarded[..len.index(forwarded.len())]] {
            if let Some((decision, _)) = bounced(one, bytes, Status::ServiceUnavailable) {
                let there = hop_of(&decision).unwrap();
                prop_assert_eq!(Some(NextHop { reconnect: None, ..there }), hop.map(|hop| NextHop { reconnect: None, ..hop }));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in "(INVITE|SIP/2.0) [ -~]{0,20}( SIP/2.0)?\r\n(Via: SIP/2.0/(UDP|TCP) [ -~]{0,30};vd=[ -~]{0,40}\r\n){0,3}(([vfti]|CSeq) ?:[ -~]{0,30}\r\n){0,4}(\r\n)?") {
        let mut message = head.into_bytes();
        message.extend(&bytes);
        for bytes in [&message[..], &bytes[..]] {
            prop_assert!(bounced(&instances().0, bytes, Status::ServiceUnavailable).is_none());
        }
    }
}
