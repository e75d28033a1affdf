//! WebSocket frames: any cut and any fragmentation mean the same, the library's own connection is the reference, what
//! is wrong is closed with the right code.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};
use viaduct::frame::websocket::{Event, MAX_MESSAGE_BYTES, Origins, Refusal, WebSocket};

/// A request that opens a connection.
pub fn opened(protocols: &str, more: &str) -> Vec<u8> {
    format!(
        "GET /ws HTTP/1.1\r\nHost: sip.example.com\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {protocols}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A client's frame.
pub fn frame(opcode: u8, is_final: bool, payload: &[u8]) -> Vec<u8> {
    frame_with(u8::from(is_final) << 7 | opcode, 0x80, payload)
}

fn frame_with(first: u8, mask_bit: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(mask_bit | length as u8),
        length @ 126..65_536 => {
            frame.push(mask_bit | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(mask_bit | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    if mask_bit != 0 {
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        frame.extend(payload);
    }
    frame
}

/// What a connection says, as values that live on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message(Vec<u8>),
    Ping,
    Pong,
    Closed(Option<u16>),
}

struct Server {
    socket: WebSocket,
    said: Vec<Said>,
    wire: BytesMut,
    refusal: Option<Refusal>,
}

impl Server {
    fn opened() -> Self {
        let socket = WebSocket::new(Arc::new(Origins::any()));
        let mut server = Server { socket, said: Vec::new(), wire: BytesMut::new(), refusal: None };
        server.feed(&opened("sip", ""));
        assert!(server.socket.is_open() && server.said.is_empty());
        server.wire.clear();
        server
    }

    fn feed(&mut self, bytes: &[u8]) {
        let said = &mut self.said;
        let outcome = self.socket.feed(
            bytes,
            |event| match event {
                Event::Opened => {}
                Event::Message(bytes) => said.push(Said::Message(bytes.to_vec())),
                Event::Ping => said.push(Said::Ping),
                Event::Pong => said.push(Said::Pong),
                Event::Closed(code) => said.push(Said::Closed(code)),
            },
            &mut self.wire,
        );
        self.refusal = self.refusal.or(outcome.err());
    }
}

/// Bytes in, bytes out, for the library's own connection.
struct Memory<'b> {
    bytes: &'b [u8],
    wire: Vec<u8>,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.bytes.read(buffer) }
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the library's own connection says of frames, whether it liked them, and what it answers.
fn reference(bytes: &[u8]) -> (Vec<Said>, bool, Vec<u8>) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .write_buffer_size(0);
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut memory = Memory { bytes, wire: Vec::new() };
    let mut said = Vec::new();
    loop {
        match context.read(&mut memory) {
            Ok(Message::Text(text)) => said.push(Said::Message(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => said.push(Said::Message(bytes.to_vec())),
            Ok(Message::Ping(_)) => said.push(Said::Ping),
            Ok(Message::Pong(_)) => said.push(Said::Pong),
            Ok(Message::Close(close)) => said.push(Said::Closed(close.map(|close| close.code.into()))),
            Ok(Message::Frame(_)) => unreachable!(),
            Err(Error::Io(_) | Error::ConnectionClosed) => return (said, true, memory.wire),
            Err(_) => return (said, false, memory.wire),
        }
    }
}

/// Frames of a client that mostly keeps to the rules: kinds, fragments, control frames between them.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        prop::collection::vec(b' '..b'~', 0..20),
        prop::collection::vec(b' '..b'~', 120..130),
        prop::collection::vec(b' '..b'~', 1_000..3_000),
        (65_530_usize..65_540).prop_map(|length| vec![b'x'; length]),
    ];
    let usual = prop_oneof![2 => Just(1_u8), 2 => Just(2), 2 => Just(0), 1 => Just(9), 1 => Just(10)];
    let opcode = prop_oneof![32 => usual, 1 => Just(8), 1 => 0_u8..16];
    let frame = (opcode, any::<bool>(), payload).prop_map(|(opcode, is_final, payload)| {
        let payload = if opcode == 8 && payload.len() > 1 { [&[3, 0xe8][..], &payload[2..]].concat() } else { payload };
        frame(opcode, is_final || opcode >= 8, &payload)
    });
    prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn frames_mean_what_the_librarys_own_connection_reads_whatever_the_cuts(
        bytes in frames(),
        cuts in prop::collection::vec(1_usize..3_000, 1..20),
    ) {
        let mut server = Server::opened();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(*cut));
            server.feed(piece);
        }
        let (said, is_good, answers) = reference(&bytes);
        prop_assert_eq!(server.refusal.is_none(), is_good);
        prop_assert_eq!(&server.said, &said);
        // Of pings that come together the library answers the last alone (RFC 6455 §5.5.3 allows both).
        let pings = said.iter().filter(|said| **said == Said::Ping).count();
        if is_good && pings < 2 && !said.iter().any(|said| matches!(said, Said::Closed(_))) {
            prop_assert_eq!(&server.wire[..], &answers[..]);
        }
    }

    #[test]
    fn a_message_means_the_same_whatever_its_fragments(
        message in prop::collection::vec(any::<u8>(), 0..5_000),
        sizes in prop::collection::vec(0_usize..900, 1..8),
        opcode in 1_u8..3,
    ) {
        let mut server = Server::opened();
        let mut rest = &message[..];
        let mut opcode = opcode;
        for size in sizes {
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(size));
            server.feed(&frame(opcode, false, piece));
            server.feed(&frame(9, true, b"between"));
            opcode = 0;
        }
        server.feed(&frame(opcode, true, rest));
        prop_assert!(server.refusal.is_none());
        server.said.retain(|said| *said != Said::Ping);
        prop_assert_eq!(server.said, [Said::Message(message)]);
    }

    #[test]
    fn random_bytes_never_panic(
        request in any::<bool>(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
    ) {
        let mut wire = BytesMut::new();
        let mut socket = WebSocket::new(Arc::new(Origins::any()));
        if request {
            socket.feed(&opened("sip", ""), |_| (), &mut wire).unwrap();
        }
        for piece in pieces {
            let _ = socket.feed(&piece, |_| (), &mut wire);
        }
    }
}

