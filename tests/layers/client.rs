//! A user agent on a connection: plain, TLS, WebSocket, or WebSocket over TLS, by other libraries than Viaduct's codecs.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::running::{NAME, PATIENCE, Running};

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Way {
    pub const ALL: [Way; 4] = [Way::Tcp, Way::Tls, Way::Ws, Way::Wss];

    pub fn label(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn address(self, viaduct: &Running) -> SocketAddr {
        match self {
            Way::Tcp => viaduct.tcp,
            Way::Tls => viaduct.tls,
            Way::Ws => viaduct.ws,
            Way::Wss => viaduct.wss,
        }
    }
}

/// Bytes both ways, with an end of their own.
pub trait Wire: Read + Write {
    /// Says that nothing more will come.
    fn finish(&mut self);
}

impl Wire for TcpStream {
    fn finish(&mut self) {}
}

impl Wire for StreamOwned<ClientConnection, TcpStream> {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
    }
}

enum Codec {
    Stream(Box<dyn Wire>, String),
    WebSocket(Box<WebSocket<Box<dyn Wire>>>),
}

/// A connection of a client's.
pub struct Client {
    pub way: Way,
    socket: TcpStream,
    codec: Codec,
}

impl Client {
    pub fn open(viaduct: &Running, way: Way) -> Self {
        Self::open_with(viaduct, way, b"", viaduct.authority.client(None)).unwrap()
    }

    /// One whose connection begins with `head`.
    pub fn open_with(viaduct: &Running, way: Way, head: &[u8], tls: Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(way.address(viaduct))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        socket.write_all(head)?;
        let wire: Box<dyn Wire> = match way {
            Way::Tcp | Way::Ws => Box::new(socket.try_clone()?),
            Way::Tls | Way::Wss => {
                let name = ServerName::try_from(NAME).unwrap();
                let mut stream = StreamOwned::new(ClientConnection::new(tls, name).unwrap(), socket.try_clone()?);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Box::new(stream)
            }
        };
        let codec = match way {
            Way::Tcp | Way::Tls => Codec::Stream(wire, String::new()),
            Way::Ws | Way::Wss => Codec::WebSocket(Box::new(open_web_socket(wire)?)),
        };
        Ok(Client { way, socket, codec })
    }

    pub fn send(&mut self, message: &str) {
        match &mut self.codec {
            Codec::Stream(wire, _) => wire.write_all(message.as_bytes()).and_then(|()| wire.flush()).unwrap(),
            Codec::WebSocket(socket) => socket.send(Message::text(message)).unwrap(),
        }
    }

    /// The next message, which has no body.
    pub fn message(&mut self) -> String {
        match &mut self.codec {
            Codec::Stream(wire, read) => loop {
                if let Some(end) = read.find("\r\n\r\n") {
                    return read.drain(..end + 4).collect();
                }
                let mut buffer = [0; 4096];
                let len = wire.read(&mut buffer).unwrap();
                assert!(len > 0, "the connection is closed after {read:?}");
                read.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
            },
            Codec::WebSocket(socket) => socket.read().unwrap().into_text().unwrap().to_string(),
        }
    }

    /// Waits until Viaduct has closed; whether it said so in good order.
    pub fn is_closed(&mut self) -> bool {
        match &mut self.codec {
            Codec::Stream(wire, _) => wire.read(&mut [0; 4096]).is_ok_and(|len| len == 0),
            Codec::WebSocket(socket) => matches!(socket.read(), Ok(Message::Close(_))),
        }
    }

    /// Ends sending, as each layer has it, and reads on.
    pub fn finish(&mut self) {
        match &mut self.codec {
            Codec::Stream(wire, _) => wire.finish(),
            Codec::WebSocket(socket) => return socket.close(None).and_then(|()| socket.flush()).unwrap(),
        }
        self.cut();
    }

    /// Ends the stream to Viaduct, without a word of any layer.
    pub fn cut(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    pub fn peer(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub fn reset(self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// A request as this client writes it.
    pub fn request(&self, method: &str, id: &str, more: &str) -> String {
        let transport = self.way.label().to_uppercase();
        let uri = if matches!(self.way, Way::Ws | Way::Wss) { "ws" } else { &self.way.label() };
        format!(
            "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/{transport} df7jal23ls0d.invalid;branch=z9hG4bK{id}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {id}@a.example\r\n\
             CSeq: 1 {method}\r\nContact: <sip:a@df7jal23ls0d.invalid;transport={uri}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }
}

fn open_web_socket(wire: Box<dyn Wire>) -> io::Result<WebSocket<Box<dyn Wire>>> {
    let mut request = format!("ws://{NAME}/").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
    match tungstenite::client(request, wire) {
        Ok((socket, response)) => {
            assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
            Ok(socket)
        }
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
