//! How a client's bytes travel: as they are, over TLS, in frames of WebSocket, or in those over TLS; by other codecs than the
//! program's own.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

use crate::authority::NAME;

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Way {
    /// All that have layers.
    pub const LAYERED: [Way; 3] = [Way::Tls, Way::Ws, Way::Wss];

    /// Whether TLS is one of its layers.
    pub fn is_secure(self) -> bool {
        matches!(self, Way::Tls | Way::Wss)
    }

    /// Completes the handshakes of a connection that is open.
    pub fn wrap(self, stream: TcpStream, trusted: &Arc<ClientConfig>) -> io::Result<Box<dyn Wire>> {
        let wire: Box<dyn Wire> = match self.is_secure() {
            true => Box::new(secure(stream, trusted)?),
            false => Box::new(stream),
        };
        match self {
            Way::Tcp | Way::Tls => Ok(wire),
            Way::Ws | Way::Wss => Ok(Box::new(Frames::open(wire)?)),
        }
    }
}

/// Bytes both ways.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// TLS on a connection, its handshake complete.
pub fn secure(stream: TcpStream, trusted: &Arc<ClientConfig>) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let connection = ClientConnection::new(trusted.clone(), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Each SIP message in a message of WebSocket's (RFC 7118 §5), read and written as if it were a stream.
struct Frames {
    socket: WebSocket<Box<dyn Wire>>,
    read: Vec<u8>,
}

impl Frames {
    fn open(wire: Box<dyn Wire>) -> io::Result<Frames> {
        let mut request = format!("ws://{NAME}/").into_client_request().map_err(io::Error::other)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().map_err(io::Error::other)?);
        let (socket, _) = tungstenite::client(request, wire).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Frames { socket, read: Vec::new() })
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.is_empty() {
            self.read = self.socket.read().map_err(as_io)?.into_data().to_vec();
        }
        let len = self.read.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.read[..len]);
        self.read.drain(..len);
        Ok(len)
    }
}

impl Write for Frames {
    /// Takes whole messages without bodies.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        text.split_inclusive("\r\n\r\n")
            .try_for_each(|message| self.socket.send(Message::text(message)))
            .map_err(as_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(as_io)
    }
}

fn as_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}
