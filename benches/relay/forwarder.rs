//! The floor: a forwarder that receives and sends as Viaduct does and reads nothing but line ends; over TCP not even those.
//!
//! It puts a Via of a fixed text under the first line of a request and gives requests to the backends in turn; of a
//! response it takes the line under the first away and sends it to the client that it has seen last. Connections it
//! gives to the backends in turn, and passes on what they bring.

use std::net::SocketAddr;

use viaduct::io::socket::{SocketOptions, StreamSocketOptions, open_tcp, open_udp};
use viaduct::io::{
    Accepted, Choice, Closed, ConnectionId, Datagram, Doorbell, Engine, Handler, Lost, Options, Outbox, Output,
    SendError, Sockets, Transmit,
};

use crate::line::Transport;

/// Forwards until it is ended from outside.
pub fn run(transport: Transport, listen: SocketAddr, backends: Vec<SocketAddr>) -> Result<(), String> {
    let sockets = match transport {
        Transport::Udp => {
            let options = SocketOptions { receive_buffer_bytes: 4 << 20, send_buffer_bytes: 4 << 20 };
            open_udp(listen, &options).map(|socket| Sockets { datagrams: vec![socket], ..Sockets::default() })
        }
        _ => open_tcp(listen, &StreamSocketOptions::default())
            .map(|socket| Sockets { listeners: vec![socket], ..Sockets::default() }),
    };
    let sockets = sockets.map_err(|error| format!("{listen}: {error}"))?;
    let doorbell = Doorbell::new().map_err(|error| error.to_string())?;
    let opened = Engine::open(Choice::Poll, sockets, &Options::default(), &doorbell);
    let mut engine = opened.map_err(|error| error.to_string())?.engine;
    let mut forwarder = Forwarder { backends, next: 0, client: listen, others: Vec::new() };
    loop {
        engine.turn(&mut forwarder, None).map_err(|error| error.to_string())?;
    }
}

struct Forwarder {
    backends: Vec<SocketAddr>,
    next: usize,
    client: SocketAddr,
    /// For each connection, by the engine's slots, the one that what it brings goes to.
    others: Vec<Option<ConnectionId>>,
}

/// About as long as the Via that Viaduct writes and what it adds to the one below.
const VIA: &[u8] =
    b"Via: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK0123456789a0123456789;vd=0123456789ab012345678\r\n";

impl Handler for Forwarder {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        let outbox = &mut out.datagrams;
        let message = datagram.bytes;
        let Some(line_end) = memchr::memchr(b'\n', message).map(|end| end + 1) else { return };
        let (first_line, rest) = message.split_at(line_end);
        if message.starts_with(b"SIP/") {
            let Some(via_end) = memchr::memchr(b'\n', rest).map(|end| end + 1) else { return };
            return send(outbox, [first_line, b"", &rest[via_end..]], self.client);
        }
        self.client = datagram.peer;
        let backend = self.next_backend();
        send(outbox, [first_line, VIA, rest], backend);
    }

    fn sent(&mut self, _tag: u16) {}

    fn send_failed(&mut self, _tag: u16, error: SendError, _lost: Lost<'_>) {
        eprintln!("the forwarder could not send: {error:?}");
    }

    fn accepted(&mut self, accepted: Accepted, out: &mut Output) {
        let backend = self.next_backend();
        match out.streams.connect(backend, None) {
            Ok(other) => self.join(accepted.connection, other),
            Err(_) => out.streams.abort(accepted.connection),
        }
    }

    fn received(&mut self, connection: ConnectionId, bytes: &[u8], out: &mut Output) {
        let Some(Some(other)) = self.others.get(connection.slot()) else { return };
        if let Ok(mut slot) = out.streams.reserve(*other, bytes.len()) {
            slot.buffer().copy_from_slice(bytes);
            return slot.send(bytes.len(), None);
        }
        // Nothing may be missing in a stream.
        out.streams.abort(connection);
    }

    fn peer_finished(&mut self, connection: ConnectionId, out: &mut Output) {
        out.streams.close(connection);
    }

    fn closed(&mut self, connection: ConnectionId, _why: Closed, out: &mut Output) {
        let Some(other) = self.others.get_mut(connection.slot()).and_then(Option::take) else { return };
        self.others[other.slot()] = None;
        out.streams.abort(other);
    }
}

impl Forwarder {
    fn next_backend(&mut self) -> SocketAddr {
        self.next = (self.next + 1) % self.backends.len();
        self.backends[self.next]
    }

    fn join(&mut self, one: ConnectionId, other: ConnectionId) {
        let slots = 1 + one.slot().max(other.slot());
        self.others.resize(self.others.len().max(slots), None);
        (self.others[one.slot()], self.others[other.slot()]) = (Some(other), Some(one));
    }
}

fn send(outbox: &mut Outbox, parts: [&[u8]; 3], to: SocketAddr) {
    let Some(mut slot) = outbox.reserve() else { return };
    let mut len = 0;
    for part in parts {
        slot.buffer()[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    slot.send(len, Transmit { socket: 0, to, from: None, tag: 0 });
}
