//! What lies between the bytes of a connection and its messages: who stands behind it (PROXY protocol), TLS, WebSocket.
//!
//! A chain of boxed layers, each with the next one inside, looked more general. There are two layers that nest in one order
//! only, and most connections have none of them: those pay one pointer.

use bytes::BytesMut;

use crate::frame::proxy_protocol::{self, Origin, Start};
use crate::frame::stream::Framer;
use crate::frame::tls::{Progress, Tls, TlsError};
use crate::frame::websocket::{Event, Refusal, WebSocket};

/// A connection's codecs.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Where messages begin and end, unless WebSocket tells.
    pub(super) framer: Framer,
    layers: Option<Box<Layers>>,
}

/// What most connections do not have.
#[derive(Debug)]
struct Layers {
    /// The head of the PROXY protocol as far as it has come, where one must come.
    origin: Option<Vec<u8>>,
    tls: Option<Tls>,
    socket: Option<WebSocket>,
}

/// What a WebSocket client has said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Messages, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// The handshake has become complete.
    pub(super) has_opened: bool,
    /// The client has closed.
    pub(super) has_closed: bool,
    /// The client has pinged, which is a keepalive (RFC 7118 §6).
    pub(super) has_pinged: bool,
}

/// The close code of a server that goes away, or lets a silent client go (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// What a record of TLS adds at most: head, explicit nonce, tag, and the type of the content (RFC 5246 §6.2, RFC 8446 §5.2).
const RECORD_OVERHEAD_BYTES: usize = 5 + 8 + 16 + 1;

/// How much of a message one record holds.
const RECORD_BYTES: usize = 16 << 10;

/// A frame's head, and beside the message's own records what TLS has to say on occasion, such as a change of keys.
const OTHER_OVERHEAD_BYTES: usize = 512;

/// How many bytes a message of that length takes on the wire at most.
pub(super) fn wire_bytes_max(message_bytes: usize) -> usize {
    message_bytes + (message_bytes / RECORD_BYTES + 1) * RECORD_OVERHEAD_BYTES + OTHER_OVERHEAD_BYTES
}

impl Session {
    /// One with these layers, the outermost first.
    pub(super) fn new(has_origin: bool, tls: Option<Tls>, socket: Option<WebSocket>) -> Self {
        let has_layers = has_origin || tls.is_some() || socket.is_some();
        let layers = Layers { origin: has_origin.then(Vec::new), tls, socket };
        Session { framer: Framer::default(), layers: has_layers.then(|| Box::new(layers)) }
    }

    /// Whether its bytes are the messages themselves.
    pub(super) fn is_plain(&self) -> bool {
        self.layers.is_none()
    }

