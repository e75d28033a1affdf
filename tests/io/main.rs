//! Both engines against the kernel's real sockets, on loopback. Each test runs on each engine; where
//! io_uring is not to be had, that half is skipped with a line that says so.

use std::time::Duration;

use viaduct::io::{Choice, Options, probe};

mod allocations;
mod datagrams;
mod descriptors;
mod handover;
mod stream_bench;
mod stream_ends;
mod stream_load;
mod streams;

/// Longer than anything takes, for what would otherwise hang.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a test on poll, and on the ring where it is to be had.
pub fn on_each_engine(test: impl Fn(Choice)) {
    test(Choice::Poll);
    match probe(&Options::default()) {
        Ok(()) => test(Choice::Uring),
        Err(unavailable) => eprintln!("SKIPPED on io_uring: {unavailable}"),
    }
}

/// Runs a test of this name in a process of its own, for what concerns the process as a whole.
pub fn alone(name: &str, test: impl Fn(Choice)) {
    if std::env::var_os(ALONE).is_some() {
        return on_each_engine(test);
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

const ALONE: &str = "VIADUCT_TEST_ALONE";

/// How many descriptors this process has.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
