//! Connections through the real program, many of them and bad ones among them: what crosses shards arrives, what dies
//! leaves nothing behind, what is slow holds up nobody, and what is idle costs next to nothing.
//!
//! | module | charge |
//! | --- | --- |
//! | `crossing` | a thousand connections, and responses that come to the other shard |
//! | `storm` | good connections among hostile ones |
//! | `returning` | a backend that dies and comes back |
//! | `idle` | the memory of a connection that is idle |
//! | `layered_storm` | the same over TLS and WebSocket |
//! | `hostile`, `layered_hostile` | the hostile ones |
//! | `wire`, `authority` | TLS and WebSocket of clients, and whom they trust |
//! | `backend`, `client`, `message`, `viaduct` | what stands on either side, what they say, and the program between |

mod authority;
mod backend;
mod client;
mod crossing;
mod hostile;
mod idle;
mod layered_hostile;
mod layered_storm;
mod message;
mod returning;
mod storm;
mod viaduct;
mod wire;

use std::thread;
use std::time::{Duration, Instant};

/// For how long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test on each engine that is to be had, by its name in VIADUCT_IO, on all at once.
fn on_each_engine(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| {
        scope.spawn(|| test("poll"));
        match ::viaduct::io::probe(&::viaduct::io::Options::default()) {
            Ok(()) => test("uring"),
            Err(error) => eprintln!("SKIPPED on io_uring, which is not to be had: {error}"),
        }
    });
}

/// Waits until something holds.
fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
