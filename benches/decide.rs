//! What a decision costs, with the message written out: the whole of Viaduct's own work on a message.
//!
//! The INVITE has a goal, which this bench prints beside the cost: below it, Viaduct's own work hardly shows beside the
//! kernel's.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use criterion::{Criterion, criterion_group};

use viaduct::balance::backend::{Backend, Weight};
use viaduct::balance::pool::Pool;
use viaduct::proxy::inbound::{Inbound, ListenerIndex};
use viaduct::proxy::keys::Keys;
use viaduct::proxy::latency::Instance;
use viaduct::proxy::names::Names;
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::Verdict;
use viaduct::proxy::{self, Scratch, View};
use viaduct::sip::Transport;

mod messages;

criterion_group!(benches, decide);

/// What deciding about an INVITE of 1 kB and writing it out is to take at the most, in nanoseconds.
const INVITE_GOAL_NS: f64 = 600.0;

/// The same for an INVITE of 1.3 kB with Record-Route, pin and stamp.
const SHIPPED_GOAL_NS: f64 = 900.0;

const CLIENT: &str = "192.0.2.77:5062";
const BACKEND: &str = "127.0.0.11:5060";

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    show_cost();
}

fn decide(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let mut group = criterion.benchmark_group("decide and render");
    let invites = messages::invites();
    let responses: Vec<_> = invites.iter().map(|invite| messages::ok(&bench.forwarded(invite))).collect();
    for (name, set, peer) in [
        ("INVITE, 1 kB, the same", &invites[..1], CLIENT),
        ("INVITE, 1 kB, shuffled", &invites[..], CLIENT),
        ("200 OK, shuffled", &responses[..], BACKEND),
        ("OPTIONS, answered", &[options()][..], CLIENT),
    ] {
        let peer = address(peer);
        set.iter().for_each(|message| bench.check(message, peer));
        let mut turns = set.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| turns.next().map(|message| bench.pass(black_box(message), peer)));
        });
    }
    group.finish();
}

/// Prints the INVITE's cost, plain and as it is shipped: longer, with Record-Route, pin and stamp.
fn show_cost() {
    let plain = median_ns(Bench::new(), &messages::invites());
    println!("decide and render, INVITE of 1 kB: {plain:.0} ns (goal {INVITE_GOAL_NS:.0} ns)");
    let longer: Vec<Vec<u8>> = messages::invites().iter().map(|invite| with_longer_body(invite)).collect();
    let shipped = median_ns(Bench::recording_routes(), &longer);
    println!("the same of 1.3 kB, with Record-Route, pin and stamp: {shipped:.0} ns (goal {SHIPPED_GOAL_NS:.0} ns)");
}

/// The median of many short runs over shuffled messages.
fn median_ns(mut bench: Bench, invites: &[Vec<u8>]) -> f64 {
    let mut costs_ns: Vec<f64> = (0..301).map(|_| run_ns(&mut bench, invites)).collect();
    costs_ns.sort_by(f64::total_cmp);
    costs_ns[costs_ns.len() / 2]
}

fn run_ns(bench: &mut Bench, messages: &[Vec<u8>]) -> f64 {
    let start = Instant::now();
    for message in messages {
        black_box(bench.pass(black_box(message), address_of_client()));
    }
    start.elapsed().as_nanos() as f64 / messages.len() as f64
}

/// The same INVITE with 300 bytes more of session description.
fn with_longer_body(invite: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(invite).expect("the messages are text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let longer = format!("{body}{}", "a=candidate:1 1 UDP 2130706431 192.0.2.1 49170 typ host\r\n".repeat(6));
    let length = format!("Content-Length: {}", body.len());
    format!("{}\r\n\r\n{longer}", head.replacen(&length, &format!("Content-Length: {}", longer.len()), 1)).into_bytes()
}

/// What a shard has when it works.
struct Bench {
    snapshot: Snapshot,
    names: Names,
    scratch: Scratch,
    out: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Policy::default(), None)
    }

    /// As it is shipped: dialogs stay on the way, backends are timed.
    fn recording_routes() -> Self {
        Self::with(Policy { record_route: true, ..Policy::default() }, Some(Instance(7)))
    }

    fn with(policy: Policy, instance: Option<Instance>) -> Self {
        let listener = Listener::new(Transport::Udp, address("198.51.100.1:5060"), "198.51.100.1", 5060);
        let pool = Pool::new((11..14).map(backend).collect()).expect("names and addresses differ");
        let keys = Keys::derive(b"0123456789abcdef").expect("16 bytes");
        let snapshot = Snapshot::new(vec![listener], pool, keys, policy);
        let snapshot = match instance {
            Some(instance) => snapshot.with_latency(instance),
            None => snapshot,
        };
        Bench { snapshot, names: Names::default(), scratch: Scratch::default(), out: vec![0; 65_535] }
    }

    /// Decides and writes out; the number of bytes written, which keeps the work from being optimised away.
    fn pass(&mut self, message: &[u8], peer: SocketAddr) -> Option<usize> {
        let local = Some(IpAddr::from([198, 51, 100, 1]));
        let inbound = Inbound {
            bytes: message,
            peer,
            listener: ListenerIndex(0),
            local,
            connection: None,
            relay: None,
            now_us: 0,
        };
        let view = View { snapshot: &self.snapshot, names: &self.names };
        black_box(proxy::decide(view, &inbound, &mut self.scratch));
        self.scratch.draft.render(message, &mut self.out)
    }

    /// What is measured must be the path that is meant, not some refusal.
    fn check(&mut self, message: &[u8], peer: SocketAddr) {
        let inbound = Inbound {
            bytes: message,
            peer,
            listener: ListenerIndex(0),
            local: None,
            connection: None,
            relay: None,
            now_us: 0,
        };
        let view = View { snapshot: &self.snapshot, names: &self.names };
        let verdict = proxy::decide(view, &inbound, &mut self.scratch).verdict;
        let answer = message.starts_with(b"OPTIONS");
        match verdict {
            Verdict::Forward { .. } if !answer => {}
            Verdict::Answer { fault: None, .. } if answer => {}
            other => panic!("an unexpected verdict: {other:?}"),
        }
    }

    fn forwarded(&mut self, message: &[u8]) -> Vec<u8> {
        let len = self.pass(message, address_of_client()).expect("it fits");
        self.out[..len].to_vec()
    }
}

fn options() -> Vec<u8> {
    b"OPTIONS sip:198.51.100.1 SIP/2.0\r\n\
      Via: SIP/2.0/UDP 192.0.2.77:5062;rport;branch=z9hG4bK776asdhds\r\n\
      Max-Forwards: 70\r\n\
      From: <sip:probe@example.com>;tag=1928301774\r\n\
      To: <sip:198.51.100.1>\r\n\
      Call-ID: a84b4c76e66710@192.0.2.77\r\n\
      CSeq: 63104 OPTIONS\r\n\
      Contact: <sip:probe@192.0.2.77:5062>\r\n\
      Content-Length: 0\r\n\r\n"
        .to_vec()
}

fn backend(number: u8) -> Backend {
    let address = SocketAddr::from(([127, 0, 0, number], 5060));
    Backend { name: format!("proxy-{number}"), address, host: address.ip().to_string(), weight: Weight::DEFAULT }
}

fn address_of_client() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 77], 5062))
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
