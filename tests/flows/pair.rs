//! Viaduct as the scenarios see it: two instances of one configuration that take turns, message by message, on behalf
//! of one advertised address; and what must hold for every single message that passes through them. Where there are
//! connections, the two are shards of one process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use viaduct::balance::backend::Backend;
use viaduct::balance::pool::Pool;
use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex, Side};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::{Listener, OnLostPin, PathMode, Policy, Snapshot};
use viaduct::proxy::verdict::{Decision, NextHop, Verdict};
use viaduct::proxy::{Scratch, View, decide};
use viaduct::sip::Transport;

use crate::connections::Connection;
use crate::message::{Message, parameter};
use crate::mix::{Mix, default_port, transport_in};

/// The address that both instances stand behind, with the port for UDP and TCP.
pub const ADDRESS: &str = "192.0.2.111:5060";
/// The name that they are advertised by: in RFC 3665 it is Proxy 1's.
pub const NAME: &str = "ss1.atlanta.example.com";

/// The Route value that leads to them over a transport.
pub fn route(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "<sip:ss1.atlanta.example.com;lr>",
        Transport::Tcp => "<sip:ss1.atlanta.example.com;transport=tcp;lr>",
        Transport::Tls => "<sip:ss1.atlanta.example.com;transport=tls;lr>",
        Transport::Ws => "<sip:ss1.atlanta.example.com;transport=ws;lr>",
        Transport::Wss => "<sip:ss1.atlanta.example.com:443;transport=ws;lr>",
    }
}

/// Where they listen for a transport: at its own port.
pub fn address_of(transport: Transport) -> SocketAddr {
    let address: SocketAddr = ADDRESS.parse().expect("an address");
    SocketAddr::new(address.ip(), default_port(transport))
}

/// The listeners: one for each transport, in their order.
pub fn listener(transport: Transport) -> ListenerIndex {
    ListenerIndex(transport.index() as u8)
}

/// The transport of a listener.
pub fn transport(listener: ListenerIndex) -> Transport {
    Transport::ALL[listener.get()]
}

/// How a message comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// By which listener.
    pub listener: ListenerIndex,
    /// From whom.
    pub peer: SocketAddr,
    /// On which connection.
    pub connection: Option<ConnectionRef>,
}

impl Arrival {
    /// A datagram from there.
    pub fn datagram(peer: SocketAddr) -> Self {
        Arrival { listener: listener(Transport::Udp), peer, connection: None }
    }

    /// On that connection.
    pub fn on(connection: &Connection) -> Self {
        let Connection { transport, peer, name, .. } = *connection;
        Arrival { listener: listener(transport), peer, connection: Some(name) }
    }

    /// Whether a hop leads back: by the same connection, or where there is none, to the very address.
    fn is_way_back(&self, hop: &NextHop) -> bool {
        let same = (hop.listener, hop.connection) == (self.listener, self.connection);
        same && hop.to.ip() == self.peer.ip() && (self.connection.is_some() || hop.to == self.peer)
    }
}

/// What comes of a message: where it goes, if anywhere, and its bytes.
pub type Sent = Option<(NextHop, Vec<u8>)>;

/// Two interchangeable instances, and what is remembered of what they did. They themselves remember nothing.
pub struct Viaduct {
    instances: [Snapshot; 2],
    mix: Mix,
    turn: usize,
    /// The member that each Call-ID went to.
    members: BTreeMap<String, String>,
    /// Call-IDs that may change their member.
    movable: BTreeSet<String>,
    /// How the request came in that each Via of ours stands on.
    sources: HashMap<String, Arrival>,
}

impl Viaduct {
    /// Two instances in front of these backends.
    pub fn new(mix: Mix, backends: &[Backend], on_lost_pin: OnLostPin) -> Self {
        let instance = snapshot(mix, backends, on_lost_pin);
        let instances = [instance.clone(), instance];
        let (members, movable) = Default::default();
        Viaduct { instances, mix, turn: 0, members, movable, sources: HashMap::new() }
    }

    /// Both instances get another pool.
    pub fn resize(&mut self, backends: &[Backend]) {
        for instance in [0, 1] {
            self.resize_one(instance, backends);
        }
    }

