//! Messages over connections: to and from either side, bridged to datagrams, and across shards.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use viaduct::balance::backend::{Backend, Weight};
use viaduct::balance::pool::Pool;
use viaduct::io::socket::{SocketOptions, StreamSocketOptions, open_tcp, open_udp};
use viaduct::io::{Choice, Doorbell, Engine, Options, Sockets};
use viaduct::metrics::cells::{Dropped, ShardCells};
use viaduct::observe::Observation;
use viaduct::proxy::inbound::Side;
use viaduct::proxy::keys::Keys;
use viaduct::proxy::names::exchange::Exchange;
use viaduct::proxy::publication::Publication;
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::{AbsorbReason, MessageKind};
use viaduct::shard::mailbox::PostOffice;
use viaduct::shard::networks::Networks;
use viaduct::shard::policy::ConnectionPolicy;
use viaduct::shard::{Parts, Shard};
use viaduct::sip::Transport;
use viaduct::sip::reply::Status;

use crate::harness::on_each_engine;

#[test]
fn a_client_on_a_connection_is_answered_on_it_by_a_backend_over_udp() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        client.send(&request("INVITE", "one", ""));
        let (forwarded, from) = scene.datagram();
        assert!(forwarded.starts_with("INVITE sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP "), "{forwarded}");
        scene.backend_udp.send_to(response(&forwarded).as_bytes(), from).unwrap();
        let answer = scene.message(&mut client);
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && answer.contains("\r\nVia: SIP/2.0/TCP "), "{answer}");
        scene.assert_sum(2);
    });
}

#[test]
fn a_client_over_udp_reaches_a_backend_over_tcp_and_all_calls_share_its_connection() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(STEP)).unwrap();
        // The first opens the connection, the second waits for it too; neither says how long it is.
        for id in ["one", "two"] {
            let request = request("OPTIONS", id, "").replace("Content-Length: 0\r\n", "").replace("TCP 127", "UDP 127");
            let request = request.replace(":9;", ":9;rport;");
            client.send_to(request.as_bytes(), scene.udp[0]).unwrap();
        }
        let mut backend = scene.backend_connection();
        for _ in 0..2 {
            let forwarded = scene.message(&mut backend);
            assert!(forwarded.contains("\r\nContent-Length: 0\r\n\r\n"), "{forwarded}");
            assert!(forwarded.contains("Via: SIP/2.0/TCP 127.0.0.1:"), "{forwarded}");
            backend.send(&response(&forwarded));
            scene.turn();
            let answer = scene.datagram_for(&client);
            assert!(answer.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP "), "{answer}");
        }
        scene.assert_sum(4);
    });
}

#[test]
fn a_response_that_comes_to_another_shard_finds_its_connection() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 2, Transport::Udp);
        let mut client = scene.client(0);
        client.send(&request("INVITE", "one", ""));
        let (forwarded, _) = scene.datagram();
        let other = scene.udp[1];
        scene.backend_udp.send_to(response(&forwarded).as_bytes(), other).unwrap();
        assert!(scene.message(&mut client).starts_with("SIP/2.0 200 OK"));
        scene.assert_sum(2);
    });
}

#[test]
fn a_response_whose_connection_is_gone_goes_where_the_sender_can_be_reached_or_is_counted() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 2, Transport::Udp);
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let reachable = format!("127.0.0.1:{}", listening.local_addr().unwrap().port());
        for (sent_by, is_reached) in [(reachable.as_str(), true), ("10.9.8.7:5060", false)] {
            for shard in [0, 1] {
                let mut client = scene.client(0);
                client.send(&request("INVITE", "one", "").replace("127.0.0.1:9;", &format!("{sent_by};")));
                let (forwarded, _) = scene.datagram();
                client.reset();
                scene.settle();
                let to = scene.udp[shard];
                scene.backend_udp.send_to(response(&forwarded).as_bytes(), to).unwrap();
                scene.settle();
                assert_eq!(scene.dropped(Dropped::ConnectionGone), u64::from(!is_reached) * (shard as u64 + 1));
                if is_reached && shard == 0 {
                    let (stream, _) = listening.accept().unwrap();
                    assert!(scene.message(&mut Peer::new(stream)).starts_with("SIP/2.0 200 OK"));
                }
            }
        }
    });
}

