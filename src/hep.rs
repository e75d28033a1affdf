//! How a message is told to Homer: as one packet of HEP3, the Homer Encapsulation Protocol (also EEP), version 3.
//!
//! The crate `hep` looked better than code of our own. It reads packets and writes none, and there is no other. A packet is a head
//! of six bytes and chunks of a head of six bytes each, every number in network order:
//!
//! ```text
//! "HEP3" | length of the packet, 2      vendor, 2 (0: generic) | type, 2 | length of the chunk, 2 | value
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

/// One message with what is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Who sent the message.
    pub source: SocketAddr,
    /// Who it was sent to.
    pub destination: SocketAddr,
    /// What it went by.
    pub protocol: Protocol,
    /// When.
    pub at: SystemTime,
    /// The number of the one who tells of it.
    pub agent: u32,
    /// What the collector knows him by; empty where it asks for nothing.
    pub key: &'a [u8],
    /// What the messages of one call have in common.
    pub correlation: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
}

/// A transport protocol, by its number among those of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, whatever lies above it: the message is told as it is without.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

/// The packet would have more than [`PACKET_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// The longest packet, in bytes: the longest payload of a datagram over IPv4. Its length can say a few more, but of a longer one over
/// TCP Homer's collector takes nothing, and ends the connection.
pub const PACKET_BYTES_MAX: usize = 65_507;

/// The types of generic chunks that are written.
mod chunk {
    pub(super) const FAMILY: u16 = 0x0001;
    pub(super) const PROTOCOL: u16 = 0x0002;
    pub(super) const SOURCE_IPV4: u16 = 0x0003;
    pub(super) const DESTINATION_IPV4: u16 = 0x0004;
    pub(super) const SOURCE_IPV6: u16 = 0x0005;
    pub(super) const DESTINATION_IPV6: u16 = 0x0006;
    pub(super) const SOURCE_PORT: u16 = 0x0007;
    pub(super) const DESTINATION_PORT: u16 = 0x0008;
    pub(super) const SECONDS: u16 = 0x0009;
    pub(super) const MICROSECONDS: u16 = 0x000a;
    pub(super) const KIND: u16 = 0x000b;
    pub(super) const AGENT: u16 = 0x000c;
    pub(super) const KEY: u16 = 0x000e;
    pub(super) const PAYLOAD: u16 = 0x000f;
    pub(super) const CORRELATION: u16 = 0x0011;
}

const HEAD_BYTES: usize = 6;

/// The address families, as Linux numbers them: that is what HEP has.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// The payload is SIP.
const SIP: u8 = 1;

/// Appends the packet to `out`, which stays as it was where the packet would be too long.
pub fn encode(packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = out.len();
    out.extend_from_slice(b"HEP3\0\0");
    addresses(packet.source.ip().to_canonical(), packet.destination.ip().to_canonical(), out);
    put(chunk::PROTOCOL, &[packet.protocol as u8], out);
    put(chunk::SOURCE_PORT, &packet.source.port().to_be_bytes(), out);
    put(chunk::DESTINATION_PORT, &packet.destination.port().to_be_bytes(), out);
    let at = packet.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // 32 bits last until the year 2106.
    put(chunk::SECONDS, &(at.as_secs() as u32).to_be_bytes(), out);
    put(chunk::MICROSECONDS, &at.subsec_micros().to_be_bytes(), out);
    put(chunk::KIND, &[SIP], out);
    put(chunk::AGENT, &packet.agent.to_be_bytes(), out);
    if !packet.key.is_empty() {
        put(chunk::KEY, packet.key, out);
    }
    if !packet.correlation.is_empty() {
        put(chunk::CORRELATION, packet.correlation, out);
    }
    // The last, as most who write packets have it.
    put(chunk::PAYLOAD, packet.payload, out);
    let bytes = out.len() - start;
    match u16::try_from(bytes) {
        Ok(length) if bytes <= PACKET_BYTES_MAX => {
            out[start + 4..start + HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(TooLong)
        }
    }
}

/// A packet has one family: where the two differ, IPv4 is told as IPv6 has it.
fn addresses(source: IpAddr, destination: IpAddr, out: &mut Vec<u8>) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(chunk::FAMILY, &[IPV4], out);
            put(chunk::SOURCE_IPV4, &source.octets(), out);
            put(chunk::DESTINATION_IPV4, &destination.octets(), out);
        }
        (source, destination) => {
            put(chunk::FAMILY, &[IPV6], out);
            put(chunk::SOURCE_IPV6, &as_ipv6(source).octets(), out);
            put(chunk::DESTINATION_IPV6, &as_ipv6(destination).octets(), out);
        }
    }
}

