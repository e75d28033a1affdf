//! What one test has to itself: a directory, loopback addresses, and its turn on the machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// One test's place. Hosts on it have different addresses, because Viaduct tells a backend by its address.
pub struct Scene {
    /// Where logs and statistics go. It is removed unless the test fails.
    pub directory: PathBuf,
    subnet: u8,
    _turn: MutexGuard<'static, ()>,
}

/// Timers of SIP run out on a machine that carries two loads at once, so one test runs at a time.
static TURN: Mutex<()> = Mutex::new(());

/// How many scenes this process has made.
static SCENES: AtomicU8 = AtomicU8::new(0);

impl Scene {
    /// Waits for this test's turn and makes its place.
    pub fn new(name: &str) -> Scene {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let id = process::id();
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{id}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let subnet = (id as u8).wrapping_mul(16).wrapping_add(SCENES.fetch_add(1, Ordering::Relaxed));
        Scene { directory, subnet, _turn: turn }
    }

    /// An address of its own for a host of this scene, with a free port.
    pub fn endpoint(&self, host: u8) -> SocketAddr {
        free_port(Ipv4Addr::new(127, 2, self.subnet, host).into())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("logs and statistics are kept in {}", self.directory.display());
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A free UDP port at an address, as the kernel chooses.
pub fn free_port(ip: IpAddr) -> SocketAddr {
    UdpSocket::bind((ip, 0)).and_then(|socket| socket.local_addr()).unwrap()
}

/// Waits until a program has bound a UDP socket to `address`. It asks the kernel's list: trying to bind the port would
/// take it away from the program that is about to.
pub fn until_bound(address: SocketAddr, mut while_waiting: impl FnMut()) {
    let (list, entry) = match address.ip() {
        IpAddr::V4(ip) => ("/proc/net/udp", hex(&ip.octets())),
        IpAddr::V6(ip) => ("/proc/net/udp6", hex(&ip.octets())),
    };
    let entry = format!(": {entry}:{:04X} ", address.port());
    until(&format!("{address} is bound"), || {
        while_waiting();
        fs::read_to_string(list).unwrap().contains(&entry)
    });
}

/// Waits until `done`, at most ten seconds; `what` says what is waited for.
pub fn until(what: &str, done: impl FnMut() -> bool) {
    until_within(Duration::from_secs(10), what, done);
}

/// The same, with another limit.
pub fn until_within(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// An address as the kernel lists it: words of 32 bits in the byte order of the machine.
fn hex(octets: &[u8]) -> String {
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    words.map(|word| format!("{word:08X}")).collect()
}
