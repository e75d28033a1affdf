//! Copies of messages by HEP: what came and what went, calls whole, nothing secret, and every copy accounted for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use crate::collector::{Heard, OverTcp, nowhere, over_udp};
use crate::viaduct::{Viaduct, backend, request};

/// Copies of a call that is one request and its answer: each as it came and as it went.
const COPIES_A_CALL: usize = 4;

/// The most copies that wait.
const WAITING_MAX: u64 = 1024;

fn sum(viaduct: &Viaduct, outcome: &str) -> u64 {
    viaduct.sum(&format!("viaduct_hep_copies_total{{outcome=\"{outcome}\"}}"))
}

fn call(viaduct: &Viaduct, call_id: &str) -> (String, String) {
    let request = request("OPTIONS", call_id, "", "");
    viaduct.send(&request);
    let answer = viaduct.answer();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    (request, answer)
}

/// Asserts that a call was told whole, as it was seen by the client and by the backend at `backend`.
fn is_told_whole(viaduct: &Viaduct, heard: &Heard, call_id: &str, backend: &str, (request, answer): &(String, String)) {
    viaduct.until("all is told", || heard.of(call_id).len() >= COPIES_A_CALL);
    let told = heard.of(call_id);
    let (client, sip, backend) = (viaduct.client.local_addr().unwrap(), viaduct.sip, backend.parse().unwrap());
    let ways: Vec<_> = told.iter().map(|told| (told.source, told.destination)).collect();
    assert_eq!(ways, [(client, sip), (sip, backend), (backend, sip), (sip, client)]);
    assert_eq!((&told[0].message, &told[3].message), (request, answer));
    assert_eq!(told[1].message.matches("Via:").count(), 2, "as it went, with Viaduct's Via");
    assert!(told[2].message.starts_with("SIP/2.0 200") && told[2].message.matches("Via:").count() == 2);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(told.iter().all(|told| now.abs_diff(told.seconds.into()) < 10));
    assert!(told.iter().all(|told| told.protocol == 17));
}

#[test]
fn each_message_of_a_call_is_told_as_it_came_and_as_it_went_over_udp_and_over_tcp() {
    let (udp, heard_over_udp) = over_udp();
    let tcp = OverTcp::start();
    let key_file = std::env::temp_dir().join(format!("viaduct-hep-key-{}", std::process::id()));
    std::fs::write(&key_file, "the key\n").unwrap();
    for (url, heard) in [(&udp, &heard_over_udp), (&tcp.url, &tcp.heard)] {
        let backend = backend();
        let viaduct = Viaduct::start(&[
            ("VIADUCT_BACKENDS", &backend),
            ("VIADUCT_HEP", url),
            ("VIADUCT_HEP_AGENT_ID", "2001"),
            ("VIADUCT_HEP_KEY_FILE", key_file.to_str().unwrap()),
        ]);
        let seen = call(&viaduct, "whole@a.example");
        is_told_whole(&viaduct, heard, "whole@a.example", backend.strip_prefix("udp://").unwrap(), &seen);
        assert!(heard.all().iter().all(|told| (told.agent, &told.key[..]) == (2001, b"the key")));
        viaduct.until("all is counted", || sum(&viaduct, "sent") == COPIES_A_CALL as u64);
        assert_eq!(viaduct.sum("viaduct_hep_copies_total"), COPIES_A_CALL as u64);
        let log = viaduct.end().join("\n");
        assert!(!log.contains("the key") && !log.contains("whole@a.example"), "{log}");
    }
    std::fs::remove_file(key_file).unwrap();
}

