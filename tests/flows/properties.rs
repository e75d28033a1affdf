//! What the flows show by example, as properties: Record-Route is stable, a pin survives every change of the pool that
//! keeps its backend, and no token, true or false, opens a relay.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use viaduct::balance::backend::{Backend, Weight};
use viaduct::balance::pool::Pool;
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::{Listener, OnLostPin, PathMode, Policy, Snapshot};
use viaduct::proxy::verdict::{Decision, Verdict};
use viaduct::proxy::{Scratch, View, decide};
use viaduct::sip::Transport;

use crate::message::{Message, uri_in};
use crate::mix::Mix;
use crate::pair::{self, decided};
use crate::world::{MEMBERS, backends};

/// A client behind translation, and one on the other address family, whose dialogs have two Record-Routes.
const HIDDEN: &str = "203.0.113.9:40123";
const OTHER_FAMILY: &str = "[2001:db8::9]:40123";

/// A request with these Routes, from a client that writes an address it is not seen at.
fn request(method: &str, call_id: &str, uri: &str, routes: &[String]) -> Vec<u8> {
    let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.2.3:5060;rport;branch=z9hG4bKp\r\nMax-Forwards: 70\r\n{routes}\
         From: <sip:d@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:d@10.1.2.3>\r\nSupported: path\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn instance() -> &'static Snapshot {
    static INSTANCE: LazyLock<Snapshot> =
        LazyLock::new(|| pair::snapshot(Mix::UDP, &backends(&MEMBERS), OnLostPin::Rehash));
    &INSTANCE
}

/// The same with a second listener, on IPv6.
fn with_both_families() -> &'static Snapshot {
    static INSTANCE: LazyLock<Snapshot> = LazyLock::new(|| {
        let listeners = vec![
            Listener::new(Transport::Udp, pair::ADDRESS.parse().expect("an address"), pair::NAME, 5060),
            Listener::new(Transport::Udp, "[2001:db8::1]:5060".parse().expect("an address"), "[2001:db8::1]", 5060),
        ];
        let keys = Keys::derive(b"a secret for the flows").expect("a secret");
        let policy = Policy { record_route: true, path: PathMode::On, ..Policy::default() };
        Snapshot::new(listeners, Pool::new(backends(&MEMBERS)).expect("a pool"), keys, policy)
    });
    &INSTANCE
}

fn sent_to(decision: &Decision) -> Option<SocketAddr> {
    match decision.verdict {
        Verdict::Forward { hop, .. } => Some(hop.to),
        _ => None,
    }
}

/// The values of a header that were put into a request on its way from that client.
fn written(snapshot: &Snapshot, peer: &str, method: &str, call_id: &str, name: &str) -> Vec<String> {
    let bytes = request(method, call_id, "sip:b@b.example", &[]);
    let peer: SocketAddr = peer.parse().expect("an address");
    let listener = ListenerIndex(u8::from(peer.is_ipv6()));
    let mut scratch = Scratch::default();
    let view = View { snapshot, names: &Names::default() };
    decide(
        view,
        &Inbound { bytes: &bytes, peer, listener, local: None, connection: None, relay: None, now_us: 0 },
        &mut scratch,
    );
    let mut out = vec![0; 4096];
    let len = scratch.draft.render(&bytes, &mut out).expect("room");
    Message::parse(&out[..len]).values(name)
}

/// The name of the member that a decision sends to.
fn member(snapshot: &Snapshot, decision: &Decision) -> String {
    let index = snapshot.pool().by_address(sent_to(decision).expect("forwarded")).expect("a member");
    snapshot.pool().get(index).expect("a member").name.clone()
}

/// Some of the members, some others, in any weight, some of them elsewhere than they were; `kept` is always there.
fn changed(kept: &str, choices: &[(bool, bool, u16)]) -> Vec<Backend> {
    let others = [("d", "10.0.0.14:5060"), ("e", "10.0.0.15:5060"), ("f", "10.0.0.16:5080")];
    let all: Vec<_> = MEMBERS.into_iter().chain(others).collect();
    let mut pool = Vec::new();
    for (number, (mut backend, (stays, moves, weight))) in backends(&all).into_iter().zip(choices).enumerate() {
        if *stays || backend.name == kept {
            backend.weight = Weight::new(u32::from(*weight)).expect("a weight");
            if *moves {
                backend.address = SocketAddr::new([10, 0, 9, number as u8].into(), 5090);
            }
            pool.push(backend);
        }
    }
    pool
}

/// A token of which one character is another.
fn damaged(value: &str, place: Index, byte: u8) -> String {
    let token = value.split('@').next().and_then(|value| value.split(':').nth(1)).expect("a token");
    let mut bytes = token.as_bytes().to_vec();
    let place = place.index(bytes.len());
    bytes[place] = if bytes[place] != byte {
        byte
    } else if byte == b'A' {
        b'B'
    } else {
        b'A'
    };
    value.replacen(token, &String::from_utf8(bytes).expect("text"), 1)
}

/// For each backend there may be: whether it is there, whether it has moved, and its weight.
fn choices(least: u16) -> impl Strategy<Value = Vec<(bool, bool, u16)>> {
    prop::collection::vec((any::<bool>(), any::<bool>(), least..=1000), 6)
}

