//! Opens TCP sockets: listeners, and the ends of connections that go out.
//!
//! Setting the options on each accepted connection looks more explicit. Linux copies them from the listener, which
//! spares several system calls for each connection; `tests/io` holds it to that.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{set, set_receive_buffer, set_send_buffer};

/// Options of TCP sockets. Connections have those of the listener that they came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSocketOptions {
    /// Whether small segments leave at once (`TCP_NODELAY`). Without, a message may wait 40 ms for the one before it
    /// to be acknowledged.
    pub no_delay: bool,
    /// Whether the kernel asks a silent peer for a sign of life (`SO_KEEPALIVE`), and when.
    pub keepalive: Option<Keepalive>,
    /// For how long what was sent may stay unacknowledged before the connection ends (`TCP_USER_TIMEOUT`). Zero: the
    /// kernel's limit, about 15 minutes.
    pub user_timeout_ms: u32,
    /// How many connections may wait to be accepted; the kernel grants at most `net.core.somaxconn`.
    pub backlog: u32,
    /// How much may wait to be received. Zero lets the kernel choose, and change it as it goes.
    pub receive_buffer_bytes: u32,
    /// How much may wait to be sent and acknowledged, in the kernel. Zero as above.
    pub send_buffer_bytes: u32,
}

/// When a silent peer is asked for a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// After how long a silence (`TCP_KEEPIDLE`), in whole seconds, at least one.
    pub idle: Duration,
    /// How long between two questions (`TCP_KEEPINTVL`), in whole seconds, at least one.
    pub interval: Duration,
    /// How many questions without answer end the connection (`TCP_KEEPCNT`), 1 to 127.
    pub count: u32,
}

impl Default for StreamSocketOptions {
    /// Segments leave at once; a peer that has gone is noticed within two minutes, or half a minute when something is
    /// sent to it.
    fn default() -> Self {
        Self {
            no_delay: true,
            keepalive: Some(Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(15), count: 4 }),
            user_timeout_ms: 30_000,
            backlog: 4096,
            receive_buffer_bytes: 0,
            send_buffer_bytes: 0,
        }
    }
}

/// Opens, binds and listens, for an [`Engine`](crate::io::Engine).
///
/// It shares its port with the listeners of the other shards (`SO_REUSEPORT`), among which the kernel spreads the
/// connections, binds though old connections linger (`SO_REUSEADDR`), and takes no IPv4 connections if the address is
/// IPv6 (`IPV6_V6ONLY`). Connections are accepted from here on, if only by the kernel. Errors are those of bind(2).
pub fn open_tcp(address: SocketAddr, options: &StreamSocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(true)?;
    only_v6(&socket, address)?;
    socket.set_nonblocking(true)?;
    apply(&socket, options)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Has a listener listen again that was stopped; one that listens stays as it is.
pub(crate) fn listen_on(listener: &TcpListener) -> io::Result<()> {
    let socket = SockRef::from(listener);
    match socket.is_listener()? {
        true => Ok(()),
        false => socket.listen(StreamSocketOptions::default().backlog as i32),
    }
}

/// Whether an address is free for a listener, and which port the kernel chooses where port 0 is given: as
/// [`claim_udp`](super::claim_udp).
///
/// Errors are those of bind(2); `AddrInUse` where any socket listens there, shared or not.
pub fn claim_tcp(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    only_v6(&socket, address)?;
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?;
    bound.as_socket().ok_or_else(|| io::Error::other("the bound address is no IP address"))
}

/// Makes the socket of a connection that is to be opened to `to`, and binds it to `from` where one is given.
pub(crate) fn open_outgoing(
    to: SocketAddr,
    from: Option<IpAddr>,
    options: &StreamSocketOptions,
    nonblocking: bool,
) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(nonblocking)?;
    apply(&socket, options)?;
    if let Some(from) = from {
        // The port is then chosen by connect(2), which knows the destination: a port may serve many destinations.
        set(&socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    Ok(socket.into())
}

fn apply(socket: &Socket, options: &StreamSocketOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(options.no_delay)?;
    if let Some(keepalive) = options.keepalive {
        let times = TcpKeepalive::new()
            .with_time(keepalive.idle.max(SECOND))
            .with_interval(keepalive.interval.max(SECOND))
            .with_retries(keepalive.count.clamp(1, 127));
        socket.set_tcp_keepalive(&times)?;
    }
    if options.user_timeout_ms > 0 {
        socket.set_tcp_user_timeout(Some(Duration::from_millis(options.user_timeout_ms.into())))?;
    }
    set_receive_buffer(socket, options.receive_buffer_bytes)?;
    set_send_buffer(socket, options.send_buffer_bytes)
}

const SECOND: Duration = Duration::from_secs(1);

fn only_v6(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => Ok(()),
        SocketAddr::V6(_) => socket.set_only_v6(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_share_a_port_and_a_family_keeps_to_itself() {
        let options = StreamSocketOptions::default();
        let first = open_tcp("[::]:0".parse().unwrap(), &options).unwrap();
        let port = first.local_addr().unwrap().port();
        open_tcp(first.local_addr().unwrap(), &options).unwrap();
        TcpListener::bind(("0.0.0.0", port)).expect("the IPv4 port is free");
    }

    #[test]
    fn an_address_is_claimed_only_where_nobody_listens() {
        let free = claim_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(free.port(), 0);
        let _held = open_tcp(free, &StreamSocketOptions::default()).unwrap();
        assert_eq!(claim_tcp(free).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
