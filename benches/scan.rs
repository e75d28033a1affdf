//! What one pass over the head of a message costs.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use viaduct::sip::scan::Head;

mod messages;

criterion_group!(benches, scan);
criterion_main!(benches);

fn scan(criterion: &mut Criterion) {
    let invites = messages::invites();
    let responses: Vec<_> = invites.iter().map(|invite| messages::ok(invite)).collect();
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(1));
    for (name, set) in [
        ("INVITE, 1 kB, the same", &invites[..1]),
        ("INVITE, 1 kB, shuffled", &invites[..]),
        ("200 OK, small, the same", &responses[..1]),
        ("200 OK, small, shuffled", &responses[..]),
    ] {
        let mut head = Head::default();
        let mut turns = set.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || turns.next().expect("a cycle does not end"),
                |message| head.scan(black_box(message)).is_ok(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
