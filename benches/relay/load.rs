//! Clients and backends: a closed loop of a fixed number of exchanges under way, which keeps the device busy without
//! overrunning it.
//!
//! An open loop at a set rate looks closer to life. At saturation it measures how the device loses messages; the cost of
//! one message is seen best where it works without pause and loses none.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use viaduct::frame::tls::ClientTls;
use viaduct::io::socket::{SocketOptions, StreamSocketOptions, open_tcp, open_udp};
use viaduct::io::{Choice, Doorbell, Engine, Options, Sockets, StreamOptions};

use crate::agents::{Agents, PATIENCE};
use crate::ends::Ends;
use crate::layers::Layers;
use crate::line::{Line, MESSAGE_BYTES_MAX, Transport};
use crate::traffic::{Requests, Traffic};

/// Clients and backends on sockets of their own, driven by one thread.
pub struct Load {
    transport: Transport,
    client: SocketAddr,
    /// How many connections the clients have; over UDP they share one socket.
    connections: usize,
    engine: Engine,
    ends: Ends,
    /// What clients over TLS trust.
    trusted: ClientTls,
}

/// How much is under way at once.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    /// Exchanges, over all clients.
    pub window: u16,
    /// Connections of clients, over streams.
    pub connections: u16,
}

/// What one run saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Messages that came out of the device while it was measured.
    pub forwarded: u64,
    /// Messages that went into the device over the whole run.
    pub sent: u64,
    /// Of those, how many did not come out.
    pub lost: u64,
    /// Responses over the whole run that nobody waited for, or that came to another client.
    pub strays: u64,
    /// Round trips while it was measured, in nanoseconds.
    pub round_trips_ns: Histogram<u64>,
}

/// The clients' socket; those of the backends follow it.
pub const CLIENT: usize = 0;

/// How long a device may take until it carries messages.
const START: Duration = Duration::from_secs(5);

const TICK: Duration = Duration::from_millis(20);

impl Load {
    /// Opens the sockets of clients and backends.
    pub fn open(
        transport: Transport,
        client: SocketAddr,
        backends: &[SocketAddr],
        width: Width,
        trusted: ClientTls,
    ) -> Result<Self, String> {
        let sockets = match transport {
            Transport::Udp => datagram_sockets(client, backends),
            _ => listeners(backends),
        }?;
        let doorbell = Doorbell::new().map_err(|error| error.to_string())?;
        let opened = Engine::open(Choice::Poll, sockets, &options(), &doorbell).map_err(|error| error.to_string())?;
        let ends = Ends::new(Agents::new(Requests::new(transport, client), width.window));
        let connections = width.connections.max(1).into();
        Ok(Load { transport, client, connections, engine: opened.engine, ends, trusted })
    }

    /// Waits until the device carries an exchange of each client; `false` where it does not within a few seconds.
    pub fn wait_for(&mut self, device: SocketAddr) -> bool {
        let deadline = Instant::now() + START;
        let Some(clients) = self.clients(device, deadline) else { return false };
        let wanted = clients.len() as u64;
        self.ends.agents.restart(clients, Traffic::Options);
        while self.ends.agents.counts().answered < wanted && Instant::now() < deadline {
            self.ends.agents.begin_first(wanted as usize, self.engine.output());
            self.turn_until(Instant::now() + PATIENCE, |ends| ends.agents.counts().answered >= wanted);
        }
        let ready = self.ends.agents.counts().answered >= wanted;
        self.drain();
        ready
    }