#[test]
fn a_backend_that_cannot_be_reached_is_answered_for_with_503_and_left_alone_for_a_while() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        drop(scene.backend_tcp.take());
        let mut client = scene.client(0);
        for id in ["one", "two"] {
            client.send(&request("INVITE", id, ""));
            let answer = scene.message(&mut client);
            assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
            assert_eq!(answer.matches("Via:").count(), 1, "{answer}");
            // Its ACK is absorbed: the answer was our own.
            let tag = answer.split("To: ").nth(1).unwrap().lines().next().unwrap();
            let ack = request("ACK", id, "").replace("To: <sip:b@b.example>", &format!("To: {tag}"));
            client.send(&ack);
            scene.settle();
        }
        assert_eq!(scene.absorbed(AbsorbReason::AckToOwnAnswer), 2);
        client.send(&request("ACK", "three", ""));
        scene.settle();
        assert_eq!(scene.dropped(Dropped::NoConnection), 1);
        scene.assert_sum(5);
    });
}

#[test]
fn what_cannot_be_framed_is_refused_and_its_connection_closed() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        for (length, status) in [("", "400 "), ("Content-Length: five\r\n", "400 "), ("l: 70000\r\n", "513 ")] {
            let mut client = scene.client(0);
            client.send(&request("INVITE", "one", "").replace("Content-Length: 0\r\n", length));
            let answer = scene.message(&mut client);
            assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{answer}");
            assert!(scene.is_closed(&mut client));
        }
        let mut browser = scene.client(0);
        browser.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(scene.is_closed(&mut browser));
        assert_eq!(scene.dropped(Dropped::Framing), 1);
        scene.assert_sum(4);
        scene.settle();
        assert_eq!(scene.connections(), 0);
    });
}

#[test]
fn a_ping_is_answered_and_messages_may_be_cut_anywhere() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        client.send("\r\n\r\n");
        assert_eq!(scene.bytes(&mut client, 2), "\r\n");
        for byte in request("OPTIONS", "one", "").bytes() {
            client.stream.write_all(&[byte]).unwrap();
            scene.turn();
        }
        assert!(scene.datagram().0.starts_with("OPTIONS sip:bob@b.example"));
        let both = request("OPTIONS", "two", "") + &request("OPTIONS", "three", "");
        client.send(&both);
        assert!(scene.datagram().0.contains("two@a.example"));
        assert!(scene.datagram().0.contains("three@a.example"));
    });
}

#[test]
fn a_dialog_request_of_a_backends_follows_the_callers_connection_and_is_refused_when_that_is_gone() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 2, Transport::Udp);
        let mut client = scene.client(0);
        client.send(&request("INVITE", "one", "Contact: <sip:alice@10.1.1.1:5060;transport=tcp>\r\n"));
        let (forwarded, _) = scene.datagram();
        let route = forwarded.split("Record-Route: ").nth(1).unwrap().lines().next().unwrap().to_owned();
        let second = forwarded.split("Record-Route: ").nth(2).unwrap().lines().next().unwrap().to_owned();
        let bye = |n: u32| {
            format!(
                "BYE sip:alice@10.1.1.1:5060;transport=tcp SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKb{n}\r\n\
                 Route: {route}\r\nRoute: {second}\r\nFrom: <sip:b@b.example>;tag=2\r\nTo: <sip:a@a.example>;tag=1\r\n\
                 Call-ID: one@a.example\r\nCSeq: {n} BYE\r\nContent-Length: 0\r\n\r\n",
                scene.backend_udp.local_addr().unwrap()
            )
        };
        let byes = [bye(1), bye(2)];
        for (shard, bye) in byes.iter().enumerate() {
            scene.backend_udp.send_to(bye.as_bytes(), scene.udp[shard]).unwrap();
            let came = scene.message(&mut client);
            assert!(
                came.starts_with("BYE sip:alice@10.1.1.1:5060;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP "),
                "{came}"
            );
            assert!(!came.contains("\r\nRoute:"), "{came}");
        }
        drop(client);
        scene.settle();
        // It may be reached at its Contact, but nobody is there.
        scene.backend_udp.send_to(byes[0].replace("10.1.1.1:5060", "127.0.0.1:1").as_bytes(), scene.udp[1]).unwrap();
        let (answer, _) = scene.datagram();
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
        scene.backend_udp.send_to(byes[0].replace("10.1.1.1:5060", "alice.invalid").as_bytes(), scene.udp[1]).unwrap();
        let (answer, _) = scene.datagram();
        assert!(answer.starts_with("SIP/2.0 430 "), "{answer}");
    });
}

