//! Viaduct as the scenarios see it: two instances of one configuration that take turns, message by message, on behalf
//! of one advertised address; and what must hold for every single message that passes through them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use viaduct::balance::backend::Backend;
use viaduct::balance::pool::Pool;
use viaduct::proxy::inbound::{Inbound, ListenerIndex, Side};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::{Listener, OnLostPin, PathMode, Policy, Snapshot};
use viaduct::proxy::verdict::{Decision, Verdict};
use viaduct::proxy::{Scratch, View, decide};
use viaduct::sip::Transport;

use crate::message::{Message, parameter};

/// The address that both instances stand behind.
pub const ADDRESS: &str = "192.0.2.111:5060";
/// The name that they are advertised by: in RFC 3665 it is Proxy 1's.
pub const NAME: &str = "ss1.atlanta.example.com";
/// A URI for Routes that name them.
pub const ROUTE: &str = "<sip:ss1.atlanta.example.com;lr>";

/// What comes of a message: where it goes, if anywhere, and its bytes.
pub type Sent = Option<(SocketAddr, Vec<u8>)>;

/// Two interchangeable instances, and what is remembered of what they did. They themselves remember nothing.
pub struct Viaduct {
    instances: [Snapshot; 2],
    turn: usize,
    /// The member that each Call-ID went to.
    members: BTreeMap<String, String>,
    /// Call-IDs that may change their member.
    movable: BTreeSet<String>,
    /// Where the request came from that each Via of ours stands on.
    sources: HashMap<String, SocketAddr>,
}

impl Viaduct {
    /// Two instances in front of these backends.
    pub fn new(backends: &[Backend], on_lost_pin: OnLostPin) -> Self {
        let instance = || snapshot(backends, on_lost_pin);
        let instances = [instance(), instance()];
        let (members, movable) = Default::default();
        Viaduct { instances, turn: 0, members, movable, sources: HashMap::new() }
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
        self.instances[instance] = snapshot(backends, policy);
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
    pub fn handle(&mut self, bytes: &[u8], peer: SocketAddr) -> Sent {
        let (one, other) = (self.turn, 1 - self.turn);
        self.turn = other;
        let (decision, sent) = decided(&self.instances[one], bytes, peer);
        if self.instances[one].pool().backends() == self.instances[other].pool().backends() {
            assert_eq!(
                (decision, &sent),
                by_ref(&decided(&self.instances[other], bytes, peer)),
                "the instances differ"
            );
        }
        assert_eq!(decision.rejected, None, "a token of ours was rejected");
        let message = Message::parse(bytes);
        match decision.verdict {
            Verdict::Drop(reason) => panic!("dropped for {reason:?}:\n{}", String::from_utf8_lossy(bytes)),
            Verdict::Absorb(_) => None,
            Verdict::Answer { hop, .. } => {
                assert_eq!(hop.to, peer, "an answer goes back to where the request came from");
                Some((hop.to, sent))
            }
            Verdict::Forward { hop, .. } => {
                let forwarded = Message::parse(&sent);
                assert_untouched(&message, &forwarded);
                match message.status() {
                    Some(_) => self.check_response(&message, &forwarded, hop.to),
                    None => self.check_request(one, &decision, &message, &forwarded, peer),
                }
                Some((hop.to, sent))
            }
        }
    }

    fn check_request(&mut self, one: usize, decision: &Decision, came: &Message, sent: &Message, peer: SocketAddr) {
        let (came_vias, vias) = (came.values("Via"), sent.values("Via"));
        assert_eq!(vias.len(), came_vias.len() + 1, "one Via more");
        assert_eq!(vias[2..], came_vias[1..], "the Vias below stay as they are");
        assert!(
            vias[1].starts_with(came_vias[0].split(";rport").next().unwrap()),
            "the Via below ours is only stamped"
        );
        self.sources.insert(identity(&vias[0]), peer);
        let Verdict::Forward { hop, backend, to } = decision.verdict else { unreachable!("a forwarded request") };
        let pool = self.instances[one].pool();
        let member = backend.and_then(|index| pool.get(index)).map(|member| member.name.clone());
        if decision.side == Side::Client {
            assert!(pool.by_address(hop.to).is_some(), "a client's request went to {}, not to the pool", hop.to);
        }
        let Some(member) = member.filter(|_| to == Side::Backend) else { return };
        let call_id = came.call_id();
        let before = self.members.insert(call_id.clone(), member.clone());
        if !self.movable.contains(&call_id) {
            assert!(before.is_none_or(|before| before == member), "{call_id} moved to {member}");
        }
    }

    fn check_response(&self, came: &Message, sent: &Message, to: SocketAddr) {
        let vias = came.values("Via");
        assert_eq!(sent.values("Via"), vias[1..], "one Via fewer, the others as they are");
        for name in ["Record-Route", "Path"] {
            assert_eq!(sent.values(name), came.values(name), "{name} of a response stays as it is");
        }
        assert_eq!(self.sources.get(&identity(&vias[0])), Some(&to), "a response returns to the sender of its request");
    }
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

/// What one instance decides about a message from there, and the bytes that it sends.
pub fn decided(snapshot: &Snapshot, bytes: &[u8], peer: SocketAddr) -> (Decision, Vec<u8>) {
    let inbound = Inbound { bytes, peer, listener: ListenerIndex(0), local: None, connection: None, now_us: 0 };
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

/// One listener at [`ADDRESS`], Record-Route on, Path where a client needs it.
pub fn snapshot(backends: &[Backend], on_lost_pin: OnLostPin) -> Snapshot {
    let address: SocketAddr = ADDRESS.parse().expect("an address");
    let listener = Listener::new(Transport::Udp, address, NAME, address.port());
    let keys = Keys::derive(b"a secret for the flows").expect("a secret");
    let policy = Policy { record_route: true, path: PathMode::Auto, on_lost_pin, ..Policy::default() };
    let pool = Pool::new(backends.to_vec()).expect("a pool");
    Snapshot::new(vec![listener], pool, keys, policy)
}
