//! What is wrong is refused, told where it can be, and counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::certificates::{Authority, Folder};
use crate::client::{Client, Way};
use crate::peer::Backend;
use crate::running::{NAME, PATIENCE, Running, on_each_engine};

#[test]
fn what_comes_to_the_wrong_port_is_told_so_and_counted() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), "", &[]);
        assert_eq!(told(viaduct.tls, "OPTIONS sip:b@b.example SIP/2.0\r\n\r\n"), "");
        viaduct.reaches("viaduct_tls_handshakes_total", &["accepted", "not_tls"], 1.0);
        let answer = told(viaduct.ws, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
        viaduct.reaches("viaduct_websocket_refusals_total", &["no_upgrade"], 1.0);
        let answer = told(viaduct.ws, "OPTIONS sip:b@b.example SIP/2.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        viaduct.reaches("viaduct_connections_ended_total", &["\"websocket\""], 2.0);
        viaduct.reaches("viaduct_connections_ended_total", &["\"tls\"", "accepted", "reason=\"tls\""], 1.0);
    });
}

#[test]
fn a_page_that_is_not_on_the_list_may_not_connect() {
    let backend = Backend::new();
    let origins = ("VIADUCT_WEBSOCKET_ORIGINS", "https://phone.example.com");
    let viaduct = Running::start("auto", &backend.setting(), "", &[origins]);
    let opening = |origin: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\nOrigin: {origin}\r\n\r\n"
        )
    };
    assert!(told(viaduct.ws, &opening("https://evil.example.com")).starts_with("HTTP/1.1 403 "));
    viaduct.reaches("viaduct_websocket_refusals_total", &["wrong_origin"], 1.0);
    let mut stream = TcpStream::connect(viaduct.ws).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(opening("https://phone.example.com").as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[test]
fn a_client_must_show_a_certificate_where_that_is_required() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let (authority, folder) = (Authority::new(), Folder::new());
        let own = folder.write("own.pem", &authority.issue(&[NAME]).pem());
        let ca = folder.write("ca.pem", authority.pem());
        let settings = [("CERTIFICATES", own.as_str()), ("CLIENT_CA", &ca), ("CONNECT_CA", &ca)];
        let known = authority.client(Some(&authority.issue(&["phone.example.com"])));
        let viaduct = running_with_required((authority, folder), engine, &backend, &settings);
        let mut client = Client::open_with(&viaduct, Way::Tls, b"", known).unwrap();
        client.send(&client.request("OPTIONS", "one", ""));
        backend.answer();
        assert!(client.message().starts_with("SIP/2.0 200 OK"));
        // Over TLS 1.3 a client learns only from the next read that it was refused.
        let mut stranger = Client::open(&viaduct, Way::Tls);
        assert!(!stranger.is_closed(), "an alert is no good order");
        viaduct.reaches("viaduct_tls_handshakes_total", &["accepted", "client_certificate_missing"], 1.0);
    });
}

fn running_with_required(
    files: (Authority, Folder),
    engine: &str,
    backend: &Backend,
    settings: &[(&str, &str)],
) -> Running {
    // Written behind all listeners but UDP's, it would be refused for those without TLS.
    let tls = crate::running::free();
    let listen = format!("udp://{tls},tls://{tls};client-certificates=required");
    let listen = [("VIADUCT_LISTEN", listen.as_str())];
    let mut viaduct = Running::with(files, engine, &backend.setting(), "", &[settings, &listen]);
    viaduct.tls = tls;
    viaduct
}

#[test]
fn handshakes_have_a_time_and_a_number() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let few = [("VIADUCT_HANDSHAKES_MAX", "2"), ("VIADUCT_HANDSHAKE_TIMEOUT_MS", "1500"), ("VIADUCT_SHARDS", "1")];
        let viaduct = Running::start(engine, &backend.setting(), "", &few);
        let mut slow: Vec<TcpStream> =
            [viaduct.tls, viaduct.wss].into_iter().map(|address| TcpStream::connect(address).unwrap()).collect();
        slow.iter_mut().for_each(|stream| stream.write_all(&[22, 3, 1]).unwrap());
        viaduct.reaches("viaduct_connections{", &["accepted"], 2.0);
        let mut refused = TcpStream::connect(viaduct.ws).unwrap();
        assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
        viaduct.reaches("viaduct_connections_ended_total", &["handshakes_full"], 1.0);
        // Plain TCP has none, and is not held up.
        let mut client = Client::open(&viaduct, Way::Tcp);
        client.send(&client.request("OPTIONS", "one", ""));
        backend.answer();
        client.message();
        viaduct.reaches("viaduct_connections_ended_total", &["handshake_timeout"], 2.0);
        viaduct.reaches("viaduct_tls_handshakes_total", &["abandoned"], 2.0);
        Client::open(&viaduct, Way::Wss).reset();
    });
}

#[test]
fn one_network_alone_cannot_take_all_handshakes() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let some =
            [("VIADUCT_HANDSHAKES_MAX", "64"), ("VIADUCT_HANDSHAKE_TIMEOUT_MS", "20000"), ("VIADUCT_SHARDS", "1")];
        let viaduct = Running::start(engine, &backend.setting(), "", &some);
        let _slow: Vec<TcpStream> = (0..16).map(|_| from([127, 0, 0, 2], viaduct.tls)).collect();
        viaduct.reaches("viaduct_connections{", &["accepted"], 16.0);
        let mut refused = from([127, 0, 0, 2], viaduct.tls);
        assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
        viaduct.reaches("viaduct_connections_ended_total", &["handshakes_full"], 1.0);
        let mut client = Client::open(&viaduct, Way::Tls);
        client.send(&client.request("OPTIONS", "one", ""));
        backend.answer();
        client.message();
    });
}

/// A connection from that address.
fn from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn settings_that_cannot_work_are_told_by_their_variable() {
    let folder = Folder::new();
    let expired = folder.write("expired.pem", &Authority::new().issue_expired(&[NAME]).pem());
    let (listen, certificates) = (("VIADUCT_LISTEN", "tls://127.0.0.1:5061"), "VIADUCT_TLS_CERTIFICATES");
    refused(&[listen], certificates, "has no certificate to show");
    refused(&[listen, (certificates, &expired)], certificates, "2021");
    refused(&[listen, (certificates, "/nowhere.pem")], certificates, "cannot be read");
    refused(&[("VIADUCT_LISTEN", "tcp://127.0.0.1:1;client-certificates=required")], "VIADUCT_LISTEN", "has no TLS");
    refused(&[("VIADUCT_BACKENDS", "ws://127.0.0.1:80")], "VIADUCT_BACKENDS", "WebSocket is for clients alone");
}

fn refused(settings: &[(&str, &str)], variable: &str, words: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
    command.arg("check").env("VIADUCT_SECRET", "a secret for tests only").envs(settings.iter().copied());
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(variable) && told.contains(words), "{told}");
}

/// What is answered to these bytes until the connection is closed.
fn told(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap_or_default()
}
