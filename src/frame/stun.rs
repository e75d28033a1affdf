//! STUN binding requests in datagrams, and their answers (RFC 5389 §6, §7; RFC 5626 §4.4.2, §8).
//!
//! A STUN library looked better, as it knows every attribute. It brings the digests of STUN's authentication, MD5 and SHA-1, and
//! timers of a client's; a keepalive is not authenticated, and its answer is one attribute (RFC 5626 §8).

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

/// The longest answer, in bytes.
pub const MAX_RESPONSE_BYTES: usize = 92;

/// Type, length, magic cookie and transaction ID (§6).
const HEADER_BYTES: usize = 20;
const COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;

/// Attributes from here on may be ignored by whoever does not know them (§15).
const OPTIONAL: u16 = 0x8000;

/// Those of RFC 5389 §15 below [`OPTIONAL`]: addresses, credentials, errors. They are known, and mean nothing in a keepalive,
/// which is answered without authentication (RFC 5626 §8).
const KNOWN: [u16; 8] =
    [0x0001, 0x0006, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, 0x0014, 0x0015, XOR_MAPPED_ADDRESS];

/// 420 (Unknown Attribute), §15.6.
const UNKNOWN_ATTRIBUTE_ERROR: &[u8] = b"\0\0\x04\x14Unknown Attribute";

/// How many unknown attributes an answer names. Real requests have one or two.
const MAX_NAMED: usize = 16;

/// Whether a datagram is STUN's and not SIP's: two zero bits, the magic cookie, and its own length (§6).
pub fn is_stun(datagram: &[u8]) -> bool {
    let Some((header, attributes)) = datagram.split_first_chunk::<HEADER_BYTES>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[0] < 0x40 && header[4..8] == COOKIE && length == attributes.len() && length.is_multiple_of(4)
}

/// Writes the answer to a binding request from `peer` into `response`, and gives its length: where the request came from,
/// or 420 where it has attributes that must be understood and are not (§7.3.1). It has a FINGERPRINT if the request has one.
/// SOFTWARE is left out, so that a request with a forged source is not made larger than need be.
///
/// `None` where there is nothing to answer: what is no binding request, is malformed, or has a wrong FINGERPRINT, is silently
/// discarded (§7.3); or where `response` is too short: it needs [`MAX_RESPONSE_BYTES`].
pub fn answer(request: &[u8], peer: SocketAddr, response: &mut [u8]) -> Option<usize> {
    let request = Request::read(request)?;
    let kind = if request.unknown.is_empty() { BINDING_SUCCESS } else { BINDING_ERROR };
    let mut writer = Writer::new(response, kind, request.mask)?;
    if request.unknown.is_empty() {
        writer.attribute(XOR_MAPPED_ADDRESS, &xor_mapped(peer, request.mask))?;
    } else {
        let named: ArrayVec<u8, { 2 * MAX_NAMED }> =
            request.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        writer.attribute(ERROR_CODE, UNKNOWN_ATTRIBUTE_ERROR)?;
        writer.attribute(UNKNOWN_ATTRIBUTES, &named)?;
    }
    if request.has_fingerprint {
        writer.fingerprint()?;
    }
    Some(writer.len)
}

/// What of a binding request its answer depends on.
struct Request<'a> {
    /// The magic cookie and the transaction ID: what addresses are masked with (§15.2).
    mask: &'a [u8; 16],
    /// Attributes that must be understood and are not.
    unknown: ArrayVec<u16, MAX_NAMED>,
    has_fingerprint: bool,
}

impl<'a> Request<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        if !is_stun(message) || !message.starts_with(&BINDING_REQUEST.to_be_bytes()) {
            return None;
        }
        let mut request =
            Request { mask: message[4..].first_chunk()?, unknown: ArrayVec::new(), has_fingerprint: false };
        let mut at = HEADER_BYTES;
        let mut is_signed = false;
        while at < message.len() {
            let (kind, value) = attribute(&message[at..])?;
            match kind {
                // It must be the last one (§15.5).
                _ if request.has_fingerprint => return None,
                FINGERPRINT if *value == fingerprint_of(&message[..at]) => request.has_fingerprint = true,
                FINGERPRINT => return None,
                // What stands behind the signature is ignored (§15.4).
                _ if is_signed => {}
                MESSAGE_INTEGRITY => is_signed = true,
                _ => request.note(kind),
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        Some(request)
    }

    fn note(&mut self, kind: u16) {
        let is_unknown = kind < OPTIONAL && !KNOWN.contains(&kind);
        if is_unknown && !self.unknown.contains(&kind) {
            // One more than can be named is not named.
            let _ = self.unknown.try_push(kind);
        }
    }
}

/// The attribute that begins here: its type and its value without the padding (§15). The message's length is a multiple of
/// four, so the padding is there where the value is.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<4>()?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = u16::from_be_bytes([header[2], header[3]]);
    Some((kind, rest.get(..usize::from(length))?))
}