#[test]
fn each_broken_frame_is_closed_with_its_code() {
    let long = vec![b'x'; MAX_MESSAGE_BYTES + 1];
    let halves = [frame(2, false, &long[..40_000]), frame(0, true, &long[..40_000])].concat();
    for (bytes, refusal, code) in [
        (frame_with(0x81, 0, b"not masked"), Refusal::BrokenFrame, 1002_u16),
        (frame_with(0xc1, 0x80, b"reserved bit"), Refusal::BrokenFrame, 1002),
        (frame(3, true, b"reserved opcode"), Refusal::BrokenFrame, 1002),
        (frame(11, true, b"reserved control"), Refusal::BrokenFrame, 1002),
        (frame(0, true, b"continues nothing"), Refusal::BrokenFrame, 1002),
        ([frame(1, false, b"a"), frame(1, true, b"b")].concat(), Refusal::BrokenFrame, 1002),
        (frame(9, false, b"ping in fragments"), Refusal::BrokenFrame, 1002),
        (frame(9, true, &[0; 126]), Refusal::BrokenFrame, 1002),
        (frame(8, true, b"x"), Refusal::BrokenFrame, 1002),
        (frame(8, true, &1005_u16.to_be_bytes()), Refusal::BrokenFrame, 1002),
        (frame(2, true, &long), Refusal::MessageTooLong, 1009),
        (halves, Refusal::MessageTooLong, 1009),
    ] {
        let mut server = Server::opened();
        server.feed(&bytes);
        assert_eq!(server.refusal, Some(refusal));
        assert!(server.wire.ends_with(&[&[0x88, 2][..], &code.to_be_bytes()].concat()));
        let written = server.wire.len();
        server.feed(&frame(1, true, b"more"));
        assert!(!server.socket.is_open() && server.wire.len() == written && server.said.is_empty());
        assert!(!server.socket.send(b"more", &mut server.wire));
    }
}

#[test]
fn a_length_is_refused_by_the_head_alone() {
    let mut server = Server::opened();
    server.feed(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(server.refusal, Some(Refusal::MessageTooLong));
}

#[test]
fn text_need_not_be_utf8_and_what_is_sent_as_text_always_is() {
    let mut server = Server::opened();
    server.feed(&frame(1, true, b"caf\xe9"));
    assert_eq!(server.said, [Said::Message(b"caf\xe9".to_vec())]);
    assert!(server.socket.send(b"text", &mut server.wire) && server.socket.send(b"caf\xe9", &mut server.wire));
    assert_eq!(&server.wire[..], b"\x81\x04text\x82\x04caf\xe9");
    server.wire.clear();
    server.feed(&frame(2, true, b"binary"));
    assert!(server.socket.send(b"text", &mut server.wire));
    assert_eq!(&server.wire[..], b"\x82\x04text");
}

#[test]
fn a_ping_is_answered_with_its_payload_and_a_pong_with_nothing() {
    let mut server = Server::opened();
    server.feed(&[frame(9, true, b"are you there"), frame(10, true, b"")].concat());
    assert_eq!(server.said, [Said::Ping, Said::Pong]);
    assert_eq!(&server.wire[..], b"\x8a\x0dare you there");
    server.wire.clear();
    assert!(server.socket.ping(&mut server.wire));
    assert_eq!(&server.wire[..], [0x89, 0]);
}

#[test]
fn a_client_that_has_closed_gets_what_is_due_before_the_answer_to_its_close_and_is_not_heard() {
    let mut server = Server::opened();
    server.feed(&[frame(8, true, b""), frame(1, true, b"late"), frame(9, true, b"")].concat());
    server.feed(&frame(1, true, b"later"));
    assert_eq!(server.said, [Said::Closed(None)]);
    assert!(server.socket.send(b"due", &mut server.wire) && !server.socket.is_mid_message());
    assert!(!server.socket.ping(&mut server.wire));
    server.socket.close(1001, &mut server.wire);
    assert_eq!(&server.wire[..], b"\x81\x03due\x88\x00");
}

#[test]
fn a_close_is_answered_once_from_either_side() {
    let mut server = Server::opened();
    server.feed(&frame(8, true, &[&1000_u16.to_be_bytes()[..], b"bye"].concat()));
    assert_eq!((server.said.as_slice(), &server.wire[..]), (&[Said::Closed(Some(1000))][..], &b""[..]));
    assert!(server.socket.has_peer_closed());
    server.socket.close(1001, &mut server.wire);
    server.socket.close(1001, &mut server.wire);
    assert_eq!(&server.wire[..], b"\x88\x02\x03\xe8");
    assert!(!server.socket.send(b"late", &mut server.wire));

    let mut server = Server::opened();
    server.socket.close(1001, &mut server.wire);
    server.socket.close(1001, &mut server.wire);
    assert_eq!(&server.wire[..], b"\x88\x02\x03\xe9");
    server.feed(&[frame(1, true, b"on its way"), frame(9, true, b""), frame(8, true, b"")].concat());
    assert_eq!(server.said, [Said::Message(b"on its way".to_vec()), Said::Ping, Said::Closed(None)]);
    assert_eq!(&server.wire[..], b"\x88\x02\x03\xe9");
}
