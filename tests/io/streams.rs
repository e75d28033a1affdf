//! Streams on both engines: opening, receiving and sending.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use socket2::{Domain, SockRef, Socket, Type};
use viaduct::io::socket::{Keepalive, StreamSocketOptions, open_tcp};
use viaduct::io::{Closed, ConnectionId, NotQueued, Options, RingSetup, SendError, StreamOptions};

use crate::stream_bench::{Bench, connect, pattern, read, reset};
use crate::{PATIENCE, on_each_engine};

#[test]
fn what_is_echoed_comes_back_whole_whatever_its_size() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        bench.log.echo = true;
        let (mut client, id) = bench.client();
        let mut total = 0;
        for length in [1, 2, 500, 4096, 16_384, 16_385, 100_000, 250_000] {
            let bytes = pattern(length);
            let (mut writer, sent) = (client.try_clone().unwrap(), bytes.clone());
            let writing = thread::spawn(move || writer.write_all(&sent));
            let mut reader = client.try_clone().unwrap();
            let reading = thread::spawn(move || read(&mut reader, length));
            total += length;
            bench.run_until(|log| log.bytes_of(id).len() == total);
            while !reading.is_finished() {
                bench.turn(Duration::from_millis(1));
            }
            assert!(reading.join().unwrap() == bytes);
            writing.join().unwrap().unwrap();
        }
        assert_eq!(bench.total.stream_bytes, total as u64);
        client.shutdown(Shutdown::Both).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_connection_is_echoed_with_each_set_up_of_the_ring() {
    for ring in RingSetup::ALL {
        on_each_engine(|choice| {
            let options = Options { ring, ..Options::default() };
            let mut bench = Bench::with(choice, &options, &StreamSocketOptions::default());
            bench.log.echo = true;
            let (mut client, id) = bench.client();
            client.write_all(&pattern(5000)).unwrap();
            bench.run_until(|log| log.bytes_of(id).len() == 5000);
            bench.settle();
            assert!(read(&mut client, 5000) == pattern(5000), "{ring:?}");
        });
    }
}

#[test]
fn bytes_arrive_in_order_however_they_are_split() {
    on_each_engine(|choice| {
        let options = StreamOptions { receive_buffers: 4, receive_buffer_bytes: 256, ..StreamOptions::default() };
        let mut bench = Bench::open(choice, options);
        bench.log.echo = true;
        let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 20, ..Config::default() });
        let bench = std::cell::RefCell::new(&mut bench);
        let splits = vec(1usize..3000, 1..30);
        runner
            .run(&splits, |splits| {
                let bench = &mut **bench.borrow_mut();
                let (mut client, id) = bench.client();
                let bytes = pattern(splits.iter().sum());
                let mut rest = &bytes[..];
                for length in splits {
                    let (piece, others) = rest.split_at(length);
                    client.write_all(piece).unwrap();
                    rest = others;
                    bench.turn(Duration::ZERO);
                }
                bench.run_until(|log| log.bytes_of(id).len() == bytes.len());
                assert!(bench.log.bytes_of(id) == bytes);
                bench.settle();
                assert!(read(&mut client, bytes.len()) == bytes);
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn all_that_is_queued_within_a_turn_leaves_by_one_send() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let (mut client, id) = bench.client();
        bench.settle();
        let mut buffer = vec![0; 65_536];
        for round in 0..10 {
            for tag in 0..50 {
                bench.queue(id, &pattern(100), Some(tag)).unwrap();
            }
            assert_eq!(bench.engine.output().streams.queued_bytes(id), 5000);
            let before = bench.total.completions;
            bench.run_until(|log| log.outcomes.len() == (round + 1) * 50);
            // On the ring a send is one completion; with poll it is none.
            assert!(bench.total.completions - before <= 1);
            // One send of less than a segment is one read.
            assert_eq!(client.read(&mut buffer).unwrap(), 5000);
        }
        let tags: Vec<_> = bench.log.outcomes.iter().map(|(tag, _)| *tag).collect();
        assert!(tags.chunks(50).all(|round| round.iter().copied().eq(0..50)));
    });
}

