//! The way to a collector: a socket over UDP, or a connection over TCP.

use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::look_up::LookUp;

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Whether it is spoken to over TCP, and not over UDP.
    pub is_stream: bool,
    /// Its name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.is_stream { "tcp" } else { "udp" }, self.host, self.port)
    }
}

/// An open way to a collector.
#[derive(Debug)]
pub(super) enum Link {
    Datagrams(UdpSocket),
    Stream(OwnedReadHalf, OwnedWriteHalf),
}

/// How long a connection to one address may take to open.
const CONNECT: Duration = Duration::from_secs(2);

/// How long what is sent over a stream may stay without acknowledgement: a collector's machine that is gone says nothing.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

impl Link {
    /// Looks the collector up and opens a way to it: to the first of its addresses that works.
    pub(super) async fn open(collector: &Collector, look_up: &mut LookUp) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in look_up.addresses(&collector.host, collector.port).await? {
            match timeout(CONNECT, Link::open_to(address, collector.is_stream)).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(error)) => last = error,
                // It does not keep the next one from being tried.
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn open_to(address: SocketAddr, is_stream: bool) -> io::Result<Self> {
        if is_stream {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
            let (read, write) = stream.into_split();
            return Ok(Link::Stream(read, write));
        }
        let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        Ok(Link::Datagrams(socket))
    }

    /// How many bytes of packets to send together, where a stream takes that many: one packet a datagram.
    pub(super) fn batch_bytes(&self, of_stream: usize) -> usize {
        match self {
            Link::Datagrams(_) => 0,
            Link::Stream(..) => of_stream,
        }
    }

    /// Whether it can be used on after an error of sending.
    pub(super) fn outlives_errors(&self) -> bool {
        matches!(self, Link::Datagrams(_))
    }

    /// Whether it is to be opened anew now and then, since nothing tells that the collector has moved.
    pub(super) fn is_renewed(&self) -> bool {
        matches!(self, Link::Datagrams(_))
    }

    pub(super) async fn send(&mut self, packets: &[u8]) -> io::Result<()> {
        match self {
            Link::Datagrams(socket) => socket.send(packets).await.map(|_| ()),
            Link::Stream(_, write) => write.write_all(packets).await,
        }
    }

    /// Waits until the collector ends the connection. What it says meanwhile is passed over: HEP has no answers.
    pub(super) async fn broken(&mut self) -> io::Error {
        let Link::Stream(read, _) = self else { return std::future::pending().await };
        let mut passed_over = [0; 1024];
        loop {
            match read.read(&mut passed_over).await {
                Ok(0) => return io::Error::new(io::ErrorKind::UnexpectedEof, "the collector closed the connection"),
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    }
}