#[test]
fn silent_and_slow_connections_are_closed_in_time() {
    on_each_engine(|choice| {
        let policy = ConnectionPolicy {
            idle: Duration::from_millis(600),
            message: Duration::from_millis(200),
            ..ConnectionPolicy::default()
        };
        let mut scene = Scene::with(choice, 1, Transport::Udp, policy);
        let (mut silent, mut slow) = (scene.client(0), scene.client(0));
        slow.send("OPTIONS sip:b");
        let begun = Instant::now();
        assert!(scene.is_closed(&mut slow));
        assert!(begun.elapsed() < Duration::from_millis(600));
        assert!(scene.is_closed(&mut silent));
        scene.settle();
        assert_eq!(scene.connections(), 0);
    });
}

#[test]
fn a_burst_of_many_clients_is_carried_whole() {
    on_each_engine(|choice| {
        const CLIENTS: usize = 32;
        const EACH: usize = 150;
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        let mut clients: Vec<Peer> = (0..CLIENTS).map(|_| scene.client(0)).collect();
        clients[0].send(&request("OPTIONS", "first", ""));
        let mut backend = scene.backend_connection();
        scene.message(&mut backend);
        for (client, peer) in clients.iter_mut().enumerate() {
            let burst: String = (0..EACH).map(|n| request("OPTIONS", &format!("{client}-{n}"), "")).collect();
            peer.send(&burst);
        }
        let begun = Instant::now();
        let mut came = 0;
        while came < CLIENTS * EACH * 9 / 10 && begun.elapsed() < PATIENCE {
            scene.turn();
            backend.take();
            came += backend.read.matches("OPTIONS sip:").count();
            backend.read.clear();
        }
        // A first line that two reads divide is not counted here; each message is, by the sum.
        assert_eq!(scene.dropped(Dropped::QueueFull), 0);
        scene.assert_sum(1 + (CLIENTS * EACH) as u64);
        assert_eq!(scene.dropped(Dropped::NoConnection), 0);
        assert!(came > CLIENTS * EACH / 2, "{came}");
    });
}

#[test]
fn a_connection_whose_every_receive_ends_in_a_message_is_not_slow() {
    on_each_engine(|choice| {
        let policy = ConnectionPolicy { message: Duration::from_millis(200), ..ConnectionPolicy::default() };
        let mut scene = Scene::with(choice, 1, Transport::Udp, policy);
        let mut client = scene.client(0);
        let requests: Vec<String> = (0..30).map(|n| request("OPTIONS", &format!("{n}"), "")).collect();
        let all = requests.concat();
        let cut = requests[0].len() / 2;
        client.send(&all[..cut]);
        for n in 0..29 {
            let from = cut + n * requests[0].len();
            client.send(&all[from..(from + requests[0].len()).min(all.len())]);
            scene.turn();
            std::thread::sleep(Duration::from_millis(20));
        }
        scene.settle();
        assert_eq!(scene.connections(), 1);
    });
}

#[test]
fn no_message_with_a_bare_line_feed_goes_out_on_a_stream_since_another_may_hide_in_its_body() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(STEP)).unwrap();
        let hidden = "X: y\r\n\r\nREGISTER sip:hidden SIP/2.0\r\n\r\n";
        let head = request("MESSAGE", "one", "").replace("TCP 127.0.0.1:9;", "UDP 127.0.0.1:9;rport;");
        let head = head.replace("Content-Length: 0", &format!("Content-Length: {}", hidden.len()));
        for head in [head.replace("\r\n\r\n", "\r\n\n"), head.replace("Max-Forwards: 70\r\n", "Max-Forwards: 70\n")] {
            client.send_to(format!("{head}{hidden}").as_bytes(), scene.udp[0]).unwrap();
            let answer = scene.datagram_for(&client);
            assert!(answer.starts_with("SIP/2.0 400 "), "{answer}");
        }
        scene.assert_sum(2);
        assert!(scene.backend_tcp.as_ref().unwrap().accept().is_err(), "nothing goes to the backend");
    });
}

#[test]
fn a_message_that_its_connection_does_not_finish_is_counted() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        client.send("OPTIONS sip:b@b.example SIP/2.0\r\nVia:");
        scene.settle();
        drop(client);
        scene.settle();
        assert_eq!(scene.dropped(Dropped::Framing), 1);
        scene.assert_sum(1);
    });
}

const STEP: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);

