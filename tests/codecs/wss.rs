//! WebSocket over TLS: the two codecs stacked, through pieces of any size.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use viaduct::frame::websocket::{Event, Origins, WebSocket};

use crate::certificates::{Authority, client, server};
use crate::link::{End, pair, settle};
use crate::websocket::{frame, opened};

const NAME: &str = "sip.example.com";

/// Feeds a piece through both codecs; notes the messages, and seals what is answered.
fn receive(end: &mut End, socket: &mut WebSocket, bytes: &[u8], messages: &mut Vec<Vec<u8>>) {
    let mut answer = BytesMut::new();
    let plaintext = |plaintext: &[u8]| {
        let note = |event: Event<'_>| {
            if let Event::Message(message) = event {
                messages.push(message.to_vec());
            }
        };
        socket.feed(plaintext, note, &mut answer).unwrap();
    };
    end.tls.feed(bytes, plaintext, &mut end.wire).unwrap();
    end.say(&answer);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn messages_arrive_whole_whatever_the_cuts(
        sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20_000), 1..5),
        cuts in prop::collection::vec(1_usize..6_000, 1..12),
    ) {
        let authority = Authority::new("authority");
        let (mut a, mut b) = pair(&client(&authority, None), &server(&[&authority.issue(&[NAME])]), NAME);
        settle(&mut a, &mut b);
        a.say(&opened("sip", ""));
        sent.iter().for_each(|message| a.say(&frame(2, true, message)));

        let (mut socket, mut received) = (WebSocket::new(Arc::new(Origins::any())), Vec::new());
        for cut in cuts.iter().cycle() {
            if a.wire.is_empty() {
                break;
            }
            let piece = a.wire.split_to(a.wire.len().min(*cut));
            receive(&mut b, &mut socket, &piece, &mut received);
        }
        prop_assert_eq!(received, sent);

        let mut answer = BytesMut::new();
        prop_assert!(socket.send(b"SIP/2.0 200 OK", &mut answer));
        b.say(&answer);
        settle(&mut a, &mut b);
        prop_assert!(a.heard.starts_with(b"HTTP/1.1 101 ") && a.heard.ends_with(b"\x82\x0eSIP/2.0 200 OK"));
    }
}
