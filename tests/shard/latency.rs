//! A shard counts how long its backend took into histograms.

use std::thread;
use std::time::Duration;

use viaduct::balance::backend::BackendSlot;
use viaduct::io::Options;
use viaduct::metrics::latency::Total;
use viaduct::proxy::latency::{MethodClass, Phase};

use crate::harness::{Bench, on_each_engine};

#[test]
fn each_response_is_counted_by_its_phase_and_method_with_its_time() {
    on_each_engine(|choice| {
        let mut bench = Bench::open(choice, &Options::default());
        for number in 0..10 {
            bench.request("INVITE", number);
            bench.request("OPTIONS", 100 + number);
        }
        bench.settle();
        thread::sleep(Duration::from_millis(20));
        assert_eq!(bench.answer_all(), 20);
        bench.settle();
        let total = |phase, class| {
            let mut total = Total::default();
            bench.cells.backends().add_latency(BackendSlot(0), phase, class, &mut total);
            total
        };
        assert_eq!(total(Phase::First, MethodClass::Invite), Total::default(), "no 100 came");
        for (phase, class) in [
            (Phase::Final, MethodClass::Invite),
            (Phase::First, MethodClass::Other),
            (Phase::Final, MethodClass::Other),
        ] {
            let total = total(phase, class);
            assert_eq!(total.count(), 10);
            let mean_us = total.sum_us() / 10;
            assert!((20_000..10_000_000).contains(&mean_us), "{mean_us} us");
        }
    });
}