fn call_id() -> impl Strategy<Value = String> {
    "[a-z0-9]{1,16}@[a-z]{1,8}"
}

fn peer() -> impl Strategy<Value = SocketAddr> {
    (any::<[u8; 3]>(), 1024..u16::MAX).prop_map(|([b, c, d], port)| SocketAddr::new(IpAddr::from([198, b, c, d]), port))
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["INVITE", "BYE", "ACK", "REFER", "INFO", "REGISTER", "MESSAGE", "CANCEL", "FOO"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn record_route_is_the_same_as_long_as_the_backend_is(
        call_id in call_id(), peer in peer(), choices in choices(1),
    ) {
        let invite = request("INVITE", &call_id, "sip:b@b.example", &[]);
        let (decision, sent) = decided(instance(), &invite, peer);
        let own = member(instance(), &decision);
        let after = pair::snapshot(Mix::UDP, &changed(&own, &choices), OnLostPin::Rehash);
        let (decision, resent) = decided(&after, &invite, peer);
        let same = Message::parse(&sent).values("Record-Route") == Message::parse(&resent).values("Record-Route");
        prop_assert_eq!(same, member(&after, &decision) == own);
    }

    #[test]
    fn a_pin_survives_any_change_of_the_pool_that_keeps_its_backend(
        call_id in call_id(), peer in peer(), choices in choices(0),
    ) {
        let invite = request("INVITE", &call_id, "sip:b@b.example", &[]);
        let (decision, sent) = decided(instance(), &invite, peer);
        let own = member(instance(), &decision);
        let mut routes = Message::parse(&sent).values("Record-Route");
        routes.push("<sip:proxy.of.the.backend;lr>".to_owned());
        let after = pair::snapshot(Mix::UDP, &changed(&own, &choices), OnLostPin::Refuse);
        for method in ["ACK", "BYE", "INVITE", "UPDATE"] {
            let (decision, _) = decided(&after, &request(method, &call_id, "sip:b@192.0.2.9", &routes), peer);
            prop_assert_eq!(member(&after, &decision), own.clone());
        }
    }
}

proptest! {
    #[test]
    fn a_damaged_pin_is_no_pin_and_no_relay(
        call_id in call_id(), method in method(), peer in peer(), place in any::<Index>(), byte in b'0'..b'z',
    ) {
        let pin = &written(instance(), HIDDEN, "INVITE", &call_id, "Record-Route")[0];
        let byte = if byte.is_ascii_alphanumeric() { byte } else { b'_' };
        let damaged = damaged(pin, place, byte);
        for routes in [vec![damaged.clone()], vec![damaged.clone(), "<sip:203.0.113.66;lr>".to_owned()]] {
            let request = request(method, &call_id, "sip:x@203.0.113.66", &routes);
            let (decision, _) = decided(instance(), &request, peer);
            let to = sent_to(&decision).expect("balanced as if there were none");
            prop_assert!(instance().pool().by_address(to).is_some(), "sent to {to}");
        }
    }

    #[test]
    fn a_damaged_flow_reaches_nobody_even_from_a_backend(
        call_id in call_id(), place in any::<Index>(), byte in b'a'..=b'z',
    ) {
        let path = &written(instance(), HIDDEN, "REGISTER", &call_id, "Path")[0];
        let request = request("INVITE", &call_id, "sip:d@10.1.2.3", &[damaged(path, place, byte)]);
        let (decision, _) = decided(instance(), &request, MEMBERS[0].1.parse().expect("an address"));
        prop_assert_ne!(sent_to(&decision), Some(HIDDEN.parse().expect("an address")));
    }

    /// With tokens that are true but a stranger's: of another client's registration and dialogs, in any order, mixed
    /// with Routes to anywhere, in the Request-URI too.
    #[test]
    fn a_client_reaches_members_and_nobody_else_even_with_a_signed_flow(
        call_id in call_id(), other in call_id(), method in method(), peer in peer(),
        picks in prop::collection::vec(any::<Index>(), 0..5), uri in any::<Index>(),
    ) {
        let snapshot = with_both_families();
        let strange = ["<sip:203.0.113.66;lr>", Mix::UDP.client_route(), "<sip:x@203.0.113.67;maddr=203.0.113.68>"];
        let mut given = strange.map(str::to_owned).to_vec();
        for client in [HIDDEN, OTHER_FAMILY] {
            given.extend(written(snapshot, client, "REGISTER", &call_id, "Path"));
            for call_id in [&call_id, &other] {
                given.extend(written(snapshot, client, "INVITE", call_id, "Record-Route"));
            }
        }
        let routes: Vec<String> = picks.iter().map(|pick| pick.get(&given).clone()).collect();
        let request = request(method, &call_id, &uri_in(&given[uri.index(given.len())]), &routes);
        let (decision, _) = decided(snapshot, &request, peer);
        match decision.verdict {
            Verdict::Answer { hop, .. } => prop_assert_eq!(hop.to, peer),
            Verdict::Forward { hop, .. } => {
                prop_assert!(snapshot.pool().by_address(hop.to).is_some(), "sent to {}", hop.to);
            }
            _ => {}
        }
    }
}
