//! The log: one line a problem, that of a message with its Call-ID, none too many, and nothing in it that a sender could forge or
//! would not want told.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::viaduct::{Viaduct, backend, request};

const DROPPED: &str = "a message was dropped";
const REFUSED: &str = "a request was refused";

/// Lines a second of one kind, and how many may come at once.
const RATE: u64 = 1;
const BURST: u64 = 5;

#[test]
fn what_is_refused_or_dropped_is_a_line_in_json_with_reason_peer_and_call_id() {
    let viaduct = Viaduct::start(&[]);
    viaduct.send(request("INVITE", "nobody@a.example", "", ""));
    assert!(viaduct.answer().starts_with("SIP/2.0 503"));
    let refused = viaduct.first_told(REFUSED);
    assert_eq!(refused["call_id"], "nobody@a.example");
    assert_eq!((&refused["method"], &refused["status"]), (&Value::from("INVITE"), &Value::from(503)));
    assert!(refused["reason"].as_str().unwrap().contains("No Backend"), "{refused}");
    assert_eq!(refused["peer"], viaduct.client.local_addr().unwrap().to_string());
    assert_eq!(refused["transport"], "udp");
    viaduct.send(stray("stray@a.example"));
    let dropped = viaduct.first_told(DROPPED);
    assert_eq!((&dropped["call_id"], &dropped["status"]), (&Value::from("stray@a.example"), &Value::from(200)));
    assert_eq!(dropped["reason"], "response_unverified");
}

#[test]
fn what_is_wrong_with_a_malformed_message_is_told() {
    let viaduct = Viaduct::start(&[]);
    viaduct.send(request("INVITE", "no-cseq@a.example", "", "").replace("CSeq", "X-CSeq"));
    viaduct.answer();
    let refused = viaduct.first_told(REFUSED);
    assert_eq!((&refused["status"], &refused["fault"]), (&Value::from(400), &Value::from("cseq")));
    viaduct.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let dropped = viaduct.first_told(DROPPED);
    assert_eq!((&dropped["reason"], &dropped["fault"]), (&Value::from("malformed"), &Value::from("not_sip")));
    assert_eq!(dropped["call_id"], "", "every line about a message has one");
}

#[test]
fn a_request_that_cannot_be_delivered_tells_why_and_so_does_the_connection() {
    let closed = TcpListener::bind("127.17.0.5:0").unwrap().local_addr().unwrap();
    let viaduct = Viaduct::start(&[("VIADUCT_BACKENDS", &format!("tcp://{closed}"))]);
    viaduct.send(request("OPTIONS", "undelivered@a.example", "", ""));
    assert!(viaduct.answer().starts_with("SIP/2.0 503"));
    let refused = viaduct.first_told(REFUSED);
    assert_eq!((&refused["call_id"], &refused["cause"]), (&"undelivered@a.example".into(), &"no_connection".into()));
    assert_eq!((&refused["next_hop"], &refused["method"]), (&closed.to_string().into(), &"OPTIONS".into()));
    let connection = viaduct.first_told("a connection could not be opened");
    assert_eq!((&connection["reason"], &connection["peer"]), (&"connect_failed".into(), &closed.to_string().into()));
    assert_eq!(connection["direction"], "connected");
}

#[test]
fn what_the_kernel_does_not_send_is_told_with_its_call_id_and_where_it_was_to_go() {
    let viaduct = Viaduct::start(&[("VIADUCT_BACKENDS", "udp://255.255.255.255:5060")]);
    viaduct.send(request("OPTIONS", "broadcast@a.example", "", ""));
    let dropped = viaduct.first_told(DROPPED);
    assert_eq!((&dropped["call_id"], &dropped["method"]), (&"broadcast@a.example".into(), &"OPTIONS".into()));
    assert_eq!(
        (&dropped["reason"], &dropped["next_hop"]),
        (&"send_not_permitted".into(), &"255.255.255.255:5060".into())
    );
}

#[test]
fn plain_sip_on_a_port_for_tls_is_told_as_such() {
    let viaduct = Viaduct::start_with_tls(&[]);
    let mut plain = TcpStream::connect(viaduct.tls.unwrap()).unwrap();
    plain.write_all(request("OPTIONS", "plain@a.example", "", "").as_bytes()).unwrap();
    let failed = viaduct.first_told("TLS failed on a connection");
    assert_eq!((&failed["reason"], &failed["direction"]), (&"not_tls".into(), &"accepted".into()));
    assert_eq!(failed["peer"], plain.local_addr().unwrap().to_string());
    assert_eq!((&failed["transport"], failed.get("call_id")), (&"tls".into(), None), "it is not about a message");
}

#[test]
fn a_message_that_ends_with_its_connection_is_told_with_its_call_id() {
    let viaduct = Viaduct::start(&[]);
    let mut client = TcpStream::connect(viaduct.sip).unwrap();
    let whole = request("INVITE", "half@a.example", "", "a body").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    client.write_all(&whole.as_bytes()[..whole.len() - 3]).unwrap();
    drop(client);
    let dropped = viaduct.first_told(DROPPED);
    assert_eq!((&dropped["reason"], &dropped["call_id"]), (&"framing".into(), &"half@a.example".into()));
    assert_eq!((&dropped["method"], &dropped["transport"]), (&"INVITE".into(), &"tcp".into()));
}

