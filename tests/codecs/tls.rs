//! TLS between good peers: any cut, both versions, names, certificates of clients, resumption, closing.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use viaduct::frame::tls::{ClientCertificates, ClientTls, PeerName, Reason, ServerFiles, ServerTls, Version};

use crate::certificates::{Authority, Folder, Issued, client, server};
use crate::link::{End, Reference, pair, settle, settle_in_pieces};
use crate::witness::certificate_shown;

const NAME: &str = "sip.example.com";

fn peers() -> (ClientTls, ServerTls) {
    let authority = Authority::new("authority");
    (client(&authority, None), server(&[&authority.issue(&[NAME])]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_said_is_heard_whatever_the_cuts(
        messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40_000)), 0..6),
        cuts in prop::collection::vec(1_usize..5_000, 1..20),
    ) {
        let (client, server) = peers();
        let (mut a, mut b) = pair(&client, &server, NAME);
        settle_in_pieces(&mut a, &mut b, &cuts);
        prop_assert_eq!((a.times_established, b.times_established), (1, 1));
        let mut said = (Vec::new(), Vec::new());
        for (is_client, message) in &messages {
            let (end, said) = if *is_client { (&mut a, &mut said.0) } else { (&mut b, &mut said.1) };
            end.say(message);
            said.extend_from_slice(message);
        }
        settle_in_pieces(&mut a, &mut b, &cuts);
        a.tls.close_notify(&mut a.wire);
        settle_in_pieces(&mut a, &mut b, &cuts);
        prop_assert_eq!((a.times_closed, b.times_closed), (0, 1));
        prop_assert!(b.heard == said.0 && a.heard == said.1);
        prop_assert!(a.failure.is_none() && b.failure.is_none());
        prop_assert_eq!((a.tls.kept_bytes(), b.tls.kept_bytes()), (0, 0));
    }
}

#[test]
fn both_versions_are_spoken_with_the_librarys_own_client() {
    let authority = Authority::new("authority");
    let server = server(&[&authority.issue(&[NAME])]);
    for (version, wanted) in [(&TLS12, Version::Tls12), (&TLS13, Version::Tls13)] {
        let mut client = Reference::new(&Arc::new(Reference::config(&authority, version)), NAME);
        let mut end = End::new(server.accept().unwrap(), BytesMut::new());
        client.settle(&mut end);
        assert_eq!(end.tls.session().unwrap().version, wanted);
        let long: Vec<u8> = (0..65_535_u32).map(|place| place as u8).collect();
        client.say(&long);
        end.say(&long);
        client.settle(&mut end);
        assert!(end.heard == long && client.heard == long);
        client.connection.send_close_notify();
        client.settle(&mut end);
        assert_eq!((end.times_closed, end.failure.is_none()), (1, true));
    }
}

#[test]
fn an_alpn_that_is_offered_breaks_nothing() {
    let authority = Authority::new("authority");
    let server = server(&[&authority.issue(&[NAME])]);
    for offered in [&["sip"][..], &["sip/2", "sip"], &["http/1.1"], &["h2"], &[]] {
        let mut config = Reference::config(&authority, &TLS13);
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut end = End::new(server.accept().unwrap(), BytesMut::new());
        Reference::new(&Arc::new(config), NAME).settle(&mut end);
        assert!(end.tls.is_established(), "{offered:?}");
    }
}

#[test]
fn the_certificate_is_the_one_of_the_name_that_is_asked_for() {
    let authority = Authority::new("authority");
    let names = ["default.example.com", "sip:second.example.com", "*.third.example.com"];
    let issued: Vec<Issued> = names.iter().map(|name| authority.issue(&[name])).collect();
    let server = server(&issued.iter().collect::<Vec<_>>());
    for (asked, place) in [
        ("default.example.com", 0),
        ("SECOND.example.com", 1),
        ("a.third.example.com", 2),
        ("third.example.com", 0),
        ("a.b.third.example.com", 0),
        ("unknown.example.net", 0),
        ("192.0.2.1", 0),
    ] {
        let shown = certificate_shown(&server, &authority, asked);
        assert_eq!(shown, CertificateDer::from_pem_slice(issued[place].chain.as_bytes()).unwrap(), "{asked}");
    }
}

#[test]
fn of_several_certificates_for_a_name_the_first_that_the_client_can_verify_is_shown() {
    let authority = Authority::new("authority");
    let names = ["default.example.com", NAME];
    let (other, ed25519, ecdsa) =
        (authority.issue(&names[..1]), authority.issue_ed25519(&names[1..]), authority.issue(&names[1..]));
    let shown = certificate_shown(&server(&[&other, &ed25519, &ecdsa]), &authority, NAME);
    assert_eq!(shown, CertificateDer::from_pem_slice(ecdsa.chain.as_bytes()).unwrap());
}

