//! The pin of a dialog: which backend has it, by name, so that its requests find that backend after the pool was resized,
//! re-weighted, or the backend's address changed.
//!
//! Nothing goes into it but the message and the configuration, so that a retransmission gets the same bytes (§16.11).
//! Leaving in-dialog requests to the hash looked simpler. They would move with every change of the pool; and a callee's
//! requests have no way to find the hash's key but the Call-ID, whose owner may have changed in mid-call.

use crate::balance::backend::BackendId;
use crate::balance::key::Key;

use super::flow::Flow;
use super::{Bytes, Fields, Token, read, write};

/// What a pin begins with.
pub const PREFIX: u8 = b'p';

/// Which way a Record-Route of ours looks. Where a dialog crosses two listeners there are two, one for each side (RFC 5658).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// Both sides use this one.
    Both,
    /// Clients use this one.
    Client,
    /// Backends use this one.
    Backend,
}

/// What our Record-Route says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The backend that has the dialog; `None` where a trusted source outside of the pool began it.
    pub backend: Option<BackendId>,
    /// Which way it looks.
    pub facing: Facing,
    /// The client's flow, where its own address cannot be reached.
    pub flow: Option<Flow>,
}

impl Pin {
    /// The token for a dialog with this Call-ID: 23 characters without a flow.
    pub fn sign(&self, key: &Key, call_id: &[u8]) -> Token {
        let mut bytes = Bytes::new();
        bytes.push(match self.facing {
            Facing::Both => 0,
            Facing::Client => 1,
            Facing::Backend => 2,
        });
        bytes.extend(self.backend.map_or(0, |backend| backend.0.get()).to_be_bytes());
        match &self.flow {
            Some(flow) => flow.push(&mut bytes),
            None => Flow::push_none(&mut bytes),
        }
        let signature = signature(key, &bytes, call_id);
        write(b"p", bytes, signature)
    }

    /// Reads a token back; `None` where it was not signed with this key for this Call-ID.
    pub fn verify(key: &Key, token: &[u8], call_id: &[u8]) -> Option<Self> {
        let (bytes, signed) = read(token.strip_prefix(&[PREFIX])?)?;
        if signature(key, &bytes, call_id) != signed {
            return None;
        }
        let mut fields = Fields(&bytes);
        let facing = match fields.byte()? {
            0 => Facing::Both,
            1 => Facing::Client,
            2 => Facing::Backend,
            _ => return None,
        };
        let backend = BackendId::new(u32::from_be_bytes(fields.take()?));
        let flow = Flow::take(&mut fields)?;
        fields.is_empty().then_some(Pin { backend, facing, flow })
    }
}

fn signature(key: &Key, bytes: &[u8], call_id: &[u8]) -> u64 {
    key.over_fields().field(b"pin").field(bytes).field(call_id).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::inbound::{ConnectionRef, ListenerIndex};

    fn pins() -> Vec<Pin> {
        let peer = "[2001:db8::9]:40123".parse().unwrap();
        let local = Some("2001:db8::1".parse().unwrap());
        let flow = Flow { listener: ListenerIndex(1), peer, local, connection: None, is_direct: false };
        let connection = Some(ConnectionRef { process: 1, number: u64::MAX });
        let connected = Flow { local: None, connection, is_direct: true, ..flow };
        let with = |backend, facing, flow| Pin { backend: BackendId::new(backend), facing, flow };
        vec![
            with(7, Facing::Both, None),
            with(u32::MAX, Facing::Client, Some(flow)),
            with(0, Facing::Backend, None),
            with(9, Facing::Both, Some(connected)),
        ]
    }

    #[test]
    fn a_pin_survives_the_way_there_and_back() {
        let key = Key::new([5; 16]);
        for pin in pins() {
            assert_eq!(Pin::verify(&key, &pin.sign(&key, b"call"), b"call"), Some(pin));
        }
    }

    #[test]
    fn a_pin_holds_for_its_call_id_and_key_alone_and_nothing_of_it_can_be_changed() {
        let key = Key::new([5; 16]);
        for pin in pins() {
            let token = pin.sign(&key, b"call");
            assert_eq!(Pin::verify(&key, &token, b"Call"), None);
            assert_eq!(Pin::verify(&Key::new([6; 16]), &token, b"call"), None);
            for place in 0..token.len() {
                let mut forged = token.to_vec();
                forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
                assert_eq!(Pin::verify(&key, &forged, b"call"), None);
            }
        }
    }

    #[test]
    fn a_pin_without_a_flow_is_short() {
        assert!(pins()[0].sign(&Key::new([5; 16]), b"call").len() <= 25);
    }
}
