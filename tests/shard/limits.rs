//! Limits that keep some from taking what others need: each refuses what is beyond it, counts that, and lets all else pass.

use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use viaduct::io::{Options, StreamOptions};
use viaduct::metrics::cells::Dropped;
use viaduct::metrics::connections::Refused;
use viaduct::shard::networks::{Networks, PerNetwork};
use viaduct::shard::policy::ConnectionPolicy;
use viaduct::sip::Transport;

use crate::harness::on_each_engine;
use crate::streams::{Peer, Scene, request, response};

#[test]
fn a_network_has_no_more_connections_than_it_may_over_all_shards_but_a_backend_has() {
    on_each_engine(|choice| {
        let networks = Networks::new(PerNetwork { connections_max: 3, ..PerNetwork::default() }, 1024);
        let (policy, options) = (ConnectionPolicy::default(), Options::default());
        let mut scene = Scene::limited(choice, (2, Transport::Udp), policy, networks, &options);
        let mut clients: Vec<Peer> = (0..3).map(|nth| scene.client(nth % 2)).collect();
        for shard in [0, 1] {
            assert!(is_reset(&scene.client(shard)));
        }
        let backends: Vec<TcpStream> = (0..5).map(|_| connect_from("127.0.0.2:0", scene.tcp[0])).collect();
        scene.settle();
        assert_eq!((scene.connections(), refused(&scene, Refused::Network)), (3 + 5, 2));
        clients.pop().unwrap().reset();
        scene.settle();
        let mut another = scene.client(1);
        another.send("\r\n\r\n");
        assert_eq!(scene.bytes(&mut another, 2), "\r\n");
        drop(backends);
    });
}

#[test]
fn clients_leave_connections_to_backends() {
    on_each_engine(|choice| {
        let streams = StreamOptions { connections_max: 8, ..StreamOptions::default() };
        let options = Options { streams, ..Options::default() };
        let policy = ConnectionPolicy::default();
        let mut scene = Scene::limited(choice, (1, Transport::Tcp), policy, Networks::default(), &options);
        let mut clients: Vec<Peer> = (0..6).map(|_| scene.client(0)).collect();
        assert!(is_reset(&scene.client(0)));
        assert_eq!((scene.connections(), refused(&scene, Refused::Reserved)), (6, 1));
        clients[0].send(&request("OPTIONS", "one", ""));
        let mut backend = scene.backend_connection();
        assert!(scene.message(&mut backend).starts_with("OPTIONS "));
    });
}

#[test]
fn a_connection_that_brings_keepalives_may_be_silent_for_longer() {
    on_each_engine(|choice| {
        let (idle, idle_kept_alive) = (Duration::from_millis(300), Duration::from_millis(1500));
        let policy = ConnectionPolicy { idle, idle_kept_alive, ..ConnectionPolicy::default() };
        let mut scene = Scene::with(choice, 1, Transport::Udp, policy);
        let (mut silent, mut kept_alive) = (scene.client(0), scene.client(0));
        kept_alive.send("\r\n\r\n");
        assert_eq!(scene.bytes(&mut kept_alive, 2), "\r\n");
        assert!(scene.is_closed(&mut silent));
        scene.settle();
        assert_eq!(scene.connections(), 1);
        assert!(scene.is_closed(&mut kept_alive));
    });
}

#[test]
fn what_would_wait_beyond_the_limit_of_all_connections_is_dropped_and_counted() {
    on_each_engine(|choice| {
        let policy = ConnectionPolicy { queued_bytes_max: 40 << 10, ..ConnectionPolicy::default() };
        let mut scene = Scene::with(choice, 1, Transport::Udp, policy);
        let mut client = scene.client(0);
        client.send(&request("OPTIONS", "one", ""));
        let (forwarded, from) = scene.datagram();
        let body = "x".repeat(10_000);
        let large =
            response(&forwarded).replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: 10000\r\n\r\n{body}"));
        for _ in 0..10 {
            send_whole(&scene.backend_udp, &large, from);
        }
        scene.settle();
        let refused = scene.dropped(Dropped::QueuesFull);
        assert!((1..=8).contains(&refused), "{refused}");
        scene.assert_sum(11);
        scene.backend_udp.send_to(response(&forwarded).as_bytes(), from).unwrap();
        client.read.clear();
        while !client.read.ends_with("Content-Length: 0\r\n\r\n") {
            scene.turn();
            client.take();
        }
        assert_eq!(scene.connections(), 1, "what has left makes room");
    });
}

fn send_whole(socket: &UdpSocket, message: &str, to: SocketAddr) {
    assert_eq!(socket.send_to(message.as_bytes(), to).unwrap(), message.len());
}

fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&from.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn is_reset(client: &Peer) -> bool {
    let read = (&client.stream).read(&mut [0]);
    matches!(read, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

fn refused(scene: &Scene, why: Refused) -> u64 {
    scene.cells.iter().map(|cells| cells.connections().refused_count(why)).sum()
}
