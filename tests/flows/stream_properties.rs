//! What a token that names a connection may do, as properties: it leads to that connection and to no other, whoever's
//! process it is, and a damaged one leads nowhere.

use std::net::SocketAddr;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use viaduct::balance::pool::Pool;
use viaduct::proxy::inbound::ConnectionRef;
use viaduct::proxy::snapshot::{OnLostPin, Snapshot};
use viaduct::proxy::verdict::{Decision, DropReason, NextHop, RejectedToken, Verdict};
use viaduct::sip::Transport;
use viaduct::sip::reply::Status;

use crate::message::Message;
use crate::mix::{Mix, default_port, parameter_of};
use crate::pair::{self, Arrival, decided, decided_on};
use crate::world::{MEMBERS, backends};

const MEMBER: &str = "10.0.0.11:5060";

/// Clients of every transport in front of UDP backends.
fn instance() -> &'static Snapshot {
    static INSTANCE: LazyLock<Snapshot> =
        LazyLock::new(|| pair::snapshot(Mix::UDP, &backends(&MEMBERS), OnLostPin::Rehash));
    &INSTANCE
}

/// The same after its listeners for streams were taken out of the configuration: in their place are others for datagrams.
fn without_streams() -> &'static Snapshot {
    static INSTANCE: LazyLock<Snapshot> = LazyLock::new(|| {
        let udp = instance().listeners()[0].clone();
        let pool = Pool::new(backends(&MEMBERS)).expect("a pool");
        Snapshot::new(vec![udp; Transport::ALL.len()], pool, instance().keys().clone(), instance().policy().clone())
    });
    &INSTANCE
}

/// A request of a client's that writes `sent_by` into Via and Contact.
fn request(arrival: &Arrival, method: &str, call_id: &str, sent_by: &str, routes: &[String]) -> Vec<u8> {
    let transport = pair::transport(arrival.listener);
    let (token, parameter) = (transport.via_token(), parameter_of(transport));
    let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "{method} sip:b@b.example SIP/2.0\r\nVia: SIP/2.0/{token} {sent_by};branch=z9hG4bKp\r\nMax-Forwards: 70\r\n{routes}\
         From: <sip:d@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:d@{sent_by}{parameter}>\r\nSupported: path\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// What that client is sent by a backend.
fn to_client(method: &str, call_id: &str, uri: &str, route: &str) -> Vec<u8> {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {MEMBER};branch=z9hG4bKq\r\nMax-Forwards: 70\r\nRoute: {route}\r\n\
         From: <sip:b@b.example>;tag=2\r\nTo: <sip:d@a.example>;tag=1\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The response of a backend to what it was sent, with all its Vias.
fn response_to(sent: &[u8]) -> Vec<u8> {
    let mut message = Message::parse(sent);
    message.start = "SIP/2.0 200 OK".to_owned();
    message.bytes()
}

fn member() -> SocketAddr {
    MEMBER.parse().expect("an address")
}

fn hop(decision: &Decision) -> Option<NextHop> {
    match decision.verdict {
        Verdict::Forward { hop, .. } => Some(hop),
        _ => None,
    }
}

/// The Path, or the Record-Route that looks to the backends, that was put into a request.
fn written(arrival: &Arrival, method: &str, call_id: &str, name: &str) -> String {
    let (_, sent) = decided_on(instance(), &request(arrival, method, call_id, "10.1.2.3", &[]), arrival);
    Message::parse(&sent).values(name)[0].clone()
}

/// A text of which one character is another.
fn damaged(text: &str, place: Index) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = place.index(bytes.len());
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("text")
}

fn token_of(uri: &str) -> &str {
    uri.split(['@', ':']).nth(1).expect("a token")
}

fn parameter_value<'a>(text: &'a str, name: &str) -> &'a str {
    text.split_once(name).expect("the parameter").1.split([';', '\r']).next().expect("a value")
}

