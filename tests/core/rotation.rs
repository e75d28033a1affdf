//! A fleet's secret is changed while calls last: what the old one signed is still found, and no call moves.

use viaduct::proxy::keys::Keys;
use viaduct::proxy::snapshot::{Listener, Policy, Snapshot};
use viaduct::proxy::verdict::{DropReason, Verdict};
use viaduct::sip::Transport;

use crate::support::{SECRET, decided, pool};

const CALLER: &str = "198.51.100.7:5060";
const NEXT_SECRET: &[u8] = b"the secret that comes next";

#[test]
fn what_an_accepted_secret_signed_is_found_and_what_another_signed_is_not() {
    let before = with(Keys::rotating(SECRET, &[], SECRET).unwrap());
    let after = with(Keys::rotating(NEXT_SECRET, &[SECRET.to_vec()], SECRET).unwrap());
    let forgotten = with(Keys::rotating(NEXT_SECRET, &[], SECRET).unwrap());
    let invite = request("INVITE", "");
    let (first, sent) = decided(&before, &invite, CALLER);
    assert_eq!(hop(&decided(&after, &invite, CALLER).0.verdict), hop(&first.verdict), "no call moves");

    let answer = answer_to(&sent);
    assert!(matches!(decided(&after, &answer, "10.0.0.99:5060").0.verdict, Verdict::Forward { .. }));
    let refused = decided(&forgotten, &answer, "10.0.0.99:5060").0.verdict;
    assert_eq!(refused, Verdict::Drop(DropReason::ResponseUnverified));

    let route = String::from_utf8(sent).unwrap();
    let route = route.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap().to_owned();
    let bye = request("BYE", &format!("Route: {route}\r\n"));
    let (kept, _) = decided(&after, &bye, CALLER);
    assert_eq!((hop(&kept.verdict), kept.rejected), (hop(&first.verdict), None));
    assert!(decided(&forgotten, &bye, CALLER).0.rejected.is_some(), "and counted where it is not");
}

fn with(keys: Keys) -> Snapshot {
    let listener = Listener::new(Transport::Udp, "192.0.2.100:5060".parse().unwrap(), "sip.example.com", 5060);
    Snapshot::new(vec![listener], pool(), keys, Policy { record_route: true, ..Policy::default() })
}

fn request(method: &str, route: &str) -> Vec<u8> {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKr\r\n{route}\
         From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: rotation\r\nCSeq: 1 {method}\r\n\r\n"
    )
    .into_bytes()
}

fn answer_to(sent: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(sent.to_vec()).unwrap();
    let kept: Vec<&str> = text.lines().skip(1).filter(|line| !line.starts_with("Max-Forwards")).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\n", kept.join("\r\n")).into_bytes()
}

fn hop(verdict: &Verdict) -> std::net::SocketAddr {
    match verdict {
        Verdict::Forward { hop, .. } => hop.to,
        other => panic!("not forwarded: {other:?}"),
    }
}