    /// Keeps the device busy for `warm_up`, then for `measured`. `begin` and `end` are called where the measured time
    /// begins and ends. It must have been waited for.
    pub fn run(
        &mut self,
        (device, traffic): (SocketAddr, Traffic),
        (warm_up, measured): (Duration, Duration),
        begin: impl FnOnce(),
        end: impl FnOnce(),
    ) -> Seen {
        let clients = match self.transport {
            Transport::Udp => vec![Line::Datagrams(CLIENT, device)],
            _ => self.ends.open_clients().to_vec(),
        };
        self.ends.agents.restart(clients, traffic);
        self.ends.agents.begin_all(self.engine.output());
        self.turn_until(Instant::now() + warm_up, |_| false);
        self.ends.agents.begin_measuring();
        let before = self.ends.agents.counts().received;
        begin();
        self.turn_until(Instant::now() + measured, |_| false);
        end();
        let forwarded = self.ends.agents.counts().received - before;
        let round_trips_ns = self.ends.agents.round_trips_ns().clone();
        self.drain();
        let counts = self.ends.agents.counts();
        self.hang_up();
        let lost = counts.sent.saturating_sub(counts.received);
        Seen { forwarded, sent: counts.sent, lost, strays: counts.strays, round_trips_ns }
    }

    /// The clients' ways to the device; over a stream, once all their connections are open.
    fn clients(&mut self, device: SocketAddr, deadline: Instant) -> Option<Vec<Line>> {
        if self.transport == Transport::Udp {
            return Some(vec![Line::Datagrams(CLIENT, device)]);
        }
        self.hang_up();
        while Instant::now() < deadline {
            for _ in self.ends.clients_begun()..self.connections {
                let connection = self.engine.output().streams.connect(device, Some(self.client.ip()));
                let layers = Layers::of(self.transport, &self.trusted);
                self.ends.begin_client(connection.expect("more connections than the clients have"), layers);
            }
            let wanted = self.connections;
            self.turn_until(Instant::now() + TICK, |ends| ends.open_clients().len() == wanted);
            if self.ends.open_clients().len() == wanted {
                return Some(self.ends.open_clients().to_vec());
            }
        }
        None
    }

    /// Ends the clients' connections at once, so that none lingers.
    fn hang_up(&mut self) {
        self.ends.open_clients().iter().for_each(|line| {
            if let Line::Connection(id) = line {
                self.engine.output().streams.abort(*id);
            }
        });
        self.turn_until(Instant::now() + TICK, |ends| ends.clients_begun() == 0);
    }

    /// Lets what is under way end, and begins nothing.
    fn drain(&mut self) {
        self.ends.agents.end();
        let quiet = |ends: &Ends| ends.agents.counts().sent <= ends.agents.counts().received;
        self.turn_until(Instant::now() + PATIENCE, quiet);
    }

    fn turn_until(&mut self, deadline: Instant, done: impl Fn(&Ends) -> bool) {
        let mut tick = Instant::now() + TICK;
        loop {
            let now = Instant::now();
            if now >= deadline || done(&self.ends) {
                return;
            }
            self.engine.turn(&mut self.ends, Some(TICK)).expect("the engine works");
            if now >= tick {
                self.ends.agents.give_up_late_ones(now, self.engine.output());
                tick = now + TICK;
            }
        }
    }
}

fn datagram_sockets(client: SocketAddr, backends: &[SocketAddr]) -> Result<Sockets, String> {
    let large = SocketOptions { receive_buffer_bytes: 8 << 20, send_buffer_bytes: 8 << 20 };
    let addresses = [client].into_iter().chain(backends.iter().copied());
    let sockets = addresses.map(|address| open_udp(address, &large).map_err(|error| format!("{address}: {error}")));
    Ok(Sockets { datagrams: sockets.collect::<Result<_, _>>()?, ..Sockets::default() })
}

fn listeners(backends: &[SocketAddr]) -> Result<Sockets, String> {
    let options = StreamSocketOptions::default();
    let listeners =
        backends.iter().map(|address| open_tcp(*address, &options).map_err(|error| format!("{address}: {error}")));
    Ok(Sockets { listeners: listeners.collect::<Result<_, _>>()?, ..Sockets::default() })
}

/// Much is received and sent at once, so that the device is what has most to do.
fn options() -> Options {
    let streams =
        StreamOptions { receive_buffer_bytes: 256 << 10, queue_bytes_max: 16 << 20, ..StreamOptions::default() };
    Options {
        send_slots: 8192,
        send_slot_bytes: MESSAGE_BYTES_MAX as u32,
        receive_buffer_bytes: MESSAGE_BYTES_MAX as u32,
        streams,
        ..Options::default()
    }
}
