//! Sockets that go from one engine to another and back, on any of both: each datagram comes to one of them, and in order; each
//! connection is accepted by one of them, and none is reset.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use viaduct::io::socket::{SocketOptions, StreamSocketOptions, claim_tcp, open_tcp, open_udp};
use viaduct::io::{
    Accepted, Choice, Closed, ConnectionId, Datagram, Doorbell, Engine, Handler, Lost, Options, Output, SendError,
    Sockets, probe,
};

use crate::PATIENCE;

/// How often the sockets change hands.
const TURNS: usize = 60;

#[test]
fn each_datagram_comes_once_and_in_order_while_a_socket_changes_hands() {
    for choices in pairs() {
        let socket = open_udp(
            "127.0.0.1:0".parse().unwrap(),
            &SocketOptions { receive_buffer_bytes: 8 << 20, ..Default::default() },
        );
        let socket = socket.unwrap();
        let address = socket.local_addr().unwrap();
        let is_over = AtomicBool::new(false);
        let (heard, sent) = thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
                let mut sent = 0u32;
                while !is_over.load(Ordering::Relaxed) {
                    for _ in 0..4 {
                        sender.send_to(&sent.to_be_bytes(), address).unwrap();
                        sent += 1;
                    }
                    thread::sleep(Duration::from_micros(500));
                }
                sent
            });
            let mut engines = choices.map(|choice| Hand::over_datagrams(choice, &socket));
            let mut heard = Vec::new();
            for turn in 0..TURNS {
                engines[turn % 2].hold(Duration::from_millis(3), &mut heard);
            }
            is_over.store(true, Ordering::Relaxed);
            let sent = sending.join().unwrap();
            engines[0].hold(Duration::from_millis(200), &mut heard);
            (heard, sent)
        });
        assert!(sent > 200);
        assert_eq!(heard, (0..sent).collect::<Vec<u32>>(), "{choices:?}");
    }
}

#[test]
fn each_connection_is_accepted_once_while_a_listener_changes_hands() {
    for choices in pairs() {
        let listener = open_tcp("127.0.0.1:0".parse().unwrap(), &StreamSocketOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let mut connections = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    connections.push(TcpStream::connect(address).expect("nobody is refused"));
                    thread::sleep(Duration::from_millis(1));
                }
                connections
            });
            let mut engines = choices.map(|choice| Hand::over_listener(choice, &listener));
            for turn in 0..TURNS {
                engines[turn % 2].hold(Duration::from_millis(3), &mut Vec::new());
            }
            is_over.store(true, Ordering::Relaxed);
            let mut connections = connecting.join().unwrap();
            let begun = Instant::now();
            let accepted = |engines: &[Hand; 2]| engines.iter().map(|hand| hand.log.accepted).sum::<usize>();
            while accepted(&engines) < connections.len() && begun.elapsed() < PATIENCE {
                engines[0].hold(Duration::from_millis(5), &mut Vec::new());
            }
            assert_eq!(accepted(&engines), connections.len(), "{choices:?}");
            for connection in &mut connections {
                connection.set_nonblocking(true).unwrap();
                assert!(connection.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
            }
        });
    }
}

#[test]
fn a_listener_that_one_engine_stopped_listens_again_when_another_takes_it_up() {
    for choices in pairs() {
        // A port that the kernel has chosen would be another one afterwards.
        let address = claim_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = open_tcp(address, &StreamSocketOptions::default()).unwrap();
        let [mut before, mut after] = choices.map(|choice| Hand::over_listener(choice, &listener));
        before.hold(Duration::from_millis(3), &mut Vec::new());
        before.engine.stop_accepting();
        TcpStream::connect(address).expect("it is another's by then, and stays as it is");
        before.engine.take_up().unwrap();
        before.engine.stop_accepting();
        assert!(TcpStream::connect(address).is_err(), "{choices:?}");
        after.engine.take_up().unwrap();
        let _connection = TcpStream::connect(address).unwrap();
        after.hold(Duration::from_millis(50), &mut Vec::new());
        assert_eq!(after.log.accepted, 1, "{choices:?}");
    }
}

fn pairs() -> Vec<[Choice; 2]> {
    use Choice::{Poll, Uring};
    match probe(&Options::default()) {
        Ok(()) => vec![[Poll, Poll], [Uring, Uring], [Poll, Uring], [Uring, Poll]],
        Err(unavailable) => {
            eprintln!("SKIPPED on io_uring: {unavailable}");
            vec![[Poll, Poll]]
        }
    }
}

/// An engine that holds the sockets from time to time.
struct Hand {
    engine: Engine,
    log: Log,
}

impl Hand {
    fn over_datagrams(choice: Choice, socket: &UdpSocket) -> Self {
        Self::over(choice, Sockets { datagrams: vec![socket.try_clone().unwrap()], ..Sockets::default() })
    }

    fn over_listener(choice: Choice, listener: &TcpListener) -> Self {
        Self::over(choice, Sockets { listeners: vec![listener.try_clone().unwrap()], ..Sockets::default() })
    }

    fn over(choice: Choice, sockets: Sockets) -> Self {
        let doorbell = Doorbell::new().unwrap();
        let opened = Engine::open_released(choice, sockets, &Options::default(), &doorbell).unwrap();
        Hand { engine: opened.engine, log: Log::default() }
    }

    /// Takes the sockets up, and lets them go after a while; what it has received by then is added.
    fn hold(&mut self, time: Duration, heard: &mut Vec<u32>) {
        self.engine.take_up().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.engine.turn(&mut self.log, Some(Duration::from_millis(1))).unwrap();
        }
        self.engine.release();
        while !self.engine.is_released() {
            assert!(begun.elapsed() < time + PATIENCE, "it does not let go");
            self.engine.turn(&mut self.log, Some(Duration::from_millis(1))).unwrap();
        }
        heard.append(&mut self.log.heard);
    }
}

#[derive(Debug, Default)]
struct Log {
    heard: Vec<u32>,
    accepted: usize,
}

impl Handler for Log {
    fn datagram(&mut self, datagram: Datagram<'_>, _: &mut Output) {
        self.heard.push(u32::from_be_bytes(datagram.bytes.try_into().unwrap()));
    }

    fn sent(&mut self, _: u16) {}

    fn send_failed(&mut self, _: u16, _: SendError, _: Lost<'_>) {}

    fn accepted(&mut self, _: Accepted, _: &mut Output) {
        self.accepted += 1;
    }

    fn closed(&mut self, _: ConnectionId, _: Closed, _: &mut Output) {}
}
