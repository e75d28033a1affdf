//! What it costs to find messages in a stream: whole, pipelined, split over receives, and byte by byte.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use viaduct::frame::spare::{SpareBuffers, SpareLimits};
use viaduct::frame::stream::{Framer, Limits};
use viaduct::sip::extent;
use viaduct::sip::scan::Head;

mod messages;

criterion_group!(benches, frame, head);
criterion_main!(benches);

/// How many messages lie in one receive where they are pipelined.
const PIPELINED: usize = 16;

fn frame(criterion: &mut Criterion) {
    let invites = messages::invites();
    let responses: Vec<_> = invites.iter().map(|invite| messages::ok(invite)).collect();
    let pipelined: Vec<Vec<u8>> = invites.chunks(PIPELINED).map(<[_]>::concat).collect();
    let mut group = criterion.benchmark_group("frame");
    for (name, receives, piece_bytes, messages) in [
        ("INVITE, 1 kB, whole", &invites, usize::MAX, 1),
        ("200 OK, small, whole", &responses, usize::MAX, 1),
        ("INVITE, 1 kB, in two", &invites, 600, 1),
        ("INVITE, 1 kB, byte by byte", &invites, 1, 1),
        ("16 INVITEs in a receive", &pipelined, usize::MAX, PIPELINED),
        ("16 INVITEs in receives of 4 KiB", &pipelined, 4096, PIPELINED),
    ] {
        let (mut framer, mut spare) = (Framer::default(), SpareBuffers::new(SpareLimits::default()));
        let mut turns = receives.iter().cycle();
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let received = turns.next().expect("a cycle does not end");
                let framed: usize =
                    received.chunks(piece_bytes).map(|piece| take(&mut framer, piece, &mut spare)).sum();
                assert_eq!(framed, messages);
            });
        });
    }
    group.finish();
}

/// The part of it that is the head, beside the scan that routing makes.
fn head(criterion: &mut Criterion) {
    let invites = messages::invites();
    let mut group = criterion.benchmark_group("head of an INVITE, 1 kB");
    let mut turns = invites.iter().cycle();
    group.bench_function("measured for framing", |bencher| {
        bencher.iter(|| extent::measure(black_box(turns.next().expect("a cycle does not end"))));
    });
    let mut head = Head::default();
    group.bench_function("scanned for routing", |bencher| {
        bencher.iter(|| head.scan(black_box(turns.next().expect("a cycle does not end"))).is_ok());
    });
    group.finish();
}

fn take(framer: &mut Framer, mut piece: &[u8], spare: &mut SpareBuffers) -> usize {
    let mut messages = 0;
    while let Some(frame) = framer.next(&mut piece, Limits::default(), spare) {
        messages += usize::from(black_box(frame).is_ok());
    }
    messages
}
