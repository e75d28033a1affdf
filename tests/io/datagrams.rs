//! Datagrams on both engines.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use viaduct::io::socket::{SocketOptions, open_udp};
use viaduct::io::{
    Choice, Datagram, Doorbell, Engine, EngineKind, Handler, Lost, Options, Output, RingSetup, SendError, Sockets,
    Transmit, Turn, probe,
};

use crate::{PATIENCE, descriptors, on_each_engine};

#[test]
fn a_datagram_is_echoed_over_ipv4_and_ipv6() {
    on_each_engine(|choice| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some(mut bench) = Bench::open(choice, &[address], &Options::default()) else {
                continue;
            };
            let client = client(address);
            client.send_to(b"hello", bench.addresses[0]).unwrap();
            bench.log.echo = true;
            bench.run_until(|log| log.outcomes.len() == 1);
            let arrival = &bench.log.arrivals[0];
            assert_eq!(arrival.peer, client.local_addr().unwrap());
            assert_eq!(arrival.local, None, "the socket has one address");
            assert_eq!(receive(&client), (b"hello".to_vec(), bench.addresses[0]));
        }
    });
}

#[test]
fn datagrams_are_echoed_and_failures_told_with_each_set_up_of_the_ring() {
    for ring in RingSetup::ALL {
        on_each_engine(|choice| {
            let options = Options { receive_buffers: 8, ring, ..Options::default() };
            let mut bench = Bench::open(choice, &["0.0.0.0:0", "127.0.0.1:0"], &options).unwrap();
            let (client, target) = (client("127.0.0.1:0"), bench.addresses[1]);
            bench.log.echo = true;
            for index in 0..200u16 {
                client.send_to(&index.to_be_bytes(), target).unwrap();
            }
            bench.run_until(|log| log.outcomes.len() == 200);
            assert!((0..200u16).all(|index| receive(&client) == (index.to_be_bytes().to_vec(), target)));
            let good = client.local_addr().unwrap();
            bench.stage(&[0; 65_535], transmit(1, good));
            bench.stage(b"", transmit(2, good).by(usize::MAX));
            bench.stage(b"last", transmit(3, good));
            bench.run_until(|log| log.outcomes.len() == 203);
            bench.log.outcomes.drain(..200);
            bench.log.outcomes.sort_by_key(|(tag, _)| *tag);
            let expected = [(1, Some(SendError::TooLong)), (2, Some(SendError::Other)), (3, None)];
            assert_eq!(bench.log.outcomes, expected, "{ring:?}");
            assert_eq!(receive(&client).0, b"last");
            bench.doorbell.ring();
            assert!((0..3).any(|_| bench.turn(PATIENCE).rung), "{ring:?}");
        });
    }
}

#[test]
fn a_wildcard_socket_tells_the_local_address_and_sends_from_it() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["0.0.0.0:0"], &Options::default()).unwrap();
        let client = client("127.0.0.1:0");
        let target = SocketAddr::new("127.0.0.3".parse().unwrap(), bench.addresses[0].port());
        client.send_to(b"hello", target).unwrap();
        bench.log.echo = true;
        bench.run_until(|log| log.outcomes.len() == 1);
        assert_eq!(bench.log.arrivals[0].local, Some(target.ip()));
        assert_eq!(receive(&client), (b"hello".to_vec(), target));
    });
}

#[test]
fn a_wildcard_socket_of_ipv6_does_the_same() {
    on_each_engine(|choice| {
        let Some(mut bench) = Bench::open(choice, &["[::]:0"], &Options::default()) else {
            return;
        };
        let client = client("[::1]:0");
        let target = SocketAddr::new("::1".parse().unwrap(), bench.addresses[0].port());
        client.send_to(b"hello", target).unwrap();
        bench.log.echo = true;
        bench.run_until(|log| log.outcomes.len() == 1);
        assert_eq!(bench.log.arrivals[0].local, Some(target.ip()));
        assert_eq!(receive(&client), (b"hello".to_vec(), target));
    });
}