    /// One of them gets another pool; it knows of a change before the other does.
    pub fn resize_one(&mut self, instance: usize, backends: &[Backend]) {
        let policy = self.instances[instance].policy().on_lost_pin;
        self.instances[instance] = snapshot(self.mix, backends, policy);
    }

    /// The name of the member that a Call-ID's requests went to.
    pub fn member_of(&self, call_id: &str) -> &str {
        self.members.get(call_id).map_or("none", String::as_str)
    }

    /// The name of the member that owns a Call-ID's part of the key space.
    pub fn owner_of(&self, call_id: &str) -> &str {
        let snapshot = &self.instances[0];
        let owner = snapshot.table().owner(snapshot.keys().table.hash(call_id.as_bytes())).expect("an owner");
        &snapshot.pool().get(owner).expect("a member").name
    }

    /// A Call-ID that another member owns than the one that owns `call_id`.
    pub fn owned_elsewhere(&self, call_id: &str) -> String {
        let ids = (0..).map(|n| format!("{n}-elsewhere@example.com"));
        ids.into_iter().find(|id| self.owner_of(id) != self.owner_of(call_id)).expect("a Call-ID")
    }

    /// Lets the requests of a Call-ID go to another member: its own is gone, or it concerns another dialog.
    pub fn allow_move(&mut self, call_id: &str) {
        self.movable.insert(call_id.to_owned());
    }

    /// Decides about one message as the instance does whose turn it is, and holds what must hold for all of them.
    pub fn handle(&mut self, bytes: &[u8], arrival: &Arrival) -> Sent {
        let (one, other) = (self.turn, 1 - self.turn);
        self.turn = other;
        let (decision, sent) = decided_on(&self.instances[one], bytes, arrival);
        if self.instances[one].pool().backends() == self.instances[other].pool().backends() {
            assert_eq!(
                (decision, &sent),
                by_ref(&decided_on(&self.instances[other], bytes, arrival)),
                "the instances differ"
            );
        }
        assert_eq!(decision.rejected, None, "a token of ours was rejected");
        let message = Message::parse(bytes);
        match decision.verdict {
            Verdict::Drop(reason) => panic!("dropped for {reason:?}:\n{}", String::from_utf8_lossy(bytes)),
            Verdict::Absorb(_) => None,
            Verdict::Answer { hop, .. } => {
                assert!(
                    arrival.is_way_back(&hop),
                    "an answer goes back to where the request came from, not to {hop:?}"
                );
                Some((hop, sent))
            }
            Verdict::Forward { hop, .. } => {
                let forwarded = Message::parse(&sent);
                assert_untouched(&message, &forwarded);
                match message.status() {
                    Some(_) => self.check_response(&message, &forwarded, &hop),
                    None => self.check_request(one, &decision, &message, &forwarded, arrival),
                }
                Some((hop, sent))
            }
        }
    }

    fn check_request(&mut self, one: usize, decision: &Decision, came: &Message, sent: &Message, arrival: &Arrival) {
        let (came_vias, vias) = (came.values("Via"), sent.values("Via"));
        assert_eq!(vias.len(), came_vias.len() + 1, "one Via more");
        assert_eq!(vias[2..], came_vias[1..], "the Vias below stay as they are");
        assert!(
            vias[1].starts_with(came_vias[0].split(";rport").next().unwrap()),
            "the Via below ours is only stamped"
        );
        self.sources.insert(identity(&vias[0]), *arrival);
        let Verdict::Forward { hop, backend, to } = decision.verdict else { unreachable!("a forwarded request") };
        let token = transport(hop.listener).via_token();
        assert!(vias[0].starts_with(&format!("SIP/2.0/{token} ")), "our Via says how it travels: {}", vias[0]);
        assert_record_route(arrival, &hop, came, sent);
        let pool = self.instances[one].pool();
        let member = backend.and_then(|index| pool.get(index)).map(|member| member.name.clone());
        if decision.side == Side::Client {
            assert!(pool.by_address(hop.to).is_some(), "a client's request went to {}, not to the pool", hop.to);
            assert_eq!(transport(hop.listener), self.mix.backends, "a member is reached by its own transport");
        }
        let Some(member) = member.filter(|_| to == Side::Backend) else { return };
        let call_id = came.call_id();
        let before = self.members.insert(call_id.clone(), member.clone());
        if !self.movable.contains(&call_id) {
            assert!(before.is_none_or(|before| before == member), "{call_id} moved to {member}");
        }
    }

