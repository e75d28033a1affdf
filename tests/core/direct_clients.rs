//! A dialog's request to a client whose connection is gone: where the client was behind no address translation, its Contact is
//! followed though it is a name (RFC 3263).

use std::net::SocketAddr;

use viaduct::proxy::View;
use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::names::Names;
use viaduct::proxy::names::name::{Lookup, Name};
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{NextHop, Verdict};
use viaduct::sip::Transport;

use crate::support::{decided_inbound, decided_with, name, names, pool, snapshot_with_streams};

const CLIENT: &str = "203.0.113.7:40000";
const DIRECT: &str = "203.0.113.7:5060";
const TRANSLATED: &str = "192.168.1.7:5060";
const CONNECTION: ConnectionRef = ConnectionRef { process: 1, number: 2 };

#[test]
fn a_name_that_is_known_leads_to_where_a_connection_may_be_opened() {
    let (hop, named) = bye(&names(), DIRECT, "sip:carol@carol.example.net;transport=tcp", None);
    assert_eq!((hop.connection, hop.to), (Some(CONNECTION), CLIENT.parse().unwrap()), "the flow comes first");
    assert_eq!((hop.reconnect, hop.awaits_name), (Some("198.51.100.4:5064".parse().unwrap()), false));
    assert_eq!(named, Some(name("carol.example.net", Lookup::Tcp)));
}

#[test]
fn a_name_that_is_not_known_is_asked_for_and_awaited_by_who_sends_again() {
    for (came_on, awaits_name) in [(None, true), (Some(ConnectionRef { process: 1, number: 9 }), false)] {
        let (hop, named) = bye(&Names::default(), DIRECT, "sip:carol@carol.example.net;transport=tcp", came_on);
        assert_eq!((hop.connection, hop.reconnect, hop.awaits_name), (Some(CONNECTION), None, awaits_name));
        assert_eq!(named, Some(name("carol.example.net", Lookup::Tcp)));
    }
}

#[test]
fn a_name_is_nothing_where_the_client_was_behind_translation_or_the_name_leads_to_somebody_else() {
    let carol = "sip:carol@carol.example.net;transport=tcp";
    assert_eq!(bye(&names(), TRANSLATED, carol, None), bye(&Names::default(), TRANSLATED, carol, None));
    let (hop, named) = bye(&names(), TRANSLATED, carol, None);
    assert_eq!((hop.reconnect, hop.awaits_name, named), (None, false, None));
    // The pool's member, by a port; nowhere; over another transport than the client's.
    for uri in [
        "sip:carol@carol.example.net:5080;transport=tcp",
        "sip:carol@gone.example.net;transport=tcp",
        "sip:carol@carol.example.net",
    ] {
        let (hop, _) = bye(&names_over_tcp(), DIRECT, uri, None);
        assert_eq!((hop.connection, hop.reconnect, hop.awaits_name), (Some(CONNECTION), None, false), "{uri}");
    }
}

fn names_over_tcp() -> Names {
    use std::sync::Arc;
    use viaduct::proxy::names::{Answer, Failure};
    let member = viaduct::proxy::names::targets::Target {
        priority: 0,
        weight: 0,
        addresses: vec!["10.0.0.12:5060".parse::<SocketAddr>().unwrap()],
    };
    let answers = [
        (name("carol.example.net", Lookup::Port(5080)), crate::support::leads_to(&[member])),
        (name("gone.example.net", Lookup::Tcp), Answer::Failed(Failure::NotFound)),
    ];
    answers.into_iter().map(|(name, answer)| (Arc::from(name.as_str()), answer)).collect()
}

/// Where a backend's BYE goes, with that Request-URI, to the client that began the dialog over TCP with that sent-by; and the
/// name that it is found by.
fn bye(names: &Names, sent_by: &str, uri: &str, came_on: Option<ConnectionRef>) -> (NextHop, Option<Name>) {
    let snapshot = snapshot_with_streams(pool(), Transport::Udp);
    let routes = routes(&snapshot, sent_by, uri);
    let bye = format!(
        "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.11:5060;branch=z9hG4bKbye\r\n{routes}Max-Forwards: 70\r\n\
         From: <sip:b@b.example>;tag=2\r\nTo: <sip:a@a.example>;tag=1\r\nCall-ID: one@a.example\r\nCSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let (bytes, peer, listener) = (bye.as_bytes(), "10.0.0.11:5060".parse().unwrap(), ListenerIndex(0));
    let listener = if came_on.is_some() { ListenerIndex(3) } else { listener };
    let inbound = Inbound { bytes, peer, listener, local: None, connection: came_on, relay: None, now_us: 0 };
    let (decision, _) = decided_with(View { snapshot: &snapshot, names }, &inbound);
    let Verdict::Forward { hop, .. } = decision.verdict else { panic!("{decision:?}") };
    (hop, decision.named.and_then(|wanted| wanted.name(bytes)))
}

/// The Routes of the backend in a dialog that the client began.
fn routes(snapshot: &Snapshot, sent_by: &str, contact: &str) -> String {
    let invite = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP {sent_by};branch=z9hG4bKone\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: one@a.example\r\nCSeq: 1 INVITE\r\n\
         Contact: <{contact}>\r\nContent-Length: 0\r\n\r\n"
    );
    let (bytes, peer, connection) = (invite.as_bytes(), CLIENT.parse().unwrap(), Some(CONNECTION));
    let inbound = Inbound { bytes, peer, listener: ListenerIndex(3), local: None, connection, relay: None, now_us: 0 };
    let (_, forwarded) = decided_inbound(snapshot, &inbound);
    let forwarded = String::from_utf8(forwarded).unwrap();
    let routes = forwarded.lines().filter_map(|line| line.strip_prefix("Record-Route: "));
    routes.map(|route| format!("Route: {route}\r\n")).collect()
}
