//! How connections end, on both engines.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use viaduct::io::socket::{StreamSocketOptions, open_tcp};
use viaduct::io::{Closed, NotQueued, StreamOptions};

use crate::on_each_engine;
use crate::stream_bench::{Bench, read, reset};

#[test]
fn a_peer_that_has_finished_can_still_be_sent_to() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let (mut client, id) = bench.client();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        bench.run_until(|log| log.peer_finished == [id]);
        assert_eq!(bench.log.bytes_of(id), b"question");
        bench.queue(id, b"answer", Some(1)).unwrap();
        bench.run_until(|log| log.outcomes == [(1, None)]);
        assert_eq!(read(&mut client, 6), b"answer");
        bench.settle();
        assert!(bench.log.closed.is_empty());
        bench.queue(id, b" and more", None).unwrap();
        bench.engine.output().streams.close(id);
        bench.run_until(|log| log.closed == [(id, Closed::Finished)]);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b" and more");
        assert_eq!(bench.log.peer_finished, [id]);
    });
}

#[test]
fn a_closed_connection_sends_what_is_queued_and_receives_until_the_peer_has_finished() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let (mut client, id) = bench.client();
        bench.queue(id, b"goodbye", Some(1)).unwrap();
        bench.engine.output().streams.close(id);
        assert_eq!(bench.queue(id, b"too late", None), Err(NotQueued::Closing));
        bench.run_until(|log| log.outcomes == [(1, None)]);
        bench.settle();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"goodbye");
        client.write_all(b"one thing more").unwrap();
        bench.run_until(|log| log.bytes_of(id) == b"one thing more");
        assert!(bench.log.closed.is_empty());
        drop(client);
        bench.run_until(|log| log.closed == [(id, Closed::Finished)]);
        assert!(bench.log.peer_finished.is_empty());
        assert!(bench.engine.output().streams.is_empty());
    });
}

#[test]
fn a_connection_closed_while_connecting_still_delivers_what_is_queued() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let id = bench.engine.output().streams.connect(listener.local_addr().unwrap(), None).unwrap();
        bench.queue(id, b"brief", Some(1)).unwrap();
        bench.engine.output().streams.close(id);
        bench.run_until(|log| log.outcomes == [(1, None)]);
        bench.settle();
        let (mut peer, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"brief");
        drop(peer);
        bench.run_until(|log| log.closed == [(id, Closed::Finished)]);
    });
}

#[test]
fn a_reset_ends_a_connection_at_any_time() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        for step in 0..4 {
            let (mut client, id) = bench.client();
            match step {
                1 => client.write_all(b"unread").unwrap(),
                2 => {
                    client.shutdown(Shutdown::Write).unwrap();
                    bench.run_until(|log| log.peer_finished.contains(&id));
                }
                3 => {
                    bench.engine.output().streams.close(id);
                    bench.settle();
                }
                _ => {}
            }
            reset(client);
            // Where the peer has finished, the ring notices that it has gone when something is sent.
            let mut nudges = 0;
            while bench.log.why(id).is_none() {
                bench.turn(Duration::from_millis(10));
                nudges += 1;
                assert!(nudges < 100);
                let _ = bench.queue(id, b"nudge", None);
            }
            assert_eq!(bench.log.why(id), Some(Closed::Reset), "step {step}");
        }
        assert!(bench.engine.output().streams.is_empty());
    });
}

#[test]
fn an_aborted_connection_is_reset_and_nothing_comes_of_it_any_more() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        let (mut client, id) = bench.client();
        client.write_all(&[1; 100_000]).unwrap();
        bench.engine.output().streams.abort(id);
        bench.run_until(|log| log.closed == [(id, Closed::Aborted)]);
        bench.settle();
        assert!(bench.log.bytes_of(id).is_empty());
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn an_engine_that_has_stopped_accepting_serves_the_connections_that_it_has() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, StreamOptions::default());
        bench.log.echo = true;
        let (mut client, _) = bench.client();
        bench.engine.stop_accepting();
        bench.settle();
        assert_eq!(TcpStream::connect(bench.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        client.write_all(b"hello").unwrap();
        bench.settle();
        assert_eq!(read(&mut client, 5), b"hello");
        let begin = Instant::now();
        bench.turn(Duration::from_millis(50));
        assert!(begin.elapsed() >= Duration::from_millis(50), "it waits");
        assert_eq!((bench.total.accepted, bench.total.accept_errors), (1, 0));
    });
}

#[test]
fn a_closed_engine_closes_its_connections_and_frees_its_ports_at_once() {
    on_each_engine(|choice| {
        for explicitly in [false, true] {
            let mut bench = Bench::open(choice, StreamOptions::default());
            let mut clients: Vec<_> = (0..50).map(|_| bench.client()).collect();
            bench.queue(clients[0].1, b"goodbye", None).unwrap();
            let address = bench.address;
            if explicitly {
                bench.engine.close();
            } else {
                drop(bench);
            }
            assert_eq!(read(&mut clients[0].0, 7), b"goodbye");
            for (client, _) in &mut clients {
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
            TcpListener::bind(address).expect("the port is free");
            open_tcp(address, &StreamSocketOptions::default()).expect("the port is free");
        }
    });
}
