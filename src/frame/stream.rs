//! Messages in a stream (RFC 3261 §18.3, §7.5): where each begins, and by its Content-Length where it ends.
//!
//! To assemble every message in a buffer of the connection's own looked simpler, as there would be one way. Nearly all messages
//! lie whole in what was received, and need no copy; only one that is split over receives is assembled.

use bytes::BytesMut;
use memchr::memchr;

use super::keepalive::{self, Keepalive};
use super::spare::{Exhausted, SpareBuffers};
use crate::sip::extent::{self, Extent, LengthFault};

/// How long a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest head, with the empty line at its end.
    pub head_bytes: usize,
    /// The longest message, head and body.
    pub message_bytes: usize,
}

impl Default for Limits {
    /// A head of 16 KiB, and a message as long as a datagram can be: 65,535 bytes.
    fn default() -> Self {
        Limits { head_bytes: 16 * 1024, message_bytes: 65_535 }
    }
}

/// What a stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message: its head and its body, without the line ends before it.
    Message(&'a [u8]),
    /// Line ends between messages.
    Keepalive(Keepalive),
}

/// Why no further message can be found in a stream. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not speak SIP.
    NotSip,
    /// The head is longer than its limit.
    HeadTooLong,
    /// The message is longer than its limit, by its Content-Length.
    MessageTooLong,
    /// There is no Content-Length, which on a stream there must be (§18.3).
    NoContentLength,
    /// Content-Length is no decimal number below 2^32.
    MalformedContentLength,
    /// Content-Length stands twice: whoever reads the other one finds another message.
    RepeatedContentLength,
    /// The message is split, and the shard holds as much of split messages as it may: our limit, not the peer's fault.
    NoSpareBuffer,
}

impl Fault {
    /// Every fault, in the order of [`Fault::index`].
    pub const ALL: [Fault; 7] = [
        Fault::NotSip,
        Fault::HeadTooLong,
        Fault::MessageTooLong,
        Fault::NoContentLength,
        Fault::MalformedContentLength,
        Fault::RepeatedContentLength,
        Fault::NoSpareBuffer,
    ];

    /// This fault's place in [`Fault::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Fault::NotSip => "not_sip",
            Fault::HeadTooLong => "head_too_long",
            Fault::MessageTooLong => "message_too_long",
            Fault::NoContentLength => "no_content_length",
            Fault::MalformedContentLength => "malformed_content_length",
            Fault::RepeatedContentLength => "repeated_content_length",
            Fault::NoSpareBuffer => "no_spare_buffer",
        }
    }
}

impl From<LengthFault> for Fault {
    fn from(fault: LengthFault) -> Self {
        match fault {
            LengthFault::Missing => Fault::NoContentLength,
            LengthFault::Malformed => Fault::MalformedContentLength,
            LengthFault::Repeated => Fault::RepeatedContentLength,
        }
    }
}

/// Where the next message would begin is not known: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingError<'a> {
    /// What is wrong.
    pub fault: Fault,
    /// The head of the message that it is wrong with, where that is whole: what an answer is made from before the
    /// connection is closed.
    pub head: Option<&'a [u8]>,
}

/// What is known of one connection's stream between receives: 48 bytes at most, and a buffer only while a message is
/// incomplete.
#[derive(Debug)]
pub struct Framer {
    /// The beginning of a message that is split over receives. All of it has been searched for its head's end.
    partial: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No message has begun. Whether the line ends since the last one are an odd number.
    Between { is_odd: bool },
    /// In the first line of the message that is held.
    StartLine,
    /// In its headers.
    Headers,
    /// In its body. How long it is, with its head.
    Body { message_bytes: u32 },
    /// Nothing that comes is read.
    Failed,
}

const BETWEEN: State = State::Between { is_odd: false };

/// Where a message, or the head of one, lies.
enum Place<'i> {
    Received(&'i [u8]),
    Assembled,
}

/// What is wrong, and where the head lies that it is wrong with.
struct Failure<'i>(Fault, Option<Place<'i>>);

impl From<Fault> for Failure<'_> {
    fn from(fault: Fault) -> Self {
        Failure(fault, None)
    }
}

impl From<Exhausted> for Failure<'_> {
    fn from(_: Exhausted) -> Self {
        Failure(Fault::NoSpareBuffer, None)
    }
}

impl Default for Framer {
    fn default() -> Self {
        Framer { partial: BytesMut::new(), state: BETWEEN }
    }
}

