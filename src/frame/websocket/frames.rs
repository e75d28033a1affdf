//! A client's frames, put together to messages (RFC 6455 §5), out of bytes that are cut anywhere.
//!
//! To keep whole frames until they are complete looked simpler. A frame's length is the sender's word: one that names
//! the limit and sends nothing would cost as much memory as a message that came.

use std::io::Cursor;

use arrayvec::ArrayVec;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::Refusal;

/// The longest message, and the longest frame, in bytes: what a datagram can carry at most, so that any message can go
/// on by UDP.
pub const MAX_MESSAGE_BYTES: usize = 65_535;

/// What the buffer for messages keeps of its memory between two messages.
pub const IDLE_BUFFER_BYTES: usize = 2_048;

/// The longest head of a frame: two bytes, eight of length, four of mask.
pub(super) const MAX_FRAME_HEAD_BYTES: usize = 14;

/// The longest payload of a control frame (RFC 6455 §5.5).
const MAX_CONTROL_BYTES: usize = 125;

/// What frames make up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'f> {
    Message { bytes: &'f [u8], is_binary: bool },
    Ping(&'f [u8]),
    Pong,
    Close(Option<u16>),
}

/// The frames of one client, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The beginning of a frame's head.
    head: ArrayVec<u8, MAX_FRAME_HEAD_BYTES>,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// The payload of the frames of a message.
    message: Vec<u8>,
    /// Whether a message is fragmented and not complete, and then whether it is binary.
    unfinished: Option<bool>,
    /// The payload of a control frame, which may come between the fragments of a message.
    control: ArrayVec<u8, MAX_CONTROL_BYTES>,
    /// What `message` or `control` held has been handed out.
    is_handed_out: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    is_final: bool,
    /// The mask, turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
    left_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message { is_binary: bool },
    Control(Control),
}

impl Frames {
    /// The next part that is complete, and `bytes` behind it; `None` where all of `bytes` is used and more is needed.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Part<'_>>, Refusal> {
        self.forget();
        loop {
            if self.frame.is_none() {
                self.frame = self.read_head(bytes)?;
            }
            let Some(frame) = &mut self.frame else {
                return Ok(None);
            };
            let (payload, rest) = bytes.split_at(bytes.len().min(frame.left_bytes));
            *bytes = rest;
            match frame.kind {
                Kind::Message { .. } => append_unmasked(&mut self.message, payload, frame),
                Kind::Control(_) => append_control(&mut self.control, payload, frame),
            }
            if frame.left_bytes > 0 {
                return Ok(None);
            }
            let frame = *frame;
            self.frame = None;
            if self.is_complete(frame) {
                self.is_handed_out = true;
                return self.part(frame).map(Some);
            }
        }
    }

    /// Whether a frame or a message has begun that is not complete.
    pub(super) fn is_mid_message(&self) -> bool {
        !self.head.is_empty() || self.frame.is_some() || self.unfinished.is_some()
    }

    /// How much is kept of a message that is not complete, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        if self.is_mid_message() { self.message.len() } else { 0 }
    }

    /// Lets go of what was handed out, and of memory that an idle connection needs no more.
    fn forget(&mut self) {
        if std::mem::take(&mut self.is_handed_out) {
            self.control.clear();
            if self.unfinished.is_none() {
                self.message.clear();
                self.message.shrink_to(IDLE_BUFFER_BYTES);
            }
        }
    }

    /// Notes whether a message goes on.
    fn is_complete(&mut self, frame: Frame) -> bool {
        if let Kind::Message { is_binary } = frame.kind {
            self.unfinished = (!frame.is_final).then_some(is_binary);
        }
        frame.is_final
    }

    fn part(&self, frame: Frame) -> Result<Part<'_>, Refusal> {
        Ok(match frame.kind {
            Kind::Message { is_binary } => Part::Message { bytes: &self.message, is_binary },
            Kind::Control(Control::Ping) => Part::Ping(&self.control),
            Kind::Control(Control::Close) => Part::Close(close_code(&self.control)?),
            Kind::Control(_) => Part::Pong,
        })
    }

    /// The head of the next frame, once it is complete.
    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Refusal> {
        let kept = self.head.len();
        let taken = bytes.len().min(self.head.remaining_capacity());
        self.head.extend(bytes[..taken].iter().copied());
        let mut cursor = Cursor::new(&self.head);
        let found = FrameHeader::parse(&mut cursor).map_err(|_| Refusal::BrokenFrame)?;
        let Some((header, length)) = found else {
            *bytes = &bytes[taken..];
            return Ok(None);
        };
        let used = cursor.position() as usize;
        *bytes = &bytes[used - kept..];
        self.head.clear();
        self.examine(&header, length).map(Some)
    }

    /// Holds a head against the rules of RFC 6455 §5.1, §5.2, §5.4 and §5.5, and against the limit.
    fn examine(&self, header: &FrameHeader, length: u64) -> Result<Frame, Refusal> {
        let mask = header.mask.filter(|_| !(header.rsv1 || header.rsv2 || header.rsv3)).ok_or(Refusal::BrokenFrame)?;
        let kind = self.kind(header, length)?;
        let before = if let Kind::Message { .. } = kind { self.message.len() as u64 } else { 0 };
        match length.checked_add(before).is_some_and(|length| length <= MAX_MESSAGE_BYTES as u64) {
            true => Ok(Frame { kind, is_final: header.is_final, mask, left_bytes: length as usize }),
            false => Err(Refusal::MessageTooLong),
        }
    }

    fn kind(&self, header: &FrameHeader, length: u64) -> Result<Kind, Refusal> {
        match (header.opcode, self.unfinished) {
            (OpCode::Data(Data::Continue), Some(is_binary)) => Ok(Kind::Message { is_binary }),
            (OpCode::Data(Data::Text), None) => Ok(Kind::Message { is_binary: false }),
            (OpCode::Data(Data::Binary), None) => Ok(Kind::Message { is_binary: true }),
            (OpCode::Control(Control::Reserved(_)), _) | (OpCode::Data(_), _) => Err(Refusal::BrokenFrame),
            (OpCode::Control(control), _) => match header.is_final && length <= MAX_CONTROL_BYTES as u64 {
                true => Ok(Kind::Control(control)),
                false => Err(Refusal::BrokenFrame),
            },
        }
    }
}

/// A close frame has no payload, or a code that may be sent, and perhaps a reason (RFC 6455 §5.5.1 and §7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Refusal> {
    match payload {
        [] => Ok(None),
        [high, low, ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            CloseCode::from(code).is_allowed().then_some(Some(code)).ok_or(Refusal::BrokenFrame)
        }
        _ => Err(Refusal::BrokenFrame),
    }
}

fn append_unmasked(message: &mut Vec<u8>, payload: &[u8], frame: &mut Frame) {
    let start = message.len();
    message.extend_from_slice(payload);
    unmask(&mut message[start..], frame);
}

fn append_control(control: &mut ArrayVec<u8, MAX_CONTROL_BYTES>, payload: &[u8], frame: &mut Frame) {
    let start = control.len();
    control.extend(payload.iter().copied());
    unmask(&mut control[start..], frame);
}

/// Takes the mask off (RFC 6455 §5.3), eight bytes at a time, and turns it for what follows.
fn unmask(payload: &mut [u8], frame: &mut Frame) {
    let mask = u32::from_ne_bytes(frame.mask);
    let wide = u64::from(mask) << 32 | u64::from(mask);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(frame.mask.iter().cycle()) {
        *byte ^= mask;
    }
    frame.mask.rotate_left(payload.len() % 4);
    frame.left_bytes -= payload.len();
}
