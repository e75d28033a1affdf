//! Messages over each transport, both ways, bridged to backends over UDP and TLS.

use std::net::UdpSocket;

use crate::certificates::{Authority, Folder};
use crate::client::{Client, Way};
use crate::peer::{Backend, SecureBackend, datagram, message, response, say};
use crate::running::{NAME, PATIENCE, Running, free, on_each_engine};

#[test]
fn a_client_on_any_connection_calls_a_backend_over_udp_and_is_called_back_on_it() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), "", &[]);
        for way in Way::ALL {
            let mut client = Client::open(&viaduct, way);
            client.send(&client.request("INVITE", &way.label(), ""));
            let (invite, from) = backend.message();
            let via = format!("Via: SIP/2.0/{} df7jal23ls0d.invalid;", way.label().to_uppercase());
            let received = format!("received={}", client.peer().ip());
            assert!(invite.contains(&via) && invite.contains(&received), "{invite}");
            backend.send(&response(&invite), from);
            let answer = client.message();
            assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && answer.matches("Via:").count() == 1, "{answer}");
            // Its dialog's requests come back by the Route that Viaduct wrote, though its Contact leads nowhere.
            let routes: String = lines(&invite, "Record-Route: ").map(|value| format!("Route: {value}\r\n")).collect();
            let contact = lines(&invite, "Contact: ").next().unwrap().trim_matches(['<', '>']).to_owned();
            let bye = format!(
                "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP 127.7.0.2:9;rport;branch=z9hG4bKbye{engine}{way:?}\r\n{routes}\
                 Max-Forwards: 70\r\nFrom: <sip:b@b.example>;tag=2\r\nTo: <sip:a@a.example>;tag=1\r\nCall-ID: {}@a.example\r\n\
                 CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
                way.label()
            );
            backend.send(&bye, viaduct.udp);
            let came = client.message();
            assert!(
                came.starts_with(&format!("BYE {contact} SIP/2.0\r\nVia: SIP/2.0/{} ", way.label().to_uppercase())),
                "{came}"
            );
            client.send(&response(&came));
            assert!(backend.message().0.starts_with("SIP/2.0 200 OK\r\n"));
        }
    });
}

#[test]
fn a_ping_is_answered_on_every_connection_in_its_manner() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), "", &[]);
    for way in Way::ALL {
        let mut client = Client::open(&viaduct, way);
        client.send("\r\n\r\n");
        client.send(&client.request("OPTIONS", "one", ""));
        backend.answer();
        let answer = client.message();
        match way {
            Way::Tcp | Way::Tls => assert!(answer.starts_with("\r\nSIP/2.0 200 OK"), "{way:?} {answer:?}"),
            Way::Ws | Way::Wss => assert_eq!(answer, "\r\n", "{way:?}"),
        }
    }
    viaduct.reaches("viaduct_pings_answered_total", &[], 4.0);
}

#[test]
fn a_client_over_udp_reaches_a_backend_over_tls_that_proves_its_name_and_wants_ours_proved() {
    on_each_engine(|engine| {
        let (authority, folder) = (Authority::new(), Folder::new());
        let own = folder.write("own.pem", &authority.issue(&[NAME]).pem());
        let ca = folder.write("ca.pem", authority.pem());
        let address = free();
        let backend = SecureBackend::new(
            authority.server(&authority.issue(&["localhost", &address.ip().to_string()])),
            &address.to_string(),
        );
        let settings = [("CERTIFICATES", own.as_str()), ("CONNECT_CA", &ca), ("CONNECT_CERTIFICATE", &own)];
        let viaduct = Running::with((authority, folder), engine, &format!("one=tls://{address}"), "", &[&settings]);
        let client = UdpSocket::bind("127.7.0.3:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        // Several wait for the handshake; their order is kept.
        for id in ["one", "two", "three"] {
            client.send_to(request(id).as_bytes(), viaduct.udp).unwrap();
        }
        let mut stream = backend.accept();
        let mut came = String::new();
        while came.matches("\r\n\r\n").count() < 3 {
            came.push_str(&message(&mut stream));
        }
        let ids: Vec<&str> = lines(&came, "Call-ID: ").collect();
        assert_eq!(ids, ["one@a.example", "two@a.example", "three@a.example"]);
        for request in came.split_inclusive("\r\n\r\n") {
            assert!(request.contains(&format!("\r\nVia: SIP/2.0/TLS {}:", viaduct.tls.ip())), "{request}");
            say(&mut stream, &response(request));
            assert!(datagram(&client).0.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP "));
        }
        viaduct.reaches("viaduct_tls_handshakes_total", &["connected", "full"], 1.0);
    });
}

#[test]
fn a_backend_that_proves_to_be_another_is_sent_nothing() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let own = folder.write("own.pem", &authority.issue(&[NAME]).pem());
    let ca = folder.write("ca.pem", authority.pem());
    let address = free();
    let backend = SecureBackend::new(authority.server(&authority.issue(&["127.7.0.99"])), &address.to_string());
    let settings = [("CERTIFICATES", own.as_str()), ("CONNECT_CA", &ca), ("CONNECT_CERTIFICATE", &own)];
    let viaduct = Running::with((authority, folder), "auto", &format!("one=tls://{address}"), "", &[&settings]);
    let serving = std::thread::spawn(move || {
        let mut stream = backend.accept();
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut read).map(|_| read)
    });
    let mut client = Client::open(&viaduct, Way::Tls);
    client.send(&client.request("INVITE", "one", ""));
    assert!(client.message().starts_with("SIP/2.0 503 "));
    assert!(serving.join().unwrap().is_err(), "the handshake is broken off by an alert");
    viaduct.reaches("viaduct_tls_handshakes_total", &["connected", "wrong_name"], 1.0);
}

#[test]
fn a_client_that_comes_back_resumes_its_session_on_whichever_shard() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), "", &[]);
        let config = viaduct.authority.client(None);
        for _ in 0..20 {
            let mut client = Client::open_with(&viaduct, Way::Tls, b"", config.clone()).unwrap();
            client.send("\r\n\r\n");
            client.send(&client.request("OPTIONS", "one", ""));
            backend.answer();
            client.message();
        }
        viaduct.reaches("viaduct_tls_handshakes_total", &["accepted", "resumed"], 19.0);
        assert_eq!(viaduct.metric("viaduct_tls_handshakes_total", &["accepted", "full"]), 1.0);
    });
}

fn request(id: &str) -> String {
    format!(
        "OPTIONS sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.7.0.3:9;rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {id}@a.example\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

fn lines<'a>(message: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    message.lines().filter_map(move |line| line.strip_prefix(name))
}