    /// Whether a head of the PROXY protocol is still to come.
    pub(super) fn awaits_origin(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.origin.is_some())
    }

    /// Whether it has TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.tls.is_some())
    }

    /// Whether it has TLS whose handshake is complete.
    pub(super) fn has_open_tls(&self) -> bool {
        let tls = self.layers.as_ref().and_then(|layers| layers.tls.as_ref());
        tls.is_some_and(Tls::is_established)
    }

    /// Whether it has WebSocket.
    pub(super) fn has_socket(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.socket.is_some())
    }

    /// Whether messages can go: every handshake is complete.
    pub(super) fn is_established(&self) -> bool {
        self.layers.as_ref().is_none_or(|layers| {
            layers.origin.is_none()
                && layers.tls.as_ref().is_none_or(Tls::is_established)
                && layers.socket.as_ref().is_none_or(WebSocket::is_open)
        })
    }

    /// Whether something has begun that is not complete: a message, a record or a handshake.
    pub(super) fn is_mid_message(&self) -> bool {
        let in_layers = |layers: &Layers| {
            layers.origin.is_some()
                || layers.tls.as_ref().is_some_and(|tls| !tls.is_established() || tls.kept_bytes() > 0)
                || layers.socket.as_ref().is_some_and(WebSocket::is_mid_message)
        };
        self.framer.is_mid_message() || self.layers.as_deref().is_some_and(in_layers)
    }

    /// Whether messages may still go though the peer has finished. Each layer that has an end of its own must have told it:
    /// without, the end of the stream is an accident, or an attacker's (RFC 6455 §7.1.4, RFC 8446 §6.1).
    pub(super) fn outlives_its_peer(&self) -> bool {
        self.layers.as_ref().is_none_or(|layers| match (&layers.socket, &layers.tls) {
            (Some(socket), tls) => socket.has_peer_closed() && tls.as_ref().is_none_or(|tls| !tls.is_over()),
            (None, Some(tls)) => tls.has_peer_closed() && !tls.is_over(),
            (None, None) => false,
        })
    }

    /// How much the layers keep of what is not complete, in bytes. The framer's part is counted where its buffers are lent.
    pub(super) fn kept_bytes(&self) -> usize {
        self.layers.as_ref().map_or(0, |layers| {
            layers.origin.as_ref().map_or(0, Vec::len)
                + layers.tls.as_ref().map_or(0, Tls::kept_bytes)
                + layers.socket.as_ref().map_or(0, WebSocket::kept_bytes)
        })
    }

    /// Whether an earlier session of TLS was taken up again.
    pub(super) fn is_resumed(&self) -> bool {
        let tls = self.layers.as_ref().and_then(|layers| layers.tls.as_ref());
        tls.and_then(Tls::session).is_some_and(|session| session.is_resumed)
    }

    /// Takes what has come of the PROXY protocol's head: what it says, and what stood behind it. `None` where it is not
    /// complete, `Err` where it is none.
    pub(super) fn take_origin(&mut self, bytes: &[u8]) -> Result<Option<(Origin, Vec<u8>)>, ()> {
        let Some(head) = self.layers.as_mut().and_then(|layers| layers.origin.as_mut()) else { return Err(()) };
        head.extend_from_slice(bytes);
        match proxy_protocol::of_stream(head) {
            Start::Partial => Ok(None),
            Start::Malformed => Err(()),
            Start::Head(len, origin) => {
                let rest = head.split_off(len);
                self.end_origin();
                Ok(Some((origin, rest)))
            }
        }
    }

    /// Takes ciphertext; appends what it says to `plaintext`, and what the peer must be told to `wire`.
    pub(super) fn open(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut BytesMut,
    ) -> Result<Progress, TlsError> {
        match self.layers.as_mut().and_then(|layers| layers.tls.as_mut()) {
            Some(tls) => tls.feed(ciphertext, |bytes| plaintext.extend_from_slice(bytes), wire),
            None => Ok(Progress::default()),
        }
    }

    /// Takes frames; puts what they say into `said`, and what the client must be told behind `wire`.
    pub(super) fn unframe(&mut self, bytes: &[u8], said: &mut Said, wire: &mut BytesMut) -> Result<(), Refusal> {
        said.clear();
        match self.layers.as_mut().and_then(|layers| layers.socket.as_mut()) {
            Some(socket) => socket.feed(bytes, |event| said.note(event), wire),
            None => Ok(()),
        }
    }

    /// Writes a message as it goes over the wire. `false` where it cannot: the connection is then of no more use.
    pub(super) fn wrap(&mut self, message: &[u8], frame: &mut BytesMut, wire: &mut BytesMut) -> bool {
        let Some(Layers { tls, socket, .. }) = self.layers.as_deref_mut() else {
            wire.extend_from_slice(message);
            return true;
        };
        let Some(socket) = socket else { return seal(tls, message, wire) };
        frame.clear();
        socket.send(message, frame) && seal(tls, frame, wire)
    }

    /// Writes what is not a message but of the innermost layer, such as WebSocket's own answers.
    pub(super) fn seal(&mut self, bytes: &[u8], wire: &mut BytesMut) -> bool {
        match self.layers.as_deref_mut() {
            Some(Layers { tls, .. }) => seal(tls, bytes, wire),
            None => seal(&mut None, bytes, wire),
        }
    }

    /// Writes what a peer is told before we close: that nothing more will come.
    pub(super) fn farewell(&mut self, wire: &mut BytesMut) {
        let Some(Layers { tls, socket, .. }) = self.layers.as_deref_mut() else { return };
        if let Some(socket) = socket {
            let mut frame = BytesMut::new();
            socket.close(GOING_AWAY, &mut frame);
            seal(tls, &frame, wire);
        }
        if let Some(tls) = tls {
            tls.close_notify(wire);
        }
    }

    /// The head has been read. Where there was nothing else, nothing stays.
    fn end_origin(&mut self) {
        let Some(layers) = &mut self.layers else { return };
        layers.origin = None;
        if layers.tls.is_none() && layers.socket.is_none() {
            self.layers = None;
        }
    }
}

