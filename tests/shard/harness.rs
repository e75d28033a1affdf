//! A shard on this thread between a client and a backend, which are plain sockets of the test.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use viaduct::balance::backend::{Backend, Weight};
use viaduct::balance::pool::Pool;
use viaduct::io::socket::{SocketOptions, open_udp};
use viaduct::io::{Choice, Doorbell, Engine, Options, Sockets, probe};
use viaduct::metrics::cells::{Dropped, ShardCells};
use viaduct::observe::Observation;
use viaduct::observe::copy::{CopyQueue, Share};
use viaduct::observe::problem::ProblemQueue;
use viaduct::proxy::inbound::Side;
use viaduct::proxy::keys::Keys;
use viaduct::proxy::latency::Instance;
use viaduct::proxy::names::exchange::Exchange;
use viaduct::proxy::publication::Publication;
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::{AbsorbReason, MessageKind};
use viaduct::shard::mailbox::PostOffice;
use viaduct::shard::networks::Networks;
use viaduct::shard::policy::SharedPolicy;
use viaduct::shard::{Parts, Shard};
use viaduct::sip::Transport;
use viaduct::sip::reply::Status;

/// A shard, its counts, and both its neighbours.
pub struct Bench {
    pub shard: Shard,
    pub cells: Arc<ShardCells>,
    pub exchange: Arc<Exchange>,
    pub publication: Publication,
    /// What is told of problems: each one, since none of the tests waits.
    pub problems: Arc<ProblemQueue>,
    /// Copies of all messages.
    pub copies: Arc<CopyQueue>,
    pub client: UdpSocket,
    pub backend: UdpSocket,
    pub address: SocketAddr,
}

/// How many this process has opened.
static BENCHES: AtomicU8 = AtomicU8::new(0);

impl Bench {
    pub fn open(choice: Choice, options: &Options) -> Self {
        let backend = UdpSocket::bind("127.0.0.2:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in [&client, &backend] {
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        }
        let large = SocketOptions { receive_buffer_bytes: 8 << 20, send_buffer_bytes: 8 << 20 };
        // An address of its own: nobody else is given its port once it is closed.
        let ip = Ipv4Addr::new(127, 10, std::process::id() as u8, BENCHES.fetch_add(1, Ordering::Relaxed));
        let socket = open_udp((ip, 0).into(), &large).unwrap();
        let address = socket.local_addr().unwrap();
        let member = Backend {
            name: "one".to_owned(),
            address: backend.local_addr().unwrap(),
            host: "127.0.0.2".to_owned(),
            weight: Weight::DEFAULT,
        };
        let listener = Listener::new(Transport::Udp, address, &ip.to_string(), address.port());
        let keys = Keys::derive(b"a secret for tests only").unwrap();
        let snapshot = Snapshot::new(vec![listener], Pool::new(vec![member]).unwrap(), keys, Policy::default());
        let snapshot = snapshot.with_latency(Instance(7));
        let publication = Publication::from(snapshot);
        let exchange = Arc::new(Exchange::default());
        let (problems, copies) = (Arc::new(ProblemQueue::default()), Arc::new(CopyQueue::default()));
        problems.set_rate(1000);
        copies.set_share(Share::new(1.0));
        let doorbell = Doorbell::new().unwrap();
        let sockets = Sockets { datagrams: vec![socket], ..Sockets::default() };
        let opened = Engine::open(choice, sockets, options, &doorbell).unwrap();
        let cells = Arc::new(ShardCells::new(opened.kind, false, 1));
        let parts = Parts {
            publication: publication.clone(),
            exchange: exchange.clone(),
            cells: cells.clone(),
            policy: SharedPolicy::default(),
            networks: Networks::default(),
            post: PostOffice::new(7, vec![doorbell]),
            observation: Observation { problems: problems.clone(), copies: copies.clone() },
            number: 0,
        };
        let shard = Shard::new(opened.engine, parts);
        Bench { shard, cells, exchange, publication, problems, copies, client, backend, address }
    }

    /// Turns until a turn finds nothing to do.
    pub fn settle(&mut self) {
        while self.shard.turn(Some(Duration::from_millis(30))).unwrap().completions > 0 {}
    }

    pub fn received(&self) -> u64 {
        let kinds = |side| (0..MessageKind::COUNT).map(move |kind| (side, kind));
        let all = Side::ALL.into_iter().flat_map(kinds);
        all.map(|(side, kind)| self.cells.received_count(side, Transport::Udp, kind)).sum()
    }

    pub fn forwarded(&self) -> u64 {
        let kinds = |side| (0..MessageKind::COUNT).map(move |kind| (side, kind));
        let all = Side::ALL.into_iter().flat_map(kinds);
        all.map(|(side, kind)| self.cells.forwarded_count(side, Transport::Udp, kind)).sum()
    }

    pub fn answered(&self) -> u64 {
        let statuses = |side| Status::ALL.map(|status| self.cells.answered_count(side, Transport::Udp, status));
        Side::ALL.into_iter().flat_map(statuses).sum()
    }

    pub fn absorbed(&self) -> u64 {
        AbsorbReason::ALL.map(|reason| self.cells.absorbed_count(reason)).iter().sum()
    }

    pub fn dropped(&self) -> u64 {
        (0..Dropped::COUNT).map(|reason| self.cells.dropped_count(reason)).sum()
    }

    pub fn dropped_as(&self, reason: Dropped) -> u64 {
        self.cells.dropped_count(reason.index())
    }

    /// Sends a request from the client; `number` tells it from the others.
    pub fn request(&self, method: &str, number: usize) {
        self.client.send_to(&request(method, number), self.address).unwrap();
    }

    /// Answers all that the backend has been sent; gives how many.
    pub fn answer_all(&self) -> usize {
        let mut buffer = [0; 4096];
        let mut answered = 0;
        self.backend.set_nonblocking(true).unwrap();
        while let Ok((len, from)) = self.backend.recv_from(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..len]).unwrap();
            let kept: Vec<&str> = text.lines().skip(1).filter(|line| !line.starts_with("Max-Forwards")).collect();
            let response = format!("SIP/2.0 200 OK\r\n{}\r\n", kept.join("\r\n"));
            self.backend.send_to(response.as_bytes(), from).unwrap();
            answered += 1;
        }
        answered
    }
}

/// A request that a client might send.
pub fn request(method: &str, number: usize) -> Vec<u8> {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {number}@a.example\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// Runs a test body on each engine that is to be had.
pub fn on_each_engine(body: impl Fn(Choice)) {
    body(Choice::Poll);
    match probe(&Options::default()) {
        Ok(()) => body(Choice::Uring),
        Err(unavailable) => eprintln!("SKIPPED on io_uring: {unavailable}"),
    }
}
