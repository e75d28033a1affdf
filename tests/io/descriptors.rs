//! What becomes of descriptors, each test in a process of its own.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use viaduct::io::socket::StreamSocketOptions;
use viaduct::io::{Options, StreamOptions};

use crate::stream_bench::{Bench, connect, pattern, read, reset};
use crate::{alone, descriptors};

#[test]
fn a_thousand_connections_that_are_killed_leave_nothing_behind() {
    alone("descriptors::a_thousand_connections_that_are_killed_leave_nothing_behind", |choice| {
        raise_limit();
        let streams = StreamOptions { receive_buffers: 16, ..StreamOptions::default() };
        let options = Options { streams, ..Options::default() };
        let mut bench = Bench::with(choice, &options, &StreamSocketOptions::default());
        (bench.log.echo, bench.log.close) = (true, true);
        let before = descriptors();
        for round in 1..=3 {
            let mut clients: Vec<_> = (0..1000).map(|_| connect(bench.address)).collect();
            bench.run_until(|log| log.accepted.len() == round * 1000);
            for client in &mut clients {
                client.write_all(&pattern(3000)).unwrap();
            }
            bench.turn(Duration::ZERO);
            let ids: Vec<_> = bench.log.accepted[(round - 1) * 1000..].iter().map(|it| it.connection).collect();
            for (index, client) in clients.into_iter().enumerate() {
                match index % 3 {
                    0 => reset(client),
                    1 => drop(client),
                    _ => bench.engine.output().streams.abort(ids[index]),
                }
            }
            bench.run_until(|log| log.closed.len() == round * 1000);
            assert_eq!(descriptors(), before);
            assert!(bench.engine.output().streams.is_empty());
            assert_eq!(bench.engine.output().streams.buffers_held(), 0);
        }
        // All slots are free again, and so are all receive buffers: more arrives than one round of them could hold.
        bench.log.close = false;
        let (mut client, id) = bench.client();
        client.write_all(&pattern(200_000)).unwrap();
        bench.run_until(|log| log.bytes_of(id).len() == 200_000);
    });
}

#[test]
fn a_listener_without_descriptors_waits_and_recovers() {
    alone("descriptors::a_listener_without_descriptors_waits_and_recovers", |choice| {
        raise_limit();
        let mut bench = Bench::open(choice, StreamOptions::default());
        bench.log.echo = true;
        let mut clients: Vec<_> = (0..10).map(|_| connect(bench.address)).collect();
        let limit = getrlimit(Resource::Nofile);
        // Before the first turn: an accept of the ring goes by the limit that there was when it was armed.
        setrlimit(Resource::Nofile, Rlimit { current: Some(descriptors() as u64 + 2), ..limit }).unwrap();
        let (begin, mut turns) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_millis(500) {
            bench.turn(Duration::from_millis(500));
            turns += 1;
        }
        assert!((1..=8).contains(&bench.total.accept_errors), "{:?}", bench.total);
        assert!(turns < 50, "{turns} turns");
        assert!((1..10).contains(&bench.log.accepted.len()));
        clients[0].write_all(b"still there").unwrap();
        let first = bench.log.accepted[0].connection;
        bench.run_until(|log| !log.bytes_of(first).is_empty());
        bench.settle();
        assert_eq!(read(&mut clients[0], 11), b"still there");
        setrlimit(Resource::Nofile, limit).unwrap();
        bench.run_until(|log| log.accepted.len() == 10);
    });
}

fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
