//! What a router with two equal paths does at its worst: every other datagram of each call goes to another instance.
//!
//! Sending every other datagram of all calls looked simpler. At a steady rate calls interleave alike, so that whole
//! calls keep to one instance.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Splits the datagrams of one caller between two instances, and passes back what either of them sends.
pub struct Splitter {
    /// Where the caller sends to.
    pub front: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    front: UdpSocket,
    /// Both instances see the caller at this one address, as they would behind a router.
    back: UdpSocket,
    instances: [SocketAddr; 2],
    caller: SocketAddr,
    stop: AtomicBool,
    /// Where the next datagram of each Call-ID goes, and how many went to each instance.
    calls: Mutex<BTreeMap<String, Split>>,
}

#[derive(Clone, Copy)]
struct Split {
    next: usize,
    datagrams: [u32; 2],
}

impl Splitter {
    /// Starts to split between these instances what comes from `caller`.
    pub fn start(front: SocketAddr, back: SocketAddr, caller: SocketAddr, instances: [SocketAddr; 2]) -> Splitter {
        let socket = |address| {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            socket
        };
        let (stop, calls) = (AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { front: socket(front), back: socket(back), instances, caller, stop, calls });
        let (there, back) = (shared.clone(), shared.clone());
        let threads = vec![thread::spawn(move || there.carry_there()), thread::spawn(move || back.carry_back())];
        Splitter { front, shared, threads }
    }

    /// How many calls had datagrams that went to either instance.
    pub fn calls_by_both(&self) -> usize {
        self.shared.calls.lock().unwrap().values().filter(|split| !split.datagrams.contains(&0)).count()
    }
}

impl Drop for Splitter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn carry_there(&self) {
        self.each_datagram(&self.front, |datagram| {
            let instance = self.instances[self.next(datagram)];
            self.back.send_to(datagram, instance).unwrap();
        });
    }

    /// The instance that a datagram goes to: the other one than the datagram before it of its call. Calls begin at
    /// either in turn.
    fn next(&self, datagram: &[u8]) -> usize {
        let mut calls = self.calls.lock().unwrap();
        let first = calls.len() % 2;
        let call = calls.entry(call_id(datagram)).or_insert(Split { next: first, datagrams: [0; 2] });
        let next = call.next;
        call.datagrams[next] += 1;
        call.next = 1 - next;
        next
    }

    fn carry_back(&self) {
        self.each_datagram(&self.back, |datagram| {
            self.front.send_to(datagram, self.caller).unwrap();
        });
    }

    fn each_datagram(&self, socket: &UdpSocket, mut carry: impl FnMut(&[u8])) {
        let mut buffer = vec![0; 65_535];
        while !self.stop.load(Ordering::Relaxed) {
            match socket.recv(&mut buffer) {
                Ok(len) => carry(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn call_id(datagram: &[u8]) -> String {
    let text = String::from_utf8_lossy(datagram);
    let line = text.lines().find_map(|line| line.strip_prefix("Call-ID: "));
    line.unwrap_or_default().to_owned()
}
