//! Requests for `sips` URIs go to clients over TLS alone, and say so in what leads back to us (RFC 3261 §16.6, §26.2.2).

use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::{NextHop, Verdict};
use viaduct::sip::Transport;

use crate::support::{SECRET, decided_inbound, pool};

const TLS: ListenerIndex = ListenerIndex(0);
const UDP: ListenerIndex = ListenerIndex(1);
const CONNECTION: Option<ConnectionRef> = Some(ConnectionRef { process: 7, number: 9 });
const CLIENT: &str = "203.0.113.7:40000";
const BACKEND: &str = "10.0.0.11:5060";

#[test]
fn a_client_over_tls_is_led_back_by_a_secure_route_and_a_backend_over_udp_by_one_that_it_can_use() {
    let (_, text) = sent(TLS, CLIENT, &invite("sips:bob@b.example", "TLS")).unwrap();
    let [backends, clients] = record_routes(&text)[..] else { panic!("{text}") };
    assert!(backends.starts_with("<sip:") && backends.contains("@sip.example.com:5060;"), "{backends}");
    assert!(clients.starts_with("<sips:") && clients.contains("@sip.example.com:5061;"), "{clients}");
}

#[test]
fn what_is_not_for_a_sips_uri_is_led_back_by_a_plain_route_over_tls() {
    let (_, text) = sent(TLS, CLIENT, &invite("sip:bob@b.example", "TLS")).unwrap();
    assert!(record_routes(&text).iter().all(|route| route.starts_with("<sip:")), "{text}");
    assert!(text.contains("@sip.example.com:5061;transport=tls;"), "{text}");
}

#[test]
fn a_dialogs_request_for_a_sips_contact_takes_the_clients_own_connection() {
    let (_, text) = sent(TLS, CLIENT, &invite("sips:bob@b.example", "TLS")).unwrap();
    let bye = within_the_dialog(&text, "sips:alice@203.0.113.7:40000");
    let (hop, text) = sent(UDP, BACKEND, &bye).unwrap();
    assert_eq!((hop.listener, hop.connection), (TLS, CONNECTION));
    assert!(text.starts_with("BYE sips:alice@203.0.113.7:40000 SIP/2.0\r\nVia: SIP/2.0/TLS "), "{text}");
}

#[test]
fn a_dialogs_request_for_a_sips_contact_does_not_leave_by_a_flow_that_anybody_can_read() {
    let hidden = invite("sip:bob@b.example", "UDP").replace(&format!("UDP {CLIENT}"), "UDP 192.168.1.5:5060");
    let (_, text) = sent(UDP, CLIENT, &hidden).unwrap();
    let answer = sent(UDP, BACKEND, &within_the_dialog(&text, "sips:alice@203.0.113.7:40000")).unwrap_err();
    assert!(answer.starts_with("SIP/2.0 500 ") && answer.contains("Next Hop Is Not Secure"), "{answer}");
    let (hop, _) = sent(UDP, BACKEND, &within_the_dialog(&text, "sip:alice@203.0.113.7:40000")).unwrap();
    assert_eq!(hop.listener, UDP);
}

#[test]
fn a_backends_own_request_for_a_sips_uri_goes_over_tls() {
    let options = |uri: &str| request("OPTIONS", uri, "UDP", BACKEND, "");
    let (hop, text) = sent(UDP, BACKEND, &options("sips:carol@198.51.100.4")).unwrap();
    assert_eq!((hop.listener, hop.to), (TLS, "198.51.100.4:5061".parse().unwrap()));
    assert!(text.contains("\r\nVia: SIP/2.0/TLS sip.example.com:5061;"), "{text}");
}

/// Listener 0 over TLS, listener 1 over UDP; the pool is reached by UDP.
fn snapshot() -> Snapshot {
    let listener = |transport, port| {
        Listener::new(transport, format!("192.0.2.100:{port}").parse().unwrap(), "sip.example.com", port)
    };
    let policy = Policy { record_route: true, ..Policy::default() };
    let listeners = vec![listener(Transport::Tls, 5061), listener(Transport::Udp, 5060)];
    Snapshot::new(listeners, pool(), Keys::derive(SECRET).unwrap(), policy)
}

/// Where a request goes and how it is written; or how it is answered.
fn sent(listener: ListenerIndex, peer: &str, request: &str) -> Result<(NextHop, String), String> {
    let (bytes, peer) = (request.as_bytes(), peer.parse().unwrap());
    let connection = CONNECTION.filter(|_| listener == TLS);
    let inbound = Inbound { bytes, peer, listener, local: None, connection, relay: None, now_us: 0 };
    let (decision, bytes) = decided_inbound(&snapshot(), &inbound);
    let text = String::from_utf8(bytes).unwrap();
    match decision.verdict {
        Verdict::Forward { hop, .. } => Ok((hop, text)),
        _ => Err(text),
    }
}

fn invite(uri: &str, transport: &str) -> String {
    request("INVITE", uri, transport, CLIENT, "Contact: <sips:alice@203.0.113.7:40000>\r\n")
}

fn request(method: &str, uri: &str, transport: &str, sent_by: &str, headers: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {sent_by};rport;branch=z9hG4bKone\r\nMax-Forwards: 70\r\n\
         From: <sips:a@a.example>;tag=1\r\nTo: <sips:b@b.example>\r\nCall-ID: one@a.example\r\nCSeq: 1 {method}\r\n\
         {headers}Content-Length: 0\r\n\r\n"
    )
}

/// A BYE of the called, by the routes that a forwarded INVITE recorded.
fn within_the_dialog(invite: &str, contact: &str) -> String {
    let routes: String = record_routes(invite).iter().map(|route| format!("Route: {route}\r\n")).collect();
    request("BYE", contact, "UDP", BACKEND, &routes).replace("CSeq: 1", "CSeq: 2")
}

fn record_routes(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect()
}
