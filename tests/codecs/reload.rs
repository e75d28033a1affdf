//! Certificates from files: a whole configuration, or the file and its fault; live connections and the old one stay.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use viaduct::frame::tls::{
    ClientCertificates, ClientFiles, ClientTls, Fault, FileFault, Loaded, PairFiles, Reason, ServerFiles, ServerTls,
};

use crate::certificates::{Authority, Folder, client};
use crate::link::{pair, settle};

const NAME: &str = "sip.example.com";

fn load(pair: PairFiles) -> Result<ServerTls, FileFault> {
    ServerTls::load(&ServerFiles { pairs: vec![pair], ..ServerFiles::default() }, SystemTime::now())
}

type IsWanted = fn(&Fault) -> bool;

#[test]
fn each_fault_is_named_with_its_file() {
    let (authority, folder) = (Authority::new("authority"), Folder::new());
    let good = folder.write_pair("good", &authority.issue(&[NAME]));
    let other = folder.write_pair("other", &authority.issue(&[NAME]));
    let expired = folder.write_pair("expired", &authority.issue_expired(&[NAME]));
    let early = folder.write_pair(
        "early",
        &authority.issue_with(&[NAME], |parameters| {
            parameters.not_before = rcgen::date_time_ymd(4000, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(4001, 1, 1);
        }),
    );
    let chain = |name: &str| PairFiles { chain: folder.path(name), key: good.key.clone() };
    let key = |name: &str| PairFiles { chain: good.chain.clone(), key: folder.path(name) };
    folder.write("empty", "");
    folder.write("der", [0x30, 0x82, 0, 1]);
    folder.write("damaged", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n");
    folder.write("no-certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    folder.write("not-a-key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    folder.write("long", vec![b'x'; (1 << 20) + 1]);
    folder.write("chain", std::fs::read_to_string(&good.chain).unwrap().repeat(11));
    let cases: [(PairFiles, &str, IsWanted); 15] = [
        (chain("absent"), "absent", |fault| matches!(fault, Fault::Unreadable(_))),
        (chain("empty"), "empty", |fault| matches!(fault, Fault::NoPem)),
        (chain("der"), "der", |fault| matches!(fault, Fault::NoPem)),
        (chain("damaged"), "damaged", |fault| matches!(fault, Fault::BadPem(_))),
        (chain("no-certificate"), "no-certificate", |fault| matches!(fault, Fault::BadPem(_))),
        (chain("good.key"), "good.key", |fault| matches!(fault, Fault::NoCertificate)),
        (chain("long"), "long", |fault| matches!(fault, Fault::TooLarge)),
        (chain("chain"), "chain", |fault| matches!(fault, Fault::ChainTooLong(11))),
        (expired.clone(), "expired.crt", |fault| matches!(fault, Fault::Expired(_))),
        (early, "early.crt", |fault| matches!(fault, Fault::NotYetValid(_))),
        (key("good.crt"), "good.crt", |fault| matches!(fault, Fault::NoKey)),
        (key("encrypted"), "encrypted", |fault| matches!(fault, Fault::EncryptedKey)),
        (key("not-a-key"), "not-a-key", |fault| matches!(fault, Fault::NotUsable(_))),
        (key("other.key"), "other.key", |fault| matches!(fault, Fault::KeyMismatch(_))),
        (chain("other.crt"), "good.key", |fault| matches!(fault, Fault::KeyMismatch(_))),
    ];
    assert_eq!(other.key, folder.path("other.key"));
    for (files, name, is_wanted) in cases {
        let error = load(files).err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(is_wanted(&error.fault), "{name}: {error}");
        assert_eq!(error.file, folder.path(name), "{error}");
        assert!(error.to_string().starts_with(&format!("{}: ", folder.path(name).display())));
    }
}

#[test]
fn a_key_that_anybody_may_change_is_a_fault_and_one_that_anybody_may_read_is_told() {
    let (authority, folder) = (Authority::new("authority"), Folder::new());
    let files = folder.write_pair("a", &authority.issue(&[NAME]));
    assert!(!load(files.clone()).unwrap().certificates()[0].key_readable_by_all);
    folder.set_mode("a.key", 0o644);
    assert!(load(files.clone()).unwrap().certificates()[0].key_readable_by_all);
    folder.set_mode("a.key", 0o666);
    assert_eq!(load(files.clone()).unwrap_err().fault, Fault::WritableByAll(0o666));
    folder.set_mode("a.key", 0o000);
    // Nothing is forbidden to root.
    if let Err(error) = load(files) {
        assert!(matches!(error.fault, Fault::NotPermitted(Some((_, _, 0)))), "{error}");
    }
}

#[test]
fn what_is_missing_altogether_is_named() {
    let (authority, folder) = (Authority::new("authority"), Folder::new());
    let none = ServerTls::load(&ServerFiles::default(), SystemTime::now()).unwrap_err();
    assert_eq!(none.fault, Fault::NoPair);
    let pairs = vec![folder.write_pair("a", &authority.issue(&[NAME]))];
    let files = ServerFiles { pairs, clients: ClientCertificates::Required, client_authorities: Vec::new() };
    assert_eq!(ServerTls::load(&files, SystemTime::now()).unwrap_err().fault, Fault::NoClientAuthority);
}

#[test]
fn a_certificates_last_day_and_names_are_told() {
    let (authority, folder) = (Authority::new("authority"), Folder::new());
    let pair = folder.write_pair(
        "a",
        &authority.issue_with(&["B.example.com", "sip:a.example.com"], |parameters| {
            parameters.not_after = rcgen::date_time_ymd(2100, 1, 1);
        }),
    );
    let both = std::fs::read_to_string(&pair.chain).unwrap() + &std::fs::read_to_string(&pair.key).unwrap();
    let file = folder.write("both.pem", both);
    let server = load(PairFiles { chain: file.clone(), key: file.clone() }).unwrap();
    let wanted = Loaded {
        file,
        names: vec!["a.example.com".into(), "b.example.com".into()],
        not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800),
        key_readable_by_all: false,
    };
    assert_eq!(server.certificates(), [wanted]);
}

#[test]
fn a_bad_reload_keeps_the_old_and_a_good_one_leaves_live_connections_alone() {
    let (old, new, folder) = (Authority::new("old"), Authority::new("new"), Folder::new());
    let files = folder.write_pair("server", &old.issue(&[NAME]));
    let current = ArcSwap::from_pointee(load(files.clone()).unwrap());
    let (mut a, mut b) = pair(&client(&old, None), &current.load(), NAME);
    settle(&mut a, &mut b);

    folder.write("server.crt", &new.issue(&[NAME]).chain);
    assert!(matches!(load(files.clone()).unwrap_err().fault, Fault::KeyMismatch(_)));
    let (mut c, mut d) = pair(&client(&old, None), &current.load(), NAME);
    settle(&mut c, &mut d);
    assert!(c.tls.is_established());

    folder.write_pair("server", &new.issue(&[NAME]));
    current.store(Arc::new(load(files).unwrap()));
    let (mut c, mut d) = pair(&client(&new, None), &current.load(), NAME);
    settle(&mut c, &mut d);
    assert!(c.tls.is_established());
    let (mut c, mut d) = pair(&client(&old, None), &current.load(), NAME);
    settle(&mut c, &mut d);
    assert_eq!(c.failure.unwrap().reason(), Reason::UnknownCa);

    a.say(b"still here");
    settle(&mut a, &mut b);
    assert_eq!(b.heard, b"still here");
}

#[test]
fn a_session_of_before_a_reload_is_not_resumed() {
    let (authority, folder) = (Authority::new("authority"), Folder::new());
    let files = folder.write_pair("server", &authority.issue(&[NAME]));
    let client = client(&authority, None);
    for _ in 0..2 {
        let (mut a, mut b) = pair(&client, &load(files.clone()).unwrap(), NAME);
        settle(&mut a, &mut b);
        assert!(!b.tls.session().unwrap().is_resumed);
    }
}

#[test]
fn a_clients_files_are_held_against_the_same_rules() {
    let (authority, folder) = (Authority::new("authority"), Folder::new());
    let authorities = vec![folder.write("ca.crt", &authority.pem)];
    let pair = Some(folder.write_pair("client", &authority.issue_expired(&["a"])));
    let files = ClientFiles { authorities, pair };
    assert!(matches!(ClientTls::load(&files, SystemTime::now()).unwrap_err().fault, Fault::Expired(_)));
    let files = ClientFiles { authorities: vec![folder.write("ca", "none")], pair: None };
    assert_eq!(ClientTls::load(&files, SystemTime::now()).unwrap_err().fault, Fault::NoPem);
    let mut wire = BytesMut::new();
    let name = viaduct::frame::tls::PeerName::new(NAME).unwrap();
    // The system's authorities, where it has any.
    if let Ok(client) = ClientTls::load(&ClientFiles::default(), SystemTime::now()) {
        client.connect(&name, &mut wire).unwrap();
        assert!(!wire.is_empty() && client.certificate().is_none());
    }
}
