//! The return path in our Via: how a response finds its way back, signed.
//!
//! When a request goes out, the place its response must return to is known: the listener it came in by, and the address
//! that the Via below ours names once `received` and `rport` stand in it. The token tells the listener (and on a
//! wildcard listener the address that the request was sent to) and signs all of it together with the branch. A
//! response that would be sent anywhere else does not verify.
//!
//! Putting this into the branch looked better, because no peer loses a branch. But a branch must stay the same when the
//! client's source port changes between an INVITE and its CANCEL, and this must not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arrayvec::{ArrayString, ArrayVec};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::balance::key::Key;

use super::branch::push_base64;
use super::inbound::ListenerIndex;

/// A token's text: 12 characters, 18 with an IPv4 address, 34 with an IPv6 address.
pub type Token = ArrayString<34>;

/// The most listeners that a token can tell apart.
pub const MAX_LISTENERS: usize = 64;

const SIGNATURE_BYTES: usize = 8;
const IPV4: u8 = 0x40;
const IPV6: u8 = 0x80;

/// How a response finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnPath {
    /// The listener that the request came in by.
    pub listener: ListenerIndex,
    /// The address that the request was sent to, where its listener has several.
    pub local: Option<IpAddr>,
}

impl ReturnPath {
    /// Writes the token for a request with this `branch` whose response must go to `to`.
    pub fn sign(&self, key: &Key, branch: &[u8], to: SocketAddr) -> Token {
        let mut bytes = self.encode();
        let signature = signature(key, &bytes, branch, to).to_be_bytes();
        // 1 + 16 + 8 bytes at the most: the capacity below.
        let _ = bytes.try_extend_from_slice(&signature);
        let mut token = Token::new();
        push_base64(&mut token, &bytes);
        token
    }

    /// Reads a token back; `None` where it was not signed for this `branch` and for a response that goes to `to`.
    pub fn verify(key: &Key, token: &[u8], branch: &[u8], to: SocketAddr) -> Option<Self> {
        let mut bytes = [0; 32];
        let len = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
        let (path, signed) = bytes.get(..len)?.split_at_checked(len.checked_sub(SIGNATURE_BYTES)?)?;
        let path_back = Self::decode(path)?;
        (signature(key, path, branch, to).to_be_bytes() == signed).then_some(path_back)
    }

    fn encode(&self) -> ArrayVec<u8, 25> {
        let mut bytes = ArrayVec::new();
        let listener = self.listener.0 & 0x3f;
        match self.local {
            None => bytes.push(listener),
            Some(IpAddr::V4(ip)) => {
                bytes.push(listener | IPV4);
                bytes.extend(ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                bytes.push(listener | IPV6);
                bytes.extend(ip.octets());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        let local = match first & 0xc0 {
            0 if rest.is_empty() => None,
            IPV4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(rest).ok()?))),
            IPV6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(rest).ok()?))),
            _ => return None,
        };
        Some(ReturnPath { listener: ListenerIndex(first & 0x3f), local })
    }
}

fn signature(key: &Key, path: &[u8], branch: &[u8], to: SocketAddr) -> u64 {
    let fields = key.over_fields().field(path).field(branch).number(u64::from(to.port()));
    match to.ip() {
        IpAddr::V4(ip) => fields.field(&ip.octets()).finish(),
        IpAddr::V6(ip) => fields.field(&ip.octets()).finish(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new([1; 16])
    }

    fn to() -> SocketAddr {
        "192.0.2.1:5060".parse().unwrap()
    }

    #[test]
    fn a_path_survives_the_way_there_and_back() {
        for local in [None, Some("10.0.0.1".parse().unwrap()), Some("2001:db8::1".parse().unwrap())] {
            let path = ReturnPath { listener: ListenerIndex(63), local };
            let token = path.sign(&key(), b"branch", to());
            assert_eq!(ReturnPath::verify(&key(), token.as_bytes(), b"branch", to()), Some(path));
        }
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let token = ReturnPath { listener: ListenerIndex(2), local: None }.sign(&key(), b"branch", to());
        let other: SocketAddr = "192.0.2.1:5061".parse().unwrap();
        assert_eq!(ReturnPath::verify(&key(), token.as_bytes(), b"branch", other), None);
        assert_eq!(ReturnPath::verify(&key(), token.as_bytes(), b"brancH", to()), None);
        assert_eq!(ReturnPath::verify(&Key::new([2; 16]), token.as_bytes(), b"branch", to()), None);
        for place in 0..token.len() {
            let mut forged = token.as_bytes().to_vec();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(ReturnPath::verify(&key(), &forged, b"branch", to()), None);
        }
        for forged in [&b""[..], b"A", b"AAAAAAAAAAA", b"%%%%%%%%%%%%", &[b'A'; 200]] {
            assert_eq!(ReturnPath::verify(&key(), forged, b"branch", to()), None);
        }
    }
}
