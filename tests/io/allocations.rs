//! No allocation for streams in steady traffic, by a counting allocator over both engines.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use viaduct::io::{
    ConnectionId, Datagram, Doorbell, Engine, Handler, Lost, Options, Output, SendError, Sockets,
    socket::StreamSocketOptions, socket::open_tcp,
};

use crate::on_each_engine;

#[test]
fn steady_echo_traffic_allocates_nothing() {
    on_each_engine(|choice| {
        let listener = open_tcp("127.0.0.1:0".parse().unwrap(), &StreamSocketOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = Sockets { listeners: vec![listener], ..Sockets::default() };
        let opened = Engine::open(choice, sockets, &Options::default(), &Doorbell::new().unwrap()).unwrap();
        let (mut engine, mut echo) = (opened.engine, Echo::default());
        let mut clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut buffer = vec![0; 3 * 1500];
        let mut allocations = 0;
        for round in 0..60 {
            for client in &mut clients {
                client.write_all(&[1; 3 * 1500]).unwrap();
            }
            let counted = allocation_counter::measure(|| {
                while echo.bytes < (round + 1) * clients.len() * buffer.len() || echo.sent < echo.answered {
                    engine.turn(&mut echo, Some(Duration::from_millis(5))).unwrap();
                }
            });
            clients.iter_mut().for_each(|client| client.read_exact(&mut buffer).unwrap());
            // The first rounds make the buffers that the others use.
            allocations += if round < 10 { 0 } else { counted.count_total };
        }
        assert_eq!(allocations, 0);
    });
}

/// Answers every 1,500 bytes that it has received with as many, tagged.
#[derive(Default)]
struct Echo {
    bytes: usize,
    answered: usize,
    sent: usize,
}

impl Handler for Echo {
    fn datagram(&mut self, _: Datagram<'_>, _: &mut Output) {}

    fn sent(&mut self, _: u16) {
        self.sent += 1;
    }

    fn send_failed(&mut self, _: u16, error: SendError, _: Lost<'_>) {
        panic!("a send failed: {error:?}");
    }

    fn received(&mut self, connection: ConnectionId, bytes: &[u8], out: &mut Output) {
        self.bytes += bytes.len();
        for chunk in bytes.chunks(1500) {
            let mut slot = out.streams.reserve(connection, 1500).unwrap();
            slot.buffer()[..chunk.len()].copy_from_slice(chunk);
            slot.send(chunk.len(), Some(0));
            self.answered += 1;
        }
    }
}
