//! A shard that ends has accounted for every message: what it had staged, what waited, and what others had posted to it.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use viaduct::config::Settings;
use viaduct::config::error::parse;
use viaduct::io::Choice;
use viaduct::metrics::connections::{Direction, Ended};
use viaduct::proxy::inbound::Side;
use viaduct::run::discovery;
use viaduct::run::process::Viaduct;
use viaduct::sip::Transport;

use crate::harness::on_each_engine;
use crate::streams::{Peer, Scene, request, response, sums};

const ROUNDS: usize = 5;

#[test]
fn the_sum_holds_over_a_shutdown_in_the_midst_of_traffic() {
    on_each_engine(|choice| {
        for _ in 0..ROUNDS {
            let (silent, answering) = (Silent::new("127.0.0.3"), UdpSocket::bind("127.0.0.2:0").unwrap());
            let backends = format!("tcp://{},udp://{}", silent.address, answering.local_addr().unwrap());
            let viaduct = start(choice, &backends);
            let address = |index: usize| viaduct.snapshot.listeners()[index].address;
            let (udp, tcp) = (address(0), address(1));
            let cells: Vec<_> = viaduct.cells().cloned().collect();
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| answer(&answering, &is_over));
                for name in ["a", "b", "c"] {
                    scope.spawn(|| call_over_tcp(tcp, name, &is_over));
                }
                scope.spawn(|| call_over_udp(udp, &is_over));
                thread::sleep(Duration::from_millis(150));
                viaduct.stop();
                is_over.store(true, Ordering::Relaxed);
            });
            let [came, went, answered, absorbed, dropped] = sums(&cells);
            assert!(went > 100 && answered + dropped > 0, "{went} {answered} {absorbed} {dropped}");
            assert_eq!(came, went + answered + absorbed + dropped, "{went} {answered} {absorbed} {dropped}");
            assert_eq!(cells.iter().map(|cells| cells.connections_open()).sum::<u64>(), 0);
        }
    });
}

#[test]
fn shards_end_at_once_and_what_waits_for_a_connection_is_answered() {
    on_each_engine(|choice| {
        let silent = Silent::new("127.0.0.3");
        let viaduct = start(choice, &format!("tcp://{}", silent.address));
        let cells: Vec<_> = viaduct.cells().cloned().collect();
        let mut client = Peer::new(TcpStream::connect(viaduct.snapshot.listeners()[1].address).unwrap());
        client.send(&request("OPTIONS", "one", ""));
        let begun = Instant::now();
        while sums(&cells)[0] == 0 && begun.elapsed() < Duration::from_secs(5) {
            thread::yield_now();
        }
        let begun = Instant::now();
        viaduct.stop();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        while !client.is_over {
            client.take();
        }
        assert!(client.read.starts_with("SIP/2.0 503 "), "{}", client.read);
        assert_eq!(sums(&cells), [1, 0, 1, 0, 0]);
        let stopped = |side, direction| -> u64 {
            let count = |cells: &Arc<viaduct::metrics::cells::ShardCells>| {
                cells.connections().ended_count(side, Transport::Tcp, direction, Ended::Stopped)
            };
            cells.iter().map(count).sum()
        };
        assert_eq!((stopped(Side::Client, Direction::Accepted), stopped(Side::Backend, Direction::Connected)), (1, 1));
    });
}

#[test]
fn what_a_shard_has_staged_is_counted_when_it_is_closed() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        for id in ["one", "two", "three"] {
            client.send(&request("OPTIONS", id, ""));
            let (forwarded, from) = scene.datagram();
            scene.backend_udp.send_to(response(&forwarded).as_bytes(), from).unwrap();
        }
        scene.turn();
        scene.shards.drain(..).for_each(viaduct::shard::Shard::close);
        let [came, went, ..] = sums(&scene.cells);
        assert_eq!(came, went, "no more is known than what was received, and all of that has gone");
    });
}

fn start(choice: Choice, backends: &str) -> Viaduct {
    let settings = settings(choice, backends);
    let listing = discovery::look_up(&settings).unwrap();
    Viaduct::start(&settings, listing, Arc::default()).unwrap()
}

fn settings(choice: Choice, backends: &str) -> Settings {
    let io = if choice == Choice::Poll { "poll" } else { "uring" };
    let words = format!(
        "viaduct --secret 0123456789abcdef --shards 2 --pin-cores false --io {io} --backends {backends} \
         --listen udp://127.0.0.1:0,tcp://127.0.0.1:0"
    );
    match parse(words.split_whitespace().map(Into::into)) {
        Ok(line) => line.settings,
        Err(refused) => panic!("{refused:?}"),
    }
}

/// A listener that has taken in as many connections as it may: the next one stays on its way to being open.
struct Silent {
    address: SocketAddr,
    _held: (TcpListener, Vec<TcpStream>),
}

impl Silent {
    fn new(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        SockRef::from(&listener).listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
        let held = (0..8).map_while(|_| connect().ok()).collect();
        Silent { address, _held: (listener, held) }
    }
}

fn answer(backend: &UdpSocket, is_over: &AtomicBool) {
    backend.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 65_535];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = backend.recv_from(&mut buffer) {
            let request = std::str::from_utf8(&buffer[..len]).unwrap();
            let _ = backend.send_to(response(request).as_bytes(), from);
        }
    }
}

fn call_over_tcp(to: SocketAddr, name: &str, is_over: &AtomicBool) {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut buffer = [0; 65_535];
    for number in 0.. {
        let text: String = (0..5).map(|nth| request("OPTIONS", &format!("{name}-{number}-{nth}"), "")).collect();
        if is_over.load(Ordering::Relaxed) || stream.write_all(text.as_bytes()).is_err() {
            break;
        }
        let _ = stream.read(&mut buffer);
    }
}

fn call_over_udp(to: SocketAddr, is_over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let text = request("OPTIONS", &format!("u-{number}"), "").replace("TCP 127.0.0.1:9;", "UDP 127.0.0.1:9;rport;");
        let _ = socket.send_to(text.as_bytes(), to);
        thread::sleep(Duration::from_micros(200));
    }
}
