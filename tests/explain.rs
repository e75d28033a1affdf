//! `viaduct explain` as an operator meets it: the real binary, a message on standard input, plain words on standard output.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const LISTEN: (&str, &str) = ("VIADUCT_LISTEN", "udp://127.0.0.1:5060;advertise=sip.example.com:5060,udp://[::1]:5060");
const BACKENDS: (&str, &str) = ("VIADUCT_BACKENDS", "a=udp://127.0.0.11:5060,b=udp://127.0.0.12:5060");

fn explain(arguments: &[&str], variables: &[(&str, &str)], message: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
        command.env_remove(name);
    }
    command.arg("explain").args(arguments).envs([LISTEN, BACKENDS, ("VIADUCT_SECRET", "a secret for tests only")]);
    command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // What is refused at once is not read.
    let _ = child.stdin.take().unwrap().write_all(message.as_bytes());
    child.wait_with_output().unwrap()
}

/// What it prints about a message from there.
fn told(source: &str, variables: &[(&str, &str)], message: &str) -> String {
    let output = explain(&["--source", source], variables, message);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn assert_says(page: &str, expected: &[&str]) {
    for expected in expected {
        assert!(page.contains(expected), "{expected} is missing in:\n{page}");
    }
}

/// A request with the line ends of an editor.
fn request(method: &str, uri: &str, headers: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP pc.example.com;rport;branch=z9hG4bK776\n{headers}Max-Forwards: 70\n\
         From: <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>\nCall-ID: explained\nCSeq: 1 {method}\nContent-Length: 0\n\n"
    )
}

fn line<'a>(page: &'a str, start: &str) -> &'a str {
    let found = page.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in:\n{page}"))
}

#[test]
fn a_clients_request_is_explained_by_its_key_and_owner() {
    let page = told("127.0.0.1:5070", &[], &request("INVITE", "sip:bob@b.example", ""));
    assert_says(
        &page,
        &[
            "message    INVITE sip:bob@b.example SIP/2.0 (",
            "source     127.0.0.1:5070: a client, because it is neither",
            "listener   0, udp://127.0.0.1:5060, advertised as sip.example.com:5060, sent to 127.0.0.1",
            "routes     none is ours",
            "key        the Call-ID: hash ",
            ":5060, because it owns the key",
            "verdict    forwarded by listener 0",
            "added      Via: SIP/2.0/UDP sip.example.com:5060;rport;branch=z9hG4bK",
            "added      Record-Route: <sip:p",
            "changed    Max-Forwards: 70\n           to Max-Forwards: 69",
            ";rport=5070;branch=z9hG4bK776;received=127.0.0.1",
            "\nINVITE sip:bob@b.example SIP/2.0\nVia: SIP/2.0/UDP sip.example.com:5060",
        ],
    );
    let owner = line(&page, "key").rsplit(' ').next().unwrap().to_owned();
    assert_says(&page, &[&format!("target     backend {owner} at 127.0.0.1")]);
    assert_eq!(page, told("127.0.0.1:5070", &[], &request("INVITE", "sip:bob@b.example", "")), "it is the same again");
}

#[test]
fn a_rule_for_the_method_and_a_named_dialog_are_told_as_keys() {
    let rule = [("VIADUCT_HASH", "REGISTER=to-uri,*=request-user")];
    assert_says(
        &told("127.0.0.1:5070", &rule, &request("REGISTER", "sip:b.example", "")),
        &["key        the user and host of To: hash "],
    );
    assert_says(
        &told("127.0.0.1:5070", &rule, &request("OPTIONS", "sip:b.example", "")),
        &["key        the Call-ID, because there is no user of the Request-URI: hash "],
    );
    let replaces = "Replaces: other@a.example;to-tag=1;from-tag=2\n";
    assert_says(
        &told("127.0.0.1:5070", &[], &request("INVITE", "sip:b@b.example", replaces)),
        &["key        the Call-ID in Replaces, Join or Target-Dialog: hash "],
    );
}

