//! Socket addresses and control messages in the byte layout of the kernel.
//!
//! Casting to the structures of `libc` looks shorter. Layout by offsets needs no `unsafe` and no
//! alignment, and the layout is frozen by the kernel's promise to user space: `sockaddr_in` and
//! `sockaddr_in6` (ip(7), ipv6(7)), `cmsghdr` (cmsg(3)), `in_pktinfo` and `in6_pktinfo`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for a peer address: `sockaddr_in6` is 28 bytes, rounded up so that what follows is aligned.
pub(crate) const NAME_BYTES: usize = 32;

/// Room for what is received beside a datagram: a PKTINFO (40 bytes for IPv6, 32 for IPv4) and the
/// drop counter of the socket (24). With less room the kernel leaves out what does not fit.
pub(crate) const ANCILLARY_BYTES: usize = 64;

/// Room for what is sent beside a datagram: one PKTINFO.
pub(crate) const SOURCE_BYTES: usize = 40;

/// A socket address as the kernel reads it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(8))]
pub(crate) struct Name {
    pub(crate) bytes: [u8; NAME_BYTES],
    /// How many of the bytes are the address; the kernel refuses other sizes.
    pub(crate) length: u32,
}

impl Name {
    /// Writes `address` in the kernel's layout.
    pub(crate) fn set(&mut self, address: SocketAddr) {
        self.length = match address {
            SocketAddr::V4(v4) => self.set_v4(v4),
            SocketAddr::V6(v6) => self.set_v6(v6),
        };
    }

    fn set_v4(&mut self, address: SocketAddrV4) -> u32 {
        self.bytes[..2].copy_from_slice(&family(libc::AF_INET));
        self.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        self.bytes[4..8].copy_from_slice(&address.ip().octets());
        self.bytes[8..16].fill(0);
        16
    }

    fn set_v6(&mut self, address: SocketAddrV6) -> u32 {
        self.bytes[..2].copy_from_slice(&family(libc::AF_INET6));
        self.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        self.bytes[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
        self.bytes[8..24].copy_from_slice(&address.ip().octets());
        self.bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
        28
    }
}

/// Reads a socket address. `None` for anything but a whole IPv4 or IPv6 address.
pub(crate) fn address(name: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(array(name, 2)?);
    match i32::from(u16::from_ne_bytes(array(name, 0)?)) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(array::<4>(name, 4)?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        libc::AF_INET6 => {
            let flow = u32::from_ne_bytes(array(name, 4)?);
            let ip = Ipv6Addr::from(array::<16>(name, 8)?);
            let scope = u32::from_ne_bytes(array(name, 24)?);
            Some(SocketAddrV6::new(ip, port, flow, scope).into())
        }
        _ => None,
    }
}

/// What the kernel says beside a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ancillary {
    /// The address the datagram was sent to.
    pub(crate) local: Option<IpAddr>,
    /// How many datagrams the socket had dropped, since it was opened and modulo 2^32, when this one
    /// was queued. The kernel leaves it out while it is zero.
    pub(crate) drops: Option<u32>,
}

/// Reads control messages, passing over those not asked for. Stops at the first malformed one.
pub(crate) fn ancillary(mut control: &[u8]) -> Ancillary {
    let mut found = Ancillary::default();
    while let Some(length) = array(control, 0).map(usize::from_ne_bytes) {
        let Some(data) = control.get(HEADER_BYTES..length) else {
            break;
        };
        read(control, data, &mut found);
        control = control.get(align(length)..).unwrap_or_default();
    }
    found
}

fn read(header: &[u8], data: &[u8], found: &mut Ancillary) {
    let level = array(header, LENGTH_BYTES).map(i32::from_ne_bytes);
    let kind = array(header, LENGTH_BYTES + 4).map(i32::from_ne_bytes);
    match (level, kind) {
        (Some(libc::SOL_IP), Some(libc::IP_PKTINFO)) => {
            found.local = array::<4>(data, 8).map(|octets| Ipv4Addr::from(octets).into());
        }
        (Some(libc::SOL_IPV6), Some(libc::IPV6_PKTINFO)) => {
            found.local = array::<16>(data, 0).map(|octets| Ipv6Addr::from(octets).into());
        }
        (Some(libc::SOL_SOCKET), Some(libc::SO_RXQ_OVFL)) => {
            found.drops = array(data, 0).map(u32::from_ne_bytes);
        }
        _ => {}
    }
}

/// How many datagrams were dropped between two values of a socket's drop counter, `last` and `found`.
/// The counter wraps at 2^32. A step back by less than half of that is a reordering and counts nothing.
pub(crate) fn drops_since(last: &mut u32, found: Option<u32>) -> u64 {
    let Some(found) = found else {
        return 0;
    };
    let step = found.wrapping_sub(*last);
    if step > u32::MAX / 2 {
        return 0;
    }
    *last = found;
    step.into()
}

