//! A user agent of a few lines, for messages that SIPp does not send.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// What is said where a message does not come.
pub const TIMEOUT: &str = "nothing came within five seconds";

/// A socket that sends and receives SIP.
pub struct Agent {
    /// Where it is.
    pub address: SocketAddr,
    socket: UdpSocket,
}

impl Agent {
    /// Binds it.
    pub fn open(address: SocketAddr) -> Agent {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Agent { address, socket }
    }

    /// Sends a message.
    pub fn send(&self, to: SocketAddr, message: &str) {
        self.socket.send_to(message.as_bytes(), to).unwrap();
    }

    /// The next message and its sender; none within five seconds.
    pub fn receive(&self) -> Option<(String, SocketAddr)> {
        let mut buffer = vec![0; 65_535];
        let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
        Some((String::from_utf8_lossy(&buffer[..len]).into_owned(), from))
    }

    /// Sends a message and gives the next one that comes.
    pub fn ask(&self, to: SocketAddr, message: &str) -> Option<String> {
        self.send(to, message);
        self.receive().map(|(answer, _)| answer)
    }
}

/// A request for `to` itself, from an agent at `from`. Two requests with the same `call_id` have the same branch.
pub fn request(method: &str, to: SocketAddr, from: SocketAddr, call_id: &str, max_forwards: u32) -> String {
    format!(
        "{method} sip:{to} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK{call_id};rport\r\n\
         Max-Forwards: {max_forwards}\r\n\
         From: <sip:caller@{from}>;tag=1\r\n\
         To: <sip:{to}>\r\n\
         Call-ID: {call_id}@{from}\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:caller@{from}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The 200 for a request that came from `source`, with `received` and `rport` filled in as RFC 3581 says.
pub fn answer_200(request: &str, source: SocketAddr) -> String {
    let copied = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = request.lines().filter(copied).collect();
    let stamp = format!(";received={};rport={};", source.ip(), source.port());
    let vias = lines.join("\r\n").replacen(";rport;", &stamp, 1);
    format!("SIP/2.0 200 OK\r\n{vias}\r\nContent-Length: 0\r\n\r\n")
}
