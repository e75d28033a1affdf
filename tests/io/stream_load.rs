//! Many connections, and connections that want everything, on both engines.

use std::io::{ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use viaduct::io::socket::StreamSocketOptions;
use viaduct::io::{EngineKind, Options, StreamOptions};

use crate::stream_bench::{Bench, connect, pattern, read};
use crate::{PATIENCE, on_each_engine};

/// More than complete within a ring of the size below: they all wait to be accepted in the first turn.
const CLIENTS: usize = 1500;

#[test]
fn a_thousand_connections_send_at_once_over_small_rings() {
    on_each_engine(|choice| {
        let streams = StreamOptions { receive_buffers: 4, receive_buffer_bytes: 1024, ..StreamOptions::default() };
        let options = Options { receive_buffers: 8, send_slots: 4, streams, ..Options::default() };
        let mut bench = Bench::with(choice, &options, &StreamSocketOptions::default());
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(bench.address)).collect();
        bench.run_until(|log| log.accepted.len() == CLIENTS);
        bench.log.echo = true;
        for round in 0..3 {
            let bytes = pattern(1500 + round);
            for client in &mut clients {
                client.write_all(&bytes).unwrap();
            }
            let sum: usize = (0..=round).map(|round| 1500 + round).sum();
            let ids: Vec<_> = bench.log.accepted.iter().map(|accepted| accepted.connection).collect();
            bench.run_until(|log| ids.iter().all(|id| log.bytes_of(*id).len() == sum));
            bench.settle();
            for client in &mut clients {
                assert!(read(client, bytes.len()) == bytes);
            }
        }
        assert_eq!(bench.kind == EngineKind::Uring, bench.total.stream_starved > 0);
        assert_eq!(bench.engine.output().streams.buffers_held(), 0);
    });
}

#[test]
fn connections_beyond_the_limit_are_refused_and_counted() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions { connections_max: 3, ..StreamOptions::default() });
        let mut clients: Vec<_> = (0..5).map(|_| connect(bench.address)).collect();
        bench.run_until(|log| log.accepted.len() == 3);
        bench.settle();
        assert_eq!((bench.total.accepted, bench.total.accepts_refused), (3, 2));
        for client in &mut clients[3..] {
            assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        bench.log.close = true;
        drop(clients);
        bench.run_until(|log| log.closed.len() == 3);
        bench.client();
    });
}

#[test]
fn datagrams_and_other_connections_go_on_while_connections_flood() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        (bench.log.echo, bench.log.forget) = (true, true);
        let stop = Arc::new(AtomicBool::new(false));
        let flood = |_| {
            let (mut client, stop) = (connect(bench.address), stop.clone());
            client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            // It never reads: its echo is queued to the limit.
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = client.write(&[7; 65_536]);
                }
            })
        };
        let floods: Vec<_> = (0..3).map(flood).collect();
        bench.run_until(|log| log.accepted.len() == 3);
        let (mut polite, _) = bench.client();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        polite.set_nonblocking(true).unwrap();
        let (mut slowest, mut answer, mut round) = (Duration::ZERO, [0; 4], 0);
        while round < 200 || bench.total.stream_bytes < 20_000_000 {
            let begin = Instant::now();
            udp.send_to(b"datagram", bench.udp).unwrap();
            polite.write_all(b"ping").unwrap();
            bench.run_until(|log| log.datagrams > round);
            while polite.read_exact(&mut answer).is_err() {
                assert!(begin.elapsed() < PATIENCE);
                bench.turn(Duration::from_millis(1));
            }
            slowest = slowest.max(begin.elapsed());
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
        // Other tests share the processor; a connection that held up the others would do so for all its bytes.
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        drop(bench);
        floods.into_iter().for_each(|flood| flood.join().unwrap());
    });
}

#[test]
fn idle_connections_hold_no_buffers() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions { receive_buffers: 2, ..StreamOptions::default() });
        bench.log.echo = true;
        let mut clients: Vec<_> = (0..100).map(|_| bench.client().0).collect();
        assert_eq!(bench.engine.output().streams.buffers_held(), 0);
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
        }
        bench.settle();
        clients.iter_mut().for_each(|client| assert_eq!(read(client, 5), b"hello"));
        // Two receive buffers, and a hundred idle connections: were one held, the next message would not come.
        assert_eq!(bench.engine.output().streams.buffers_held(), 0);
        clients[99].write_all(b"again").unwrap();
        bench.settle();
        assert_eq!(read(&mut clients[99], 5), b"again");
        assert_eq!(bench.engine.output().streams.len(), 100);
    });
}
