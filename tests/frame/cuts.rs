//! The same bytes give the same frames, wherever the network cuts them.

use proptest::prelude::*;
use viaduct::sip::extent::{self, Extent};
use viaduct::sip::header::{HeaderName, parse_number};
use viaduct::sip::scan::Head;

use crate::support::{Event, cut, in_pieces, line_ends, message, whole};

/// What messages with line ends before each bring.
fn expected(stream: &[(Vec<u8>, Vec<u8>)]) -> Vec<Event> {
    let mut events = Vec::new();
    for (blank, message) in stream {
        let line_ends = blank.iter().filter(|byte| **byte == b'\n').count() as u32;
        if line_ends > 0 {
            events.push(Event::Keepalive { line_ends, pings: line_ends / 2 });
        }
        events.push(Event::Message(message.clone()));
    }
    events
}

fn joined(stream: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    stream.iter().flat_map(|(blank, message)| [&blank[..], message].concat()).collect()
}

proptest! {
    #[test]
    fn messages_are_found_as_they_were_sent_wherever_the_stream_is_cut(
        stream in prop::collection::vec((line_ends(), message()), 1..6),
        places in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let bytes = joined(&stream);
        prop_assert_eq!(in_pieces(cut(&bytes, &places)), expected(&stream));
    }

    #[test]
    fn messages_are_found_byte_by_byte(stream in prop::collection::vec((line_ends(), message()), 1..4)) {
        prop_assert_eq!(in_pieces(joined(&stream).chunks(1)), expected(&stream));
    }

    #[test]
    fn every_single_cut_gives_the_same(stream in prop::collection::vec((line_ends(), message()), 1..3)) {
        let bytes = joined(&stream);
        // All places of a short stream; of a long one, some that are never far apart.
        let step = 1 + bytes.len() / 2000;
        let expected = expected(&stream);
        for place in (0..=bytes.len()).step_by(step) {
            let (first, second) = bytes.split_at(place);
            prop_assert_eq!(&in_pieces([first, second]), &expected, "cut at {}", place);
        }
    }

    #[test]
    fn damaged_streams_give_the_same_messages_and_the_same_error_however_they_are_cut(
        stream in prop::collection::vec((line_ends(), message()), 1..4),
        damage in prop::collection::vec((any::<u16>(), prop::sample::select(b"\r\n\0 :lL19-A".to_vec())), 0..6),
        places in prop::collection::vec(any::<u16>(), 0..12),
    ) {
        let mut bytes = joined(&stream);
        for (place, byte) in damage {
            let place = (usize::from(place) * bytes.len()) >> 16;
            bytes[place] = byte;
        }
        let expected = whole(&bytes);
        prop_assert_eq!(&in_pieces(cut(&bytes, &places)), &expected);
        prop_assert_eq!(&in_pieces(bytes.chunks(1)), &expected);
    }

    /// Two readings of one message are how requests are smuggled past a proxy.
    #[test]
    fn framing_reads_a_head_as_routing_does(
        message in message(),
        damage in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
        inserted in prop::sample::select(vec!["", "l: 5\r\n", "Content-Length : 7\n", " 8\r\n", "\t\n", "\r\r\n"]),
    ) {
        let line = message.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut bytes = [&message[..line], inserted.as_bytes(), &message[line..]].concat();
        for (place, byte) in damage {
            let place = (usize::from(place) * bytes.len()) >> 16;
            bytes[place] = byte;
        }
        let mut head = Head::default();
        if bytes[0] != b'\r' && bytes[0] != b'\n' && head.scan(&bytes).is_ok() {
            let Extent::Whole { head_bytes, body_bytes } = extent::measure(&bytes) else {
                return Err(TestCaseError::fail("the head is whole"));
            };
            prop_assert_eq!(head_bytes, head.body_start as usize);
            let lengths: Vec<_> = head.all(HeaderName::ContentLength).collect();
            let read = match lengths[..] {
                [one] => parse_number(&bytes, one.value),
                _ => None,
            };
            prop_assert_eq!(body_bytes.ok(), read);
        }
    }
}

#[test]
fn line_ends_behind_a_body_are_passed_over() {
    let message = b"BYE sip:b SIP/2.0\r\nl: 4\r\n\r\nbody".to_vec();
    let stream = [&message[..], b"\r\n", &message, b"\r\n\r\n\r\n", &message, b"\r\n"].concat();
    let events = [
        Event::Message(message.clone()),
        Event::Keepalive { line_ends: 1, pings: 0 },
        Event::Message(message.clone()),
        Event::Keepalive { line_ends: 3, pings: 1 },
        Event::Message(message),
        Event::Keepalive { line_ends: 1, pings: 0 },
    ];
    assert_eq!(whole(&stream), events);
    assert_eq!(in_pieces(stream.chunks(1)), events);
}

#[test]
fn a_body_ends_where_content_length_says_whatever_follows() {
    let shorter = b"SIP/2.0 200 OK\r\nl: 2\r\n\r\n";
    let Event::Message(first) = &whole(&[&shorter[..], b"abSIP/2.0 200 OK\r\nl: 0\r\n\r\n"].concat())[0] else {
        panic!("a message")
    };
    assert_eq!(first[..], [&shorter[..], b"ab"].concat());
    let longer = b"SIP/2.0 200 OK\r\nl: 30\r\n\r\nSIP/2.0 200 OK\r\nl: 0\r\n\r\n";
    assert_eq!(whole(longer), []);
}