#[test]
fn each_datagram_comes_by_its_own_socket() {
    on_each_engine(|choice| {
        let addresses = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"];
        let mut bench = Bench::open(choice, &addresses, &Options::default()).unwrap();
        let client = client("127.0.0.1:0");
        for (index, address) in bench.addresses.clone().into_iter().enumerate() {
            client.send_to(&[index as u8], address).unwrap();
        }
        bench.run_until(|log| log.arrivals.len() == 3);
        for arrival in &bench.log.arrivals {
            assert_eq!(arrival.bytes, [arrival.socket as u8]);
        }
    });
}

#[test]
fn empty_datagrams_are_delivered_and_do_not_deafen_the_socket() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &Options::default()).unwrap();
        let client = client("127.0.0.1:0");
        let lengths = [0, 0, 0, 5, 0, 7, 0, 0, 9];
        for length in lengths {
            client.send_to(&vec![1; length], bench.addresses[0]).unwrap();
        }
        bench.run_until(|log| log.arrivals.len() == lengths.len());
        let received: Vec<_> = bench.log.arrivals.iter().map(|a| a.bytes.len()).collect();
        assert_eq!(received, lengths);
        if bench.kind == EngineKind::Uring {
            assert!(bench.total.rearmed >= 5, "{:?}", bench.total);
        }
        client.send_to(b"still there", bench.addresses[0]).unwrap();
        bench.run_until(|log| log.arrivals.len() == lengths.len() + 1);
    });
}

#[test]
fn a_burst_larger_than_the_buffers_is_received_in_full_and_in_order() {
    on_each_engine(|choice| {
        let options = Options { receive_buffers: 8, ..Options::default() };
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &options).unwrap();
        let client = client("127.0.0.1:0");
        for index in 0..500u16 {
            let bytes = index.to_be_bytes();
            client.send_to(&bytes, bench.addresses[0]).unwrap();
        }
        bench.run_until(|log| log.arrivals.len() == 500);
        for (index, arrival) in bench.log.arrivals.iter().enumerate() {
            assert_eq!(arrival.bytes, (index as u16).to_be_bytes());
        }
        if bench.kind == EngineKind::Uring {
            assert!(bench.total.starved > 0, "{:?}", bench.total);
            assert!(bench.total.rearmed >= bench.total.starved);
        }
        assert_eq!(bench.total.receive_errors, 0);
    });
}

#[test]
fn the_largest_datagram_arrives_and_leaves_whole() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &Options::default()).unwrap();
        let client = client("127.0.0.1:0");
        let bytes: Vec<u8> = (0..65_507u32).map(|index| index as u8).collect();
        client.send_to(&bytes, bench.addresses[0]).unwrap();
        bench.log.echo = true;
        bench.run_until(|log| log.outcomes.len() == 1);
        assert!(bench.log.arrivals[0].bytes == bytes && !bench.log.arrivals[0].truncated);
        assert!(receive(&client).0 == bytes);
    });
}

#[test]
fn a_datagram_longer_than_a_buffer_is_cut_and_says_so() {
    on_each_engine(|choice| {
        let options = Options { receive_buffer_bytes: 100, ..Options::default() };
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &options).unwrap();
        let client = client("127.0.0.1:0");
        for length in [100, 101, 3000, 99] {
            let bytes = vec![b'x'; length];
            client.send_to(&bytes, bench.addresses[0]).unwrap();
        }
        bench.run_until(|log| log.arrivals.len() == 4);
        let seen: Vec<_> = bench.log.arrivals.iter().map(Arrival::shape).collect();
        assert_eq!(seen, [(100, false), (100, true), (100, true), (99, false)]);
    });
}

