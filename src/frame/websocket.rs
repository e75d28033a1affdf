//! WebSocket with the sub-protocol `sip`, as a server's codec (RFC 7118, RFC 6455): each WebSocket message is one SIP
//! message.
//!
//! tungstenite's own connection over memory looked enough. Its buffer keeps the size of the longest message that ever
//! came, 64 KiB for one that is idle, what is sent must be copied into a message of its own first, and a byte that is
//! no UTF-8 in a text frame ends it. So its frame heads, opcodes, close codes and keys are used here, and the
//! connection itself stands in the tests as the reference.
//!
//! A proxy reads SIP's bytes, not text, so what a client calls text need not be UTF-8 (RFC 6455 §8.1 speaks of those
//! who interpret it as such); what is sent as text always is.

mod frames;
mod opening;
mod refusal;

use std::sync::Arc;

use bytes::BytesMut;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

pub use frames::{IDLE_BUFFER_BYTES, MAX_MESSAGE_BYTES};
pub use opening::{MAX_HEAD_BYTES, MAX_HEADERS, Origins};
pub use refusal::Refusal;

use frames::{Frames, Part};

/// One connection of a client's.
#[derive(Debug)]
pub struct WebSocket {
    phase: Phase,
    /// The client's messages come as binary frames; so ours go as such, too.
    is_binary: bool,
}

/// What a client has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// The handshake is complete; messages may be sent.
    Opened,
    /// A message, whole. It may be empty or line ends alone, which is some clients' way to keep the connection alive.
    Message(&'b [u8]),
    /// A ping. It has been answered.
    Ping,
    /// A pong.
    Pong,
    /// The client has closed, with this code if it gave one. [`WebSocket::close`] answers it; until then messages may be
    /// sent, and a client may read them (RFC 6455 §5.5.1).
    Closed(Option<u16>),
}

#[derive(Debug)]
enum Phase {
    /// The request's head, as far as it has come.
    Opening(Vec<u8>, Arc<Origins>),
    Open(Box<Frames>),
    /// We have closed, and wait for the client to.
    Closing(Box<Frames>),
    /// The client has closed, with this code, and waits for us to.
    Finished(Option<u16>),
    Closed,
}

impl WebSocket {
    /// A connection on which nothing has come yet.
    pub fn new(origins: Arc<Origins>) -> Self {
        WebSocket { phase: Phase::Opening(Vec::new(), origins), is_binary: false }
    }

