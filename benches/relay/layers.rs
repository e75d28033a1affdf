//! What lies between a client's connection and its messages: TLS, WebSocket, or one within the other.
//!
//! Libraries' own connections looked better, as other codecs than Viaduct's. They read from sockets and buffer again what they
//! read, and the generator must stay ahead of what is measured.

use bytes::BytesMut;
use viaduct::frame::tls::{ClientTls, PeerName, Tls};

use crate::line::Transport;

/// The codecs of one connection.
pub struct Layers {
    tls: Option<Tls>,
    socket: Option<Socket>,
    is_open: bool,
    /// Ciphertext, or frames, that must be sent.
    wire: BytesMut,
    plaintext: Vec<u8>,
    frame: Vec<u8>,
}

/// A client's WebSocket.
#[derive(Default)]
struct Socket {
    is_open: bool,
    /// The answer to the upgrade, or a frame's head, as far as it has come.
    head: Vec<u8>,
    /// How much of a frame's payload is still to come, in bytes.
    left: usize,
}

/// What every client asks for.
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Protocol: sip\r\n\r\n";

impl Layers {
    /// Those of a client that speaks by this transport; `None` where nothing lies between.
    pub fn of(transport: Transport, trusted: &ClientTls) -> Option<Layers> {
        let mut wire = BytesMut::new();
        let name = PeerName::new("127.0.0.1").expect("a name");
        let tls = transport.is_secure().then(|| trusted.connect(&name, &mut wire).expect("a hello"));
        let socket = transport.is_web_socket().then(Socket::default);
        if tls.is_none() && socket.is_some() {
            wire.extend_from_slice(UPGRADE);
        }
        let is_there = tls.is_some() || socket.is_some();
        let (plaintext, frame) = Default::default();
        is_there.then_some(Layers { tls, socket, is_open: false, wire, plaintext, frame })
    }

    /// What must be sent by now.
    pub fn take_wire(&mut self) -> BytesMut {
        self.wire.split()
    }

    /// Takes what has come, and puts what it says behind `said`, without frames. Whether the last handshake has become
    /// complete by it.
    pub fn feed(&mut self, bytes: &[u8], said: &mut Vec<u8>) -> bool {
        let mut plaintext = std::mem::take(&mut self.plaintext);
        plaintext.clear();
        match &mut self.tls {
            Some(tls) => {
                let progress = tls.feed(bytes, |piece| plaintext.extend_from_slice(piece), &mut self.wire);
                let is_new = progress.expect("the device speaks TLS").is_established;
                if is_new && self.socket.is_some() {
                    tls.seal(UPGRADE, &mut self.wire).expect("TLS is open");
                }
            }
            None => plaintext.extend_from_slice(bytes),
        }
        match &mut self.socket {
            Some(socket) => socket.feed(&plaintext, said),
            None => said.extend_from_slice(&plaintext),
        }
        self.plaintext = plaintext;
        let tls_is_open = self.tls.as_ref().is_none_or(Tls::is_established);
        let is_open = tls_is_open && self.socket.as_ref().is_none_or(|socket| socket.is_open);
        !std::mem::replace(&mut self.is_open, is_open) && is_open
    }

    /// Puts a message behind what must be sent.
    pub fn say(&mut self, message: &[u8]) {
        self.frame.clear();
        if self.socket.is_some() {
            write_frame_head(message.len(), &mut self.frame);
        }
        self.frame.extend_from_slice(message);
        match &mut self.tls {
            Some(tls) => tls.seal(&self.frame, &mut self.wire).expect("TLS is open"),
            None => self.wire.extend_from_slice(&self.frame),
        }
    }
}

impl Socket {
    fn feed(&mut self, bytes: &[u8], said: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match self.left {
                0 => self.take_of_head(rest[0]),
                left => {
                    let taken = left.min(rest.len());
                    said.extend_from_slice(&rest[..taken]);
                    self.left -= taken;
                    taken
                }
            };
            rest = &rest[taken..];
        }
    }

    fn take_of_head(&mut self, byte: u8) -> usize {
        self.head.push(byte);
        if !self.is_open {
            if self.head.ends_with(b"\r\n\r\n") {
                assert!(self.head.starts_with(b"HTTP/1.1 101 "), "the device refuses WebSocket");
                self.is_open = true;
                self.head.clear();
            }
            return 1;
        }
        let length = match self.head[..] {
            [_, 126, high, low] => Some(usize::from(u16::from_be_bytes([high, low]))),
            [_, short] if short < 126 => Some(short.into()),
            _ => None,
        };
        if let Some(length) = length {
            assert!(matches!(self.head[0], 0x81 | 0x82), "a frame of the device's that is no message");
            self.left = length;
            self.head.clear();
        }
        1
    }
}

/// The head of a binary message's only frame. Its mask is 0, so that masking costs the generator nothing.
fn write_frame_head(length: usize, frame: &mut Vec<u8>) {
    const MASKED: u8 = 0x80;
    frame.push(0x82);
    match u8::try_from(length) {
        Ok(short) if short < 126 => frame.push(MASKED | short),
        _ => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
}
