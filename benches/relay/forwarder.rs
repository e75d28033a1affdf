//! The floor: a forwarder that receives and sends as Viaduct does and reads nothing but line ends.
//!
//! It puts a Via of a fixed text under the first line of a request and gives requests to the backends in turn; of a
//! response it takes the line under the first away and sends it to the client that it has seen last.

use std::net::SocketAddr;

use viaduct::io::socket::{SocketOptions, open_udp};
use viaduct::io::{Choice, Datagram, Doorbell, Engine, Handler, Options, Outbox, Output, SendError, Sockets, Transmit};

/// Forwards until it is ended from outside.
pub fn run(listen: SocketAddr, backends: Vec<SocketAddr>) -> Result<(), String> {
    let options = SocketOptions { receive_buffer_bytes: 4 << 20, send_buffer_bytes: 4 << 20 };
    let socket = open_udp(listen, &options).map_err(|error| format!("{listen}: {error}"))?;
    let doorbell = Doorbell::new().map_err(|error| error.to_string())?;
    let sockets = Sockets { datagrams: vec![socket], ..Sockets::default() };
    let opened = Engine::open(Choice::Poll, sockets, &Options::default(), &doorbell);
    let mut engine = opened.map_err(|error| error.to_string())?.engine;
    let mut forwarder = Forwarder { backends, next: 0, client: listen };
    loop {
        engine.turn(&mut forwarder, None).map_err(|error| error.to_string())?;
    }
}

struct Forwarder {
    backends: Vec<SocketAddr>,
    next: usize,
    client: SocketAddr,
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
        self.next = (self.next + 1) % self.backends.len();
        send(outbox, [first_line, VIA, rest], self.backends[self.next]);
    }

    fn sent(&mut self, _tag: u16) {}

    fn send_failed(&mut self, _tag: u16, error: SendError) {
        eprintln!("the forwarder could not send: {error:?}");
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