fn as_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Appends a generic chunk. One whose length cannot be told makes the packet too long, so its length does not matter.
fn put(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(HEAD_BYTES + value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn packet<'a>(source: &str, destination: &str, payload: &'a [u8]) -> Packet<'a> {
        Packet {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol: Protocol::Udp,
            at: SystemTime::UNIX_EPOCH + Duration::new(0x0102_0304, 0x0005_0607 * 1000),
            agent: 2001,
            key: b"key",
            correlation: b"a@b",
            payload,
        }
    }

    #[test]
    fn a_packet_is_written_byte_for_byte_as_the_protocol_has_it() {
        let mut out = b"before".to_vec();
        encode(&packet("192.0.2.1:5060", "198.51.100.2:5080", b"SIP"), &mut out).unwrap();
        let expected = [
            &b"beforeHEP3\x00\x78"[..],
            b"\x00\x00\x00\x01\x00\x07\x02",
            b"\x00\x00\x00\x03\x00\x0a\xc0\x00\x02\x01",
            b"\x00\x00\x00\x04\x00\x0a\xc6\x33\x64\x02",
            b"\x00\x00\x00\x02\x00\x07\x11",
            b"\x00\x00\x00\x07\x00\x08\x13\xc4",
            b"\x00\x00\x00\x08\x00\x08\x13\xd8",
            b"\x00\x00\x00\x09\x00\x0a\x01\x02\x03\x04",
            b"\x00\x00\x00\x0a\x00\x0a\x00\x05\x06\x07",
            b"\x00\x00\x00\x0b\x00\x07\x01",
            b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07\xd1",
            b"\x00\x00\x00\x0e\x00\x09key",
            b"\x00\x00\x00\x11\x00\x09a@b",
            b"\x00\x00\x00\x0f\x00\x09SIP",
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn a_packet_has_one_address_family_and_no_chunk_that_is_empty() {
        let (mut both, mut mapped) = (Vec::new(), Vec::new());
        let bare = Packet { key: b"", correlation: b"", ..packet("[2001:db8::1]:1", "192.0.2.9:2", b"SIP") };
        encode(&bare, &mut both).unwrap();
        let chunks = chunks(&both);
        assert_eq!(chunks[&chunk::FAMILY], [IPV6]);
        assert_eq!(chunks[&chunk::DESTINATION_IPV6][10..], [0xff, 0xff, 192, 0, 2, 9]);
        assert!([chunk::SOURCE_IPV4, chunk::KEY, chunk::CORRELATION].iter().all(|kind| !chunks.contains_key(kind)));
        encode(&packet("[::ffff:192.0.2.1]:1", "192.0.2.9:2", b"SIP"), &mut mapped).unwrap();
        assert!(mapped.windows(7).any(|bytes| bytes == b"\x00\x00\x00\x01\x00\x07\x02"));
    }

    proptest! {
        #[test]
        fn a_packet_tells_its_length_and_holds_its_message_or_is_not_written(
            payload_bytes in prop_oneof![0usize..3000, 65_000usize..66_000, Just(200_000usize)],
        ) {
            let payload = vec![b'x'; payload_bytes];
            let mut out = b"before".to_vec();
            match encode(&packet("192.0.2.1:1", "192.0.2.9:2", &payload), &mut out) {
                Ok(()) => {
                    prop_assert!(out.len() - 6 <= PACKET_BYTES_MAX);
                    prop_assert_eq!(usize::from(u16::from_be_bytes([out[10], out[11]])), out.len() - 6);
                    prop_assert!(chunks(&out[6..])[&chunk::PAYLOAD] == payload);
                }
                Err(TooLong) => {
                    // The head and the other chunks, with this key and this Call-ID.
                    prop_assert!(117 + payload_bytes > PACKET_BYTES_MAX);
                    prop_assert_eq!(&out[..], b"before");
                }
            }
        }
    }

    fn chunks(packet: &[u8]) -> BTreeMap<u16, Vec<u8>> {
        let (mut rest, mut found) = (&packet[HEAD_BYTES..], BTreeMap::new());
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            found.insert(u16::from_be_bytes([rest[2], rest[3]]), rest[HEAD_BYTES..length].to_vec());
            rest = &rest[length..];
        }
        found
    }
}
