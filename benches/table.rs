//! What it costs to choose a backend, and to hold the auctions when the pool changes.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use viaduct::balance::backend::{Backend, Weight};
use viaduct::balance::key::Key;
use viaduct::balance::pool::Pool;
use viaduct::balance::table::Table;

criterion_group!(benches, choose, construct);
criterion_main!(benches);

const POOL_SIZES: [usize; 3] = [3, 100, 1000];

/// The hash of a Call-ID and the look-up, for Call-IDs that fall all over the table.
fn choose(criterion: &mut Criterion) {
    let key = Key::new([7; 16]);
    let call_ids: Vec<String> =
        (0..4096).map(|number| format!("{number:08x}a84b4c76e66710@pc33.example.com")).collect();
    let mut group = criterion.benchmark_group("choose a backend by its Call-ID");
    for size in POOL_SIZES {
        let table = Table::new(&key, &pool(size));
        let mut turns = call_ids.iter().cycle();
        group.bench_function(format!("of {size}"), |bencher| {
            bencher.iter(|| table.owner(key.hash(black_box(turns.next().map_or(&[][..], |id| id.as_bytes())))));
        });
    }
    group.finish();
}

fn construct(criterion: &mut Criterion) {
    let key = Key::new([7; 16]);
    let mut group = criterion.benchmark_group("construct a table");
    group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(2));
    for size in POOL_SIZES {
        let pool = pool(size);
        group.bench_function(format!("of {size}"), |bencher| bencher.iter(|| Table::new(&key, black_box(&pool))));
    }
    group.finish();
}

/// A pool with weights 1 to 3 in turn, as pools of unlike machines have.
fn pool(size: usize) -> Pool {
    Pool::new((0..size).map(backend).collect()).expect("names and addresses differ")
}

fn backend(number: usize) -> Backend {
    let address = SocketAddr::from(([10, 0, (number / 250) as u8, (number % 250) as u8], 5060));
    let weight = Weight::new(number as u32 % 3 + 1).expect("a small weight");
    Backend { name: format!("proxy-{number}"), address, host: address.ip().to_string(), weight }
}
