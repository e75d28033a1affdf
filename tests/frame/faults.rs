//! Where the end of a message cannot be known, the stream ends; early, and with what an answer needs.

use proptest::prelude::*;
use viaduct::frame::stream::{Fault, Limits};

use crate::support::{Connection, Event, cut, in_pieces, message_of, whole};

/// The fault that the headers lead to, however the message is cut; its head is there and what came before is intact.
fn fault_of(headers: &str) -> Fault {
    let before = b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n";
    let head = format!("INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n{headers}\r\n\r\n").into_bytes();
    let stream = [&before[..], &head, b"body", before].concat();
    let events = whole(&stream);
    assert_eq!(in_pieces(stream.chunks(1)), events);
    match &events[..] {
        [Event::Message(message), Event::Error(fault, Some(lent))] if message == before && *lent == head => *fault,
        other => panic!("{headers:?} gave {other:?}"),
    }
}

#[test]
fn a_content_length_with_two_readings_ends_the_stream() {
    for headers in ["Content-Length: 4\r\nContent-Length: 0", "l: 4\r\nContent-Length: 4", "l: 4\r\nX: y\r\nL : 4"] {
        assert_eq!(fault_of(headers), Fault::RepeatedContentLength, "{headers:?}");
    }
}

#[test]
fn a_content_length_that_is_no_number_ends_the_stream() {
    for value in ["-1", "+5", "0x10", "4294967296", "99999999999999999999", "", "5 5", "5;x", "5,5", "4\r\n 5", "four"]
    {
        assert_eq!(fault_of(&format!("Content-Length: {value}")), Fault::MalformedContentLength, "{value:?}");
    }
}

#[test]
fn a_content_length_that_is_missing_ends_the_stream() {
    for headers in ["X: y", "Content-Length", "Content-Lengths: 4", "X: y\r\n l: 4"] {
        assert_eq!(fault_of(headers), Fault::NoContentLength, "{headers:?}");
    }
}

#[test]
fn a_body_beyond_the_limit_ends_the_stream_with_its_head() {
    assert_eq!(fault_of("l: 65535"), Fault::MessageTooLong);
    assert_eq!(fault_of("l: 4294967295"), Fault::MessageTooLong);
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits { head_bytes: 200, message_bytes: 300 };
    let events = |message: &[u8], pieces: usize| {
        let mut connection = Connection::new(limits);
        message.chunks(pieces).for_each(|piece| connection.receive(piece));
        connection.events
    };
    for pieces in [1, 7, 199, 200, 201, 1000] {
        for (head_bytes, body_bytes) in [(200, 0), (200, 100), (199, 101)] {
            let message = message_of(head_bytes, body_bytes);
            assert_eq!(events(&message, pieces), [Event::Message(message.clone())]);
        }
        let long_head = message_of(201, 0);
        assert_eq!(events(&long_head, pieces), [Event::Error(Fault::HeadTooLong, None)]);
        assert_eq!(events(&long_head[..199], pieces), []);
        let long_body = message_of(200, 101);
        assert_eq!(events(&long_body, pieces), [Event::Error(Fault::MessageTooLong, Some(long_body[..200].to_vec()))]);
    }
}

#[test]
fn what_is_not_sip_is_refused_by_its_first_line_or_sooner() {
    let requests: [(&[u8], usize); 6] = [
        (b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", 26),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 16),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 21),
        (b"\x16\x03\x01\x02\x00\x01\x00", 1),
        (&[b'A'; 100], 65),
        (&[&b"OPTIONS "[..], &[b'x'; 5000]].concat(), 4097),
    ];
    for (bytes, known_after) in requests {
        assert_eq!(whole(bytes), [Event::Error(Fault::NotSip, None)]);
        assert_eq!(in_pieces(bytes[..known_after].chunks(1)), [Event::Error(Fault::NotSip, None)]);
        assert_eq!(in_pieces(bytes[..known_after - 1].chunks(1)), []);
    }
}

#[test]
fn what_comes_after_an_error_is_passed_over() {
    let mut connection = Connection::new(Limits::default());
    connection.receive(b"\0\0\0\0");
    connection.receive(b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n");
    assert_eq!(connection.events, [Event::Error(Fault::NotSip, None)]);
    assert!(!connection.framer.is_mid_message());
}

#[test]
fn an_endless_head_ends_at_its_limit() {
    for line in ["X: y\r\n", " \r\n", "\t", "\r\r\n", ": \n", "l: 5\r\n"] {
        let mut connection = Connection::new(Limits::default());
        connection.receive(b"OPTIONS sip:b SIP/2.0\r\nX:");
        let limit = Limits::default().head_bytes;
        for _ in 0..limit / line.len() {
            connection.receive(line.as_bytes());
        }
        assert_eq!(connection.events, [Event::Error(Fault::HeadTooLong, None)], "{line:?}");
        assert_eq!(connection.spare.held_bytes(), 0);
    }
}

proptest! {
    #[test]
    fn garbage_never_panics_and_ends_within_the_limit(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :lSIP/2.0A".to_vec())], 0..3000),
        places in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let events = whole(&bytes);
        prop_assert_eq!(&in_pieces(cut(&bytes, &places)), &events);
        let mut connection = Connection::new(Limits::default());
        connection.receive(&bytes);
        // Whatever it was, this ends it: a line that is not SIP's, or a head beyond the limit, or a body of its own.
        connection.receive(&[b'x'; 90_000]);
        prop_assert!(!connection.framer.is_mid_message());
    }
}