#[test]
fn a_send_that_fails_fails_alone() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["0.0.0.0:0"], &Options::default()).unwrap();
        let client = client("127.0.0.1:0");
        let good = client.local_addr().unwrap();
        let broadcast = SocketAddr::new("255.255.255.255".parse().unwrap(), 9);
        let foreign = Some("192.0.2.1".parse().unwrap());
        bench.stage(b"0", transmit(0, good));
        bench.stage(&[0; 65_535], transmit(1, good));
        bench.stage(b"2", transmit(2, good));
        bench.stage(b"3", transmit(3, broadcast));
        bench.stage(b"4", transmit(4, good));
        bench.stage(b"5", transmit(5, good).by(7));
        bench.stage(b"6", transmit(6, good).from(Some("127.0.0.1")));
        bench.stage(b"", Transmit { from: foreign, ..transmit(7, good) });
        bench.stage(b"8", transmit(8, good));
        bench.run_until(|log| log.outcomes.len() == 9);
        let mut outcomes = bench.log.outcomes.clone();
        outcomes.sort_by_key(|(tag, _)| *tag);
        let expected = [
            (0, None),
            (1, Some(SendError::TooLong)),
            (2, None),
            (3, Some(SendError::NotPermitted)),
            (4, None),
            (5, Some(SendError::Other)),
            (6, None),
            (7, Some(SendError::Unreachable)),
            (8, None),
        ];
        assert_eq!(outcomes, expected);
        for (tag, bytes, to) in [(3, b"3", broadcast), (5, b"5", good)] {
            assert!(bench.log.lost.contains(&(tag, bytes.to_vec(), Some(to))), "what was lost is told: {tag}");
        }
        for text in [b"0", b"2", b"4", b"6", b"8"] {
            assert_eq!(receive(&client).0, text);
        }
    });
}

#[test]
fn a_length_beyond_the_slot_sends_nothing_and_fails() {
    on_each_engine(|choice| {
        let options = Options { send_slot_bytes: 10, ..Options::default() };
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &options).unwrap();
        let client = client("127.0.0.1:0");
        let good = client.local_addr().unwrap();
        let mut slot = bench.engine.output().datagrams.reserve().unwrap();
        assert_eq!(slot.buffer().len(), 10);
        slot.send(11, transmit(0, good));
        bench.stage(b"next", transmit(1, good));
        bench.run_until(|log| log.outcomes.len() == 2);
        bench.log.outcomes.sort_by_key(|(tag, _)| *tag);
        assert_eq!(bench.log.outcomes, [(0, Some(SendError::Other)), (1, None)]);
        assert_eq!(receive(&client).0, b"next");
    });
}

#[test]
fn every_send_is_reported_once_and_in_order() {
    on_each_engine(|choice| {
        let options = Options { send_slots: 48, ..Options::default() };
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &options).unwrap();
        let client = client("127.0.0.1:0");
        let good = client.local_addr().unwrap();
        let mut tag = 0;
        while tag < 2000 {
            while tag < 2000 && bench.engine.output().datagrams.available() > 0 {
                // Every seventh is too long for IPv4.
                let length = if tag % 7 == 0 { 65_520 } else { 2 };
                bench.stage(&vec![1; length], transmit(tag, good));
                tag += 1;
            }
            bench.turn(Duration::ZERO);
        }
        bench.run_until(|log| log.outcomes.len() >= 2000);
        bench.turn(Duration::ZERO);
        for (index, (tag, failure)) in bench.log.outcomes.iter().enumerate() {
            assert_eq!(usize::from(*tag), index);
            assert_eq!(failure.is_some(), index % 7 == 0);
        }
        assert_eq!(bench.log.outcomes.len(), 2000);
        assert_eq!(bench.engine.output().datagrams.available(), 48);
    });
}

#[test]
fn an_outbox_without_free_slots_says_so_and_recovers() {
    on_each_engine(|choice| {
        let options = Options { send_slots: 4, ..Options::default() };
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &options).unwrap();
        let client = client("127.0.0.1:0");
        for tag in 0..4 {
            bench.stage(b"x", transmit(tag, client.local_addr().unwrap()));
        }
        assert!(bench.engine.output().datagrams.reserve().is_none());
        bench.turn(Duration::ZERO);
        assert_eq!(bench.engine.output().datagrams.available(), 4);
        assert!(bench.engine.output().datagrams.reserve().is_some());
        assert_eq!(bench.log.outcomes.len(), 4);
    });
}

#[test]
fn a_closed_engine_leaves_its_ports_free_at_once() {
    on_each_engine(|choice| {
        for dropped in [false, true] {
            let mut bench = Bench::open(choice, &["127.0.0.1:0"], &Options::default()).unwrap();
            let client = client("127.0.0.1:0");
            client.send_to(b"hello", bench.addresses[0]).unwrap();
            bench.run_until(|log| log.arrivals.len() == 1);
            let address = bench.addresses[0];
            if dropped {
                drop(bench);
            } else {
                bench.engine.close();
            }
            UdpSocket::bind(address).expect("the port is free");
        }
    });
}

