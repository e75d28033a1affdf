//! The PROXY protocol: every head, cut at every byte, on streams and datagrams.

use std::net::SocketAddr;

use proptest::prelude::*;
use viaduct::frame::proxy_protocol::{MAX_V1_BYTES, MAX_V2_BYTES, Origin, Start, of_datagram, of_stream};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    [V2, &[0x20 | command, family], &(payload.len() as u16).to_be_bytes(), payload].concat()
}

fn v4_payload() -> Vec<u8> {
    [&[192, 0, 2, 1, 198, 51, 100, 2][..], &40_000_u16.to_be_bytes(), &5_060_u16.to_be_bytes()].concat()
}

fn v6_payload() -> Vec<u8> {
    let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    [&address(1)[..], &address(2), &40_000_u16.to_be_bytes(), &5_060_u16.to_be_bytes()].concat()
}

fn proxied(source: &str, destination: &str) -> Origin {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Origin::Proxied { source: address(source), destination: address(destination) }
}

/// Heads and what they say.
fn heads() -> Vec<(Vec<u8>, Origin)> {
    let v4 = proxied("192.0.2.1:40000", "198.51.100.2:5060");
    let v6 = proxied("[2001:db8::1]:40000", "[2001:db8::2]:5060");
    let with_tlvs = [v4_payload(), vec![4, 0, 2, 0, 0], vec![0x20, 0, 1, 7]].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 5060\r\n".to_vec(), v4),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 5060\r\n".to_vec(), v6),
        (b"PROXY UNKNOWN\r\n".to_vec(), Origin::Sender),
        (b"PROXY UNKNOWN ffff::1 what \xff ever\r\n".to_vec(), Origin::Sender),
        (v2(1, 0x11, &v4_payload()), v4),
        (v2(1, 0x12, &v4_payload()), v4),
        (v2(1, 0x11, &with_tlvs), v4),
        (v2(1, 0x21, &v6_payload()), v6),
        (v2(1, 0x31, &[b'/'; 216]), Origin::Sender),
        (v2(1, 0x00, &[]), Origin::Sender),
        (v2(1, 0x00, &[1, 2, 3]), Origin::Sender),
        (v2(0, 0x00, &[]), Origin::Sender),
        (v2(0, 0x11, &v4_payload()), Origin::Sender),
        (v2(1, 0x11, &[v4_payload(), vec![4, 0x0f, 0xe1], vec![0; 4_065]].concat()), v4),
    ]
}

#[test]
fn each_head_is_partial_at_every_cut_and_then_says_what_it_says_whatever_follows() {
    for (head, origin) in heads() {
        for cut in 0..head.len() {
            assert_eq!(of_stream(&head[..cut]), Start::Partial, "{cut} of {head:?}");
        }
        for following in [&b""[..], b"INVITE sip:a@b SIP/2.0\r\n", b"\r\n\r\n", &head] {
            assert_eq!(of_stream(&[&head, following].concat()), Start::Head(head.len(), origin));
        }
    }
}

#[test]
fn a_datagram_has_a_whole_head_of_version_2_or_is_malformed() {
    for (head, origin) in heads() {
        let wanted = if head.starts_with(V2) { Start::Head(head.len(), origin) } else { Start::Malformed };
        assert_eq!(of_datagram(&[&head, &b"OPTIONS"[..]].concat()), wanted);
        for cut in 0..head.len() {
            assert_eq!(of_datagram(&head[..cut]), Start::Malformed);
        }
    }
}

#[test]
fn what_is_no_head_or_a_broken_one_is_malformed() {
    let long = [&b"PROXY UNKNOWN "[..], &[b'x'; MAX_V1_BYTES]].concat();
    let mut wrong_version = v2(1, 0x11, &v4_payload());
    wrong_version[12] = 0x31;
    for bytes in [
        &b"INVITE sip:a@b SIP/2.0\r\n"[..],
        b"PRACK sip:a@b SIP/2.0\r\n",
        b"\r\n\r\nOPTIONS",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 5060 7\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 99999\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 40000 5060\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 40000 5060\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 5060\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 5060\rX\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 40000 5060\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY UNKNOWN\n",
        b"PROXY \xff\r\n",
        b"proxy TCP4 192.0.2.1 198.51.100.2 40000 5060\r\n",
        &long,
        &wrong_version,
        &v2(2, 0x11, &v4_payload()),
        &v2(1, 0x41, &v4_payload()),
        &v2(1, 0x13, &v4_payload()),
        &v2(1, 0x11, &[1, 2, 3]),
        &v2(1, 0x11, &vec![0; MAX_V2_BYTES])[..16],
    ] {
        assert_eq!(of_stream(bytes), Start::Malformed, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn an_address_of_version_4_in_one_of_version_6_is_of_version_4() {
    let head = b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 40000 5060\r\n";
    assert_eq!(of_stream(head), Start::Head(head.len(), proxied("192.0.2.1:40000", "198.51.100.2:5060")));
}

proptest! {
    #[test]
    fn random_changes_never_panic_and_never_reach_behind_the_bytes(
        place in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let heads = heads();
        let mut bytes = [heads[place.index(heads.len())].0.clone(), tail].concat();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        for cut in [bytes.len(), bytes.len() / 2, 16] {
            for start in [of_stream(&bytes[..cut.min(bytes.len())]), of_datagram(&bytes[..cut.min(bytes.len())])] {
                if let Start::Head(length, _) = start {
                    prop_assert!(length <= bytes.len() && length <= MAX_V2_BYTES);
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (of_stream(&bytes), of_datagram(&[V2, &bytes].concat()), of_stream(&[b"PROXY ", &bytes[..]].concat()));
    }
}
