//! A flow: the address that a client was seen at, and the socket it was seen by (RFC 5626 §5.2).
//!
//! A table of flows looked better, because its keys would be shorter. A member of the fleet that did not see the
//! registration would not have the entry.

use std::net::{IpAddr, SocketAddr};

use crate::balance::key::Key;
use crate::proxy::inbound::{ConnectionRef, ListenerIndex};

use super::{Bytes, Fields, NearEnd, Token, family, push_address, read, write};

/// What a flow token begins with.
pub const PREFIX: u8 = b'f';

/// How a client is reached through whatever stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The listener that the client sent to.
    pub listener: ListenerIndex,
    /// The address that the client was seen at.
    pub peer: SocketAddr,
    /// The address that it sent to, where the listener has several.
    pub local: Option<IpAddr>,
    /// The connection that it sent by.
    pub connection: Option<ConnectionRef>,
    /// Whether nothing stands between, as far as the client's own request tells: where it says that it is, it may be reached.
    pub is_direct: bool,
}

impl Flow {
    /// The token for a Path.
    pub fn sign(&self, key: &Key) -> Token {
        let mut bytes = Bytes::new();
        self.push(&mut bytes);
        let signature = key.over_fields().field(b"flow").field(&bytes).finish();
        write(b"f", bytes, signature)
    }

    /// Reads a token back; `None` where it was not signed with this key.
    pub fn verify(key: &Key, token: &[u8]) -> Option<Self> {
        let (bytes, signature) = read(token.strip_prefix(&[PREFIX])?)?;
        if key.over_fields().field(b"flow").field(&bytes).finish() != signature {
            return None;
        }
        let mut fields = Fields(&bytes);
        let flow = Self::take(&mut fields)??;
        fields.is_empty().then_some(flow)
    }

    /// Families in a byte, the listener in another, then the addresses.
    pub(super) fn push(&self, bytes: &mut Bytes) {
        let near_end = NearEnd { local: self.local, connection: self.connection };
        let direct = if self.is_direct { DIRECT } else { 0 };
        bytes.push(family(Some(self.peer.ip())) | near_end.kind() << 2 | direct);
        bytes.push(self.listener.0);
        push_address(bytes, self.peer);
        near_end.push(bytes);
    }

    /// In the place of a flow: that there is none.
    pub(super) fn push_none(bytes: &mut Bytes) {
        bytes.push(0);
    }

    pub(super) fn take(fields: &mut Fields<'_>) -> Option<Option<Self>> {
        let families = fields.byte()?;
        if families == 0 {
            return Some(None);
        }
        let listener = ListenerIndex(fields.byte()?);
        let peer = fields.address(families)??;
        let NearEnd { local, connection } = NearEnd::take(fields, families >> 2)?;
        let is_direct = families & DIRECT != 0;
        Some(Some(Flow { listener, peer, local, connection, is_direct }))
    }
}

/// The bit of the first byte that is set for a client behind no translation. Tokens of releases that knew no such bit are read
/// as those of clients behind one.
const DIRECT: u8 = 1 << 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn flows() -> [Flow; 5] {
        let flow = |peer: &str, local: Option<&str>| Flow {
            listener: ListenerIndex(3),
            peer: peer.parse().unwrap(),
            local: local.map(|local| local.parse().unwrap()),
            connection: None,
            is_direct: false,
        };
        let connection = Some(ConnectionRef { process: 7, number: 1 << 40 });
        [
            flow("203.0.113.9:40123", None),
            flow("203.0.113.9:40123", Some("192.0.2.1")),
            flow("[2001:db8::9]:40123", Some("2001:db8::1")),
            Flow { connection, ..flow("[2001:db8::9]:40123", None) },
            Flow { connection, is_direct: true, ..flow("203.0.113.9:40123", None) },
        ]
    }

    #[test]
    fn a_flow_survives_the_way_there_and_back() {
        let key = Key::new([3; 16]);
        for flow in flows() {
            assert_eq!(Flow::verify(&key, &flow.sign(&key)), Some(flow));
        }
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let key = Key::new([3; 16]);
        for flow in flows() {
            let token = flow.sign(&key);
            for place in 0..token.len() {
                let mut forged = token.to_vec();
                forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
                assert_eq!(Flow::verify(&key, &forged), None);
            }
            assert_eq!(Flow::verify(&Key::new([4; 16]), &token), None);
        }
        for forged in [&b""[..], b"f", b"fAAAA", b"alice", &[b'f'; 300]] {
            assert_eq!(Flow::verify(&key, forged), None);
        }
    }
}
