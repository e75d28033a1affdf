//! Opens sockets with the options that the engines rely on.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

mod tcp;

pub use tcp::{Keepalive, StreamSocketOptions, claim_tcp, open_tcp};
pub(crate) use tcp::{listen_on, open_outgoing};

/// Buffer sizes of a UDP socket, in bytes of kernel memory (a datagram of 500 bytes takes about 1,280).
/// Zero keeps the kernel's default (`net.core.rmem_default`, `wmem_default`; usually 212,992).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// How much may wait to be received. When it is full the kernel drops what arrives, which
    /// [`Turn::kernel_drops`](super::Turn) counts.
    pub receive_buffer_bytes: u32,
    /// How much may wait for the device. When it is full, sends fail as
    /// [`SendError::WouldBlock`](super::SendError).
    pub send_buffer_bytes: u32,
}

/// Opens and binds a UDP socket for an [`Engine`](super::Engine).
///
/// It shares its port with the sockets of the other shards (`SO_REUSEPORT`), takes no IPv4 traffic if
/// the address is IPv6 (`IPV6_V6ONLY`), tells how many datagrams were dropped before each (`SO_RXQ_OVFL`), and never
/// blocks. Bound to all addresses it tells the destination of each too (`IP_PKTINFO`, `IPV6_RECVPKTINFO`); bound to one it
/// does not, since that takes the kernel some fifty nanoseconds a datagram and says nothing.
///
/// A buffer larger than `net.core.rmem_max` or `wmem_max` needs `CAP_NET_ADMIN`; without it the kernel
/// grants what those allow, and nothing fails. Errors are those of bind(2).
pub fn open_udp(address: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if address.ip().is_unspecified() {
        tell_destination(&socket, address)?;
    }
    set(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    set_receive_buffer(&socket, options.receive_buffer_bytes)?;
    set_send_buffer(&socket, options.send_buffer_bytes)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Whether an address is free, and which port the kernel chooses where port 0 is given: binds it alone, without sharing,
/// and lets it go at once. A socket that shares its port would be given other sockets' datagrams and lose them.
///
/// Errors are those of bind(2); `AddrInUse` where any socket has the port, shared or not.
pub fn claim_udp(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    let bound = socket.local_addr()?;
    bound.as_socket().ok_or_else(|| io::Error::other("the bound address is no IP address"))
}

fn tell_destination(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => set(socket, libc::SOL_IP, libc::IP_PKTINFO, 1),
        SocketAddr::V6(_) => set(socket, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

fn set_receive_buffer(socket: &Socket, bytes: u32) -> io::Result<()> {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    match value {
        0 => Ok(()),
        _ => set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value)
            .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, value)),
    }
}

fn set_send_buffer(socket: &Socket, bytes: u32) -> io::Result<()> {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    match value {
        0 => Ok(()),
        _ => set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value)
            .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, value)),
    }
}

fn set(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open and the value outlives the call; its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_share_a_port_and_a_family_keeps_to_itself() {
        let options = SocketOptions::default();
        let first = open_udp("[::]:0".parse().unwrap(), &options).unwrap();
        let port = first.local_addr().unwrap().port();
        open_udp(first.local_addr().unwrap(), &options).unwrap();
        UdpSocket::bind(("0.0.0.0", port)).expect("the IPv4 port is free");
    }

    #[test]
    fn an_address_is_claimed_only_where_nobody_has_it() {
        let free = claim_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(free.port(), 0);
        let _held = open_udp(free, &SocketOptions::default()).unwrap();
        assert_eq!(claim_udp(free).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_buffer_size_beyond_what_is_granted_is_no_error() {
        let options = SocketOptions { receive_buffer_bytes: u32::MAX, send_buffer_bytes: u32::MAX };
        open_udp("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    }
}