    fn check_response(&self, came: &Message, sent: &Message, hop: &NextHop) {
        let vias = came.values("Via");
        assert_eq!(sent.values("Via"), vias[1..], "one Via fewer, the others as they are");
        for name in ["Record-Route", "Path"] {
            assert_eq!(sent.values(name), came.values(name), "{name} of a response stays as it is");
        }
        let source = self.sources.get(&identity(&vias[0])).expect("the request of a response");
        assert!(source.is_way_back(hop), "a response returns to the sender of its request, not to {hop:?}");
    }
}

/// A dialog that crosses two transports gets a Record-Route for each, that of the side it goes to on top (RFC 5658 §4.1);
/// one that does not gets one.
fn assert_record_route(arrival: &Arrival, hop: &NextHop, came: &Message, sent: &Message) {
    let values = sent.values("Record-Route");
    let added = &values[..values.len() - came.values("Record-Route").len()];
    let (ahead, behind) = (transport(hop.listener), transport(arrival.listener));
    let expected = if ahead == behind { vec![ahead] } else { vec![ahead, behind] };
    let found: Vec<Transport> = added.iter().map(|value| transport_in(value)).collect();
    assert!(added.is_empty() || found == expected, "{expected:?}: {added:?}");
}

/// Body and headers, but for those that a proxy may change, are the same bytes in the same order (§16.6).
fn assert_untouched(came: &Message, sent: &Message) {
    const CHANGED: [&str; 5] = ["via:", "max-forwards:", "route:", "record-route:", "path:"];
    let kept = |message: &Message| -> Vec<String> {
        let is_changed = |line: &String| CHANGED.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
        message.lines.iter().filter(|line| !is_changed(line)).cloned().collect()
    };
    assert_eq!(came.start, sent.start, "the first line");
    assert_eq!(kept(came), kept(sent), "the headers");
    assert_eq!(came.body, sent.body, "the body");
}

/// What of a Via of ours is signed, and the next hop has no part in.
fn identity(via: &str) -> String {
    format!("{:?} {:?}", parameter(via, "branch"), parameter(via, "vd"))
}

/// What one instance decides about a datagram from there, and the bytes that it sends.
pub fn decided(snapshot: &Snapshot, bytes: &[u8], peer: SocketAddr) -> (Decision, Vec<u8>) {
    decided_on(snapshot, bytes, &Arrival::datagram(peer))
}

/// The same of a message that comes in any way.
pub fn decided_on(snapshot: &Snapshot, bytes: &[u8], arrival: &Arrival) -> (Decision, Vec<u8>) {
    let Arrival { listener, peer, connection } = *arrival;
    let inbound = Inbound { bytes, peer, listener, local: None, connection, relay: None, now_us: 0 };
    let mut scratch = Scratch::default();
    let decision = decide(View { snapshot, names: &Names::default() }, &inbound, &mut scratch);
    let mut out = vec![0; 65_535];
    let len = match decision.verdict {
        Verdict::Forward { .. } | Verdict::Answer { .. } => scratch.draft.render(bytes, &mut out).expect("room"),
        Verdict::Absorb(_) | Verdict::Drop(_) => 0,
    };
    out.truncate(len);
    (decision, out)
}

fn by_ref((decision, sent): &(Decision, Vec<u8>)) -> (Decision, &Vec<u8>) {
    (*decision, sent)
}

/// A listener for each transport at its own port, Record-Route on, Path where a client needs it.
pub fn snapshot(mix: Mix, backends: &[Backend], on_lost_pin: OnLostPin) -> Snapshot {
    let listeners = Transport::ALL
        .map(|transport| Listener::new(transport, address_of(transport), NAME, address_of(transport).port()));
    let keys = Keys::derive(b"a secret for the flows").expect("a secret");
    let policy = Policy { record_route: true, path: PathMode::Auto, on_lost_pin, ..Policy::default() };
    let pool = Pool::new(backends.to_vec()).expect("a pool");
    let transports = vec![mix.backends; backends.len()];
    Snapshot::new(listeners.to_vec(), pool, keys, policy).with_backend_transports(transports)
}
