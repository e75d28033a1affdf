//! What an idle connection costs, counted by the allocator, and that the steady path of WebSocket allocates nothing.

use std::sync::Arc;
use std::time::SystemTime;

use allocation_counter::measure;
use bytes::BytesMut;
use rustls::version::{TLS12, TLS13};
use viaduct::frame::tls::{ClientCertificates, ServerFiles, ServerTls, Tls};
use viaduct::frame::websocket::{Origins, WebSocket};

use crate::certificates::{Authority, Folder, client};
use crate::link::{End, Reference, pair, settle};
use crate::websocket::{frame, opened};

const NAME: &str = "sip.example.com";
const LIMIT_BYTES: i64 = 40 << 10;

/// A server that asks for certificates, and what such a client costs it when it is idle, after a long message each way.
fn idle_server_bytes(authority: &Authority, clients: ClientCertificates, config: &Arc<rustls::ClientConfig>) -> i64 {
    let folder = Folder::new();
    let files = ServerFiles {
        pairs: vec![folder.write_pair("server", &authority.issue(&[NAME]))],
        clients,
        client_authorities: vec![folder.write("clients.crt", &authority.pem)],
    };
    let server = ServerTls::load(&files, SystemTime::now()).unwrap();
    let mut bytes = 0;
    let mut tls = None;
    bytes += measure(|| tls = Some(server.accept().unwrap())).bytes_current;
    bytes += std::mem::size_of::<Tls>() as i64;
    let mut end = Counted { tls: tls.unwrap(), bytes, wire: BytesMut::new(), heard: 0 };
    let mut reference = Reference::new(config, NAME);
    for round in 0..12 {
        if round == 6 {
            assert!(end.tls.is_established());
            reference.say(&[b'x'; 65_535]);
            end.seal(&[b'y'; 65_535]);
        }
        end.exchange(&mut reference);
    }
    assert_eq!((end.heard, reference.heard.len()), (65_535, 65_535));
    end.bytes
}

/// A codec whose every operation is counted, beside buffers that are not its own.
struct Counted {
    tls: Tls,
    bytes: i64,
    wire: BytesMut,
    heard: usize,
}

impl Counted {
    fn exchange(&mut self, reference: &mut Reference) {
        let mut ciphertext = Vec::new();
        while reference.connection.wants_write() {
            reference.connection.write_tls(&mut ciphertext).unwrap();
        }
        self.wire.reserve(1 << 18);
        let Counted { tls, wire, heard, .. } = self;
        self.bytes += measure(|| {
            for piece in ciphertext.chunks(1_000) {
                tls.feed(piece, |plaintext| *heard += plaintext.len(), wire).unwrap();
            }
        })
        .bytes_current;
        reference.take_all(&mut self.wire);
    }

    fn seal(&mut self, plaintext: &[u8]) {
        self.wire.reserve(1 << 18);
        let Counted { tls, wire, .. } = self;
        self.bytes += measure(|| tls.seal(plaintext, wire).unwrap()).bytes_current;
    }
}

#[test]
fn an_idle_tls_connection_costs_a_server_less_than_the_limit() {
    let authority = Authority::new("authority");
    for version in [&TLS12, &TLS13] {
        for clients in [ClientCertificates::Ignored, ClientCertificates::Required] {
            let config = Arc::new(Reference::config_with(&authority, version, &authority.issue(&["client"])));
            let bytes = idle_server_bytes(&authority, clients, &config);
            println!("idle TLS, server, {:?}, client certificates {clients:?}: {bytes} bytes", version.version);
            assert!(bytes > 0 && bytes <= LIMIT_BYTES, "{bytes}");
        }
    }
}

#[test]
fn an_idle_tls_connection_to_a_backend_costs_less_than_the_limit() {
    let authority = Authority::new("authority");
    let server = crate::certificates::server(&[&authority.issue(&[NAME])]);
    let client = client(&authority, None);
    let (mut ends, mut others): (Vec<End>, Vec<End>) = (Vec::new(), Vec::new());
    let all = measure(|| {
        for _ in 0..20 {
            let (mut a, mut b) = pair(&client, &server, NAME);
            settle(&mut a, &mut b);
            (a.wire, b.wire) = (BytesMut::new(), BytesMut::new());
            ends.push(a);
            others.push(b);
        }
    });
    let servers = measure(|| drop(others));
    let bytes = (all.bytes_current + servers.bytes_current) / 20;
    println!("idle TLS, client: {bytes} bytes");
    assert!(bytes > 0 && bytes <= LIMIT_BYTES, "{bytes}");
}

#[test]
fn an_idle_websocket_costs_little_also_after_its_longest_message() {
    let origins = Arc::new(Origins::any());
    let request = opened("sip", "");
    let message = frame(2, true, &[b'x'; 65_535]);
    let mut wire = BytesMut::with_capacity(1 << 18);
    let mut socket = None;
    let bytes = measure(|| {
        let mut fresh = WebSocket::new(origins);
        for piece in request.chunks(7).chain(message.chunks(1_000)) {
            fresh.feed(piece, |_| (), &mut wire).unwrap();
        }
        fresh.feed(&frame(9, true, b""), |_| (), &mut wire).unwrap();
        socket = Some(fresh);
    });
    let bytes = bytes.bytes_current + std::mem::size_of::<WebSocket>() as i64;
    println!("idle WebSocket: {bytes} bytes");
    assert!(bytes > 0 && bytes <= 4_096, "{bytes}");
}

#[test]
fn websocket_messages_of_usual_length_allocate_nothing() {
    let mut wire = BytesMut::with_capacity(1 << 20);
    let mut socket = WebSocket::new(Arc::new(Origins::any()));
    socket.feed(&opened("sip", ""), |_| (), &mut wire).unwrap();
    let messages =
        [frame(1, true, &[b'x'; 1_500]), frame(2, false, &[b'x'; 700]), frame(0, true, &[b'y'; 700])].concat();
    socket.feed(&messages, |_| (), &mut wire).unwrap();
    let counted = measure(|| {
        for _ in 0..20 {
            for piece in messages.chunks(900) {
                socket.feed(piece, |_| (), &mut wire).unwrap();
            }
            assert!(socket.send(&[b'z'; 1_400], &mut wire));
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_message_over_tls_costs_few_allocations() {
    let authority = Authority::new("authority");
    let server = crate::certificates::server(&[&authority.issue(&[NAME])]);
    let (mut a, mut b) = pair(&client(&authority, None), &server, NAME);
    settle(&mut a, &mut b);
    let (mut there, mut here) = (BytesMut::with_capacity(1 << 16), BytesMut::with_capacity(1 << 16));
    for _ in 0..4 {
        there.clear();
        a.tls.seal(&[b'x'; 1_400], &mut there).unwrap();
        let received = measure(|| assert!(b.tls.feed(&there, |_| (), &mut here).is_ok()));
        let sent = measure(|| b.tls.seal(&[b'x'; 1_400], &mut here).unwrap());
        println!("TLS, a message: {} allocations to receive, {} to send", received.count_total, sent.count_total);
        a.feed(&here.split());
        // The library's own: plaintext of a record, and a record on its way out.
        assert!(received.count_total <= 4 && sent.count_total <= 2);
    }
}
