//! The memory of a connection that is idle: of what it once carried, nothing is kept for it.

use crate::backend::Backend;
use crate::client::{Client, place_calls};
use crate::on_each_engine;
use crate::viaduct::Viaduct;
use crate::wire::Way;

/// Between these numbers of connections the memory of each is measured.
const FEW: usize = 500;
const MANY: usize = 2500;

/// The same where each costs a handshake.
const FEW_LAYERED: usize = 300;
const MANY_LAYERED: usize = 1500;

/// The most of our own memory that an idle connection may take.
const BYTES_EACH: u64 = 4096;

/// The same over TLS, whose codec keeps keys, and buffers for records.
const SECURE_BYTES_EACH: u64 = 40 << 10;

#[test]
fn an_idle_connection_takes_at_most_4_kib() {
    measure(Way::Tcp, (FEW, MANY), BYTES_EACH);
}

#[test]
fn an_idle_connection_over_tls_takes_at_most_40_kib() {
    measure(Way::Tls, (FEW_LAYERED, MANY_LAYERED), SECURE_BYTES_EACH);
}

#[test]
fn an_idle_connection_of_a_websocket_client_takes_at_most_4_kib_and_over_tls_40_kib() {
    measure(Way::Ws, (FEW_LAYERED, MANY_LAYERED), BYTES_EACH);
    measure(Way::Wss, (FEW_LAYERED, MANY_LAYERED), SECURE_BYTES_EACH);
}

fn measure(way: Way, (few, many): (usize, usize), limit_bytes: u64) {
    on_each_engine(|engine| {
        let backend = Backend::udp(30);
        let viaduct = Viaduct::start(engine, std::slice::from_ref(&backend.url), &[]);
        let mut clients: Vec<Client> = Vec::new();
        let mut resident_bytes_at = |count: usize| {
            let connect = |number| Client::connect_by(way, &viaduct, &format!("idle-{number}"));
            clients.extend((clients.len()..count).map(connect));
            // Each has carried something.
            place_calls(&mut clients, 1, 1, 16);
            clients.iter_mut().for_each(Client::ping);
            assert_eq!(viaduct.client_connections(), count as u64);
            viaduct.resident_bytes()
        };
        let (before, after) = (resident_bytes_at(few), resident_bytes_at(many));
        let bytes_each = after.saturating_sub(before) / (many - few) as u64;
        println!("{engine}: an idle connection over {way:?} takes {bytes_each} bytes");
        assert!(bytes_each <= limit_bytes, "{engine}: {bytes_each} bytes each over {way:?}");
    });
}
