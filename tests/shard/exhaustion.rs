//! Full buffers and slots cost only what does not fit, are counted, and recover.

use viaduct::io::Options;
use viaduct::metrics::cells::Dropped;

use crate::harness::{Bench, on_each_engine};

#[test]
fn a_burst_beyond_the_receive_buffers_is_carried_in_full() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options { receive_buffers: 16, ..Options::default() });
        for round in 0..5 {
            for number in 0..300 {
                bench.request("OPTIONS", round * 1000 + number);
            }
            bench.settle();
        }
        assert_eq!(bench.received(), 1500);
        assert_eq!(bench.forwarded(), 1500);
    });
}

#[test]
fn a_burst_beyond_the_send_slots_drops_and_counts_only_what_has_no_slot() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options { send_slots: 4, ..Options::default() });
        for round in 0..5 {
            for number in 0..200 {
                bench.request("OPTIONS", round * 1000 + number);
            }
            bench.settle();
        }
        assert_eq!(bench.received(), 1000);
        assert_eq!(bench.forwarded() + bench.dropped_as(Dropped::NoSendSlot), 1000);
        assert!(bench.forwarded() > 0);
        let before = bench.forwarded();
        bench.request("OPTIONS", 9999);
        bench.settle();
        assert_eq!(bench.forwarded(), before + 1, "it recovers");
    });
}

#[test]
fn a_message_that_would_outgrow_a_send_slot_is_a_counted_drop() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options { send_slot_bytes: 300, ..Options::default() });
        bench.request("OPTIONS", 1);
        bench.settle();
        assert_eq!((bench.forwarded(), bench.dropped_as(Dropped::TooLong)), (0, 1));
    });
}