impl Framer {
    /// The next frame in `input`, which is what was received and not framed yet; what the frame took is taken from it.
    /// `None` when all of it is taken; with each receive it is called until then:
    ///
    /// ```
    /// # use viaduct::frame::{spare::{SpareBuffers, SpareLimits}, stream::{Frame, Framer, Limits}};
    /// # let (mut framer, limits) = (Framer::default(), Limits::default());
    /// # let mut spare = SpareBuffers::new(SpareLimits::default());
    /// let mut input: &[u8] = b"\r\n\r\nSIP/2.0 200 OK\r\nl: 0\r\n\r\nBYE sip:a";
    /// while let Some(frame) = framer.next(&mut input, limits, &mut spare) {
    ///     match frame {
    ///         Ok(Frame::Message(message)) => assert_eq!(message, b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n"),
    ///         Ok(Frame::Keepalive(keepalive)) => assert_eq!(keepalive.answer(), Some(&b"\r\n"[..])),
    ///         Err(error) => panic!("answer, and close: {error:?}"),
    ///     }
    /// }
    /// assert!(framer.is_mid_message());
    /// framer.close(&mut spare);
    /// ```
    ///
    /// A message that was received whole is lent from `input`; one that was split is lent from `spare`, to which its buffer
    /// has then gone back. Nothing is borrowed from the framer. After an error whatever comes is passed over.
    /// The same bytes give the same messages, and the same error, however they are cut.
    pub fn next<'i: 'a, 'a>(
        &mut self,
        input: &mut &'i [u8],
        limits: Limits,
        spare: &'a mut SpareBuffers,
    ) -> Option<Result<Frame<'a>, FramingError<'a>>> {
        if let State::Between { is_odd } = &mut self.state
            && let Some(keepalive) = keepalive::take_line_ends(input, is_odd)
        {
            return Some(Ok(Frame::Keepalive(keepalive)));
        }
        if input.is_empty() {
            return None;
        }
        match self.advance(input, limits, spare) {
            Ok(place) => place.map(|place| Ok(Frame::Message(self.lend(place, spare)))),
            Err(Failure(fault, place)) => {
                self.state = State::Failed;
                *input = &[];
                Some(Err(FramingError { fault, head: self.lend_head(place, spare) }))
            }
        }
    }

    /// Whether part of a message has come, and the rest has not. A peer is to be given only so long to send it.
    pub fn is_mid_message(&self) -> bool {
        matches!(self.state, State::StartLine | State::Headers | State::Body { .. })
    }

    /// What has come of a message that has begun; empty where none has.
    pub fn begun(&self) -> &[u8] {
        if self.is_mid_message() { &self.partial } else { &[] }
    }

    /// Gives back what is held of an incomplete message. To be called when the connection ends: what is held would else
    /// count as held for ever. The framer may then serve another connection.
    pub fn close(&mut self, spare: &mut SpareBuffers) {
        spare.give_back(std::mem::take(&mut self.partial));
        self.state = BETWEEN;
    }

    fn advance<'i>(
        &mut self,
        input: &mut &'i [u8],
        limits: Limits,
        spare: &mut SpareBuffers,
    ) -> Result<Option<Place<'i>>, Failure<'i>> {
        match self.state {
            State::Between { .. } => return self.begin(input, limits, spare),
            State::StartLine | State::Headers => self.take_head(input, limits, spare)?,
            State::Body { .. } => {}
            State::Failed => *input = &[],
        }
        self.take_body(input, spare)
    }

    /// Finds the message that `input` begins with. What is not whole is held.
    fn begin<'i>(
        &mut self,
        input: &mut &'i [u8],
        limits: Limits,
        spare: &mut SpareBuffers,
    ) -> Result<Option<Place<'i>>, Failure<'i>> {
        let searched = &input[..input.len().min(limits.head_bytes)];
        self.state = match extent::measure(searched) {
            Extent::NotSip => return Err(Fault::NotSip.into()),
            Extent::StartLine | Extent::Head if searched.len() == limits.head_bytes => {
                return Err(Fault::HeadTooLong.into());
            }
            Extent::StartLine => State::StartLine,
            Extent::Head => State::Headers,
            Extent::Whole { head_bytes, body_bytes } => {
                let message_bytes = message_bytes(head_bytes, body_bytes, limits)
                    .map_err(|fault| Failure(fault, Some(Place::Received(&input[..head_bytes]))))?;
                if let Some((message, rest)) = input.split_at_checked(message_bytes as usize) {
                    *input = rest;
                    self.state = BETWEEN;
                    return Ok(Some(Place::Received(message)));
                }
                State::Body { message_bytes }
            }
        };
        self.hold(input, input.len(), spare)?;
        Ok(None)
    }

    /// Takes what belongs to the head of the message that is held.
    fn take_head(
        &mut self,
        input: &mut &[u8],
        limits: Limits,
        spare: &mut SpareBuffers,
    ) -> Result<(), Failure<'static>> {
        let before = self.partial.len();
        let searched = &input[..input.len().min(limits.head_bytes.saturating_sub(before))];
        let end = extent::head_end(&self.partial, searched);
        self.hold(input, end.unwrap_or(searched.len()), spare)?;
        if self.state == State::StartLine {
            self.check_start_line(before)?;
        }
        if end.is_some() {
            self.read_length(limits)?;
        } else if self.partial.len() >= limits.head_bytes {
            return Err(Fault::HeadTooLong.into());
        }
        Ok(())
    }

    /// Checks the first line of the message that is held; the `before` bytes that were held earlier have no line feed.
    fn check_start_line(&mut self, before: usize) -> Result<(), Fault> {
        let line_end = memchr(b'\n', &self.partial[before..]).map(|end| before + end);
        match line_end {
            Some(end) if extent::is_start_line(&self.partial[..end]) => self.state = State::Headers,
            None if extent::may_begin(&self.partial) => {}
            _ => return Err(Fault::NotSip),
        }
        Ok(())
    }

    /// Learns how long the message is whose head is held.
    fn read_length(&mut self, limits: Limits) -> Result<(), Failure<'static>> {
        let Extent::Whole { head_bytes, body_bytes } = extent::measure(&self.partial) else {
            return Err(Fault::NotSip.into());
        };
        let message_bytes =
            message_bytes(head_bytes, body_bytes, limits).map_err(|fault| Failure(fault, Some(Place::Assembled)))?;
        self.state = State::Body { message_bytes };
        Ok(())
    }

    /// Takes what belongs to the body of the message that is held, if it is known.
    fn take_body(
        &mut self,
        input: &mut &[u8],
        spare: &mut SpareBuffers,
    ) -> Result<Option<Place<'static>>, Failure<'static>> {
        let State::Body { message_bytes } = self.state else { return Ok(None) };
        let missing = (message_bytes as usize).saturating_sub(self.partial.len());
        self.hold(input, missing.min(input.len()), spare)?;
        if self.partial.len() < message_bytes as usize {
            return Ok(None);
        }
        self.state = BETWEEN;
        Ok(Some(Place::Assembled))
    }

    fn hold(&mut self, input: &mut &[u8], count: usize, spare: &mut SpareBuffers) -> Result<(), Exhausted> {
        let (held, rest) = input.split_at(count);
        spare.append(&mut self.partial, held)?;
        *input = rest;
        Ok(())
    }

    fn lend<'i: 'a, 'a>(&mut self, place: Place<'i>, spare: &'a mut SpareBuffers) -> &'a [u8] {
        match place {
            Place::Received(bytes) => bytes,
            Place::Assembled => spare.lend(std::mem::take(&mut self.partial)),
        }
    }

    /// Lends the head; where there is none, gives back what is held.
    fn lend_head<'i: 'a, 'a>(&mut self, head: Option<Place<'i>>, spare: &'a mut SpareBuffers) -> Option<&'a [u8]> {
        if head.is_none() {
            spare.give_back(std::mem::take(&mut self.partial));
        }
        head.map(|place| self.lend(place, spare))
    }
}

/// How long a message is, if it may be that long.
fn message_bytes(head_bytes: usize, body_bytes: Result<u32, LengthFault>, limits: Limits) -> Result<u32, Fault> {
    let message_bytes = head_bytes.saturating_add(body_bytes? as usize);
    if message_bytes > limits.message_bytes {
        return Err(Fault::MessageTooLong);
    }
    u32::try_from(message_bytes).map_err(|_| Fault::MessageTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_forty_eight_bytes_at_most() {
        assert!(size_of::<Framer>() <= 48, "{}", size_of::<Framer>());
    }

    #[test]
    fn every_fault_has_its_place_and_its_label() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault.index(), place);
            assert!(Fault::ALL.iter().filter(|other| other.label() == fault.label()).count() == 1);
        }
    }
}