#[test]
fn an_accepted_connection_tells_its_listener_and_both_its_ends() {
    on_each_engine(|choice| {
        let open = |address: &str| open_tcp(address.parse().unwrap(), &StreamSocketOptions::default());
        let mut listeners =
            vec![open("127.0.0.1:0").unwrap(), open("127.0.0.2:0").unwrap(), open("0.0.0.0:0").unwrap()];
        listeners.extend(open("[::1]:0"));
        let mut bench = Bench::over(choice, &Options::default(), listeners);
        let addresses: Vec<_> = bench.engine.listeners().iter().map(|it| it.local_addr().unwrap()).collect();
        for (index, mut address) in addresses.into_iter().enumerate() {
            if address.ip().is_unspecified() {
                address.set_ip("127.0.0.9".parse().unwrap());
            }
            let client = connect(address);
            bench.run_until(|log| log.accepted.len() == index + 1);
            let accepted = bench.log.accepted[index];
            assert_eq!((accepted.listener, accepted.local), (index, address));
            assert_eq!(accepted.peer, client.local_addr().unwrap());
        }
        assert_eq!(bench.total.accepted as usize, bench.log.accepted.len());
    });
}

#[test]
fn accepted_connections_have_the_options_of_their_listener() {
    let keepalive = Keepalive { idle: Duration::from_secs(77), interval: Duration::from_secs(7), count: 5 };
    let options = StreamSocketOptions {
        no_delay: true,
        keepalive: Some(keepalive),
        user_timeout_ms: 12_345,
        ..StreamSocketOptions::default()
    };
    let listener = open_tcp("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    listener.set_nonblocking(false).unwrap();
    let _client = connect(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive.interval);
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive.count);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_millis(12_345)));
}

#[test]
fn what_is_queued_while_connecting_goes_once_connected() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        for from in [None, Some("127.0.0.5".parse().unwrap())] {
            bench.log.outcomes.clear();
            let id = bench.engine.output().streams.connect(to, from).unwrap();
            bench.queue(id, b"hello ", Some(1)).unwrap();
            bench.queue(id, b"world", Some(2)).unwrap();
            bench.run_until(|log| log.outcomes.len() == 2);
            let (mut peer, address) = listener.accept().unwrap();
            assert_eq!(bench.log.connected.pop(), Some((id, address)));
            assert!(from.is_none_or(|from| from == address.ip()));
            assert_eq!(read(&mut peer, 11), b"hello world");
            peer.write_all(b"answer").unwrap();
            bench.run_until(|log| log.bytes_of(id) == b"answer");
            assert_eq!(bench.log.outcomes, [(1, None), (2, None)]);
        }
    });
}

#[test]
fn a_connection_that_is_refused_reports_its_end_and_its_tags() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let foreign = Some("192.0.2.1".parse().unwrap());
        for (from, kind) in [(None, ErrorKind::ConnectionRefused), (foreign, ErrorKind::AddrNotAvailable)] {
            let id = bench.engine.output().streams.connect(nobody, from).unwrap();
            bench.queue(id, b"lost", Some(7)).unwrap();
            bench.run_until(|log| log.why(id).is_some());
            assert_eq!(bench.log.why(id), Some(Closed::ConnectFailed(kind)));
            assert_eq!(bench.log.outcomes.pop(), Some((7, Some(SendError::ConnectionClosed))));
            assert_eq!(bench.queue(id, b"later", None), Err(NotQueued::Gone));
        }
        assert!(bench.log.connected.is_empty() && bench.engine.output().streams.is_empty());
    });
}

#[test]
fn a_connect_that_nobody_answers_can_be_aborted() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let (_full, to, _waiting) = unanswering();
        let id = bench.engine.output().streams.connect(to, None).unwrap();
        bench.queue(id, b"lost", Some(7)).unwrap();
        for _ in 0..5 {
            bench.turn(Duration::from_millis(10));
        }
        assert!(bench.log.connected.is_empty() && bench.log.closed.is_empty());
        bench.engine.output().streams.abort(id);
        bench.run_until(|log| log.closed.len() == 1);
        assert_eq!(bench.log.closed, [(id, Closed::Aborted)]);
        assert_eq!(bench.log.outcomes, [(7, Some(SendError::ConnectionClosed))]);
        assert!(bench.engine.output().streams.is_empty());
    });
}