#[test]
fn a_pin_is_told_followed_and_taken_out_and_a_damaged_one_is_told_as_rejected() {
    let first = told("127.0.0.1:5070", &[], &request("INVITE", "sip:bob@b.example", ""));
    let backend = line(&first, "target").split_whitespace().nth(2).unwrap().to_owned();
    let uri = line(&first, "Record-Route: ").split(['<', '>']).nth(1).unwrap();
    let pinned = told("127.0.0.1:5070", &[], &request("BYE", "sip:bob@127.0.0.99", &format!("Route: <{uri}>\n")));
    assert_says(
        &pinned,
        &[
            "routes     1 is ours and is taken out",
            &format!("pin        backend {backend}, for both sides, "),
            &format!("target     backend {backend} at "),
            "because the dialog is pinned to it",
            &format!("removed    Route: <{uri}>"),
        ],
    );
    let gone = [("VIADUCT_BACKENDS", "c=udp://127.0.0.13:5060")];
    let moved = told("127.0.0.1:5070", &gone, &request("BYE", "sip:bob@127.0.0.99", &format!("Route: <{uri}>\n")));
    assert_says(
        &moved,
        &["a backend that is gone from the pool", "key        the Call-ID: ", "target     backend c at"],
    );

    let damaged = uri.replacen("sip:pA", "sip:pB", 1);
    let page = told("127.0.0.1:5070", &[], &request("BYE", "sip:bob@127.0.0.99", &format!("Route: <{damaged}>\n")));
    assert_says(&page, &["token      a pin in a Route of ours does not hold", "key        the Call-ID: "]);
}

#[test]
fn a_backends_request_goes_where_it_says_and_a_trusted_source_is_told_as_such() {
    let page = told("127.0.0.11:5060", &[], &request("BYE", "sip:alice@127.0.0.7:5062", ""));
    assert_says(
        &page,
        &["a backend, because it is the pool member a", "target     127.0.0.7:5062, because the Request-URI says so"],
    );
    let trusted = [("VIADUCT_TRUSTED", "127.7.0.0/16")];
    let page = told("127.7.0.1:5060", &trusted, &request("BYE", "sip:b@b", "Route: <sip:127.0.0.12;lr>\n"));
    assert_says(
        &page,
        &["because it is in VIADUCT_TRUSTED", "target     backend b at", "because the next Route names it"],
    );
}

#[test]
fn a_response_is_explained_by_our_via() {
    let forwarded = told("127.0.0.1:5070", &[], &request("OPTIONS", "sip:bob@b.example", ""));
    let (_, sent) = forwarded.split_once("\nOPTIONS ").unwrap();
    let response = format!("SIP/2.0 200 OK\n{}", &sent[sent.find('\n').unwrap() + 1..]);
    let page = told("127.0.0.11:5060", &[], &response);
    assert_says(
        &page,
        &["target     127.0.0.1:5070, because our Via", "removed    Via: SIP/2.0/UDP sip.example.com:5060"],
    );
    let other = [("VIADUCT_SECRET", "another secret, as it happens")];
    assert_says(&told("127.0.0.11:5060", &other, &response), &["verdict    dropped: the topmost Via is not ours"]);
}

#[test]
fn what_a_backend_says_of_its_load_is_told() {
    let on = [("VIADUCT_OVERLOAD_CONTROL", "on")];
    let page = told("127.0.0.1:5070", &on, &request("INVITE", "sip:bob@b.example", ""));
    let sent = &page[page.find("\nINVITE").unwrap() + 1..];
    let headers = &sent[sent.find('\n').unwrap() + 1..];
    let said = headers.replacen(";oc;", ";oc=20;oc-validity=700;oc-seq=1.5;", 1);
    let response = format!("SIP/2.0 503 Service Unavailable\nRetry-After: 300 (later)\n{said}");
    assert_says(
        &told("127.0.0.11:5060", &on, &response),
        &[
            "load       the backend wants no new calls for 300 s (Retry-After)",
            "load       the backend wants 20 % fewer requests that begin something, for 700 ms (RFC 7339)",
        ],
    );
    assert!(!told("127.0.0.13:5060", &on, &response).contains("\nload "), "it is no backend");
}