fn seal(tls: &mut Option<Tls>, bytes: &[u8], wire: &mut BytesMut) -> bool {
    match tls {
        Some(_) if bytes.is_empty() => true,
        Some(tls) => tls.seal(bytes, wire).is_ok(),
        None => {
            wire.extend_from_slice(bytes);
            true
        }
    }
}

impl Said {
    /// The messages, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.has_opened, self.has_closed, self.has_pinged) = (false, false, false);
    }

    fn note(&mut self, event: Event<'_>) {
        match event {
            Event::Opened => self.has_opened = true,
            Event::Message(message) => {
                self.bytes.extend_from_slice(message);
                self.ends.push(self.bytes.len());
            }
            Event::Closed(_) => self.has_closed = true,
            Event::Ping => self.has_pinged = true,
            Event::Pong => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::frame::websocket::Origins;

    #[test]
    fn a_connection_without_layers_is_established_and_costs_one_pointer_more_than_its_framer() {
        let session = Session::default();
        assert!(session.is_plain() && session.is_established() && !session.is_mid_message());
        assert_eq!(size_of::<Session>(), size_of::<Framer>() + size_of::<usize>());
    }

    #[test]
    fn what_stands_behind_the_head_of_the_proxy_protocol_is_the_streams_however_it_is_cut() {
        let text = b"PROXY TCP4 203.0.113.7 192.0.2.1 4444 5060\r\nOPTIONS";
        for cut in 0..=text.len() {
            let mut session = Session::new(true, None, None);
            let (mut rest, mut source) = (Vec::new(), None);
            for piece in [&text[..cut], &text[cut..]] {
                if !session.awaits_origin() {
                    rest.extend_from_slice(piece);
                } else if let Some((origin, behind)) = session.take_origin(piece).unwrap() {
                    (rest, source) = (behind, Some(origin));
                }
            }
            assert_eq!(rest, b"OPTIONS", "{cut}");
            assert!(matches!(source, Some(Origin::Proxied { source, .. }) if source.port() == 4444), "{cut}");
            assert!(session.is_plain() && session.is_established());
        }
    }

    #[test]
    fn a_web_socket_whose_handshake_is_under_way_takes_no_message() {
        let mut session = Session::new(false, None, Some(WebSocket::new(Arc::new(Origins::any()))));
        assert!(!session.is_established() && session.is_mid_message());
        let (mut frame, mut wire) = (BytesMut::new(), BytesMut::new());
        assert!(!session.wrap(b"SIP/2.0 200 OK\r\n\r\n", &mut frame, &mut wire) && wire.is_empty());
    }

    #[test]
    fn messages_come_apart_where_they_ended() {
        let mut said = Said::default();
        for message in [&b"one"[..], b"", b"three"] {
            said.note(Event::Message(message));
        }
        assert_eq!(said.messages().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
    }
}
