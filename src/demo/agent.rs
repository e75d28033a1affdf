//! A socket that feeds a state machine: datagrams and the time go in, datagrams come out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

use super::message::Message;

/// Messages to be sent, each with where to.
pub type Outgoing = Vec<(Bytes, SocketAddr)>;

/// A user agent without I/O.
pub trait Agent {
    /// A message came from `peer`.
    fn on_message(&mut self, message: &Message<'_>, peer: SocketAddr, now: Instant, out: &mut Outgoing);

    /// Time has passed. Comes at least every few milliseconds.
    fn on_time(&mut self, now: Instant, out: &mut Outgoing);
}

/// How often an agent looks at the time.
const TICK: Duration = Duration::from_millis(2);

/// Room in the kernel for bursts, a socket. The kernel caps it at net.core.rmem_max.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// A socket on that address, at a port that the kernel chooses.
pub fn open(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((ip, 0))?;
    socket.set_nonblocking(true)?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    UdpSocket::from_std(socket)
}

/// Runs an agent until the task is aborted.
pub async fn run(socket: UdpSocket, mut agent: impl Agent) {
    let mut datagram = vec![0; 65_535];
    let mut out = Outgoing::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            received = socket.recv_from(&mut datagram) => match received {
                Ok((length, peer)) => {
                    if let Some(message) = Message::read(&datagram[..length]) {
                        agent.on_message(&message, peer, Instant::now(), &mut out);
                    }
                }
                // The next look comes after a pause, so that an error that stays does not spin.
                Err(_) => drop(tick.tick().await),
            },
            _ = tick.tick() => agent.on_time(Instant::now(), &mut out),
        }
        for (message, to) in out.drain(..) {
            // A datagram that cannot be sent is lost like any other, and retransmitted.
            let _ = socket.send_to(&message, to).await;
        }
    }
}