#[test]
fn no_call_id_can_forge_a_line_or_a_field() {
    let forged = "a\r\n 2030-01-01T00:00:00Z ERROR forged\x1b[2J\0 \\ \" call_id=\"other\r\t{}";
    for format in ["json", "text"] {
        let viaduct = Viaduct::start(&[("VIADUCT_LOG_FORMAT", format)]);
        viaduct.send(request("OPTIONS", forged, "", ""));
        assert!(viaduct.answer().starts_with("SIP/2.0 "));
        viaduct.until("the line", || viaduct.lines().iter().any(|line| line.contains(REFUSED)));
        let lines = viaduct.end();
        let about: Vec<&String> = lines.iter().filter(|line| line.contains("forged")).collect();
        assert_eq!(about.len(), 1, "{about:?}");
        assert!(about[0].contains(REFUSED) && !about[0].starts_with(' '), "{about:?}");
        assert!(about[0].bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{about:?}");
        match serde_json::from_str::<Value>(about[0]) {
            Ok(line) => assert!(line["fields"]["call_id"].as_str().unwrap().starts_with(r"a\x0d\x0a\x202030")),
            Err(_) => assert!(format == "text" && !about[0].contains("call_id=\"other"), "{about:?}"),
        }
    }
}

#[test]
fn neither_credentials_nor_bodies_nor_the_secret_stand_in_the_log() {
    let viaduct = Viaduct::start(&[("VIADUCT_LOG", "trace")]);
    let secrets = "Authorization: Digest username=\"bob\", response=\"6629fae49393a05397450978507c4ef1\"\r\n\
                   Proxy-Authorization: Basic Qm9iOnBhc3M=\r\n";
    let sdp = "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\r\n";
    for method in ["INVITE", "REGISTER", "ACK"] {
        viaduct.send(request(method, "secret@a.example", secrets, sdp));
        viaduct.send(request(method, "secret@a.example", secrets, sdp).replace("Max-Forwards: 70", "Max-Forwards: x"));
    }
    viaduct.until("all are told", || viaduct.told(REFUSED).len() >= 4 && !viaduct.told(DROPPED).is_empty());
    let log = viaduct.end().join("\n");
    assert!(log.contains("secret@a.example"));
    for secret in ["6629fae", "Qm9iOn", "PS1uQ", "inline", "v=0", "a secret for tests only"] {
        assert!(!log.contains(secret), "{secret} stands in the log:\n{log}");
    }
}

#[test]
fn a_flood_of_one_kind_has_few_lines_and_the_next_one_says_how_many_were_left_out() {
    const FLOOD: u64 = 3000;
    let viaduct = Viaduct::start(&[]);
    let begun = std::time::Instant::now();
    for number in 0..FLOOD {
        viaduct.send(stray(&number.to_string()));
        if number % 50 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    let came = || viaduct.sum("viaduct_messages_dropped_total{reason=\"response_unverified\"}");
    viaduct.until("all have come", || came() == FLOOD);
    viaduct.send(request("OPTIONS", "another-kind@a.example", "", ""));
    assert_eq!(viaduct.first_told(REFUSED)["call_id"], "another-kind@a.example", "a kind has its own share");
    let of = |outcome: &str| viaduct.sum(&format!("viaduct_log_problems_total{{outcome=\"{outcome}\"}}"));
    let told = || [of("logged"), of("suppressed"), of("crowded_out")].into_iter().sum::<u64>();
    viaduct.until("all are counted", || told() == FLOOD + 1);
    // One that comes later has its line again, which says what was left out before it.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    viaduct.send(stray("late"));
    viaduct.until("the late one", || viaduct.told(DROPPED).iter().any(|line| line["call_id"] == "late"));
    let seconds = begun.elapsed().as_secs() + 1;
    let lines = viaduct.told(DROPPED);
    assert!(lines.len() as u64 <= BURST + RATE * seconds + 1, "{} lines in {seconds} s", lines.len());
    let suppressed: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
    assert_eq!(suppressed + lines.len() as u64, FLOOD + 1, "every one is a line, or one of those left out");
}

#[test]
fn at_a_rate_of_none_nothing_is_told_of_messages() {
    let viaduct = Viaduct::start(&[("VIADUCT_LOG_PROBLEMS_PER_SECOND", "0")]);
    viaduct.send(request("OPTIONS", "quiet@a.example", "", ""));
    viaduct.answer();
    assert_eq!(viaduct.sum("viaduct_log_problems_total"), 0);
    assert!(!viaduct.end().join("\n").contains("quiet@a.example"));
}

#[test]
fn what_passes_has_no_line() {
    let viaduct = Viaduct::start(&[("VIADUCT_BACKENDS", &backend())]);
    viaduct.send(request("OPTIONS", "passes@a.example", "", ""));
    assert!(viaduct.answer().starts_with("SIP/2.0 200"));
    assert_eq!(viaduct.sum("viaduct_log_problems_total"), 0);
    assert!(!viaduct.end().join("\n").contains("passes@a.example"));
}

/// A response that answers nothing that was forwarded.
fn stray(call_id: &str) -> String {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.17.0.3\r\nv: SIP/2.0/UDP 127.17.0.2\r\ni: {call_id}\r\nCSeq: 1 BYE\r\n\r\n"
    )
}