#[test]
fn a_send_staged_on_the_way_out_still_goes() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &Options::default()).unwrap();
        let client = client("127.0.0.1:0");
        bench.stage(b"goodbye", transmit(0, client.local_addr().unwrap()));
        bench.engine.close();
        assert_eq!(receive(&client).0, b"goodbye");
    });
}

#[test]
fn the_doorbell_ends_a_wait_from_another_thread() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &Options::default()).unwrap();
        for _ in 0..3 {
            let doorbell = bench.doorbell.clone();
            let ringer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                doorbell.ring();
            });
            let start = Instant::now();
            while !bench.turn(PATIENCE).rung {
                assert!(start.elapsed() < PATIENCE, "not woken");
            }
            ringer.join().unwrap();
        }
        bench.doorbell.ring();
        assert!(bench.turn(PATIENCE).rung, "rung before the wait");
        assert!(!bench.turn(Duration::ZERO).rung, "reported once");
    });
}

#[test]
fn a_wait_ends_at_its_timeout() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &["127.0.0.1:0"], &Options::default()).unwrap();
        let start = Instant::now();
        assert_eq!(bench.turn(Duration::from_millis(30)), Turn::default());
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(start.elapsed() < PATIENCE);
    });
}

#[test]
fn datagrams_that_the_kernel_dropped_are_counted() {
    on_each_engine(|choice| {
        let small = SocketOptions { receive_buffer_bytes: 1, ..SocketOptions::default() };
        let socket = open_udp("127.0.0.1:0".parse().unwrap(), &small).unwrap();
        let mut bench = Bench::over(choice, vec![socket], &Options::default());
        let client = client("127.0.0.1:0");
        for round in 1..=3 {
            for _ in 0..400 {
                client.send_to(&[1; 500], bench.addresses[0]).unwrap();
            }
            while bench.turn(Duration::ZERO).datagrams > 0 {}
            client.send_to(b"last", bench.addresses[0]).unwrap();
            bench.run_until(|log| log.arrivals.last().is_some_and(|last| last.bytes == b"last"));
            let received = bench.log.arrivals.len() as u64;
            assert_eq!(bench.total.kernel_drops + received, round * 401);
            bench.log.arrivals.last_mut().unwrap().bytes.clear();
        }
        assert!(bench.total.kernel_drops > 0);
    });
}

#[test]
fn auto_takes_the_ring_exactly_where_the_probe_says_so() {
    let doorbell = Doorbell::new().unwrap();
    let opened = Engine::open(Choice::Auto, Sockets::default(), &Options::default(), &doorbell).unwrap();
    match probe(&Options::default()) {
        Ok(()) => assert_eq!(opened.kind, EngineKind::Uring),
        Err(_) => assert_eq!(opened.kind, EngineKind::Poll),
    }
    assert_eq!(opened.fallback.is_some(), opened.kind == EngineKind::Poll);
}

#[test]
fn a_probe_leaves_nothing_behind() {
    let before = descriptors();
    for _ in 0..20 {
        let _ = probe(&Options::default());
    }
    // Other tests open and close sockets meanwhile, but not as many as a leak would.
    assert!(descriptors() < before + 40);
}

/// An engine with a handler that writes down all it is told.
struct Bench {
    engine: Engine,
    kind: EngineKind,
    doorbell: Doorbell,
    addresses: Vec<SocketAddr>,
    log: Log,
    total: Turn,
}

#[derive(Default)]
struct Log {
    arrivals: Vec<Arrival>,
    outcomes: Vec<(u16, Option<SendError>)>,
    /// What could not be sent, and where to.
    lost: Vec<(u16, Vec<u8>, Option<SocketAddr>)>,
    /// Answer each datagram with its own bytes, from the address it was sent to.
    echo: bool,
}

