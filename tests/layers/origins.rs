//! The PROXY protocol: the client that a load balancer names is the client, and only load balancers may name one.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use crate::client::{Client, Way};
use crate::peer::{Backend, datagram, response};
use crate::running::{PATIENCE, Running, on_each_engine};

const FROM: (&str, &str) = ("VIADUCT_PROXY_PROTOCOL_FROM", "127.0.0.0/8");

#[test]
fn the_client_that_a_load_balancer_names_is_the_source_on_every_transport() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), ";proxy-protocol", &[FROM]);
        for head in [&b"PROXY TCP4 203.0.113.7 192.0.2.1 4444 5060\r\n"[..], &version_2()] {
            for way in Way::ALL {
                let tls = viaduct.authority.client(None);
                let mut client = Client::open_with(&viaduct, way, head, tls).unwrap();
                client.send(&client.request("OPTIONS", "one", ""));
                let came = backend.answer();
                assert!(came.contains(";received=203.0.113.7"), "{came}");
                assert!(client.message().starts_with("SIP/2.0 200 OK"));
            }
        }
        viaduct.reaches("viaduct_proxy_protocol_heads_total", &["proxied"], 8.0);
    });
}

#[test]
fn a_datagram_that_a_load_balancer_hands_on_is_answered_by_it_and_its_client_is_called_by_it() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), ";proxy-protocol", &[FROM]);
        let balancer = UdpSocket::bind("127.7.0.4:0").unwrap();
        balancer.set_read_timeout(Some(PATIENCE)).unwrap();
        let invite = request("INVITE", "one");
        balancer.send_to(&[&version_2(), invite.as_bytes()].concat(), viaduct.udp).unwrap();
        let (came, from) = backend.message();
        assert!(came.contains(";received=203.0.113.7") && came.contains(";rport=4444"), "{came}");
        backend.send(&response(&came), from);
        let (answer, _) = datagram(&balancer);
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && answer.contains(";rport=4444"), "{answer}");
        let routes: String = came.lines().filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
        let bye = request("BYE", "two").replace("CSeq", &format!("Route: {routes}\r\nCSeq")).replace("two@", "one@");
        backend.send(&bye, viaduct.udp);
        assert!(datagram(&balancer).0.starts_with("BYE "));
        // Without its head, nobody knows whose it is.
        balancer.send_to(invite.as_bytes(), viaduct.udp).unwrap();
        viaduct.reaches("viaduct_messages_dropped_total", &["proxy_protocol"], 1.0);
    });
}

fn request(method: &str, id: &str) -> String {
    format!(
        "{method} sip:bob@10.1.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.1.1:5060;rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>;tag=2\r\nCall-ID: {id}@a.example\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:a@10.1.1.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A head of version 2 that names 203.0.113.7:4444.
fn version_2() -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(), &[203, 0, 113, 7, 192, 0, 2, 1, 0x11, 0x5c, 0x13, 0xc4]].concat()
}

#[test]
fn nobody_is_taken_for_a_backend_because_a_load_balancer_names_one() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), ";proxy-protocol", &[FROM]);
    let mut stream = TcpStream::connect(viaduct.tcp).unwrap();
    stream.write_all(b"PROXY TCP4 127.7.0.2 192.0.2.1 4444 5060\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0);
    let mut head = version_2();
    head[16..20].copy_from_slice(&[127, 7, 0, 2]);
    let balancer = UdpSocket::bind("127.7.0.4:0").unwrap();
    balancer.send_to(&[&head, request("OPTIONS", "one").as_bytes()].concat(), viaduct.udp).unwrap();
    viaduct.reaches("viaduct_messages_dropped_total", &["proxy_protocol"], 1.0);
    viaduct.reaches("viaduct_proxy_protocol_heads_total", &["malformed"], 2.0);
}

#[test]
fn a_health_check_of_the_load_balancers_speaks_for_itself() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), ";proxy-protocol", &[FROM]);
    let mut client =
        Client::open_with(&viaduct, Way::Tcp, b"PROXY UNKNOWN\r\n", viaduct.authority.client(None)).unwrap();
    client.send(&client.request("OPTIONS", "one", ""));
    assert!(backend.answer().contains(";received=127."));
    assert!(client.message().starts_with("SIP/2.0 200 OK"));
    assert_eq!(viaduct.metric("viaduct_proxy_protocol_heads_total", &["sender"]), 1.0);
}

#[test]
fn a_load_balancer_that_names_nobody_is_not_heard_and_others_speak_for_themselves() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), ";proxy-protocol", &[FROM]);
    let mut stream = TcpStream::connect(viaduct.tcp).unwrap();
    stream.write_all(b"OPTIONS sip:b@b.example SIP/2.0\r\n").unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0);
    viaduct.reaches("viaduct_proxy_protocol_heads_total", &["malformed"], 1.0);
    viaduct.reaches("viaduct_connections_ended_total", &["\"proxy_protocol\""], 1.0);
    drop(viaduct);
    let others = ("VIADUCT_PROXY_PROTOCOL_FROM", "192.0.2.0/24");
    let viaduct = Running::start("auto", &backend.setting(), ";proxy-protocol", &[others]);
    let mut client = Client::open(&viaduct, Way::Tcp);
    client.send(&client.request("OPTIONS", "one", ""));
    assert!(backend.answer().contains(";received=127."));
    assert!(client.message().starts_with("SIP/2.0 200 OK"));
}

#[test]
fn the_limit_of_a_network_counts_the_clients_that_a_load_balancer_names_and_not_itself() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let limit = ("VIADUCT_CONNECTIONS_PER_NETWORK", "2;ipv4=24");
        let viaduct = Running::start(engine, &backend.setting(), ";proxy-protocol", &[FROM, limit]);
        let refused = ("viaduct_connections_refused_total", ["\"network\""]);
        let open = |way, source: &str| {
            let head = format!("PROXY TCP4 {source} 192.0.2.1 4444 5060\r\n");
            Client::open_with(&viaduct, way, head.as_bytes(), viaduct.authority.client(None))
        };
        let mut held: Vec<Client> =
            [Way::Tls, Way::Wss].into_iter().map(|way| open(way, "203.0.113.7").unwrap()).collect();
        for way in [Way::Tls, Way::Ws] {
            assert!(open(way, "203.0.113.8").is_err(), "{way:?}: the third of that network");
        }
        viaduct.reaches(refused.0, &refused.1, 2.0);
        // Another network has its own places, though the same load balancer brings it.
        let mut other = open(Way::Tls, "198.51.100.7").unwrap();
        other.send(&other.request("OPTIONS", "one", ""));
        assert!(backend.answer().contains(";received=198.51.100.7"));
        assert!(other.message().starts_with("SIP/2.0 200 OK"));
        held.pop().unwrap().reset();
        viaduct.reaches("viaduct_connections_ended_total", &[], 1.0);
        held.push(open(Way::Tls, "203.0.113.8").unwrap());
        assert_eq!(viaduct.metric("viaduct_connections{", &["accepted"]), 3.0);
        assert_eq!(viaduct.metric(refused.0, &refused.1), 2.0);
    });
}
