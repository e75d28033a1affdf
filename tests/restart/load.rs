//! Requests at a steady rate from several clients, each of which is to be answered once. No more are under way than have room in the
//! sockets' buffers: where one is missing, it was lost by who handled it, and not because the machine was busy.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::sip::request;

/// Clients at work.
pub struct Load {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: Vec<JoinHandle<HashSet<u64>>>,
}

const CLIENTS: u64 = 4;

/// How many requests a client sends at a time, and how often: 3,000 requests a second by all.
const BURST: u64 = 3;
const PAUSE: Duration = Duration::from_millis(4);

/// How many of a client's requests are under way at most.
const WINDOW: u64 = 400;

/// How long answers may take to come once no more requests are sent.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

impl Load {
    pub fn on(sip: SocketAddr) -> Self {
        let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |number: u64| {
            let socket = UdpSocket::bind(("127.9.0.99", 0)).unwrap();
            SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
            socket.connect(sip).unwrap();
            let (is_over, sent) = (is_over.clone(), sent.clone());
            thread::spawn(move || call(&socket, number << 32, &is_over, &sent))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Load { is_over, sent, clients }
    }

    /// How many requests have been sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends no more; gives how many were sent, and how many of them were answered.
    pub fn end(self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        let answered = self.clients.into_iter().map(|client| client.join().unwrap().len() as u64).sum();
        (self.sent.load(Ordering::Relaxed), answered)
    }
}

/// One client's requests; gives the numbers of those that were answered.
fn call(socket: &UdpSocket, base: u64, is_over: &AtomicBool, sent: &AtomicU64) -> HashSet<u64> {
    let listening = socket.try_clone().unwrap();
    let (is_done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (done, counted) = (is_done.clone(), answered.clone());
    let hearing = thread::spawn(move || hear(&listening, &done, &counted));
    let mut number = base;
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
        if number - base >= answered.load(Ordering::Relaxed) + WINDOW {
            continue;
        }
        for _ in 0..BURST {
            number += 1;
            socket.send(request("MESSAGE", "UDP", number).as_bytes()).unwrap();
        }
        sent.fetch_add(BURST, Ordering::Relaxed);
    }
    is_done.store(true, Ordering::Relaxed);
    hearing.join().unwrap()
}

fn hear(socket: &UdpSocket, is_done: &AtomicBool, answered: &AtomicU64) -> HashSet<u64> {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut heard, mut buffer) = (HashSet::new(), [0; 4096]);
    let mut last = Instant::now();
    while !is_done.load(Ordering::Relaxed) || last.elapsed() < LAST_ANSWERS {
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let text = std::str::from_utf8(&buffer[..len]).unwrap();
        assert!(text.starts_with("SIP/2.0 200 "), "{text}");
        let number = text.lines().find_map(|line| line.strip_prefix("Call-ID: ")?.split('@').next()).unwrap();
        assert!(heard.insert(number.parse().unwrap()), "{number} is answered twice");
        answered.fetch_add(1, Ordering::Relaxed);
        last = Instant::now();
    }
    heard
}