struct Arrival {
    socket: usize,
    peer: SocketAddr,
    local: Option<IpAddr>,
    bytes: Vec<u8>,
    truncated: bool,
}

impl Bench {
    /// `None`, loudly, if the host has no such address: IPv6 may be switched off.
    fn open(choice: Choice, addresses: &[&str], options: &Options) -> Option<Self> {
        let large = SocketOptions { receive_buffer_bytes: 4 << 20, send_buffer_bytes: 4 << 20 };
        let open = |address: &&str| open_udp(address.parse().unwrap(), &large);
        let sockets: Result<Vec<_>, _> = addresses.iter().map(open).collect();
        match sockets {
            Ok(sockets) => Some(Self::over(choice, sockets, options)),
            Err(error) => {
                eprintln!("SKIPPED on {addresses:?}: {error}");
                None
            }
        }
    }

    fn over(choice: Choice, sockets: Vec<UdpSocket>, options: &Options) -> Self {
        let doorbell = Doorbell::new().unwrap();
        let opened =
            Engine::open(choice, Sockets { datagrams: sockets, ..Sockets::default() }, options, &doorbell).unwrap();
        let addresses = opened.engine.sockets().iter();
        Self {
            addresses: addresses.map(|socket| socket.local_addr().unwrap()).collect(),
            kind: opened.kind,
            engine: opened.engine,
            doorbell,
            log: Log::default(),
            total: Turn::default(),
        }
    }

    fn stage(&mut self, bytes: &[u8], transmit: Transmit) {
        let mut slot = self.engine.output().datagrams.reserve().expect("a free slot");
        slot.buffer()[..bytes.len()].copy_from_slice(bytes);
        slot.send(bytes.len(), transmit);
    }

    fn turn(&mut self, timeout: Duration) -> Turn {
        let turn = self.engine.turn(&mut self.log, Some(timeout)).unwrap();
        self.total.starved += turn.starved;
        self.total.rearmed += turn.rearmed;
        self.total.receive_errors += turn.receive_errors;
        self.total.kernel_drops += turn.kernel_drops;
        turn
    }

    fn run_until(&mut self, done: impl Fn(&Log) -> bool) {
        let start = Instant::now();
        while !done(&self.log) {
            let total = &self.total;
            assert!(start.elapsed() < PATIENCE, "timed out with {total:?}");
            self.turn(Duration::from_millis(100));
        }
    }
}

impl Handler for Log {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        self.arrivals.push(Arrival {
            socket: datagram.socket,
            peer: datagram.peer,
            local: datagram.local,
            bytes: datagram.bytes.to_vec(),
            truncated: datagram.truncated,
        });
        if self.echo {
            let mut slot = out.datagrams.reserve().expect("a free slot");
            slot.buffer()[..datagram.bytes.len()].copy_from_slice(datagram.bytes);
            let answer = Transmit { socket: datagram.socket, to: datagram.peer, from: datagram.local, tag: 0 };
            slot.send(datagram.bytes.len(), answer);
        }
    }

    fn sent(&mut self, tag: u16) {
        self.outcomes.push((tag, None));
    }

    fn send_failed(&mut self, tag: u16, error: SendError, lost: Lost<'_>) {
        self.lost.push((tag, lost.bytes.to_vec(), lost.to));
        self.outcomes.push((tag, Some(error)));
    }
}

impl Arrival {
    fn shape(&self) -> (usize, bool) {
        (self.bytes.len(), self.truncated)
    }
}

/// Small changes to a [`Transmit`], to keep lists of them readable.
trait Vary {
    fn by(self, socket: usize) -> Self;
    fn from(self, address: Option<&str>) -> Self;
}

impl Vary for Transmit {
    fn by(self, socket: usize) -> Self {
        Self { socket, ..self }
    }

    fn from(self, address: Option<&str>) -> Self {
        let from = address.map(|text| text.parse().unwrap());
        Self { from, ..self }
    }
}

fn transmit(tag: u16, to: SocketAddr) -> Transmit {
    Transmit { socket: 0, to, from: None, tag }
}

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(client: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 65_535];
    let (length, peer) = client.recv_from(&mut bytes).unwrap();
    bytes.truncate(length);
    (bytes, peer)
}