#[test]
fn what_viaduct_answers_itself_and_what_comes_over_tcp_is_told_too() {
    let (url, heard) = over_udp();
    let viaduct = Viaduct::start(&[("VIADUCT_HEP", &url)]);
    let mut client = TcpStream::connect(viaduct.sip).unwrap();
    let refused = request("OPTIONS", "refused@a.example", "", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    client.write_all(refused.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let len = client.read(&mut answer).unwrap();
    viaduct.until("both are told", || heard.of("refused@a.example").len() == 2);
    let told = heard.of("refused@a.example");
    assert_eq!((told[0].message.as_bytes(), told[1].message.as_bytes()), (refused.as_bytes(), &answer[..len]));
    assert!(told[1].message.starts_with("SIP/2.0 503"));
    let client = client.local_addr().unwrap();
    assert_eq!((told[0].source, told[1].destination), (client, client));
    assert_eq!((told[0].protocol, told[1].protocol), (6, 6));
}

#[test]
fn a_share_has_calls_whole_or_not_at_all_and_the_same_on_every_member_of_a_fleet() {
    const CALLS: usize = 120;
    let samples: Vec<_> = (0..2)
        .map(|_| {
            let (url, heard) = over_udp();
            let settings = [("VIADUCT_BACKENDS", &*backend()), ("VIADUCT_HEP", &url), ("VIADUCT_HEP_SAMPLE", "0.3")];
            let viaduct = Viaduct::start(&settings);
            (0..CALLS).for_each(|number| drop(call(&viaduct, &format!("{number}@a.example"))));
            // Once this is told again, so is all before it.
            viaduct.until("one is told", || heard.len() > 0);
            let first = heard.all().swap_remove(0).correlation;
            call(&viaduct, &first);
            viaduct.until("all are told", || heard.of(&first).len() == 2 * COPIES_A_CALL);
            let mut copies = heard.by_call();
            copies.insert(first, COPIES_A_CALL);
            copies
        })
        .collect();
    assert!(samples[0].values().all(|copies| *copies == COPIES_A_CALL), "{:?}", samples[0]);
    // 36 are expected; outside of this is one chance in a million.
    assert!((12..64).contains(&samples[0].len()), "{} calls", samples[0].len());
    assert_eq!(samples[0], samples[1]);
}

#[test]
fn credentials_and_keys_are_masked_and_bodies_withheld_where_they_are_to_be() {
    let headers = "Authorization: Digest username=\"bob\", response=\"6629fae49393a053\"\r\n\
                   Proxy-Authorization: Basic\r\n Qm9iOnBhc3M=\r\nContent-Type: application/sdp\r\n";
    let sdp = "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVm\r\na=rtpmap:0 PCMU/8000\r\n";
    for bodies in ["on", "off"] {
        let (url, heard) = over_udp();
        let backend = backend();
        let settings = [("VIADUCT_BACKENDS", &*backend), ("VIADUCT_HEP", &url), ("VIADUCT_HEP_BODIES", bodies)];
        let viaduct = Viaduct::start(&settings);
        let sent = request("MESSAGE", "secret@a.example", headers, sdp);
        viaduct.send(&sent);
        assert!(viaduct.answer().starts_with("SIP/2.0 200"));
        viaduct.until("all is told", || heard.len() == COPIES_A_CALL);
        let told = heard.of("secret@a.example");
        for secret in ["6629fae", "Qm9iOn", "PS1uQ"] {
            assert!(told.iter().all(|told| !told.message.contains(secret)), "{secret} is told");
        }
        let has_body = told[0].message.contains("a=rtpmap:0 PCMU/8000");
        assert_eq!((has_body, told[0].message.len() == sent.len()), (bodies == "on", bodies == "on"));
        assert!(told[0].message.contains("\r\nAuthorization: ****** "), "{}", told[0].message);
    }
}

#[test]
fn a_message_too_long_for_a_packet_is_counted_and_holds_up_no_other() {
    let (url, heard) = over_udp();
    let viaduct = Viaduct::start(&[("VIADUCT_HEP", &url)]);
    let mut client = TcpStream::connect(viaduct.sip).unwrap();
    // It fits a packet, and no datagram holds that packet.
    let head_bytes = request("MESSAGE", "long@a.example", "", "").len() + 4;
    let long = request("MESSAGE", "long@a.example", "", &"x".repeat(65_400 - head_bytes)).replace("/UDP", "/TCP");
    client.write_all(long.as_bytes()).unwrap();
    viaduct.until("the answer is told", || heard.of("long@a.example").len() == 1);
    assert!(heard.of("long@a.example")[0].message.starts_with("SIP/2.0 503"));
    assert_eq!((sum(&viaduct, "too_long"), sum(&viaduct, "sent"), sum(&viaduct, "lost")), (1, 1, 0));
}

#[test]
fn a_collector_that_is_away_for_a_while_gets_what_waited_and_the_rest_is_counted() {
    const CALLS: u64 = 400;
    let address = nowhere();
    let settings = [
        ("VIADUCT_BACKENDS", &*backend()),
        ("VIADUCT_HEP", &format!("tcp://{address}")),
        ("VIADUCT_SEND_SLOTS", "4096"),
    ];
    let viaduct = Viaduct::start(&settings);
    (0..CALLS).for_each(|number| drop(call(&viaduct, &format!("{number}@a.example"))));
    let copies = CALLS * COPIES_A_CALL as u64;
    viaduct.until("what does not fit is left out", || sum(&viaduct, "crowded_out") == copies - WAITING_MAX);
    let complaints = || viaduct.lines().iter().filter(|line| line.contains("do not get to the collector")).count();
    viaduct.until("the log says so", || complaints() == 1);
    let collector = OverTcp::start_at(address);
    viaduct.until("what waited comes", || collector.heard.len() as u64 == WAITING_MAX);
    viaduct.until("it is counted", || sum(&viaduct, "sent") == WAITING_MAX);
    assert_eq!(viaduct.sum("viaduct_hep_copies_total"), copies);
    assert!(collector.heard.by_call().values().all(|copies| *copies <= COPIES_A_CALL));
    assert!(viaduct.lines().iter().any(|line| line.contains("the collector is connected again")));
    assert_eq!(complaints(), 1);
}

#[test]
fn over_udp_what_a_closed_port_refuses_is_counted_and_told_once() {
    const CALLS: u64 = 20;
    let settings = [("VIADUCT_BACKENDS", &*backend()), ("VIADUCT_HEP", &format!("udp://{}", nowhere()))];
    let viaduct = Viaduct::start(&settings);
    (0..CALLS).for_each(|number| drop(call(&viaduct, &format!("{number}@a.example"))));
    let copies = CALLS * COPIES_A_CALL as u64;
    viaduct.until("all are counted", || sum(&viaduct, "sent") + sum(&viaduct, "lost") == copies);
    assert!(sum(&viaduct, "lost") > 0, "the kernel tells of a port that is closed");
    let complaints = viaduct.lines().iter().filter(|line| line.contains("do not get to the collector")).count();
    assert_eq!(complaints, 1);
}

#[test]
fn a_collector_that_hangs_up_is_connected_again() {
    let collector = OverTcp::start();
    let viaduct = Viaduct::start(&[("VIADUCT_BACKENDS", &backend()), ("VIADUCT_HEP", &collector.url)]);
    for round in 0..3 {
        viaduct.until("a connection", || collector.connections() == 1);
        call(&viaduct, &format!("round-{round}@a.example"));
        let call_id = format!("round-{round}@a.example");
        viaduct.until("the call", || collector.heard.of(&call_id).len() == COPIES_A_CALL);
        collector.hang_up();
    }
    assert_eq!(sum(&viaduct, "sent"), 3 * COPIES_A_CALL as u64);
}

#[test]
fn what_is_left_is_sent_at_the_end_and_a_collector_that_is_nowhere_does_not_hold_it_up() {
    let (url, heard) = over_udp();
    let viaduct = Viaduct::start(&[("VIADUCT_HEP", &url)]);
    viaduct.send(request("OPTIONS", "last@a.example", "", ""));
    viaduct.answer();
    viaduct.end();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(heard.of("last@a.example").len(), 2);
    let viaduct = Viaduct::start(&[("VIADUCT_HEP", &format!("tcp://{}", nowhere()))]);
    viaduct.send(request("OPTIONS", "lost@a.example", "", ""));
    viaduct.answer();
    let begun = std::time::Instant::now();
    viaduct.end();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
