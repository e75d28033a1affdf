//! A shard takes up a snapshot that is published while it runs, with the next message, and neither allocates nor frees for it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use viaduct::balance::backend::Backend;
use viaduct::balance::past::Past;
use viaduct::balance::pool::Pool;
use viaduct::control::pool::member::Word;
use viaduct::control::pool::{AFTERLIFE, LivingPool, MemberSpec, PoolPolicy, Source};
use viaduct::io::Options;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::sip::Transport;

use crate::harness::{Bench, on_each_engine};

#[test]
fn the_first_message_after_a_snapshot_is_published_is_decided_by_it() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        let other = UdpSocket::bind("127.0.0.3:0").unwrap();
        other.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut publisher = bench.publication.publisher();
        let before = Snapshot::clone(&publisher.current());
        let after = moved(&before, &other);
        for round in 0..20 {
            let (snapshot, backend) = if round % 2 == 0 { (&after, &other) } else { (&before, &bench.backend) };
            publisher.publish(Arc::new(snapshot.clone()));
            bench.request("OPTIONS", round);
            let allocations = allocation_counter::measure(|| bench.shard.turn(None).map(drop).unwrap()).count_total;
            assert_eq!(allocations, 0, "in round {round}");
            bench.shard.turn(Some(Duration::ZERO)).unwrap();
            backend.recv_from(&mut [0; 4096]).unwrap_or_else(|error| panic!("nothing came in round {round}: {error}"));
        }
        assert!(publisher.retired() <= 2, "one that the shard may hold, and the last");
    });
}

/// The same with its only member at another address.
fn moved(snapshot: &Snapshot, to: &UdpSocket) -> Snapshot {
    let backend = snapshot.pool().backends().first().unwrap().clone();
    let pool = Pool::new(vec![Backend { address: to.local_addr().unwrap(), ..backend }]).unwrap();
    Snapshot::new(snapshot.listeners().to_vec(), pool, snapshot.keys().clone(), snapshot.policy().clone())
}

#[test]
fn a_cancel_whose_owner_has_changed_reaches_both_and_every_message_is_accounted_for() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        let other = UdpSocket::bind("127.0.0.3:0").unwrap();
        let mut publisher = bench.publication.publisher();
        publisher.publish(Arc::new(drained_to(&publisher.current(), &other)));
        bench.request("CANCEL", 1);
        bench.settle();
        for (backend, status) in [(&other, "481 No"), (&bench.backend, "200 OK")] {
            backend.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let mut buffer = [0; 4096];
            let (len, from) = backend.recv_from(&mut buffer).expect("both get it");
            let text = std::str::from_utf8(&buffer[..len]).unwrap();
            let kept: Vec<&str> = text.lines().skip(1).filter(|line| !line.starts_with("Max-Forwards")).collect();
            let response = format!("SIP/2.0 {status}\r\n{}\r\n", kept.join("\r\n"));
            backend.send_to(response.as_bytes(), from).unwrap();
        }
        bench.settle();
        let mut buffer = [0; 4096];
        bench.client.recv(&mut buffer).expect("one answer");
        assert!(buffer.starts_with(b"SIP/2.0 200 "));
        assert!(bench.client.recv(&mut buffer).is_err(), "no other");
        assert_eq!((bench.received(), bench.forwarded(), bench.absorbed(), bench.dropped()), (3, 2, 1, 0));
        assert_eq!(bench.cells.second_count(), 1);
    });
}

/// The same with its only member draining, and another one in its place.
fn drained_to(snapshot: &Snapshot, other: &UdpSocket) -> Snapshot {
    let now = Instant::now();
    let spec = |backend: Backend| MemberSpec { backend, transport: Transport::Udp, also_by_tcp: false };
    let one = snapshot.pool().backends()[0].clone();
    let two = Backend { name: "two".to_owned(), address: other.local_addr().unwrap(), ..one.clone() };
    let list = Source::from("list");
    let mut pool = LivingPool::new(PoolPolicy::default(), &list, vec![spec(one)], now).unwrap();
    let mut past = Past::new(AFTERLIFE, now);
    past.note(snapshot.roster(), now);
    pool.add(&list, spec(two), now).unwrap();
    pool.set_word("one", Word::Draining, now).unwrap();
    let (plan, _) = pool.plan(now).unwrap();
    let roster = plan.build(&snapshot.keys().table, &mut past, now).unwrap();
    snapshot.with_roster(roster, plan.transports())
}
