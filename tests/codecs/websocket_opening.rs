//! The opening handshake of WebSocket: who is let in, and what the others are told.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use viaduct::frame::websocket::{Event, MAX_HEAD_BYTES, Origins, Refusal, WebSocket};

use crate::websocket::{frame, opened};

/// What a request leads to, and what is answered.
fn ask(origins: Origins, request: &[u8]) -> (Result<bool, Refusal>, String) {
    let (mut wire, mut is_opened) = (BytesMut::new(), false);
    let outcome =
        WebSocket::new(Arc::new(origins)).feed(request, |event| is_opened |= event == Event::Opened, &mut wire);
    (outcome.map(|()| is_opened), String::from_utf8(wire.to_vec()).unwrap())
}

#[test]
fn the_example_of_rfc_6455_gets_its_answer() {
    let (outcome, answer) = ask(Origins::any(), &opened("xmpp, sip", ""));
    assert_eq!(outcome, Ok(true));
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn each_wrong_request_is_told_what_is_wrong() {
    let good = String::from_utf8(opened("sip", "")).unwrap();
    let without = |line: &str| good.split_inclusive("\r\n").filter(|own| !own.starts_with(line)).collect::<String>();
    for (request, refusal, status, hint) in [
        ("REGISTER sip:example.com SIP/2.0\r\nCall-ID: a\r\n\r\n".into(), Refusal::NotHttp, 400, "HTTP/1.1"),
        ("\u{16}\u{3}\u{1}".into(), Refusal::NotHttp, 400, "HTTP/1.1"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), Refusal::NotHttp, 400, "HTTP/1.1"),
        (good.replace("GET", "POST"), Refusal::WrongMethod, 405, "Allow: GET"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Refusal::NoUpgrade, 426, "sub-protocol sip"),
        (without("Connection"), Refusal::NoUpgrade, 426, "Upgrade: websocket"),
        (good.replace("Version: 13", "Version: 8"), Refusal::WrongVersion, 426, "Sec-WebSocket-Version: 13"),
        (without("Sec-WebSocket-Version"), Refusal::WrongVersion, 426, "Sec-WebSocket-Version: 13"),
        (without("Sec-WebSocket-Key"), Refusal::BadKey, 400, "Sec-WebSocket-Key"),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), Refusal::BadKey, 400, "16 bytes"),
        (without("Sec-WebSocket-Protocol"), Refusal::NotSip, 400, "must offer sip"),
        (good.replace("Protocol: sip", "Protocol: SIP, sips"), Refusal::NotSip, 400, "must offer sip"),
    ] {
        let (outcome, answer) = ask(Origins::any(), request.as_bytes());
        assert_eq!(outcome, Err(refusal), "{request}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(hint), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())) && head.contains("close"), "{answer}");
    }
}

#[test]
fn pages_are_let_in_by_the_list_and_other_clients_unless_it_is_strict() {
    let listed = |is_required| Origins::only(["https://Phone.example.com/", "null"], is_required);
    for (origins, header, is_allowed) in [
        (Origins::any(), "Origin: https://evil.example\r\n", true),
        (Origins::only([""; 0], true), "", true),
        (listed(false), "Origin: HTTPS://phone.EXAMPLE.com\r\n", true),
        (listed(false), "Origin: null\r\n", true),
        (listed(false), "Origin: https://phone.example.com:8443\r\n", false),
        (listed(false), "Origin: https://evil.example\r\n", false),
        (listed(false), "", true),
        (listed(true), "", false),
    ] {
        let (outcome, answer) = ask(origins.clone(), &opened("sip", header));
        assert_eq!(outcome, if is_allowed { Ok(true) } else { Err(Refusal::WrongOrigin) }, "{origins:?} {header}");
        assert_eq!(answer.starts_with("HTTP/1.1 403 "), !is_allowed);
    }
}

#[test]
fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
    let padded = |length: usize| {
        let rest = length - opened("sip", "Cookie: \r\n").len();
        opened("sip", &format!("Cookie: {}\r\n", "x".repeat(rest)))
    };
    assert_eq!(ask(Origins::any(), &padded(MAX_HEAD_BYTES)).0, Ok(true));
    for request in
        [padded(MAX_HEAD_BYTES + 1), [b'G'; 3 * MAX_HEAD_BYTES].to_vec(), opened("sip", &"a: b\r\n".repeat(70))]
    {
        let (outcome, answer) = ask(Origins::any(), &request);
        assert_eq!(outcome, Err(Refusal::HeadTooLong));
        assert!(answer.starts_with("HTTP/1.1 431 "));
    }
}

proptest! {
    #[test]
    fn an_opening_means_the_same_whatever_the_cuts_with_frames_behind_it(
        cuts in prop::collection::vec(1_usize..80, 1..12),
    ) {
        let request = opened("sip", "Origin: https://a.example\r\n");
        let bytes = [request, frame(1, true, b"OPTIONS"), frame(9, true, b"p")].concat();
        let (mut wire, mut events) = (BytesMut::new(), Vec::new());
        let mut socket = WebSocket::new(Arc::new(Origins::any()));
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(*cut));
            socket.feed(piece, |event| events.push(format!("{event:?}")), &mut wire).unwrap();
        }
        prop_assert_eq!(events, ["Opened".to_owned(), format!("{:?}", Event::Message(b"OPTIONS")), "Ping".into()]);
        prop_assert!(wire.starts_with(b"HTTP/1.1 101 ") && wire.ends_with(b"\r\n\r\n\x8a\x01p"));
    }
}
