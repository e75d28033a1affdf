//! Clients that behave badly, by malice or by misfortune.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::PATIENCE;
use crate::message::{Held, request, request_for_body};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It resets its connection as soon as it has called, which may be before anybody has seen it.
    Vanishes,
    /// It calls, is answered, and resets its connection when it has asked for more.
    Resets,
    /// It calls, and closes its connection.
    Leaves,
    /// It calls, finishes sending and stays.
    FinishesSending,
    /// It sends half a request.
    StopsInMidMessage,
    /// It asks for more than may be queued for it, and reads nothing.
    NeverReads,
    /// It sends what is no SIP, or SIP whose end cannot be told, and stays.
    TalksNonsense,
    /// It asks for much, though for no more than may be queued for it, and reads all of it slowly.
    ReadsSlowly,
    /// It says nothing.
    IsSilent,
}

impl Conduct {
    /// Does it on `count` connections, and gives those that are still open. Names tell calls apart.
    pub fn show(self, to: SocketAddr, name: &str, count: usize) -> Vec<TcpStream> {
        let names: Vec<String> = (0..count).map(|nth| format!("{name}-{nth}")).collect();
        let open: Vec<TcpStream> = names.iter().map(|name| self.begin(to, name)).collect();
        match self {
            Conduct::Vanishes => open.into_iter().for_each(reset),
            Conduct::Resets => {
                let mid_call = |(stream, name): (TcpStream, &String)| {
                    hear(&stream);
                    say(&stream, request("BYE", name).as_bytes());
                    reset(stream);
                };
                open.into_iter().zip(&names).for_each(mid_call);
            }
            Conduct::Leaves => drop(open),
            Conduct::ReadsSlowly => {
                thread::sleep(Duration::from_millis(500));
                open.iter().for_each(read_slowly);
            }
            _ => return open,
        }
        Vec::new()
    }

    fn begin(self, to: SocketAddr, name: &str) -> TcpStream {
        let invite = request("INVITE", name);
        let stream = match self {
            Conduct::NeverReads | Conduct::ReadsSlowly => narrow(to),
            _ => connect(to),
        };
        match self {
            Conduct::Vanishes | Conduct::Resets | Conduct::Leaves => say(&stream, invite.as_bytes()),
            Conduct::FinishesSending => {
                say(&stream, invite.as_bytes());
                stream.shutdown(Shutdown::Write).unwrap();
            }
            Conduct::StopsInMidMessage => say(&stream, &invite.as_bytes()[..invite.len() / 2]),
            Conduct::NeverReads => ask(&stream, name, REQUESTS_UNREAD),
            Conduct::TalksNonsense => say(&stream, &nonsense(name)),
            Conduct::ReadsSlowly => ask(&stream, name, REQUESTS_READ),
            Conduct::IsSilent => {}
        }
        stream
    }
}

/// Waits until the program has finished sending on a connection, or reset it.
pub fn see_end(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match io::copy(&mut stream, &mut io::sink()) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => {}
    }
}

/// How long a large answer's body is.
pub const LARGE_BODY_BYTES: usize = 30_000;

/// So much that neither the queue nor the sockets of a narrow connection hold it.
pub const REQUESTS_UNREAD: usize = 20;

/// So little that the queue holds it.
const REQUESTS_READ: usize = 3;

/// Asks for that many large answers.
fn ask(stream: &TcpStream, name: &str, count: usize) {
    for nth in 0..count {
        say(stream, request_for_body(&format!("{name}-{nth}"), LARGE_BODY_BYTES).as_bytes());
    }
}

/// A connection.
pub fn connect(to: SocketAddr) -> TcpStream {
    TcpStream::connect_timeout(&to, PATIENCE).unwrap()
}

fn hear(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

/// Ends a connection at once, whatever is still to come.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// A connection whose sockets hold little. Its segments are small: by these the kernel measures how much it holds to be
/// sent.
pub fn narrow(to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    socket.into()
}

/// Says it, though the connection may have ended.
fn say(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap_or_default();
}

fn nonsense(name: &str) -> Vec<u8> {
    let number = name.bytes().map(usize::from).sum::<usize>();
    match number % 5 {
        0 => b"GET / HTTP/1.1\r\nHost: viaduct\r\n\r\n".to_vec(),
        1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(40),
        2 => request("INVITE", name).replace("Content-Length: 0", "Content-Length: -1").into_bytes(),
        3 => request("INVITE", name).replace("Content-Length: 0\r\n", "").into_bytes(),
        _ => vec![b'A'; 40_000],
    }
}

fn read_slowly(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut held = Held::default();
    for _ in 0..REQUESTS_READ {
        let message = held.message(Sips(stream)).unwrap();
        assert!(message.starts_with("SIP/2.0 200 ") && message.len() > LARGE_BODY_BYTES, "{message}");
    }
}

/// Reads a little at a time.
struct Sips<'a>(&'a TcpStream);

impl Read for Sips<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(512);
        self.0.read(&mut buffer[..len])
    }
}
