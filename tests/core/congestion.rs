//! Requests that are too long for a datagram go by TCP where their backend takes them by it too (RFC 3261 §18.1.1).

use proptest::prelude::*;
use viaduct::balance::backend::BackendIndex;
use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::latency::Instance;
use viaduct::proxy::probe;
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::{NextHop, Verdict};
use viaduct::sip::Transport;

use crate::support::{SECRET, decided, decided_inbound, pool};

const LIMIT: u32 = 1300;

#[test]
fn a_long_request_goes_by_tcp_with_a_via_that_says_so_and_a_short_one_by_udp() {
    let snapshot = snapshot(LIMIT, true);
    let (hop, text) = sent(&snapshot, &request("MESSAGE", 2000));
    assert_eq!((hop.listener, hop.connection, hop.reconnect), (ListenerIndex(1), None, None));
    assert!(
        text.starts_with("MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP sip.example.com:5060;"),
        "{text}"
    );
    let (hop, text) = sent(&snapshot, &request("MESSAGE", 200));
    assert_eq!(hop.listener, ListenerIndex(0));
    assert!(text.contains("\r\nVia: SIP/2.0/UDP sip.example.com:5060;"), "{text}");
}

#[test]
fn an_invite_and_what_belongs_to_its_transaction_go_the_same_way_however_long_they_are() {
    let snapshot = snapshot(LIMIT, true);
    for body_bytes in [0, 2000] {
        let hops = ["INVITE", "CANCEL", "ACK"].map(|method| sent(&snapshot, &request(method, body_bytes)).0);
        assert!(hops.iter().all(|hop| hop.listener == ListenerIndex(1) && hop.to == hops[0].to), "{hops:?}");
    }
}

#[test]
fn a_probe_goes_the_way_of_calls() {
    for (limit, also_by_tcp, transport) in
        [(LIMIT, true, Transport::Tcp), (0, true, Transport::Udp), (LIMIT, false, Transport::Udp)]
    {
        let (hop, question) = probe::write(&snapshot(limit, also_by_tcp), BackendIndex(0), 1).unwrap();
        assert_eq!(hop.listener, ListenerIndex(u8::from(transport == Transport::Tcp)));
        assert!(question.contains(&format!("\r\nVia: SIP/2.0/{} ", transport.via_token())), "{question}");
    }
}

#[test]
fn nothing_goes_by_tcp_unless_it_is_set_and_the_backend_takes_it() {
    for snapshot in [snapshot(0, true), snapshot(LIMIT, false)] {
        for method in ["INVITE", "MESSAGE"] {
            assert_eq!(sent(&snapshot, &request(method, 5000)).0.listener, ListenerIndex(0));
        }
    }
}

#[test]
fn a_request_of_a_backends_to_a_client_stays_with_its_transport() {
    let snapshot = snapshot(LIMIT, true);
    let text = request("MESSAGE", 2000).replace("sip:bob@example.com", "sip:bob@203.0.113.9:5060");
    let (decision, _) = decided(&snapshot, text.as_bytes(), "10.0.0.11:5060");
    let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
    assert_eq!(hop.listener, ListenerIndex(0));
}

#[test]
fn the_response_by_tcp_goes_to_the_client_by_its_own_transport() {
    let snapshot = snapshot(LIMIT, true);
    let (hop, text) = sent(&snapshot, &request("MESSAGE", 2000));
    let head = text.split("\r\n\r\n").next().unwrap();
    let kept: Vec<&str> = head.lines().skip(1).filter(|line| !line.starts_with("Content-Length")).collect();
    let response = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", kept.join("\r\n"));
    let connection = Some(ConnectionRef { process: 1, number: 2 });
    let (peer, listener) = (hop.to, hop.listener);
    let inbound =
        Inbound { bytes: response.as_bytes(), peer, listener, local: None, connection, relay: None, now_us: 0 };
    let (decision, _) = decided_inbound(&snapshot, &inbound);
    let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
    assert_eq!((hop.listener, hop.to, hop.connection), (ListenerIndex(0), CLIENT.parse().unwrap(), None));
}

proptest! {
    /// The limit is on what is sent, not on what came.
    #[test]
    fn the_length_of_what_is_sent_decides_and_the_time_and_the_clients_port_do_not(
        body_bytes in 600usize..1300, now_us in any::<u64>(), times in 2u64..4,
    ) {
        let snapshot = snapshot(LIMIT, true);
        let text = request("MESSAGE", body_bytes);
        let listener_at = |now_us| {
            let (peer, listener) = (CLIENT.parse().unwrap(), ListenerIndex(0));
            let inbound = Inbound { bytes: text.as_bytes(), peer, listener, local: None, connection: None, relay: None, now_us };
            let (decision, bytes) = decided_inbound(&snapshot, &inbound);
            let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
            (hop.listener, bytes.len())
        };
        let (listener, len) = listener_at(now_us);
        prop_assert_eq!(listener_at(now_us.wrapping_mul(times)), (listener, len));
        // Via says TCP in as many letters as UDP, and MESSAGE gets no Record-Route: both have the same length.
        prop_assert_eq!(listener == ListenerIndex(1), len > LIMIT as usize, "{}", len);
    }
}

const CLIENT: &str = "203.0.113.7:40000";

/// Listener 0 over UDP and 1 over TCP at the same address.
fn snapshot(limit: u32, also_by_tcp: bool) -> Snapshot {
    let listener = |transport| Listener::new(transport, "192.0.2.100:5060".parse().unwrap(), "sip.example.com", 5060);
    let policy = Policy { record_route: true, udp_request_bytes_max: limit, ..Policy::default() };
    let listeners = vec![listener(Transport::Udp), listener(Transport::Tcp)];
    let (pool, keys) = (pool(), Keys::derive(SECRET).unwrap());
    let also: Vec<_> = pool.backends().iter().map(|backend| backend.address).filter(|_| also_by_tcp).collect();
    Snapshot::new(listeners, pool, keys, policy).with_backends_also_by_tcp(also).with_latency(Instance(7))
}

fn request(method: &str, body_bytes: usize) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:40000;rport;branch=z9hG4bKone\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: one@a.example\r\n\
         CSeq: 1 {method}\r\nContent-Length: {body_bytes}\r\n\r\n{}",
        "x".repeat(body_bytes)
    )
}

fn sent(snapshot: &Snapshot, request: &str) -> (NextHop, String) {
    let (decision, bytes) = decided(snapshot, request.as_bytes(), CLIENT);
    let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
    (hop, String::from_utf8(bytes).unwrap())
}
