//! The memory of a connection that is idle: of what it once carried, nothing is kept for it.

use crate::backend::Backend;
use crate::client::{Client, place_calls};
use crate::on_each_engine;
use crate::viaduct::Viaduct;

/// Between these numbers of connections the memory of each is measured.
const FEW: usize = 500;
const MANY: usize = 2500;

/// The most of our own memory that an idle connection may take.
const BYTES_EACH: u64 = 4096;

#[test]
fn an_idle_connection_takes_at_most_4_kib() {
    on_each_engine(|engine| {
        let backend = Backend::udp(30);
        let viaduct = Viaduct::start(engine, std::slice::from_ref(&backend.url), &[]);
        let mut clients: Vec<Client> = Vec::new();
        let mut resident_bytes_at = |count: usize| {
            let connect = |number| Client::connect(viaduct.address, &format!("idle-{number}"));
            clients.extend((clients.len()..count).map(connect));
            // Each has carried something.
            place_calls(&mut clients, 1, 1, 16);
            clients.iter_mut().for_each(Client::ping);
            assert_eq!(viaduct.client_connections(), count as u64);
            viaduct.resident_bytes()
        };
        let (few, many) = (resident_bytes_at(FEW), resident_bytes_at(MANY));
        let bytes_each = many.saturating_sub(few) / (MANY - FEW) as u64;
        assert!(bytes_each <= BYTES_EACH, "{engine}: {bytes_each} bytes each");
    });
}
