//! A backend on a thread: it answers every request with its name and 200, unless it fails, has too much to do, has fallen silent or
//! ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Over what it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Udp,
    Tcp,
}

/// A backend.
pub struct Backend {
    pub name: &'static str,
    pub over: Over,
    pub address: SocketAddr,
    says: Arc<Says>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a backend says.
struct Says {
    /// With what it answers real requests; 0 is not at all.
    status: AtomicU16,
    /// What its answer says besides, where that is no 200.
    retry_after: Mutex<String>,
    /// What it says of its load in Viaduct's Via, but for its sequence.
    load: Mutex<String>,
    /// How often it has spoken.
    sequence: AtomicU32,
}

/// How often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(10);

impl Backend {
    /// One at a port that the kernel chooses.
    pub fn start(name: &'static str, over: Over) -> Self {
        let address = "127.14.0.1:0".parse().unwrap();
        let says = Arc::new(Says {
            status: AtomicU16::new(200),
            retry_after: Mutex::default(),
            load: Mutex::default(),
            sequence: AtomicU32::new(0),
        });
        let mut backend = Backend { name, over, address, says, ended: Arc::default(), thread: None };
        backend.begin_again();
        backend
    }

    pub fn fall_silent(&mut self) {
        self.says.status.store(0, Ordering::Relaxed);
    }

    pub fn speak(&mut self) {
        self.says.status.store(200, Ordering::Relaxed);
    }

    /// It answers real requests 500, and probes 200.
    pub fn fail(&mut self) {
        self.says.status.store(500, Ordering::Relaxed);
    }

    /// It answers 503 to what begins a dialog, or is in none, with that Retry-After.
    pub fn reject(&mut self, retry_after: &str) {
        *self.says.retry_after.lock().unwrap() = format!("Retry-After: {retry_after}\r\n");
        self.says.status.store(503, Ordering::Relaxed);
    }

    /// It says in its responses that so many in a hundred requests are not to be sent, for so long (RFC 7339).
    pub fn want_fewer(&mut self, percent: u8, validity_ms: u32) {
        *self.says.load.lock().unwrap() = format!("={percent};oc-algo=\"loss\";oc-validity={validity_ms};oc-seq=");
    }

    /// Its process ends: its sockets are closed.
    pub fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// It starts at the address that it had.
    pub fn begin_again(&mut self) {
        self.ended = Arc::default();
        let (name, says, ended) = (self.name, self.says.clone(), self.ended.clone());
        self.thread = Some(match self.over {
            Over::Udp => {
                let socket = UdpSocket::bind(self.address).unwrap();
                self.address = socket.local_addr().unwrap();
                thread::spawn(move || serve_udp(&socket, name, &says, &ended))
            }
            Over::Tcp => {
                let listener = TcpListener::bind(self.address).unwrap();
                self.address = listener.local_addr().unwrap();
                thread::spawn(move || serve_tcp(&listener, name, &says, &ended))
            }
        });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.end();
    }
}

fn serve_udp(socket: &UdpSocket, name: &str, says: &Says, ended: &AtomicBool) {
    socket.set_read_timeout(Some(LOOK)).unwrap();
    let mut buffer = [0; 4096];
    while !ended.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..len], name, says) {
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, name: &str, says: &Says, ended: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    let mut connections: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        while let Ok((connection, _)) = listener.accept() {
            connection.set_nonblocking(true).unwrap();
            connections.push((connection, Vec::new()));
        }
        connections.retain_mut(|(connection, bytes)| goes_on(connection, bytes, name, says));
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads what has come and answers the whole requests in it; `false` where the connection has ended.
fn goes_on(connection: &mut TcpStream, bytes: &mut Vec<u8>, name: &str, says: &Says) -> bool {
    let mut buffer = [0; 4096];
    match connection.read(&mut buffer) {
        Ok(0) => return false,
        Ok(len) => bytes.extend_from_slice(&buffer[..len]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
        Err(_) => return false,
    }
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let request: Vec<u8> = bytes.drain(..end + 4).collect();
        if let Some(answer) = answer(&request, name, says) {
            let _ = connection.write_all(answer.as_bytes());
        }
    }
    true
}

fn answer(request: &[u8], name: &str, says: &Says) -> Option<String> {
    let text = std::str::from_utf8(request).ok()?;
    let copied = ["Via:", "Record-Route:", "From:", "To:", "Call-ID:", "CSeq:"];
    let kept = |line: &&str| copied.iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = text.lines().skip(1).filter(kept).collect();
    let is_in_dialog = lines.iter().any(|line| line.starts_with("To:") && line.contains(";tag="));
    let (status, besides) = match says.status.load(Ordering::Relaxed) {
        500 | 503 if text.starts_with("OPTIONS") => (200, String::new()),
        503 if is_in_dialog => (200, String::new()),
        503 => (503, says.retry_after.lock().unwrap().clone()),
        status => (status, String::new()),
    };
    let mut headers = lines.join("\r\n");
    let load = says.load.lock().unwrap().clone();
    if !load.is_empty() {
        // Viaduct's Via is the first.
        let sequence = says.sequence.fetch_add(1, Ordering::Relaxed);
        headers = headers.replacen(";oc;oc-algo=\"loss\"", &format!(";oc{load}{sequence}.0"), 1);
    }
    (!lines.is_empty() && status > 0)
        .then(|| format!("SIP/2.0 {status} Word\r\n{headers}\r\n{besides}Server: {name}\r\nContent-Length: 0\r\n\r\n"))
}
