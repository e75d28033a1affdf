//! Where a response may go whose connection is gone (RFC 3261 §18.2.2): to the client that its Via names, and to nobody else.

use std::net::SocketAddr;

use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::verdict::Verdict;
use viaduct::sip::Transport;

use crate::support::{decided_inbound, pool, snapshot_with_streams};

const CLIENT: &str = "203.0.113.7:40000";

#[test]
fn a_client_is_reached_at_the_port_in_sent_by_or_its_default() {
    assert_eq!(reconnect(CLIENT, "203.0.113.7:5066"), Some("203.0.113.7:5066".parse().unwrap()));
    assert_eq!(reconnect(CLIENT, "203.0.113.7"), Some("203.0.113.7:5060".parse().unwrap()));
    let ipv6 = "[2001:db8::7]:40000";
    assert_eq!(reconnect(ipv6, "[2001:db8::7]:5066"), Some("[2001:db8::7]:5066".parse().unwrap()));
}

#[test]
fn a_client_behind_address_translation_or_with_a_name_is_not() {
    for sent_by in ["192.168.1.7:5060", "203.0.113.8:5060", "phone.example.com:5060"] {
        assert_eq!(reconnect(CLIENT, sent_by), None, "{sent_by}");
    }
}

#[test]
fn no_connection_is_opened_to_a_port_that_is_no_clients() {
    for port in [0, 22, 25, 80, 443, 1023] {
        assert_eq!(reconnect(CLIENT, &format!("203.0.113.7:{port}")), None, "{port}");
    }
    // The listeners' addresses, as bound and as advertised.
    for (own, other) in [
        ("192.0.2.100:5060", "192.0.2.100:5066"),
        ("192.0.2.101:5070", "192.0.2.101:5071"),
        ("127.0.0.1:5070", "127.0.0.1:5071"),
    ] {
        let from = SocketAddr::new(own.parse::<SocketAddr>().unwrap().ip(), 40_000).to_string();
        assert_eq!(reconnect(&from, own), None, "{own}");
        assert_eq!(reconnect(&from, other), Some(other.parse().unwrap()), "{other}");
    }
}

/// Where the response to a request goes that came by a connection from `peer` with that sent-by.
fn reconnect(peer: &str, sent_by: &str) -> Option<SocketAddr> {
    let snapshot = snapshot_with_streams(pool(), Transport::Udp);
    let request = format!(
        "OPTIONS sip:bob@sip.example.com SIP/2.0\r\nVia: SIP/2.0/TCP {sent_by};branch=z9hG4bKone\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: one@a.example\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    let connection = Some(ConnectionRef { process: 1, number: 2 });
    let peer: SocketAddr = peer.parse().unwrap();
    let listener = ListenerIndex(if peer.is_ipv4() { 3 } else { 4 });
    let inbound =
        Inbound { bytes: request.as_bytes(), peer, listener, local: None, connection, relay: None, now_us: 0 };
    let (decision, forwarded) = decided_inbound(&snapshot, &inbound);
    let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
    let forwarded = String::from_utf8(forwarded).unwrap();
    let kept: Vec<&str> = forwarded.lines().skip(1).collect();
    let response = format!("SIP/2.0 200 OK\r\n{}\r\n\r\n", kept.join("\r\n").trim_end());
    let (bytes, peer, listener) = (response.as_bytes(), hop.to, hop.listener);
    let inbound = Inbound { bytes, peer, listener, local: None, connection: None, relay: None, now_us: 0 };
    let (decision, _) = decided_inbound(&snapshot, &inbound);
    let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
    assert_eq!(hop.connection, connection);
    hop.reconnect
}