#[test]
fn answers_drops_and_absorptions_are_told_with_their_reasons() {
    let no_hops = request("INVITE", "sip:b@b", "").replace("Forwards: 70", "Forwards: 0");
    assert_says(&told("127.0.0.1:5070", &[], &no_hops), &["verdict    answered \"483 Too Many Hops", "\nSIP/2.0 483 "]);
    let empty_pool = [("VIADUCT_BACKENDS", "")];
    assert_says(&told("127.0.0.1:5070", &empty_pool, &request("INVITE", "sip:b@b", "")), &["answered \"503 "]);
    let no_call_id = request("INVITE", "sip:b@b", "").replace("Call-ID", "X-Call-ID");
    assert_says(&told("127.0.0.1:5070", &[], &no_call_id), &["because its Call-ID is missing or malformed"]);
    let endless = request("INVITE", "sip:b@b", "").trim_end().to_owned();
    assert_says(&told("127.0.0.1:5070", &[], &endless), &["dropped: no empty line ends its headers"]);
    assert_says(&told("127.0.0.1:5070", &[], "\r\n\r\n"), &["verdict    absorbed: it only keeps a NAT binding open"]);
}

#[test]
fn what_cannot_be_used_is_refused_with_exit_code_2() {
    let message = request("INVITE", "sip:b@b", "");
    let long = "x".repeat(70_000);
    let source = &["--source", "127.0.0.1:1"][..];
    let cases = [
        (&[][..], "", &message, "--source"),
        (&["--source", "somewhere"], "", &message, "--source"),
        (&["--source", "127.0.0.1:1", "--listener", "2"], "", &message, "a number from 0 to 1"),
        (source, "nowhere", &message, "VIADUCT_BACKENDS"),
        (source, "", &String::new(), "standard input"),
        (source, "", &long, "at most 65536 bytes"),
    ];
    for (arguments, backends, message, expected) in cases {
        let output = explain(arguments, &[("VIADUCT_BACKENDS", backends)], message);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{expected} is missing in: {error}");
    }
}

#[test]
fn it_binds_no_listener_and_takes_the_one_of_the_sources_family() {
    let holder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = format!("udp://{},udp://[::1]:5060", holder.local_addr().unwrap());
    let taken = [("VIADUCT_LISTEN", taken.as_str())];
    assert_says(&told("127.0.0.1:5070", &taken, &request("OPTIONS", "sip:b@b", "")), &["forwarded by listener 0"]);
    let unreachable = [("VIADUCT_LISTEN", "udp://192.0.2.77:5060;advertise=192.0.2.77:5060,udp://[::1]:5060")];
    let page = told("[2001:db8::7]:5070", &unreachable, &request("OPTIONS", "sip:b@b", ""));
    assert_says(&page, &["listener   1, udp://[::1]:5060", "forwarded by listener 0"]);
}

#[test]
fn what_goes_over_tcp_is_told_with_its_transport() {
    let variables = [
        ("VIADUCT_LISTEN", "udp://127.0.0.1:5060,tcp://127.0.0.1:5060"),
        ("VIADUCT_BACKENDS", "a=tcp://127.0.0.11:5060"),
    ];
    let message = request("OPTIONS", "sip:bob@b.example", "");
    let page = told("127.0.0.1:5070", &variables, &message);
    assert_says(
        &page,
        &["listener   0, udp://127.0.0.1:5060", "backend a at tcp://127.0.0.11:5060", "forwarded by listener 1"],
    );
    let arguments = ["--source", "127.0.0.1:5070", "--listener", "1"];
    let over_tcp = message.replace("SIP/2.0/UDP", "SIP/2.0/TCP").replace("Forwards: 70", "Forwards: 0");
    let page = String::from_utf8(explain(&arguments, &variables, &over_tcp).stdout).unwrap();
    assert_says(
        &page,
        &["listener   1, tcp://127.0.0.1:5060", "answered \"200 OK\" to tcp://127.0.0.1:5070 by listener 1"],
    );
}