/// Shards on this thread, each with a UDP socket and a TCP listener of its own, in front of one backend.
pub struct Scene {
    pub shards: Vec<Shard>,
    pub cells: Vec<Arc<ShardCells>>,
    pub udp: Vec<SocketAddr>,
    pub tcp: Vec<SocketAddr>,
    pub backend_udp: UdpSocket,
    pub backend_tcp: Option<TcpListener>,
    pub exchange: Arc<Exchange>,
}

impl Scene {
    pub fn open(choice: Choice, shards: usize, backend: Transport) -> Self {
        Self::with(choice, shards, backend, ConnectionPolicy::default())
    }

    pub fn with(choice: Choice, shards: usize, transport: Transport, policy: ConnectionPolicy) -> Self {
        Self::limited(choice, (shards, transport), policy, Networks::default(), &Options::default())
    }

    pub fn limited(
        choice: Choice,
        (count, transport): (usize, Transport),
        policy: ConnectionPolicy,
        networks: Networks,
        options: &Options,
    ) -> Self {
        let backend_udp = UdpSocket::bind("127.0.0.2:0").unwrap();
        backend_udp.set_read_timeout(Some(STEP)).unwrap();
        let backend_tcp = TcpListener::bind("127.0.0.2:0").unwrap();
        backend_tcp.set_nonblocking(true).unwrap();
        let address = match transport {
            Transport::Udp => backend_udp.local_addr().unwrap(),
            _ => backend_tcp.local_addr().unwrap(),
        };
        let (name, host) = ("one".to_owned(), "127.0.0.2".to_owned());
        let pool = Pool::new(vec![Backend { name, address, host, weight: Weight::DEFAULT }]).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let udp: Vec<UdpSocket> = (0..count).map(|_| open_udp(any, &SocketOptions::default()).unwrap()).collect();
        let tcp: Vec<_> = (0..count).map(|_| open_tcp(any, &StreamSocketOptions::default()).unwrap()).collect();
        let udp_addresses: Vec<SocketAddr> = udp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let tcp_addresses: Vec<SocketAddr> = tcp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let listener = |transport, address: SocketAddr| Listener::new(transport, address, "127.0.0.1", address.port());
        let listeners = vec![listener(Transport::Udp, udp_addresses[0]), listener(Transport::Tcp, tcp_addresses[0])];
        let policy_of_routing = Policy { record_route: true, ..Policy::default() };
        let keys = Keys::derive(b"a secret for tests only").unwrap();
        let snapshot = Snapshot::new(listeners, pool, keys, policy_of_routing).with_backend_transports(vec![transport]);
        let (publication, exchange) = (Publication::from(snapshot), Arc::new(Exchange::default()));
        let doorbells: Vec<Doorbell> = (0..count).map(|_| Doorbell::new().unwrap()).collect();
        let post = PostOffice::new(7, doorbells.clone());
        let (mut shards, mut cells) = (Vec::new(), Vec::new());
        for (number, (udp, tcp)) in udp.into_iter().zip(tcp).enumerate() {
            let sockets = Sockets { datagrams: vec![udp], listeners: vec![tcp] };
            let opened = Engine::open(choice, sockets, options, &doorbells[number]).unwrap();
            let counted = Arc::new(ShardCells::new(opened.kind, false, 1));
            cells.push(counted.clone());
            let (publication, exchange, post) = (publication.clone(), exchange.clone(), post.clone());
            let (cells, policy, networks) = (counted, policy.clone().into(), networks.clone());
            let observation = Observation::default();
            let parts = Parts { publication, exchange, cells, policy, networks, post, observation, number };
            shards.push(Shard::new(opened.engine, parts));
        }
        let backend_tcp = Some(backend_tcp);
        Scene { shards, cells, udp: udp_addresses, tcp: tcp_addresses, backend_udp, backend_tcp, exchange }
    }

    pub fn turn(&mut self) {
        for shard in &mut self.shards {
            shard.turn(Some(Duration::from_millis(2))).unwrap();
        }
    }

