//! What several tests share: a snapshot like an operator's, and decisions rendered as bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use viaduct::balance::backend::{Backend, Weight};
use viaduct::balance::pool::Pool;
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::names::name::{Lookup, Name};
use viaduct::proxy::names::targets::{Target, Targets};
use viaduct::proxy::names::{Answer, Failure, Names};
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::{Decision, Verdict};
use viaduct::proxy::{Scratch, View, decide};
use viaduct::sip::Transport;

/// The secret of all tests.
pub const SECRET: &[u8] = b"a secret for tests only";

/// A backend of weight 1.
pub fn backend(name: &str, address: &str) -> Backend {
    let address: SocketAddr = address.parse().expect("an address");
    Backend { name: name.to_owned(), address, host: address.ip().to_string(), weight: Weight::DEFAULT }
}

/// Three backends, a, b and c, at 10.0.0.11 to 13, and one with a host name, d.example.com at 10.0.0.14.
pub fn pool() -> Pool {
    let mut named = backend("d", "10.0.0.14:5080");
    named.host = "d.example.com".to_owned();
    let members = [("a", "10.0.0.11:5060"), ("b", "10.0.0.12:5060"), ("c", "10.0.0.13:5060")];
    let mut backends: Vec<Backend> = members.iter().map(|(name, address)| backend(name, address)).collect();
    backends.push(named);
    Pool::new(backends).expect("a pool")
}

/// Listener 0 at 192.0.2.100:5060, advertised as sip.example.com:5060; listener 1 on all addresses at port 5070; listener
/// 2 on IPv6. Requests from 172.16.0.0/12 are a backend's too.
pub fn snapshot_of(pool: Pool) -> Snapshot {
    snapshot_with(datagram_listeners(), pool)
}

/// The same with listeners for TCP too, 3 at the address of listener 0 and 4 at that of listener 2, and backends that are
/// reached by that transport.
pub fn snapshot_with_streams(pool: Pool, backends: Transport) -> Snapshot {
    let mut listeners = datagram_listeners();
    for at in [0, 2] {
        let Listener { address, advertised_host, advertised_port, .. } = listeners[at].clone();
        listeners.push(Listener::new(Transport::Tcp, address, &advertised_host, advertised_port));
    }
    let transports = vec![backends; pool.backends().len()];
    snapshot_with(listeners, pool).with_backend_transports(transports)
}

fn datagram_listeners() -> Vec<Listener> {
    vec![
        Listener::new(Transport::Udp, "192.0.2.100:5060".parse().unwrap(), "sip.example.com", 5060),
        Listener::new(Transport::Udp, "0.0.0.0:5070".parse().unwrap(), "192.0.2.101", 5070),
        Listener::new(Transport::Udp, "[2001:db8::100]:5060".parse().unwrap(), "[2001:db8::100]", 5060),
    ]
}

fn snapshot_with(listeners: Vec<Listener>, pool: Pool) -> Snapshot {
    let keys = Keys::derive(SECRET).expect("a secret");
    let policy = Policy { trusted: vec!["172.16.0.0/12".parse().unwrap()], record_route: true, ..Policy::default() };
    Snapshot::new(listeners, pool, keys, policy)
}

/// carol.example.net leads over TCP to 198.51.100.4; over UDP, and where nothing is said, to two addresses in 198.51.100.0/24 of which the first gets three quarters, and to others behind
/// them; carol.example.net:5080 to the pool's member b; viaduct.example.net to listener 0; gone.example.net nowhere.
pub fn names() -> Names {
    let target = |priority, weight, address: &str| {
        let addresses = vec![address.parse().expect("an address")];
        Target { priority, weight, addresses }
    };
    let carol =
        [target(10, 30, "198.51.100.1:5062"), target(10, 10, "198.51.100.2:5062"), target(20, 90, "198.51.100.3:5062")];
    let answers = [
        (name("carol.example.net", Lookup::Service), leads_to(&carol)),
        (name("carol.example.net", Lookup::Port(5080)), leads_to(&[target(0, 0, "10.0.0.12:5060")])),
        (name("carol.example.net", Lookup::Tcp), leads_to(&[target(10, 1, "198.51.100.4:5064")])),
        (name("viaduct.example.net", Lookup::Service), leads_to(&[target(0, 0, "192.0.2.100:5060")])),
        (name("gone.example.net", Lookup::Service), Answer::Failed(Failure::NotFound)),
    ];
    answers.into_iter().map(|(name, answer)| (Arc::from(name.as_str()), answer)).collect()
}

/// A name to look up.
pub fn name(host: &str, lookup: Lookup) -> Name {
    Name::new(host.as_bytes(), lookup).expect("a name")
}

/// The answer that a name leads to these.
pub fn leads_to(targets: &[Target]) -> Answer {
    Answer::Targets(Arc::new(Targets::new(targets).expect("an address")))
}

/// What is decided about a message that listener 0 received, and the bytes that are sent, if any.
pub fn decided(snapshot: &Snapshot, bytes: &[u8], peer: &str) -> (Decision, Vec<u8>) {
    let peer = peer.parse().expect("an address");
    let inbound =
        Inbound { bytes, peer, listener: ListenerIndex(0), local: None, connection: None, relay: None, now_us: 0 };
    decided_inbound(snapshot, &inbound)
}

/// The same for a message that came in any way. No name is known.
pub fn decided_inbound(snapshot: &Snapshot, inbound: &Inbound<'_>) -> (Decision, Vec<u8>) {
    decided_with(View { snapshot, names: &Names::default() }, inbound)
}

/// The same by all that is known.
pub fn decided_with(view: View<'_>, inbound: &Inbound<'_>) -> (Decision, Vec<u8>) {
    let mut scratch = Scratch::default();
    let decision = decide(view, inbound, &mut scratch);
    let mut out = vec![0; 70_000];
    let len = match decision.verdict {
        Verdict::Forward { .. } | Verdict::Answer { .. } => {
            scratch.draft.render(inbound.bytes, &mut out).expect("room")
        }
        Verdict::Absorb(_) | Verdict::Drop(_) => 0,
    };
    out.truncate(len);
    (decision, out)
}