#[test]
fn a_slow_reader_gets_all_that_was_queued_and_the_queue_has_a_limit() {
    on_each_engine(|choice| {
        let streams = StreamOptions { queue_bytes_max: 100_000, ..StreamOptions::default() };
        let listening = StreamSocketOptions { send_buffer_bytes: 4096, ..StreamSocketOptions::default() };
        let mut bench = Bench::with(choice, &Options { streams, ..Options::default() }, &listening);
        let mut client = slow_client(bench.address);
        client.set_nonblocking(true).unwrap();
        bench.run_until(|log| log.accepted.len() == 1);
        let id = bench.log.accepted[0].connection;
        let (mut queued, mut tag, mut full, mut got) = (Vec::new(), 0, 0, Vec::<u8>::new());
        let mut buffer = [0; 3000];
        while tag < 1000 {
            let piece = vec![tag as u8; 1 + usize::from(tag) % 997];
            match bench.queue(id, &piece, Some(tag)) {
                Ok(()) => {
                    queued.extend(piece);
                    tag += 1;
                }
                Err(error) => {
                    assert_eq!(error, NotQueued::QueueFull);
                    full += 1;
                    bench.turn(Duration::from_millis(1));
                    let length = client.read(&mut buffer).unwrap_or(0);
                    got.extend(&buffer[..length]);
                }
            }
            assert!(bench.engine.output().streams.queued_bytes(id) <= 100_000);
        }
        assert!(full > 5);
        bench.engine.output().streams.close(id);
        while got.len() < queued.len() {
            bench.turn(Duration::from_millis(1));
            let length = client.read(&mut buffer).unwrap_or(0);
            got.extend(&buffer[..length]);
        }
        client.set_nonblocking(false).unwrap();
        assert!(got == queued);
        bench.run_until(|log| log.outcomes.len() == 1000);
        assert!(bench.log.outcomes.iter().copied().eq((0..1000).map(|tag| (tag, None))));
        bench.settle();
        assert_eq!(client.read(&mut buffer).unwrap(), 0);
        drop(client);
        bench.run_until(|log| log.why(id) == Some(Closed::Finished));
    });
}

#[test]
fn each_tag_is_reported_once_though_the_peer_resets() {
    on_each_engine(|choice| {
        let listening = StreamSocketOptions { send_buffer_bytes: 4096, ..StreamSocketOptions::default() };
        let mut bench = Bench::with(choice, &Options::default(), &listening);
        for _ in 0..10 {
            let client = slow_client(bench.address);
            let before = bench.log.accepted.len();
            bench.run_until(|log| log.accepted.len() > before);
            let id = bench.log.accepted[before].connection;
            bench.log.outcomes.clear();
            for tag in 0..200 {
                bench.queue(id, &[1; 1000], Some(tag)).unwrap();
                if tag % 20 == 0 {
                    bench.turn(Duration::ZERO);
                }
            }
            reset(client);
            bench.run_until(|log| log.why(id).is_some());
            assert_eq!(bench.log.why(id), Some(Closed::Reset));
            let (sent, failed): (Vec<_>, Vec<_>) = bench.log.outcomes.iter().partition(|(_, error)| error.is_none());
            assert!(!sent.is_empty() && !failed.is_empty());
            assert!(failed.iter().all(|(_, error)| *error == Some(SendError::ConnectionClosed)));
            assert!(sent.iter().chain(&failed).map(|(tag, _)| *tag).eq(0..200));
            assert_eq!(bench.engine.output().streams.buffers_held(), 0);
        }
    });
}

#[test]
fn a_slot_that_is_used_again_does_not_get_what_was_meant_for_the_connection_before() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions { connections_max: 1, ..StreamOptions::default() });
        let (first, old) = bench.client();
        bench.queue(old, b"never read", Some(1)).unwrap();
        bench.engine.output().streams.abort(old);
        bench.run_until(|log| log.why(old).is_some());
        drop(first);
        let (mut second, id) = bench.client();
        assert_ne!(id, old);
        assert_ne!(id.to_bits(), old.to_bits());
        assert_eq!(bench.queue(old, b"stray", Some(2)), Err(NotQueued::Gone));
        bench.engine.output().streams.abort(ConnectionId::from_bits(old.to_bits()));
        bench.engine.output().streams.close(old);
        bench.queue(id, b"mine", Some(3)).unwrap();
        bench.run_until(|log| log.outcomes.len() == 2);
        assert_eq!(read(&mut second, 4), b"mine");
        assert_eq!(bench.log.outcomes, [(1, Some(SendError::ConnectionClosed)), (3, None)]);
        assert_eq!(bench.log.closed, [(old, Closed::Aborted)]);
    });
}

/// A client whose kernel takes in little before it is read.
fn slow_client(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// A listener that has as many connections waiting as it may, so that the next is not answered.
fn unanswering() -> (Socket, SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..4).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        socket
    });
    let waiting = waiting.collect();
    thread::sleep(Duration::from_millis(20));
    (listener, address.as_socket().unwrap(), waiting)
}
