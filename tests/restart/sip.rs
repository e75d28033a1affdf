//! A backend that answers all requests, and a client that sends them one by one.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::viaduct::PATIENCE;

/// A backend that answers each request but ACK 200.
pub struct Backend {
    pub address: SocketAddr,
    /// How many requests have come.
    pub requests: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    pub fn start(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let (requests, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, over) = (requests.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            let mut buffer = [0; 8192];
            while !over.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                let text = std::str::from_utf8(&buffer[..len]).unwrap();
                if text.starts_with("SIP/2.0") || text.starts_with("ACK") {
                    continue;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                socket.send_to(ok(text).as_bytes(), from).unwrap();
            }
        });
        Backend { address, requests, is_over, thread: Some(thread) }
    }

    pub fn count(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The 200 to a request, with what is copied from it.
pub fn ok(request: &str) -> String {
    let is_copied = |line: &&str| {
        ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Record-Route:"].iter().any(|name| line.starts_with(name))
    };
    let tagged = |line: &str| {
        let is_bare = line.starts_with("To:") && !line.contains(";tag=");
        format!("{line}{}\r\n", if is_bare { ";tag=backend" } else { "" })
    };
    let copied: String = request.lines().filter(is_copied).map(tagged).collect();
    format!("SIP/2.0 200 OK\r\n{copied}Content-Length: 0\r\n\r\n")
}

/// A client over UDP.
pub struct Client {
    pub socket: UdpSocket,
    sip: SocketAddr,
}

impl Client {
    pub fn new(ip: &str, sip: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket, sip }
    }

    pub fn send(&self, request: &str) {
        self.socket.send_to(request.as_bytes(), self.sip).unwrap();
    }

    /// The answer to a request.
    pub fn ask(&self, request: &str) -> String {
        self.send(request);
        self.read().expect("an answer")
    }

    pub fn read(&self) -> Option<String> {
        let mut buffer = [0; 8192];
        let (len, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
    }

    /// Whether no answer comes for a while.
    pub fn hears_nothing(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let heard = self.read();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_none()
    }
}

/// A request outside of dialogs; `number` tells it from others.
pub fn request(method: &str, transport: &str, number: u64) -> String {
    request_with(method, transport, number, "<sip:b@b.example>", "")
}

/// One with this To and these headers.
pub fn request_with(method: &str, transport: &str, number: u64, to: &str, headers: &str) -> String {
    format!(
        "{method} sip:b@b.example SIP/2.0\r\nVia: SIP/2.0/{transport} 127.9.0.1:9;rport;branch=z9hG4bK{method}{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: {to}\r\nCall-ID: {number}@a.example\r\nCSeq: 1 {method}\r\n\
         {headers}Content-Length: 0\r\n\r\n"
    )
}

/// An OPTIONS for Viaduct itself.
pub fn options(sip: SocketAddr, transport: &str) -> String {
    request("OPTIONS", transport, 0).replace("sip:b@b.example", &format!("sip:{sip}"))
}
