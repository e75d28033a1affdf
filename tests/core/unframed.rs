//! What is answered to a request of a stream whose end cannot be told.

use std::sync::LazyLock;

use proptest::prelude::*;

use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{AbsorbReason, Decision, DropReason, Fault, MessageKind, NextHop, Verdict};
use viaduct::proxy::{Scratch, View, refuse_unframed};
use viaduct::sip::Transport;
use viaduct::sip::header::HeaderName;
use viaduct::sip::reply::Status;

use crate::stateless::{Call, call};
use crate::support::{decided_inbound, pool, snapshot_with_streams};

const CONNECTION: ConnectionRef = ConnectionRef { process: 7, number: 1 };

const LENGTH: Fault = Fault::Header(HeaderName::ContentLength);

fn instance() -> &'static Snapshot {
    static INSTANCE: LazyLock<Snapshot> = LazyLock::new(|| snapshot_with_streams(pool(), Transport::Udp));
    &INSTANCE
}

fn on_a_connection<'a>(call: &Call, bytes: &'a [u8]) -> Inbound<'a> {
    let listener = ListenerIndex(if call.peer.is_ipv4() { 3 } else { 4 });
    Inbound { bytes, peer: call.peer, listener, local: None, connection: Some(CONNECTION), relay: None, now_us: 0 }
}

fn refused(inbound: &Inbound<'_>, status: Status) -> (Decision, Vec<u8>) {
    let mut scratch = Scratch::default();
    let view = View { snapshot: instance(), names: &Names::default() };
    let decision = refuse_unframed(view, inbound, status, &mut scratch);
    let mut out = vec![0; 70_000];
    let len = match decision.verdict {
        Verdict::Answer { .. } => scratch.draft.render(inbound.bytes, &mut out).expect("room"),
        _ => 0,
    };
    out.truncate(len);
    (decision, out)
}

/// The head of a request without Content-Length, or with one that nobody can read.
fn head_of(call: &Call, method: &str, length: &str, to_tag: Option<&str>) -> Vec<u8> {
    let text = String::from_utf8(call.request(method, to_tag)).expect("text");
    text.replace("Content-Length: 0\r\n", length).replace("\r\nl: 0\r\n", &format!("\r\n{length}")).into_bytes()
}

proptest! {
    #[test]
    fn it_is_refused_on_its_connection_and_its_ack_is_absorbed(
        call in call(), length in prop::sample::select(vec!["", "Content-Length: no\r\n", "l: 1\r\nl: 2\r\n"]),
        status in prop::sample::select(vec![Status::BadRequest, Status::MessageTooLarge]),
    ) {
        let request = head_of(&call, "INVITE", length, None);
        let (decision, answer) = refused(&on_a_connection(&call, &request), status);
        let Verdict::Answer { hop, status: answered, fault } = decision.verdict else { panic!("{:?}", decision.verdict) };
        prop_assert_eq!((answered, fault), (status, Some(LENGTH)));
        let NextHop { connection, reconnect, .. } = hop;
        prop_assert_eq!((connection, reconnect, hop.to.ip()), (Some(CONNECTION), None, call.peer.ip()));
        let answer = String::from_utf8(answer).expect("text");
        let expected = format!("SIP/2.0 {} {} - Content-Length\r\n", status.code(), status.reason());
        prop_assert!(answer.starts_with(&expected), "{}", answer);
        prop_assert!(answer.ends_with("Content-Length: 0\r\n\r\n"));
        let tag = answer.split("b.example>;tag=").nth(1).expect("a tag").split("\r\n").next();
        let ack = call.request("ACK", tag);
        let (decision, _) = decided_inbound(instance(), &on_a_connection(&call, &ack));
        prop_assert_eq!(decision.verdict, Verdict::Absorb(AbsorbReason::AckToOwnAnswer));
    }

    #[test]
    fn an_ack_or_a_response_is_dropped(call in call()) {
        let ack = head_of(&call, "ACK", "", None);
        let (decision, _) = refused(&on_a_connection(&call, &ack), Status::BadRequest);
        prop_assert_eq!(decision.verdict, Verdict::Drop(DropReason::Malformed(LENGTH)));
        let response = crate::stateless::response_to(&ack, "200 OK");
        let (decision, _) = refused(&on_a_connection(&call, &response), Status::BadRequest);
        prop_assert_eq!((decision.kind, decision.verdict), (MessageKind::Unread, Verdict::Drop(DropReason::Malformed(LENGTH))));
    }

    #[test]
    fn no_bytes_make_it_panic_or_send_elsewhere(bytes in proptest::collection::vec(any::<u8>(), 0..300), call in call(), head in "(INVITE|SIP/2.0|ACK) [ -~]{0,20}( SIP/2.0)?\r\n(Via: SIP/2.0/TCP [ -~]{0,30}\r\n)?(([vftilmr]|CSeq) ?:[ -~]{0,30}\r\n){0,6}(\r\n)?") {
        let mut message = head.into_bytes();
        message.extend(&bytes);
        for bytes in [&message[..], &bytes[..]] {
            if let Verdict::Answer { hop, .. } = refused(&on_a_connection(&call, bytes), Status::BadRequest).0.verdict {
                prop_assert_eq!(hop.connection, Some(CONNECTION));
            }
        }
    }
}

#[test]
fn a_request_without_a_via_has_no_way_back() {
    let message = b"INVITE sip:b@b SIP/2.0\r\nCall-ID: x\r\n\r\n";
    let peer = "198.51.100.7:49152".parse().expect("an address");
    let connection = Some(CONNECTION);
    let inbound =
        Inbound { bytes: message, peer, listener: ListenerIndex(3), local: None, connection, relay: None, now_us: 0 };
    assert_eq!(refused(&inbound, Status::BadRequest).0.verdict, Verdict::Drop(DropReason::Malformed(LENGTH)));
}