/// A client's connection to some process of the fleet.
fn arrival() -> impl Strategy<Value = Arrival> {
    let peer =
        (any::<[u8; 3]>(), 1024..u16::MAX).prop_map(|([b, c, d], port)| SocketAddr::from(([198, b, c, d], port)));
    let streams = prop::sample::select(&Transport::ALL[1..]);
    (streams, peer, any::<u32>(), any::<u64>()).prop_map(|(transport, peer, process, number)| Arrival {
        listener: pair::listener(transport),
        peer,
        connection: Some(ConnectionRef { process, number }),
    })
}

fn call_id() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,16}@[a-z]{1,8}"
}

proptest! {
    #[test]
    fn a_path_leads_to_its_own_connection_and_to_no_address_in_its_place(arrival in arrival(), call_id in call_id()) {
        let path = written(&arrival, "REGISTER", "registration", "Path");
        let invite = to_client("INVITE", &call_id, "sip:d@203.0.113.66;transport=tcp", &path);
        let hop = hop(&decided(instance(), &invite, member()).0).expect("forwarded");
        prop_assert_eq!((hop.listener, hop.connection, hop.to), (arrival.listener, arrival.connection, arrival.peer));
        prop_assert_eq!(hop.reconnect, None, "who has closed it must register anew (RFC 5626 §5.3.1)");
    }

    #[test]
    fn a_pin_leads_to_its_own_connection_or_to_a_contact_of_its_transport_that_can_be_reached(arrival in arrival(), call_id in call_id()) {
        let route = written(&arrival, "INVITE", &call_id, "Record-Route");
        let transport = pair::transport(arrival.listener);
        let own = parameter_of(transport);
        let at = |port| Some(SocketAddr::from(([203, 0, 113, 66], port))).filter(|_| !transport.is_web_socket());
        let other = if transport == Transport::Tcp { Transport::Tls } else { Transport::Tcp };
        let contacts = [
            (format!("sip:d@203.0.113.66{own}"), at(default_port(transport))),
            (format!("sip:d@203.0.113.66:5070{}", own.replace("=t", "=T")), at(5070)),
            ("sip:d@203.0.113.66".to_owned(), None),
            (format!("sip:d@203.0.113.66{}", parameter_of(other)), None),
            (format!("sip:d@client.example{own}"), None),
            (format!("sip:d@192.0.2.111{own}"), None),
            (format!("sip:d@10.1.2.3{own}"), None),
        ];
        for (uri, instead) in &contacts {
            let hop = hop(&decided(instance(), &to_client("BYE", &call_id, uri, &route), member()).0).expect("forwarded");
            prop_assert_eq!((hop.listener, hop.connection, hop.to), (arrival.listener, arrival.connection, arrival.peer));
            prop_assert_eq!(hop.reconnect, *instead, "{}", uri);
        }
    }

    #[test]
    fn a_client_never_reaches_a_connection_by_a_token(
        arrival in arrival(), other in arrival(), call_id in call_id(), method in prop::sample::select(vec!["INVITE", "BYE", "ACK"]),
    ) {
        let path = written(&arrival, "REGISTER", "registration", "Path");
        let pin = written(&arrival, "INVITE", &call_id, "Record-Route");
        for routes in [vec![path.clone()], vec![pin.clone()], vec![pin, path]] {
            let request = request(&other, method, &call_id, "10.1.2.3", &routes);
            let hop = hop(&decided_on(instance(), &request, &other).0).expect("balanced");
            prop_assert!(instance().pool().by_address(hop.to).is_some(), "sent to {}", hop.to);
            prop_assert_eq!((hop.connection, hop.reconnect), (None, None));
        }
    }

    #[test]
    fn a_damaged_path_is_answered_403(arrival in arrival(), call_id in call_id(), place in any::<Index>()) {
        let path = written(&arrival, "REGISTER", "registration", "Path");
        let token = token_of(&path);
        let forged = format!("f{}", damaged(&token[1..], place));
        let invite = to_client("INVITE", &call_id, "sip:d@203.0.113.66", &path.replace(token, &forged));
        let (decision, _) = decided(instance(), &invite, member());
        let is_refused = matches!(decision.verdict, Verdict::Answer { status: Status::Forbidden, .. });
        prop_assert!(is_refused, "{:?}", decision.verdict);
        prop_assert_eq!(decision.rejected, Some(RejectedToken::Flow));
    }

    #[test]
    fn a_damaged_pin_leads_to_no_connection(arrival in arrival(), call_id in call_id(), place in any::<Index>()) {
        let route = written(&arrival, "INVITE", &call_id, "Record-Route");
        let token = token_of(&route);
        let forged = format!("p{}", damaged(&token[1..], place));
        let bye = to_client("BYE", &call_id, "sip:d@203.0.113.66", &route.replace(token, &forged));
        let (decision, _) = decided(instance(), &bye, member());
        prop_assert_eq!(hop(&decision).and_then(|hop| hop.connection), None);
        prop_assert_eq!(decision.rejected, Some(RejectedToken::Pin));
    }

    #[test]
    fn a_flow_whose_listener_has_no_streams_any_more_is_answered_430(arrival in arrival(), call_id in call_id()) {
        let path = written(&arrival, "REGISTER", "registration", "Path");
        let invite = to_client("INVITE", &call_id, "sip:d@203.0.113.66", &path);
        let (decision, _) = decided(without_streams(), &invite, member());
        let is_refused = matches!(decision.verdict, Verdict::Answer { status: Status::FlowFailed, .. });
        prop_assert!(is_refused, "{:?}", decision.verdict);
    }

    /// In place of a connection that is gone, a response may go to the port in sent-by where the sender was seen at that
    /// very address (§18.2.2), and to no other: behind a translator's port is somebody else.
    #[test]
    fn a_response_returns_by_the_connection_of_its_request(arrival in arrival(), call_id in call_id(), port in 1024..u16::MAX) {
        let own = format!("{}:{port}", arrival.peer.ip());
        let takes_connections = !pair::transport(arrival.listener).is_web_socket();
        let own_address = takes_connections.then(|| own.parse().expect("an address"));
        for (sent_by, instead) in [(own.as_str(), own_address), ("10.1.2.3:5060", None), ("client.example", None)] {
            let (_, sent) = decided_on(instance(), &request(&arrival, "INVITE", &call_id, sent_by, &[]), &arrival);
            let hop = hop(&decided(instance(), &response_to(&sent), member()).0).expect("forwarded");
            prop_assert_eq!((hop.listener, hop.connection), (arrival.listener, arrival.connection));
            prop_assert_eq!(hop.to.ip(), arrival.peer.ip());
            prop_assert_eq!(hop.reconnect, instead, "{}", sent_by);
            let (decision, _) = decided(without_streams(), &response_to(&sent), member());
            prop_assert_eq!(decision.verdict, Verdict::Drop(DropReason::ResponseUnverified));
        }
    }

    /// One bit of it says that the request went to two backends. It is theirs to say, and changes no way.
    #[test]
    fn a_return_path_that_is_damaged_or_another_requests_leads_to_nobody_else(
        arrival in arrival(), other in arrival(), call_id in call_id(), place in any::<Index>(),
    ) {
        let sent = |arrival: &Arrival| decided_on(instance(), &request(arrival, "INVITE", &call_id, "10.1.2.3", &[]), arrival).1;
        let (own, others) = (sent(&arrival), String::from_utf8(sent(&other)).expect("text"));
        let own = String::from_utf8(response_to(&own)).expect("text");
        let path = parameter_value(&own, ";vd=");
        prop_assume!(arrival.peer.ip() != other.peer.ip());
        let verdict = |path_in_place: &str| decided(instance(), own.replace(path, path_in_place).as_bytes(), member()).0.verdict;
        let dropped = Verdict::Drop(DropReason::ResponseUnverified);
        let damaged = verdict(&damaged(path, place));
        prop_assert!(damaged == dropped || damaged == verdict(path), "{:?}", damaged);
        prop_assert_eq!(verdict(parameter_value(&others, ";vd=")), dropped);
    }
}