    /// Takes what has arrived; hands out what it says and writes what the client must be told.
    ///
    /// After a refusal the connection is over: `wire` has the answer or the close frame, and what else comes is not
    /// looked at.
    pub fn feed(&mut self, bytes: &[u8], mut event: impl FnMut(Event<'_>), wire: &mut BytesMut) -> Result<(), Refusal> {
        let outcome = self.take(bytes, &mut event, wire);
        outcome.inspect_err(|refusal| {
            if let Phase::Open(_) = self.phase {
                write_close(refusal.close_code(), wire);
            }
            self.phase = Phase::Closed;
        })
    }

    /// Writes a message, in a frame of the type that the client uses: as text where it is UTF-8, else as binary.
    /// Returns whether it could: neither before the handshake nor after a close of ours.
    pub fn send(&mut self, message: &[u8], wire: &mut BytesMut) -> bool {
        let (Phase::Open(_) | Phase::Finished(_)) = self.phase else {
            return false;
        };
        let is_text = !self.is_binary && std::str::from_utf8(message).is_ok();
        write_frame(OpCode::Data(if is_text { Data::Text } else { Data::Binary }), message, wire);
        true
    }

    /// Writes a ping, for clients whose path forgets idle connections. Returns whether it could.
    pub fn ping(&mut self, wire: &mut BytesMut) -> bool {
        let Phase::Open(_) = self.phase else {
            return false;
        };
        write_frame(OpCode::Control(Control::Ping), b"", wire);
        true
    }

    /// Closes from our side with a code of RFC 6455 §7.4; 1001 is for a server that goes away. The client's answer
    /// comes as [`Event::Closed`]. Where the client has closed before, it is answered with its own code (§5.5.1).
    pub fn close(&mut self, code: u16, wire: &mut BytesMut) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Open(frames) => {
                write_close(code, wire);
                Phase::Closing(frames)
            }
            Phase::Finished(code) => {
                let payload = code.map(u16::to_be_bytes);
                write_frame(OpCode::Control(Control::Close), payload.as_ref().map_or(b"", |code| code), wire);
                Phase::Closed
            }
            Phase::Opening(..) => Phase::Closed,
            other => other,
        }
    }

    /// Whether the handshake is complete and nobody has closed.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether the client has closed, and we have not.
    pub fn has_peer_closed(&self) -> bool {
        matches!(self.phase, Phase::Finished(_))
    }

    /// Whether the handshake, a frame or a message has begun and is not complete. A peer is to be given only so long for it.
    pub fn is_mid_message(&self) -> bool {
        match &self.phase {
            Phase::Opening(..) => true,
            Phase::Open(frames) | Phase::Closing(frames) => frames.is_mid_message(),
            Phase::Finished(_) | Phase::Closed => false,
        }
    }

    /// How much is kept of what is not complete, in bytes.
    pub fn kept_bytes(&self) -> usize {
        match &self.phase {
            Phase::Opening(head, _) => head.len(),
            Phase::Open(frames) | Phase::Closing(frames) => frames.kept_bytes(),
            Phase::Finished(_) | Phase::Closed => 0,
        }
    }

    fn take(&mut self, bytes: &[u8], event: &mut dyn FnMut(Event<'_>), wire: &mut BytesMut) -> Result<(), Refusal> {
        match &mut self.phase {
            Phase::Opening(head, origins) => {
                let Some(rest) = opening::read(head, bytes, origins, wire)? else {
                    return Ok(());
                };
                self.phase = Phase::Open(Box::default());
                event(Event::Opened);
                self.take_frames(rest, event, wire)
            }
            Phase::Open(_) | Phase::Closing(_) => self.take_frames(bytes, event, wire),
            Phase::Finished(_) | Phase::Closed => Ok(()),
        }
    }

    fn take_frames(
        &mut self,
        mut bytes: &[u8],
        event: &mut dyn FnMut(Event<'_>),
        wire: &mut BytesMut,
    ) -> Result<(), Refusal> {
        let (frames, is_open) = match &mut self.phase {
            Phase::Open(frames) => (frames, true),
            Phase::Closing(frames) => (frames, false),
            _ => return Ok(()),
        };
        while let Some(part) = frames.next(&mut bytes)? {
            match part {
                Part::Message { bytes, is_binary } => {
                    self.is_binary = is_binary;
                    event(Event::Message(bytes));
                }
                Part::Ping(payload) => {
                    if is_open {
                        write_frame(OpCode::Control(Control::Pong), payload, wire);
                    }
                    event(Event::Ping);
                }
                Part::Pong => event(Event::Pong),
                Part::Close(code) => {
                    self.phase = if is_open { Phase::Finished(code) } else { Phase::Closed };
                    event(Event::Closed(code));
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn write_close(code: u16, wire: &mut BytesMut) {
    write_frame(OpCode::Control(Control::Close), &u16::from(CloseCode::from(code)).to_be_bytes(), wire);
}

/// A server's frames are whole and not masked (RFC 6455 §5.1).
fn write_frame(opcode: OpCode, payload: &[u8], wire: &mut BytesMut) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let mut head = arrayvec::ArrayVec::<u8, { frames::MAX_FRAME_HEAD_BYTES }>::new();
    // A head that is not masked always has room.
    let _ = header.format(payload.len() as u64, &mut head);
    wire.extend_from_slice(&head);
    wire.extend_from_slice(payload);
}