/// The control message that makes a datagram leave from a chosen address.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Source {
    pub(crate) bytes: [u8; SOURCE_BYTES],
    /// How many of the bytes are the message.
    pub(crate) length: usize,
}

impl Default for Source {
    fn default() -> Self {
        Self { bytes: [0; SOURCE_BYTES], length: 0 }
    }
}

impl Source {
    /// Writes the PKTINFO for `from`. The interface is left to the routing table.
    pub(crate) fn set(&mut self, from: IpAddr) {
        self.bytes = [0; SOURCE_BYTES];
        self.length = match from {
            IpAddr::V4(v4) => {
                // in_pktinfo: interface, ipi_spec_dst (the source when sending), ipi_addr.
                self.header(libc::SOL_IP, libc::IP_PKTINFO, 12);
                self.data(4, &v4.octets());
                align(HEADER_BYTES + 12)
            }
            IpAddr::V6(v6) => {
                self.header(libc::SOL_IPV6, libc::IPV6_PKTINFO, 20);
                self.data(0, &v6.octets());
                align(HEADER_BYTES + 20)
            }
        };
    }

    fn header(&mut self, level: i32, kind: i32, data: usize) {
        self.bytes[..LENGTH_BYTES].copy_from_slice(&(HEADER_BYTES + data).to_ne_bytes());
        self.bytes[LENGTH_BYTES..][..4].copy_from_slice(&level.to_ne_bytes());
        self.bytes[LENGTH_BYTES + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
    }

    fn data(&mut self, offset: usize, octets: &[u8]) {
        self.bytes[HEADER_BYTES + offset..][..octets.len()].copy_from_slice(octets);
    }
}

const LENGTH_BYTES: usize = size_of::<usize>();
const HEADER_BYTES: usize = LENGTH_BYTES + 8;

fn align(length: usize) -> usize {
    length.saturating_add(LENGTH_BYTES - 1) & !(LENGTH_BYTES - 1)
}

fn family(family: i32) -> [u8; 2] {
    (family as u16).to_ne_bytes()
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_written() {
        for text in ["192.0.2.7:5060", "[2001:db8::7]:5061"] {
            let written: SocketAddr = text.parse().unwrap();
            let mut name = Name::default();
            name.set(written);
            assert_eq!(address(&name.bytes[..name.length as usize]), Some(written));
        }
        let linked = SocketAddrV6::new("fe80::1".parse().unwrap(), 5060, 0, 3).into();
        let mut name = Name::default();
        name.set(linked);
        assert_eq!(address(&name.bytes), Some(linked));
    }

    #[test]
    fn a_cut_or_foreign_address_is_none() {
        let mut name = Name::default();
        name.set("[2001:db8::7]:5061".parse().unwrap());
        for length in 0..28 {
            assert_eq!(address(&name.bytes[..length]), None);
        }
        assert_eq!(address(&[0xff; 32]), None);
    }

    #[test]
    fn control_messages_are_read_in_any_order_and_any_cut() {
        let local: IpAddr = "2001:db8::9".parse().unwrap();
        let mut source = Source::default();
        source.set(local);
        let mut control = Vec::from(&source.bytes[..source.length]);
        control.extend((HEADER_BYTES + 4).to_ne_bytes());
        control.extend(libc::SOL_SOCKET.to_ne_bytes());
        control.extend(libc::SO_RXQ_OVFL.to_ne_bytes());
        control.extend(77u32.to_ne_bytes());
        let whole = Ancillary { local: Some(local), drops: Some(77) };
        assert_eq!(ancillary(&control), whole);
        for length in 0..control.len() {
            let _ = ancillary(&control[..length]);
        }
    }

    #[test]
    fn drops_are_counted_across_the_wrap_and_never_backwards() {
        let mut last = 0;
        assert_eq!(drops_since(&mut last, None), 0);
        assert_eq!(drops_since(&mut last, Some(5)), 5);
        assert_eq!(drops_since(&mut last, Some(4)), 0);
        assert_eq!(drops_since(&mut last, Some(7)), 2);
        last = u32::MAX;
        assert_eq!(drops_since(&mut last, Some(2)), 3);
    }

    #[test]
    fn lengths_out_of_range_end_the_reading() {
        for length in [0, 1, HEADER_BYTES - 1, 65, usize::MAX] {
            let mut control = [0; 64];
            control[..LENGTH_BYTES].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(ancillary(&control), Ancillary::default());
        }
    }
}
