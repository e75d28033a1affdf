//! TLS between peers of which one is wrong: each fault has its reason, nothing panics, nothing grows.

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use viaduct::frame::tls::{
    ClientCertificates, ClientTls, MAX_HANDSHAKE_BYTES, MAX_RECORD_BYTES, PeerName, Reason, ServerFiles, ServerTls,
};

use crate::certificates::{Authority, Folder, client, server};
use crate::hello::{client_hello, record};
use crate::link::{End, pair, settle};

const NAME: &str = "sip.example.com";
const ALERT: u8 = 21;

fn new_server() -> End {
    let authority = Authority::new("authority");
    End::new(server(&[&authority.issue(&[NAME])]).accept().unwrap(), BytesMut::new())
}

/// Why a client does not take a server.
fn refused(client: &ClientTls, server: &ServerTls, name: &str) -> Reason {
    let (mut a, mut b) = pair(client, server, name);
    settle(&mut a, &mut b);
    assert_eq!(b.failure.unwrap().reason(), Reason::AlertFromPeer);
    a.failure.unwrap().reason()
}

#[test]
fn plain_sip_and_http_on_a_tls_port_are_known_for_what_they_are() {
    for text in [&b"REGISTER sip:example.com SIP/2.0\r\n"[..], b"GET / HTTP/1.1\r\n", b"\r\n\r\n", b"\x80\x2e\x01"] {
        let mut end = new_server();
        end.feed(text);
        assert_eq!(end.failure.take().unwrap().reason(), Reason::NotTls);
        assert!(end.wire.is_empty(), "no alert for those who would not understand it");
        end.feed(b"more");
        assert_eq!(end.failure.unwrap().reason(), Reason::NotTls);
        assert_eq!(end.tls.kept_bytes(), 0);
    }
}

#[test]
fn a_backend_that_speaks_plain_sip_is_known_for_what_it_is() {
    let mut wire = BytesMut::new();
    let client = client(&Authority::new("authority"), None);
    let mut end = End::new(client.connect(&PeerName::new(NAME).unwrap(), &mut wire).unwrap(), wire);
    end.feed(b"SIP/2.0 400 Bad Request\r\n");
    assert_eq!(end.failure.unwrap().reason(), Reason::NotTls);
}

#[test]
fn earlier_versions_and_ciphers_have_reasons_and_get_an_alert() {
    for (version, suite, reason) in [
        ([3, 1], [0xc0, 0x13], Reason::NoCommonVersion),
        ([3, 2], [0xc0, 0x13], Reason::NoCommonVersion),
        ([3, 3], [0x00, 0x2f], Reason::NoCommonCipher),
    ] {
        let mut end = new_server();
        end.feed(&client_hello(version, suite));
        assert_eq!(end.failure.unwrap().reason(), reason);
        assert_eq!(end.wire.first(), Some(&ALERT));
    }
}

#[test]
fn each_wrong_certificate_of_a_backend_has_its_reason() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let client = client(&authority, None);
    let good = server(&[&authority.issue(&[NAME])]);
    assert_eq!(refused(&client, &server(&[&stranger.issue(&[NAME])]), NAME), Reason::UnknownCa);
    for name in ["other.example.com", "example.com", "a.sip.example.com", "192.0.2.1"] {
        assert_eq!(refused(&client, &good, name), Reason::WrongName);
    }
    let wildcard = server(&[&authority.issue(&["*.example.com"])]);
    assert_eq!(refused(&client, &wildcard, NAME), Reason::WrongName);
    let uri = server(&[&authority.issue(&["sip:example.com", NAME])]);
    assert_eq!(refused(&client, &uri, NAME), Reason::WrongName);
    let is_authority = |parameters: &mut CertificateParams| {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    assert_eq!(
        refused(&client, &server(&[&authority.issue_with(&[NAME], is_authority)]), NAME),
        Reason::BadCertificate
    );
    let for_clients = |parameters: &mut CertificateParams| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    assert_eq!(refused(&client, &server(&[&authority.issue_with(&[NAME], for_clients)]), NAME), Reason::BadCertificate);
}

#[test]
fn a_certificate_that_expires_while_it_is_in_use_is_counted_as_such() {
    let authority = Authority::new("authority");
    let folder = Folder::new();
    let pairs = vec![folder.write_pair("server", &authority.issue_expired(&[NAME]))];
    let files = ServerFiles { pairs, ..ServerFiles::default() };
    // Loaded in June 2020, and never replaced.
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_591_000_000);
    let server = ServerTls::load(&files, then).unwrap();
    assert_eq!(refused(&client(&authority, None), &server, NAME), Reason::CertificateExpired);
}