    /// Turns until there is nothing to do.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            self.turn();
        }
    }

    pub fn client(&mut self, shard: usize) -> Peer {
        let stream = TcpStream::connect(self.tcp[shard]).unwrap();
        self.settle();
        Peer::new(stream)
    }

    /// The next datagram that the backend is sent.
    pub fn datagram(&mut self) -> (String, SocketAddr) {
        let mut buffer = [0; 65_535];
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.turn();
            if let Ok((len, from)) = self.backend_udp.recv_from(&mut buffer) {
                return (String::from_utf8(buffer[..len].to_vec()).unwrap(), from);
            }
        }
        panic!("the backend was sent nothing");
    }

    pub fn datagram_for(&mut self, client: &UdpSocket) -> String {
        let mut buffer = [0; 65_535];
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.turn();
            if let Ok(len) = client.recv(&mut buffer) {
                return String::from_utf8(buffer[..len].to_vec()).unwrap();
            }
        }
        panic!("the client was sent nothing");
    }

    pub fn backend_connection(&mut self) -> Peer {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.turn();
            if let Ok((stream, _)) = self.backend_tcp.as_ref().unwrap().accept() {
                stream.set_nonblocking(false).unwrap();
                return Peer::new(stream);
            }
        }
        panic!("nobody connected to the backend");
    }

    /// The next message on a connection, with no body.
    pub fn message(&mut self, peer: &mut Peer) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(end) = peer.read.find("\r\n\r\n") {
                return peer.read.drain(..end + 4).collect();
            }
            self.turn();
            peer.take();
        }
        panic!("no message came but {:?}", peer.read);
    }

    pub fn bytes(&mut self, peer: &mut Peer, count: usize) -> String {
        let begun = Instant::now();
        while peer.read.len() < count && begun.elapsed() < PATIENCE {
            self.turn();
            peer.take();
        }
        std::mem::take(&mut peer.read)
    }

    /// Whether a connection is closed, and nothing more comes on it.
    pub fn is_closed(&mut self, peer: &mut Peer) -> bool {
        let begun = Instant::now();
        while !peer.is_over && begun.elapsed() < PATIENCE {
            self.turn();
            peer.take();
        }
        let _ = peer.stream.shutdown(Shutdown::Both);
        peer.is_over && peer.read.is_empty()
    }

    pub fn connections(&self) -> u64 {
        self.cells.iter().map(|cells| cells.connections_open()).sum()
    }

    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.cells.iter().map(|cells| cells.dropped_count(reason.index())).sum()
    }

    pub fn absorbed(&self, reason: AbsorbReason) -> u64 {
        self.cells.iter().map(|cells| cells.absorbed_count(reason)).sum()
    }

    /// Every message that came in went out, was answered, was absorbed, or was dropped for a reason.
    pub fn assert_sum(&mut self, count: u64) {
        self.settle();
        let [came, went, answered, absorbed, dropped] = sums(&self.cells);
        assert_eq!(came, count);
        assert_eq!(came, went + answered + absorbed + dropped, "{went} {answered} {absorbed} {dropped}");
    }
}

/// How many messages came in, and how many were forwarded, answered, absorbed and dropped.
pub fn sums(cells: &[Arc<ShardCells>]) -> [u64; 5] {
    let places = || Side::ALL.into_iter().flat_map(|side| Transport::ALL.map(|transport| (side, transport)));
    let kinds = || places().flat_map(|place| (0..MessageKind::COUNT).map(move |kind| (place, kind)));
    let over = |of: &dyn Fn(&ShardCells) -> u64| -> u64 { cells.iter().map(|cells| of(cells)).sum() };
    [
        over(&|cells| kinds().map(|((s, t), kind)| cells.received_count(s, t, kind)).sum()),
        over(&|cells| kinds().map(|((s, t), kind)| cells.forwarded_count(s, t, kind)).sum()),
        over(&|cells| places().flat_map(|(s, t)| Status::ALL.map(|status| cells.answered_count(s, t, status))).sum()),
        over(&|cells| AbsorbReason::ALL.map(|reason| cells.absorbed_count(reason)).iter().sum()),
        over(&|cells| (0..Dropped::COUNT).map(|reason| cells.dropped_count(reason)).sum()),
    ]
}

/// The far end of a connection.
pub struct Peer {
    pub stream: TcpStream,
    pub read: String,
    pub is_over: bool,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(STEP)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, read: String::new(), is_over: false }
    }

    /// Ends it so that it is gone at once.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub fn take(&mut self) {
        let mut buffer = [0; 65_535];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.is_over = true,
            Ok(len) => self.read.push_str(std::str::from_utf8(&buffer[..len]).unwrap()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.is_over = true,
        }
    }
}

pub fn request(method: &str, id: &str, headers: &str) -> String {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {id}@a.example\r\n\
         CSeq: 1 {method}\r\n{headers}Content-Length: 0\r\n\r\n"
    )
}

pub fn response(request: &str) -> String {
    let is_kept = |line: &&str| !line.is_empty() && !line.starts_with("Max-Forwards");
    let kept: Vec<&str> = request.lines().skip(1).filter(is_kept).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\n\r\n", kept.join("\r\n"))
}
