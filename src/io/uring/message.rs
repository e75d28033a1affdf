//! The layout of a buffer that multishot recvmsg filled: a header of its own, then the peer's address
//! and control data in the room reserved for them, then the payload.
//!
//! The `RecvMsgOut` of the `io-uring` crate reads the same. What it gives out lives no longer than
//! itself, so a datagram could not be returned from the function that parses it.

use crate::io::Datagram;
use crate::io::control::{self, ANCILLARY_BYTES, NAME_BYTES};

/// The size of a buffer for payloads of `bytes`.
pub(super) fn prefixed(bytes: u32) -> usize {
    PREFIX_BYTES + bytes as usize
}

/// Tells the kernel how much room to leave for address and control data.
pub(super) fn header() -> libc::msghdr {
    // SAFETY: a message header of zeroes is valid: null pointers with zero lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = NAME_BYTES as u32;
    header.msg_controllen = ANCILLARY_BYTES as _;
    header
}

/// Reads the filled part of a buffer: the datagram, and the socket's drop counter where the kernel
/// gave it. `None` if it is too short or the peer has no IP address.
pub(super) fn parse(bytes: &[u8], socket: usize) -> Option<(Datagram<'_>, Option<u32>)> {
    // struct io_uring_recvmsg_out; the lengths are those of the message, which may exceed the room.
    let name_length = word(bytes, 0)? as usize;
    let control_length = word(bytes, 4)? as usize;
    let payload_length = word(bytes, 8)? as usize;
    let flags = word(bytes, 12)?;
    let name = bytes.get(HEADER_BYTES..)?.get(..NAME_BYTES)?;
    let control = bytes.get(CONTROL_START..)?.get(..ANCILLARY_BYTES)?;
    let payload = bytes.get(PREFIX_BYTES..)?;
    let ancillary = control::ancillary(&control[..control_length.min(ANCILLARY_BYTES)]);
    let datagram = Datagram {
        socket,
        peer: control::address(&name[..name_length.min(NAME_BYTES)])?,
        local: ancillary.local,
        bytes: &payload[..payload_length.min(payload.len())],
        truncated: flags & libc::MSG_TRUNC as u32 != 0,
    };
    Some((datagram, ancillary.drops))
}

const HEADER_BYTES: usize = 16;
const CONTROL_START: usize = HEADER_BYTES + NAME_BYTES;
const PREFIX_BYTES: usize = CONTROL_START + ANCILLARY_BYTES;

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let chunk = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::control::{Name, Source};

    #[test]
    fn a_filled_buffer_reads_as_a_datagram_and_its_cuts_as_less_or_nothing() {
        let bytes = filled([16, 32, 5, 0]);
        let (datagram, drops) = parse(&bytes, 3).unwrap();
        assert_eq!(datagram.socket, 3);
        assert_eq!(datagram.peer, "192.0.2.1:5060".parse().unwrap());
        assert_eq!(datagram.local, Some("192.0.2.9".parse().unwrap()));
        assert_eq!((datagram.bytes, datagram.truncated), (&b"hello"[..], false));
        assert_eq!(drops, None);
        for length in 0..PREFIX_BYTES {
            assert!(parse(&bytes[..length], 3).is_none());
        }
    }

    #[test]
    fn lengths_beyond_the_room_are_cut_to_it() {
        let bytes = filled([u32::MAX, u32::MAX, u32::MAX, libc::MSG_TRUNC as u32]);
        let (datagram, _) = parse(&bytes, 0).unwrap();
        assert_eq!((datagram.bytes, datagram.truncated), (&b"hello"[..], true));
    }

    #[test]
    fn control_data_left_over_from_an_earlier_datagram_is_not_read() {
        let bytes = filled([16, 0, 5, 0]);
        assert_eq!(parse(&bytes, 0).unwrap().0.local, None);
    }

    fn filled(words: [u32; 4]) -> Vec<u8> {
        let mut name = Name::default();
        name.set("192.0.2.1:5060".parse().unwrap());
        let mut source = Source::default();
        source.set("192.0.2.9".parse().unwrap());
        // A source address is written where a received one has the local address of the socket.
        source.bytes.copy_within(20..24, 24);
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend(name.bytes);
        bytes.extend(source.bytes);
        bytes.resize(PREFIX_BYTES, 0);
        bytes.extend(b"hello");
        bytes
    }
}
