//! The PROXY protocol, versions 1 and 2: who stands behind a load balancer of layer 4, said at the start of a stream or
//! of a datagram (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! To hand the ppp crate whatever has come looked enough. Some heads that are cut in the middle of a number it takes
//! for broken; so it sees whole heads only. Where one ends, its first bytes tell.
//!
//! Nothing here knows who may say such things: a listener reads it from the senders on its list, and from those it must
//! come.

use std::net::{IpAddr, SocketAddr};

use ppp::v1;
use ppp::v2;

/// The longest head of version 1, in bytes, by the protocol's text (§2.1).
pub const MAX_V1_BYTES: usize = 107;

/// The longest head of version 2, in bytes. The text calls for 216 bytes of addresses; what follows may be a client's
/// certificate names and the like.
pub const MAX_V2_BYTES: usize = 4_096;

/// What stands at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// So far a head; it is not complete.
    Partial,
    /// A head, so many bytes long, and what it says.
    Head(usize, Origin),
    /// No head, or a broken one, or one longer than the limit.
    Malformed,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The connection is another's: its source, and the address that it was meant for.
    Proxied {
        /// Who opened the connection.
        source: SocketAddr,
        /// Whom it wanted.
        destination: SocketAddr,
    },
    /// The connection is the sender's own (a health check), or its origin has no address of IP: the address that the
    /// kernel tells counts.
    Sender,
}

/// What the first bytes of a stream are. They are to be kept until it is not [`Start::Partial`] any more; there are
/// never more than [`MAX_V2_BYTES`] of them to be looked at.
pub fn of_stream(bytes: &[u8]) -> Start {
    match () {
        _ if bytes.starts_with(v2::PROTOCOL_PREFIX) => version_2(bytes),
        _ if bytes.starts_with(V1_PREFIX) => version_1(bytes),
        _ if v2::PROTOCOL_PREFIX.starts_with(bytes) || V1_PREFIX.starts_with(bytes) => Start::Partial,
        _ => Start::Malformed,
    }
}

/// What the first bytes of a datagram are: version 2, and whole.
pub fn of_datagram(bytes: &[u8]) -> Start {
    let start = if bytes.starts_with(v2::PROTOCOL_PREFIX) { version_2(bytes) } else { Start::Malformed };
    if start == Start::Partial { Start::Malformed } else { start }
}

const V1_PREFIX: &[u8] = b"PROXY ";

fn version_1(bytes: &[u8]) -> Start {
    let window = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let Some(end) = memchr::memchr(b'\n', window).map(|place| place + 1) else {
        return if window.len() < MAX_V1_BYTES { Start::Partial } else { Start::Malformed };
    };
    // Whatever follows UNKNOWN is to be ignored up to the line's end (§2.1), and need not be text.
    if window[V1_PREFIX.len()..end].starts_with(b"UNKNOWN")
        && matches!(window[13], b' ' | b'\r')
        && is_line(&window[..end])
    {
        return Start::Head(end, Origin::Sender);
    }
    match v1::Header::try_from(&window[..end]).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(a)) => {
            proxied(end, (a.source_address, a.source_port), (a.destination_address, a.destination_port))
        }
        Ok(v1::Addresses::Tcp6(a)) => {
            proxied(end, (a.source_address, a.source_port), (a.destination_address, a.destination_port))
        }
        _ => Start::Malformed,
    }
}

/// Ends with CR LF, and has no other CR.
fn is_line(line: &[u8]) -> bool {
    line.ends_with(b"\r\n") && memchr::memchr(b'\r', line) == Some(line.len() - 2)
}

fn version_2(bytes: &[u8]) -> Start {
    let Some(length) = bytes.get(14..16) else {
        return Start::Partial;
    };
    let end = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    if end > MAX_V2_BYTES {
        return Start::Malformed;
    }
    let Some(head) = bytes.get(..end) else {
        return Start::Partial;
    };
    match v2::Header::try_from(head) {
        Ok(header) if header.command == v2::Command::Local => Start::Head(end, Origin::Sender),
        Ok(header) => match header.addresses {
            v2::Addresses::IPv4(a) => {
                proxied(end, (a.source_address, a.source_port), (a.destination_address, a.destination_port))
            }
            v2::Addresses::IPv6(a) => {
                proxied(end, (a.source_address, a.source_port), (a.destination_address, a.destination_port))
            }
            v2::Addresses::Unix(_) | v2::Addresses::Unspecified => Start::Head(end, Origin::Sender),
        },
        Err(_) => Start::Malformed,
    }
}

fn proxied<A: Into<IpAddr>>(end: usize, source: (A, u16), destination: (A, u16)) -> Start {
    let address = |(ip, port): (A, u16)| SocketAddr::new(ip.into().to_canonical(), port);
    Start::Head(end, Origin::Proxied { source: address(source), destination: address(destination) })
}