/// An address and port, masked so that no router on the way takes it for one and rewrites it (§15.2).
fn xor_mapped(peer: SocketAddr, mask: &[u8; 16]) -> ArrayVec<u8, 20> {
    let mut address = ArrayVec::<u8, 16>::new();
    // A socket for both families sees IPv4 peers as mapped addresses; the peer itself does not know them so.
    let family = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => {
            address.extend(ip.octets());
            1
        }
        IpAddr::V6(ip) => {
            address.extend(ip.octets());
            2
        }
    };
    let port = peer.port().to_be_bytes();
    let masked =
        [&port[..], &address].into_iter().flat_map(|part| part.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    [0, family].into_iter().chain(masked).collect()
}

/// The value of a FINGERPRINT behind `message`, whose length must count it already (§15.5).
fn fingerprint_of(message: &[u8]) -> [u8; 4] {
    (crc32fast::hash(message) ^ 0x5354_554e).to_be_bytes()
}

/// Writes one message; `None` where there is no room.
struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    fn new(room: &'a mut [u8], kind: u16, mask: &[u8; 16]) -> Option<Self> {
        let mut writer = Writer { room, len: 0 };
        writer.put(&kind.to_be_bytes())?;
        writer.put(&[0; 2])?;
        writer.put(mask)?;
        Some(writer)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> Option<()> {
        let padding = value.len().next_multiple_of(4) - value.len();
        self.put(&kind.to_be_bytes())?;
        self.put(&(value.len() as u16).to_be_bytes())?;
        self.put(value)?;
        self.put(&[0; 3][..padding])?;
        self.set_length(self.len);
        Some(())
    }

    fn fingerprint(&mut self) -> Option<()> {
        self.set_length(self.len + 8);
        let value = fingerprint_of(&self.room[..self.len]);
        self.attribute(FINGERPRINT, &value)
    }

    /// The length in the header is that of what stands behind it.
    fn set_length(&mut self, message_bytes: usize) {
        self.room[2..4].copy_from_slice(&((message_bytes - HEADER_BYTES) as u16).to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.room.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 5769 §2.1 to §2.3: the transaction ID of all samples, and the reflexive addresses in the responses.
    const TRANSACTION: [u8; 12] = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    const MAPPED_V4: &[u8] = b"\0\x20\0\x08\0\x01\xa1\x47\xe1\x12\xa6\x43";
    const MAPPED_V6: &[u8] =
        b"\0\x20\0\x14\0\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
    const PEER_V4: &str = "192.0.2.1:32853";
    const PEER_V6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";

    fn message(kind: u16, attributes: &[&[u8]]) -> Vec<u8> {
        let attributes = attributes.concat();
        let length = (attributes.len() as u16).to_be_bytes();
        [&kind.to_be_bytes()[..], &length, &COOKIE, &TRANSACTION, &attributes].concat()
    }

    /// RFC 5769 §2.1, with PRIORITY, which only ICE understands.
    fn sample_request() -> Vec<u8> {
        message(
            BINDING_REQUEST,
            &[
                b"\x80\x22\0\x10STUN test client",
                b"\0\x24\0\x04\x6e\0\x01\xff",
                b"\x80\x29\0\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36",
                b"\0\x06\0\x09evtj:h6vY   ",
                b"\0\x08\0\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2",
                b"\x80\x28\0\x04\xe5\x7a\x3b\xcf",
            ],
        )
    }

    fn answer_to(request: &[u8], peer: &str) -> Option<Vec<u8>> {
        let mut response = [0xff; MAX_RESPONSE_BYTES];
        answer(request, peer.parse().unwrap(), &mut response).map(|len| response[..len].to_vec())
    }

    #[test]
    fn a_binding_request_is_answered_with_where_it_came_from() {
        let request = message(BINDING_REQUEST, &[]);
        assert!(is_stun(&request));
        assert_eq!(answer_to(&request, PEER_V4), Some(message(BINDING_SUCCESS, &[MAPPED_V4])));
        assert_eq!(answer_to(&request, PEER_V6), Some(message(BINDING_SUCCESS, &[MAPPED_V6])));
        assert_eq!(answer_to(&request, "[::ffff:192.0.2.1]:32853"), Some(message(BINDING_SUCCESS, &[MAPPED_V4])));
    }

    #[test]
    fn a_fingerprint_is_that_of_the_published_samples() {
        let software = b"\x80\x22\0\x0btest vector ";
        let signed_v4 = b"\0\x08\0\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7";
        let signed_v6 = b"\0\x08\0\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41";
        let samples: [(&[u8], &[u8], [u8; 4]); 2] =
            [(MAPPED_V4, signed_v4, *b"\xc0\x7d\x4c\x96"), (MAPPED_V6, signed_v6, *b"\xc8\xfb\x0b\x4c")];
        for (mapped, signed, fingerprint) in samples {
            let sample = message(BINDING_SUCCESS, &[software, mapped, signed, b"\x80\x28\0\x04", &fingerprint]);
            assert_eq!(fingerprint_of(&sample[..sample.len() - 8]), fingerprint);
        }
    }

    #[test]
    fn a_request_with_a_fingerprint_is_answered_with_one_and_a_wrong_one_with_nothing() {
        let unsigned = message(BINDING_REQUEST, &[b"\x80\x28\0\x04\0\0\0\0"]);
        let mut request = unsigned.clone();
        request[HEADER_BYTES + 4..].copy_from_slice(&fingerprint_of(&unsigned[..HEADER_BYTES]));
        let response = answer_to(&request, PEER_V4).unwrap();
        let (rest, last) = response.split_last_chunk::<8>().unwrap();
        assert_eq!(rest[HEADER_BYTES..], *MAPPED_V4);
        assert_eq!((&last[..4], &last[4..]), (&b"\x80\x28\0\x04"[..], &fingerprint_of(rest)[..]));
        assert!(is_stun(&response));
        assert_eq!(answer_to(&unsigned, PEER_V4), None);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        let response = answer_to(&sample_request(), PEER_V4).unwrap();
        let expected =
            message(BINDING_ERROR, &[b"\0\x09\0\x15\0\0\x04\x14Unknown Attribute\0\0\0", b"\0\x0a\0\x02\0\x24\0\0"]);
        assert_eq!(response[4..response.len() - 8], expected[4..]);
        assert!(is_stun(&response));
    }

    #[test]
    fn more_than_can_be_named_fits_the_longest_answer() {
        let attributes: Vec<[u8; 4]> = (0x4000..0x4040_u16).map(|kind| [(kind >> 8) as u8, kind as u8, 0, 0]).collect();
        let attributes: Vec<&[u8]> = attributes.iter().map(|attribute| &attribute[..]).collect();
        let mut request = message(BINDING_REQUEST, &[&attributes[..], &[b"\x80\x28\0\x04\0\0\0\0"]].concat());
        let end = request.len() - 8;
        let fingerprint = fingerprint_of(&request[..end]);
        request[end + 4..].copy_from_slice(&fingerprint);
        assert_eq!(answer_to(&request, PEER_V4).map(|response| response.len()), Some(MAX_RESPONSE_BYTES));
    }

    #[test]
    fn what_is_no_binding_request_or_malformed_is_not_answered() {
        let malformed = [
            message(0x0011, &[]),
            message(BINDING_SUCCESS, &[MAPPED_V4]),
            message(0x0003, &[]),
            message(BINDING_REQUEST, &[b"\0\x06\0\x05abcd"]),
            message(BINDING_REQUEST, &[b"\0\x06"]),
            message(BINDING_REQUEST, &[b"\x80\x28\0\x02ab\0\0"]),
            [message(BINDING_REQUEST, &[]), vec![0; 4]].concat(),
            message(BINDING_REQUEST, &[])[..19].to_vec(),
            vec![],
        ];
        for request in malformed {
            assert_eq!(answer_to(&request, PEER_V4), None, "{request:02x?}");
        }
        let late = [&sample_request()[..], b"\x80\x22\0\0"].concat();
        let late = [&late[..2], &[0, 0x5c], &late[4..]].concat();
        assert!(is_stun(&late));
        assert_eq!(answer_to(&late, PEER_V4), None);
    }

    #[test]
    fn sip_and_other_keepalives_are_no_stun() {
        for datagram in [&b"OPTIONS sip:a SIP/2.0\r\n\r\n"[..], b"\r\n\r\n", b"\0\0\0\0", &[0; 20], b""] {
            assert!(!is_stun(datagram));
        }
    }

    #[test]
    fn an_answer_for_which_there_is_no_room_is_not_written() {
        for room in 0..HEADER_BYTES + MAPPED_V4.len() {
            let request = message(BINDING_REQUEST, &[]);
            assert_eq!(answer(&request, PEER_V4.parse().unwrap(), &mut vec![0; room]), None);
        }
    }

    proptest! {
        #[test]
        fn damaged_requests_never_panic_and_are_answered_with_stun_or_not_at_all(
            damage in prop::collection::vec((0..108_usize, any::<u8>()), 0..6),
            mut attributes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut damaged = sample_request();
            damage.into_iter().for_each(|(place, byte)| damaged[place] = byte);
            attributes.truncate(attributes.len() / 4 * 4);
            for request in [damaged, message(BINDING_REQUEST, &[&attributes])] {
                prop_assert!(answer_to(&request, PEER_V6).is_none_or(|response| is_stun(&response)));
            }
        }
    }
}
