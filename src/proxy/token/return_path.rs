//! The return path in our Via: how a response finds its way back, signed.
//!
//! When a request goes out, the place its response must return to is known: the listener it came in by, and the address
//! that the Via below ours names once `received` and `rport` stand in it. The token tells the listener (and on a
//! wildcard listener the address that the request was sent to) and signs all of it together with the branch. A
//! response that would be sent anywhere else does not verify.
//!
//! Putting this into the branch looked better, because no peer loses a branch. But a branch must stay the same when the
//! client's source port changes between an INVITE and its CANCEL, and this must not.

use std::net::{IpAddr, SocketAddr};

use crate::balance::key::Key;
use crate::proxy::inbound::{ConnectionRef, ListenerIndex};

use super::{Bytes, Fields, NearEnd, Token, push_address, read, write};

/// The most listeners that a token can tell apart.
pub const MAX_LISTENERS: usize = 64;

/// How a response finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnPath {
    /// The listener that the request came in by.
    pub listener: ListenerIndex,
    /// The address that the request was sent to, where its listener has several.
    pub local: Option<IpAddr>,
    /// The connection that the request came on.
    pub connection: Option<ConnectionRef>,
    /// The load balancer that handed the request on.
    pub relay: Option<SocketAddr>,
    /// Whether the request went to two backends, of which one has nothing to do with it.
    pub is_doubled: bool,
}

impl ReturnPath {
    /// Writes the token for a request with this `branch` whose response must go to `to`: 12 characters, 18 with an IPv4
    /// address, 28 with a connection, 34 with an IPv6 address;
    /// 8 more with an IPv4 load balancer's address, 24 with an IPv6 one's.
    pub fn sign(&self, key: &Key, branch: &[u8], to: SocketAddr) -> Token {
        let mut bytes = Bytes::new();
        let near_end = NearEnd { local: self.local, connection: self.connection };
        bytes.push((self.listener.0 & LISTENER) | near_end.kind() << 6);
        near_end.push(&mut bytes);
        if let Some(relay) = self.relay {
            push_address(&mut bytes, relay);
        }
        let signature = signature(key, &bytes, branch, to) ^ if self.is_doubled { DOUBLED } else { 0 };
        write(b"", bytes, signature)
    }

    /// Reads a token back; `None` where it was not signed for this `branch` and for a response that goes to `to`.
    pub fn verify(key: &Key, token: &[u8], branch: &[u8], to: SocketAddr) -> Option<Self> {
        let (bytes, signed) = read(token)?;
        let is_doubled = match signature(key, &bytes, branch, to) ^ signed {
            0 => false,
            DOUBLED => true,
            _ => return None,
        };
        let mut fields = Fields(&bytes);
        let first = fields.byte()?;
        let NearEnd { local, connection } = NearEnd::take(&mut fields, first >> 6)?;
        let listener = ListenerIndex(first & LISTENER);
        let relay = if fields.is_empty() { None } else { Some(fields.last_address()?) };
        fields.is_empty().then_some(ReturnPath { listener, local, connection, relay, is_doubled })
    }
}

/// The bits of the first byte that name the listener; the others name the family of the local address.
const LISTENER: u8 = MAX_LISTENERS as u8 - 1;

/// What is added to the signature of a request that went to two backends: the token has no bit left, and whoever sees a signature
/// is a backend that may say what it likes of its own request.
const DOUBLED: u64 = 1 << 63;

fn signature(key: &Key, path: &[u8], branch: &[u8], to: SocketAddr) -> u64 {
    let mut hasher = key.over_fields();
    hasher.field(path).field(branch).number(u64::from(to.port()));
    match to.ip() {
        IpAddr::V4(ip) => hasher.number(u32::from(ip).into()),
        IpAddr::V6(ip) => hasher.field(&ip.octets()),
    };
    hasher.finish_quick()
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
            let is_doubled = local.is_some();
            let path = ReturnPath { listener: ListenerIndex(63), local, connection: None, relay: None, is_doubled };
            let token = path.sign(&key(), b"branch", to());
            assert_eq!(ReturnPath::verify(&key(), &token, b"branch", to()), Some(path));
        }
        for relay in ["192.0.2.9:4000", "[2001:db8::9]:4000"] {
            let (local, relay) = (Some("10.0.0.1".parse().unwrap()), Some(relay.parse().unwrap()));
            let path = ReturnPath { listener: ListenerIndex(1), local, connection: None, relay, is_doubled: false };
            let token = path.sign(&key(), b"branch", to());
            assert_eq!(ReturnPath::verify(&key(), &token, b"branch", to()), Some(path));
        }
        let connection = Some(ConnectionRef { process: u32::MAX, number: u64::MAX - 1 });
        let path = ReturnPath { listener: ListenerIndex(0), local: None, connection, relay: None, is_doubled: false };
        let token = path.sign(&key(), b"branch", to());
        assert_eq!(ReturnPath::verify(&key(), &token, b"branch", to()), Some(path));
        assert_eq!(token.len(), 28);
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let path =
            ReturnPath { listener: ListenerIndex(2), local: None, connection: None, relay: None, is_doubled: false };
        let token = path.sign(&key(), b"branch", to());
        let other: SocketAddr = "192.0.2.1:5061".parse().unwrap();
        assert_eq!(ReturnPath::verify(&key(), &token, b"branch", other), None);
        assert_eq!(ReturnPath::verify(&key(), &token, b"brancH", to()), None);
        assert_eq!(ReturnPath::verify(&Key::new([2; 16]), &token, b"branch", to()), None);
        for place in 0..token.len() {
            let mut forged = token.to_vec();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(ReturnPath::verify(&key(), &forged, b"branch", to()), None);
        }
        for forged in [&b""[..], b"A", b"AAAAAAAAAAA", b"%%%%%%%%%%%%", &[b'A'; 200]] {
            assert_eq!(ReturnPath::verify(&key(), forged, b"branch", to()), None);
        }
    }
}
