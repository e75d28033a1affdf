//! No allocation per message, by a counting allocator over the real shard loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use viaduct::io::Options;
use viaduct::metrics::cells::Dropped;
use viaduct::proxy::names::exchange::Exchange;
use viaduct::proxy::names::name::{Lookup, Name};
use viaduct::proxy::names::targets::{Target, Targets};
use viaduct::proxy::names::{Answer, Names};
use viaduct::proxy::verdict::DropReason;

use crate::harness::{Bench, on_each_engine, request};

#[test]
fn a_message_on_its_way_allocates_nothing() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        let (mut allocations, mut copies) = (0, 0);
        for round in 0..30 {
            for number in 0..30 {
                bench.request(["INVITE", "BYE", "OPTIONS"][number % 3], round * 100 + number);
            }
            bench.client.send_to(b"junk", bench.address).unwrap();
            bench.client.send_to(&refused(round), bench.address).unwrap();
            allocations += allocation_counter::measure(|| bench.settle()).count_total;
            bench.answer_all();
            allocations += allocation_counter::measure(|| bench.settle()).count_total;
            while let Some(copy) = bench.copies.take() {
                bench.copies.give_back(copy);
                copies += 1;
            }
        }
        assert_eq!(bench.forwarded(), 2 * 30 * 30);
        assert_eq!(copies, 2 * (2 * 30 * 30 + 30), "each message that is SIP, as it came and as it went");
        assert_eq!(allocations, 0, "over {} messages", bench.received());
        assert_eq!(std::iter::from_fn(|| bench.problems.take()).count(), 2 * 30, "each problem is told");
    });
}

/// A request that is answered 400.
fn refused(number: usize) -> Vec<u8> {
    let text = String::from_utf8(request("OPTIONS", number)).unwrap();
    text.replace("Max-Forwards: 70", "Max-Forwards: many").into_bytes()
}

#[test]
fn a_message_to_a_name_allocates_nothing_known_or_not() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        let known = Name::new(b"known.example", Lookup::Service).unwrap();
        let target = |weight| Target { priority: 0, weight, addresses: vec![bench.client.local_addr().unwrap()] };
        let targets = Targets::new(&[target(1), target(2)]).unwrap();
        let table: Names = [(Arc::from(known.as_str()), Answer::Targets(Arc::new(targets)))].into_iter().collect();
        // The publisher keeps the old table, so that no shard frees it.
        let _old = bench.exchange.publish(Arc::new(table));
        let asked = count_names(&bench.exchange);
        let mut allocations = 0;
        for round in 0..20 {
            for number in 0..20 {
                let host = if number % 2 == 0 { "known.example".to_owned() } else { format!("new{number}.example") };
                let message = String::from_utf8(request("INVITE", round * 100 + number)).unwrap();
                let message = message.replace("sip:bob@b.example", &format!("sip:bob@{host}"));
                bench.backend.send_to(message.as_bytes(), bench.address).unwrap();
            }
            allocations += allocation_counter::measure(|| bench.settle()).count_total;
        }
        assert_eq!(bench.forwarded(), 20 * 10);
        assert_eq!(bench.dropped_as(Dropped::Decided(DropReason::NameBeingResolved)), 20 * 10);
        assert_eq!(allocations, 0, "over {} messages", bench.received());
        // Ten names not known, and one in use; each asked for once, or again where the test takes longer than T1.
        bench.exchange.ask(known);
        while asked.load(Ordering::Relaxed) < 12 {
            std::thread::yield_now();
        }
    });
}

/// Takes in names on a thread that sleeps between them, as the control thread does: the shard must wake it without allocating.
fn count_names(exchange: &Arc<Exchange>) -> Arc<AtomicUsize> {
    let (exchange, asked) = (exchange.clone(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            loop {
                exchange.asked().await;
                count.fetch_add(std::iter::from_fn(|| exchange.take()).count(), Ordering::Relaxed);
            }
        });
    });
    asked
}