#[test]
fn a_backend_is_known_by_uri_dns_name_or_address() {
    let authority = Authority::new("authority");
    for (certificate, name) in [
        (&["sip:Example.com"][..], "example.com"),
        (&["proxy.example.com", "other.example.com"], "OTHER.example.com."),
        (&["192.0.2.1"], "192.0.2.1"),
        (&["2001:db8::1"], "2001:db8::1"),
    ] {
        let (mut a, mut b) = pair(&client(&authority, None), &server(&[&authority.issue(certificate)]), name);
        settle(&mut a, &mut b);
        assert!(a.tls.is_established() && b.tls.is_established(), "{certificate:?} {name} {:?}", a.failure);
    }
    assert_eq!(PeerName::new("no host"), None);
}

fn asking(clients: ClientCertificates, server: &Authority, authority: &Authority) -> ServerTls {
    let folder = Folder::new();
    let files = ServerFiles {
        pairs: vec![folder.write_pair("server", &server.issue(&[NAME]))],
        clients,
        client_authorities: vec![folder.write("clients.crt", &authority.pem)],
    };
    ServerTls::load(&files, SystemTime::now()).unwrap()
}

#[test]
fn a_clients_certificate_is_its_identity_where_it_is_asked_for() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let issued = theirs.issue(&["sip:client.example.net"]);
    for (clients, shown, is_known) in [
        (ClientCertificates::Ignored, true, false),
        (ClientCertificates::Optional, false, false),
        (ClientCertificates::Optional, true, true),
        (ClientCertificates::Required, true, true),
    ] {
        let server = asking(clients, &ours, &theirs);
        let client = client(&ours, shown.then_some(&issued));
        for is_resumed in [false, true] {
            let (mut a, mut b) = pair(&client, &server, NAME);
            settle(&mut a, &mut b);
            let session = b.tls.session().unwrap();
            let known = session.peer.is_some_and(|peer| peer.is_domain("client.example.net"));
            assert_eq!((known, session.is_resumed), (is_known, is_resumed), "{clients:?} {shown}");
        }
    }
}

#[test]
fn a_client_without_the_certificate_that_is_required_is_counted_as_such() {
    let authority = Authority::new("authority");
    let server = asking(ClientCertificates::Required, &authority, &authority);
    let (mut a, mut b) = pair(&client(&authority, None), &server, NAME);
    settle(&mut a, &mut b);
    assert_eq!(b.failure.unwrap().reason(), Reason::ClientCertificateMissing);
    assert_eq!(a.failure.unwrap().reason(), Reason::AlertFromPeer);
}

#[test]
fn sessions_are_resumed_by_every_connection_of_one_configuration() {
    let authority = Authority::new("authority");
    let server = server(&[&authority.issue(&[NAME])]);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(Reference::config(&authority, version));
        for is_resumed in [false, true, true] {
            // Shards have clones of their own.
            let mut end = End::new(server.clone().accept().unwrap(), BytesMut::new());
            Reference::new(&config, NAME).settle(&mut end);
            assert_eq!(end.tls.session().unwrap().is_resumed, is_resumed);
        }
    }
}

#[test]
fn nothing_is_sealed_before_the_handshake_nor_after_the_close() {
    let (client, server) = peers();
    let (mut a, mut b) = pair(&client, &server, NAME);
    assert_eq!(b.tls.seal(b"early", &mut b.wire).unwrap_err().reason(), Reason::NotOpen);
    b.tls.close_notify(&mut b.wire);
    assert!(b.wire.is_empty() && b.tls.session().is_none());
    settle(&mut a, &mut b);
    b.tls.close_notify(&mut b.wire);
    let written = b.wire.len();
    b.tls.close_notify(&mut b.wire);
    assert_eq!(b.wire.len(), written);
    assert_eq!(b.tls.seal(b"late", &mut b.wire).unwrap_err().reason(), Reason::NotOpen);
    // The other direction is open still, also once the close has arrived.
    settle(&mut a, &mut b);
    assert_eq!(a.times_closed, 1);
    a.say(b"last words");
    settle(&mut a, &mut b);
    a.tls.close_notify(&mut a.wire);
    settle(&mut a, &mut b);
    assert_eq!((b.heard.as_slice(), a.times_closed, b.times_closed), (&b"last words"[..], 1, 1));
}
