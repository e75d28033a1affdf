//! Backends of the test's own, over UDP and TCP, that answer every request at once.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use crate::message::{Held, header, responses};

/// A backend that lives until it is dropped or killed.
pub struct Backend {
    /// It as an entry of VIADUCT_BACKENDS.
    pub url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How a backend over TCP is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Its connections are closed in good order.
    Finish,
    /// Its connections are reset.
    Reset,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// Whether it takes requests and answers none.
    is_mute: AtomicBool,
    responses: AtomicU64,
    connections: Mutex<Vec<Arc<Connection>>>,
}

struct Connection {
    stream: TcpStream,
    /// Held while a call's responses are written.
    turn: Mutex<()>,
}

impl Backend {
    /// One over UDP.
    pub fn udp(host: u8) -> Backend {
        let socket = UdpSocket::bind((format!("127.7.1.{host}"), 0)).unwrap();
        SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (address, shared) = (socket.local_addr().unwrap(), Arc::<Shared>::default());
        let serving = shared.clone();
        let thread = thread::spawn(move || serve_datagrams(&socket, &serving));
        Backend { url: format!("udp://{address}"), address, shared, threads: vec![thread] }
    }

    /// One over TCP. A call is answered on any of the connections that it has, as its Call-ID falls: often not on that
    /// which brought the request, so that the response comes to another shard.
    pub fn tcp(host: u8) -> Backend {
        Backend::listening(&TcpListener::bind((format!("127.7.1.{host}"), 0)).unwrap())
    }

    /// Ends it: its port is closed, and its connections are.
    pub fn kill(&mut self, death: Death) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            if death == Death::Reset {
                SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            // Wakes its thread, which drops the last handle.
            connection.stream.shutdown(Shutdown::Read).unwrap_or_default();
        }
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }

    /// Another one in the place of this, which was killed.
    pub fn revive(&mut self) {
        *self = Backend::listening(&TcpListener::bind(self.address).unwrap());
    }

    /// Has it answer nothing from here on.
    pub fn mute(&self) {
        self.shared.is_mute.store(true, Ordering::Relaxed);
    }

    /// How many responses it has sent.
    pub fn responses(&self) -> u64 {
        self.shared.responses.load(Ordering::Relaxed)
    }

    fn listening(listener: &TcpListener) -> Backend {
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let (listener, serving) = (listener.try_clone().unwrap(), shared.clone());
        let thread = thread::spawn(move || accept(&listener, &serving));
        Backend { url: format!("tcp://{address}"), address, shared, threads: vec![thread] }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if !self.shared.is_over.load(Ordering::Relaxed) {
            self.kill(Death::Finish);
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = vec![0; 65_535];
    while !shared.is_over.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        for response in responses(std::str::from_utf8(&buffer[..len]).unwrap()) {
            socket.send_to(response.as_bytes(), from).unwrap();
            shared.responses.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    loop {
        let (stream, _) = listener.accept().unwrap();
        if shared.is_over.load(Ordering::Relaxed) {
            break;
        }
        let connection = Arc::new(Connection { stream, turn: Mutex::default() });
        connection.stream.set_nodelay(true).unwrap();
        shared.connections.lock().unwrap().push(connection.clone());
        let serving = shared.clone();
        threads.push(thread::spawn(move || serve(connection, &serving)));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn serve(connection: Arc<Connection>, shared: &Shared) {
    let mut held = Held::default();
    while let Ok(request) = held.message(&connection.stream) {
        let responses = responses(&request);
        if responses.is_empty() || shared.is_mute.load(Ordering::Relaxed) {
            continue;
        }
        let Some(way) = way_back(&request, shared) else { break };
        let _turn = way.turn.lock().unwrap();
        if (&way.stream).write_all(responses.concat().as_bytes()).is_err() {
            continue;
        }
        shared.responses.fetch_add(responses.len() as u64, Ordering::Relaxed);
    }
    shared.connections.lock().unwrap().retain(|other| !Arc::ptr_eq(other, &connection));
}

/// The connection that a call is answered on.
fn way_back(request: &str, shared: &Shared) -> Option<Arc<Connection>> {
    let connections = shared.connections.lock().unwrap();
    let sum: usize = header(request, "Call-ID").bytes().map(usize::from).sum();
    connections.get(sum % connections.len().max(1)).cloned()
}
