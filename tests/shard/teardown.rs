//! A shard that ends frees its ports at once, and sends what it had staged.

use std::net::UdpSocket;

use viaduct::io::Options;

use crate::harness::{Bench, on_each_engine};

#[test]
fn the_port_of_a_closed_shard_is_free_at_once() {
    on_each_engine(|choice| {
        for _ in 0..10 {
            let mut bench = Bench::open(choice, &Options::default());
            bench.request("OPTIONS", 1);
            bench.settle();
            let address = bench.address;
            bench.shard.close();
            UdpSocket::bind(address).expect("the port is free");
        }
    });
}

#[test]
fn what_was_decided_before_the_end_still_goes_out() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        bench.request("OPTIONS", 1);
        while bench.received() == 0 {
            bench.shard.turn(None).unwrap();
        }
        bench.shard.close();
        let mut buffer = [0; 2048];
        assert!(bench.backend.recv(&mut buffer).is_ok());
    });
}
