//! No allocation per message, by a counting allocator over the real shard loop.

use viaduct::io::Options;

use crate::harness::{Bench, on_each_engine};

#[test]
fn a_message_on_its_way_allocates_nothing() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        let mut allocations = 0;
        for round in 0..30 {
            for number in 0..30 {
                bench.request(["INVITE", "BYE", "OPTIONS"][number % 3], round * 100 + number);
            }
            bench.client.send_to(b"junk", bench.address).unwrap();
            allocations += allocation_counter::measure(|| bench.settle()).count_total;
            bench.answer_all();
            allocations += allocation_counter::measure(|| bench.settle()).count_total;
        }
        assert_eq!(bench.forwarded(), 2 * 30 * 30);
        assert_eq!(allocations, 0, "over {} messages", bench.received());
    });
}
