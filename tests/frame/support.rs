//! Streams to frame, and what came of them.

use proptest::prelude::*;
use viaduct::frame::spare::{SpareBuffers, SpareLimits};
use viaduct::frame::stream::{Fault, Frame, Framer, Limits};

/// What a stream brought, in a form that does not depend on how it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Message(Vec<u8>),
    /// All line ends between two messages.
    Keepalive {
        line_ends: u32,
        pings: u32,
    },
    /// The fault, and the head where it was whole.
    Error(Fault, Option<Vec<u8>>),
}

/// One connection and the spare buffers of its shard.
pub struct Connection {
    pub framer: Framer,
    pub limits: Limits,
    pub spare: SpareBuffers,
    pub events: Vec<Event>,
}

impl Connection {
    pub fn new(limits: Limits) -> Self {
        let spare = SpareBuffers::new(SpareLimits::default());
        Connection { framer: Framer::default(), limits, spare, events: Vec::new() }
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        while let Some(frame) = self.framer.next(&mut input, self.limits, &mut self.spare) {
            let event = match frame {
                Ok(Frame::Message(message)) => Event::Message(message.to_vec()),
                Ok(Frame::Keepalive(keepalive)) => {
                    Event::Keepalive { line_ends: keepalive.line_ends, pings: keepalive.pings }
                }
                Err(error) => Event::Error(error.fault, error.head.map(<[u8]>::to_vec)),
            };
            note(&mut self.events, event);
        }
        assert!(input.is_empty(), "all that was received is framed or held");
    }
}

fn note(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), &event) {
        (Some(Event::Keepalive { line_ends, pings }), Event::Keepalive { line_ends: more_ends, pings: more }) => {
            *line_ends += more_ends;
            *pings += more;
        }
        _ => events.push(event),
    }
}

/// Frames `stream`, received in one piece.
pub fn whole(stream: &[u8]) -> Vec<Event> {
    in_pieces([stream])
}

/// Frames a stream, received in these pieces.
pub fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut connection = Connection::new(Limits::default());
    pieces.into_iter().for_each(|piece| connection.receive(piece));
    connection.events
}

/// The stream in pieces, cut at places drawn as parts of 65,536 of its length.
pub fn cut<'a>(stream: &'a [u8], places: &[u16]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| (usize::from(*place) * stream.len()) >> 16).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// A message with that many bytes in its head, of which its request line, Content-Length and empty line take 60 at most.
pub fn message_of(head_bytes: usize, body_bytes: usize) -> Vec<u8> {
    let length = format!("Content-Length: {body_bytes}\r\n\r\n");
    let padding = head_bytes - length.len() - "BYE sip:b SIP/2.0\r\nX: \r\n".len();
    let head = format!("BYE sip:b SIP/2.0\r\nX: {}\r\n{length}", "x".repeat(padding));
    [head.as_bytes(), &vec![b'b'; body_bytes]].concat()
}

/// One message in one of the dresses that RFC 3261 allows, and in some that peers wear.
pub fn message() -> impl Strategy<Value = Vec<u8>> {
    let start_line =
        prop::sample::select(vec!["INVITE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK", "X sip: sip/2.0"]);
    let header = prop::sample::select(vec![
        "Via: SIP/2.0/TCP a;branch=z9hG4bK1",
        "Subject: folded\n and\n\tagain",
        "X: Content-Length: 7",
        "Y: a\n Content-Length: 7",
        "Content-Type: application/sdp",
        "lines: 3",
        "c",
        "",
        " ",
    ]);
    let length =
        prop::sample::select(vec!["Content-Length: ", "l:", "L : ", "CONTENT-LENGTH\t:\n ", "content-length:\n\t00"]);
    let line_end = prop::sample::select(vec!["\r\n", "\n"]);
    (start_line, prop::collection::vec(header, 0..6), 0..6_usize, length, line_end, body()).prop_map(
        |(start_line, headers, place, length, line_end, body)| {
            let mut lines: Vec<String> =
                headers.iter().filter(|header| !header.is_empty()).map(|h| h.to_string()).collect();
            lines.insert(place.min(lines.len()), format!("{length}{}", body.len()));
            let head = format!("{start_line}\n{}\n\n", lines.join("\n")).replace('\n', line_end);
            [head.as_bytes(), &body].concat()
        },
    )
}

/// Bodies that look like line ends, heads and messages.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"BYE sip:b SIP/2.0\r\nl: 3\r\n\r\nabc".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
        Just(vec![0; 3000]),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// What stands between messages.
pub fn line_ends() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec!["\r\n", "\r\n\r\n", "\n", "\r"]), 0..4)
        .prop_map(|parts| parts.concat().into_bytes())
}
