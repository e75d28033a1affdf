//! A backend over UDP, or over TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::running::PATIENCE;

/// A backend over UDP.
pub struct Backend(UdpSocket);

impl Backend {
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.7.0.2:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Backend(socket)
    }

    pub fn setting(&self) -> String {
        format!("one=udp://{}", self.0.local_addr().unwrap())
    }

    pub fn message(&self) -> (String, SocketAddr) {
        datagram(&self.0)
    }

    pub fn send(&self, message: &str, to: SocketAddr) {
        self.0.send_to(message.as_bytes(), to).unwrap();
    }

    /// Takes a request and answers it 200.
    pub fn answer(&self) -> String {
        let (request, from) = self.message();
        self.send(&response(&request), from);
        request
    }
}

/// The next datagram, and its sender.
pub fn datagram(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 65_535];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => return (String::from_utf8(buffer[..len].to_vec()).unwrap(), from),
            // A wait that has a time is not taken up again by itself.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no datagram came: {error}"),
        }
    }
}

/// A backend over TLS that wants Viaduct's certificate.
pub struct SecureBackend {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl SecureBackend {
    pub fn new(config: Arc<ServerConfig>, address: &str) -> Self {
        SecureBackend { listener: TcpListener::bind(address).unwrap(), config }
    }

    pub fn accept(&self) -> StreamOwned<ServerConnection, TcpStream> {
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(ServerConnection::new(self.config.clone()).unwrap(), socket)
    }
}

/// The next message on a stream, which has no body.
pub fn message(stream: &mut impl Read) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with("\r\n\r\n") {
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "the connection is closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
    }
    text
}

pub fn say(stream: &mut impl Write, text: &str) {
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).unwrap();
}

/// The answer 200 to a request.
pub fn response(request: &str) -> String {
    let is_kept = |line: &&str| !line.starts_with("Max-Forwards") && !line.starts_with("Contact");
    let kept: Vec<&str> = request.lines().skip(1).filter(is_kept).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\n", kept.join("\r\n"))
}