#[test]
fn a_clients_wrong_certificate_is_refused_even_where_none_is_required() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let folder = Folder::new();
    let files = ServerFiles {
        pairs: vec![folder.write_pair("server", &authority.issue(&[NAME]))],
        clients: ClientCertificates::Optional,
        client_authorities: vec![folder.write("clients.crt", &authority.pem)],
    };
    let server = ServerTls::load(&files, SystemTime::now()).unwrap();
    let (mut a, mut b) = pair(&client(&authority, Some(&stranger.issue(&["c"]))), &server, NAME);
    settle(&mut a, &mut b);
    // Some clients hold back what no authority on the server's list has issued. This one does not.
    assert_eq!(b.failure.unwrap().reason(), Reason::UnknownCa);
}

#[test]
fn a_handshake_message_that_never_ends_is_cut_off() {
    let mut end = new_server();
    // A ClientHello that claims 60,000 bytes, in records of 4,000.
    end.feed(&record(22, &[&[1, 0, 0xea, 0x60][..], &[0; 3_996]].concat()));
    for _ in 0..20 {
        assert!(end.tls.kept_bytes() <= MAX_HANDSHAKE_BYTES);
        end.feed(&record(22, &[0; 4_000]));
    }
    assert_eq!(end.failure.unwrap().reason(), Reason::TooLarge);
    assert_eq!(end.tls.kept_bytes(), 0);
}

#[test]
fn what_breaks_the_connection_behind_a_complete_handshake_does_not_make_that_a_failed_one() {
    let authority = Authority::new("authority");
    let (mut a, mut b) = pair(&client(&authority, None), &server(&[&authority.issue(&[NAME])]), NAME);
    b.feed(&a.wire.split());
    a.feed(&b.wire.split());
    assert!(!b.tls.is_established());
    let end_and_garbage = [&a.wire[..], &record(23, &[0x5a; 64])].concat();
    b.feed(&end_and_garbage);
    assert_eq!(b.failure.as_ref().unwrap().reason(), Reason::Malformed);
    assert!(b.tls.is_established());
    assert_eq!(b.tls.seal(b"more", &mut b.wire).unwrap_err().reason(), Reason::NotOpen);
}

#[test]
fn a_record_longer_than_the_limit_and_a_changed_one_end_the_connection() {
    let authority = Authority::new("authority");
    let (client, server) = (client(&authority, None), server(&[&authority.issue(&[NAME])]));
    for change in [0, 1] {
        let (mut a, mut b) = pair(&client, &server, NAME);
        settle(&mut a, &mut b);
        a.say(b"secret");
        if change == 0 {
            let last = a.wire.len() - 1;
            a.wire[last] ^= 1;
            b.feed(&a.wire);
            assert_eq!(b.failure.as_ref().unwrap().reason(), Reason::Malformed);
        } else {
            b.feed(&[23, 3, 3, 0xff, 0xff]);
            b.feed(&vec![0; MAX_RECORD_BYTES]);
            let reason = b.failure.as_ref().unwrap().reason();
            assert!(matches!(reason, Reason::Malformed | Reason::TooLarge), "{reason:?}");
        }
        assert!(b.heard.is_empty() && !b.wire.is_empty());
        assert_eq!(b.tls.seal(b"more", &mut b.wire).unwrap_err().reason(), Reason::NotOpen);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_handshake_with_random_bytes_never_panics(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..8),
        is_record in any::<bool>(),
    ) {
        let mut end = new_server();
        for piece in &pieces {
            let piece = if is_record { record(22, piece) } else { piece.clone() };
            end.feed(&piece);
            prop_assert!(end.tls.kept_bytes() <= MAX_HANDSHAKE_BYTES && end.heard.is_empty());
        }
    }

    #[test]
    fn a_conversation_with_random_changes_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        rounds in 0_usize..4,
    ) {
        let authority = Authority::new("authority");
        let (mut a, mut b) = pair(&client(&authority, None), &server(&[&authority.issue(&[NAME])]), NAME);
        for round in 0..6 {
            let (from, to) = if round % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let mut wire = from.wire.split();
            if round >= rounds && !wire.is_empty() {
                for (place, value) in &changes {
                    let place = place.index(wire.len());
                    wire[place] = *value;
                }
            }
            to.feed(&wire);
        }
        prop_assert!(a.tls.kept_bytes() <= MAX_HANDSHAKE_BYTES && b.tls.kept_bytes() <= MAX_HANDSHAKE_BYTES);
    }
}
