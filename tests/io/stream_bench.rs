//! An engine with a listener and a UDP socket, and a handler that writes down all it is told of connections.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use viaduct::io::socket::{SocketOptions, StreamSocketOptions, open_tcp, open_udp};
use viaduct::io::{
    Accepted, Choice, Closed, ConnectionId, Datagram, Doorbell, Engine, EngineKind, Handler, Lost, NotQueued, Options,
    Output, SendError, Sockets, StreamOptions, Turn,
};

use crate::PATIENCE;

/// The engine and what it told.
pub struct Bench {
    pub engine: Engine,
    pub kind: EngineKind,
    pub address: SocketAddr,
    pub udp: SocketAddr,
    pub log: Log,
    pub total: Turn,
}

/// What a handler is told, and what it does.
#[derive(Default)]
pub struct Log {
    pub accepted: Vec<Accepted>,
    pub connected: Vec<(ConnectionId, SocketAddr)>,
    pub received: HashMap<ConnectionId, Vec<u8>>,
    pub peer_finished: Vec<ConnectionId>,
    pub closed: Vec<(ConnectionId, Closed)>,
    pub outcomes: Vec<(u16, Option<SendError>)>,
    pub datagrams: usize,
    /// Answer what arrives with the same bytes.
    pub echo: bool,
    /// Keep nothing of what arrives.
    pub forget: bool,
    /// Close connections whose peers have finished.
    pub close: bool,
    over: HashSet<ConnectionId>,
}

impl Bench {
    pub fn open(choice: Choice, streams: StreamOptions) -> Self {
        Self::with(choice, &Options { streams, ..Options::default() }, &StreamSocketOptions::default())
    }

    pub fn with(choice: Choice, options: &Options, listening: &StreamSocketOptions) -> Self {
        let listener = open_tcp("127.0.0.1:0".parse().unwrap(), listening).unwrap();
        Self::over(choice, options, vec![listener])
    }

    pub fn over(choice: Choice, options: &Options, listeners: Vec<TcpListener>) -> Self {
        let udp = open_udp("127.0.0.1:0".parse().unwrap(), &SocketOptions::default()).unwrap();
        let (address, udp_address) = (listeners[0].local_addr().unwrap(), udp.local_addr().unwrap());
        let sockets = Sockets { datagrams: vec![udp], listeners };
        let opened = Engine::open(choice, sockets, options, &Doorbell::new().unwrap()).unwrap();
        let (engine, kind) = (opened.engine, opened.kind);
        Self { engine, kind, address, udp: udp_address, log: Log::default(), total: Turn::default() }
    }

    /// A client, and the name of its connection.
    pub fn client(&mut self) -> (TcpStream, ConnectionId) {
        let client = connect(self.address);
        let before = self.log.accepted.len();
        self.run_until(|log| log.accepted.len() > before);
        (client, self.log.accepted[before].connection)
    }

    pub fn queue(&mut self, id: ConnectionId, bytes: &[u8], tag: Option<u16>) -> Result<(), NotQueued> {
        let mut slot = self.engine.output().streams.reserve(id, bytes.len())?;
        slot.buffer().copy_from_slice(bytes);
        slot.send(bytes.len(), tag);
        Ok(())
    }

    pub fn turn(&mut self, timeout: Duration) -> Turn {
        let turn = self.engine.turn(&mut self.log, Some(timeout)).unwrap();
        self.total.completions += turn.completions;
        self.total.accepted += turn.accepted;
        self.total.accepts_refused += turn.accepts_refused;
        self.total.accept_errors += turn.accept_errors;
        self.total.stream_bytes += turn.stream_bytes;
        self.total.stream_starved += turn.stream_starved;
        turn
    }

    pub fn run_until(&mut self, done: impl Fn(&Log) -> bool) {
        let start = Instant::now();
        while !done(&self.log) {
            assert!(start.elapsed() < PATIENCE, "timed out on {:?} with {:?}", self.kind, self.total);
            self.turn(Duration::from_millis(20));
        }
    }

    /// Turns until nothing happens any more.
    pub fn settle(&mut self) {
        while self.turn(Duration::from_millis(5)) != Turn::default() || self.turn(Duration::ZERO) != Turn::default() {}
    }
}

impl Log {
    pub fn bytes_of(&self, id: ConnectionId) -> &[u8] {
        self.received.get(&id).map_or(&[], Vec::as_slice)
    }

    pub fn why(&self, id: ConnectionId) -> Option<Closed> {
        self.closed.iter().find(|(closed, _)| *closed == id).map(|(_, why)| *why)
    }

    fn check(&self, id: ConnectionId) {
        assert!(!self.over.contains(&id), "{id:?} is over");
    }
}

impl Handler for Log {
    fn datagram(&mut self, _: Datagram<'_>, _: &mut Output) {
        self.datagrams += 1;
    }

    fn sent(&mut self, tag: u16) {
        self.outcomes.push((tag, None));
    }

    fn send_failed(&mut self, tag: u16, error: SendError, _: Lost<'_>) {
        self.outcomes.push((tag, Some(error)));
    }

    fn accepted(&mut self, accepted: Accepted, _: &mut Output) {
        self.check(accepted.connection);
        self.accepted.push(accepted);
    }

    fn connected(&mut self, id: ConnectionId, local: SocketAddr, _: &mut Output) {
        self.check(id);
        self.connected.push((id, local));
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) {
        self.check(id);
        assert!(!bytes.is_empty());
        if !self.forget {
            self.received.entry(id).or_default().extend(bytes);
        }
        if self.echo
            && let Ok(mut slot) = out.streams.reserve(id, bytes.len())
        {
            slot.buffer().copy_from_slice(bytes);
            slot.send(bytes.len(), None);
        }
    }

    fn peer_finished(&mut self, id: ConnectionId, out: &mut Output) {
        self.check(id);
        self.peer_finished.push(id);
        if self.close {
            out.streams.close(id);
        }
    }

    fn closed(&mut self, id: ConnectionId, why: Closed, _: &mut Output) {
        self.check(id);
        self.closed.push((id, why));
        self.over.insert(id);
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

pub fn read(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes that show where they are.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(u32::to_be_bytes).take(length).collect()
}

/// Makes the kernel reset the connection.
pub fn reset(client: TcpStream) {
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
}
