//! A shard takes up a snapshot that is published while it runs, with the next message, and neither allocates nor frees for it.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use viaduct::balance::backend::Backend;
use viaduct::balance::pool::Pool;
use viaduct::io::Options;
use viaduct::proxy::snapshot::Snapshot;

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
