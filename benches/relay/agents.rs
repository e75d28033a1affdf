//! What clients and backends say: exchanges, a fixed number of them under way, and what the device made of them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use viaduct::io::{ConnectionId, Output};

use crate::layers::Layers;
use crate::line::{Line, MESSAGE_BYTES_MAX};
use crate::traffic::{Name, Requests, Step, TO_TAG, Traffic, sdp};

/// How long an exchange may wait for its answer before it is given up as lost.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// All clients and backends.
pub struct Agents {
    requests: Requests,
    bodies: [String; 2],
    /// The clients' ways to the device. An exchange keeps to one.
    clients: Vec<Line>,
    traffic: Traffic,
    slots: Vec<Exchange>,
    next_number: u32,
    /// No exchange begins any more.
    ending: bool,
    counts: Counts,
    round_trips_ns: Histogram<u64>,
    copied: Vec<u8>,
    /// The layers of clients' connections, by the engine's slots; those of the others have none.
    layers: Vec<Option<Layers>>,
    written: Box<[u8; MESSAGE_BYTES_MAX]>,
}

/// What has happened since the beginning of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages that went into the device.
    pub sent: u64,
    /// Messages that came out of it.
    pub received: u64,
    /// Exchanges, or parts of them, that had their answer.
    pub answered: u64,
    /// Responses that nobody waited for, or that came to another client than the one that waited.
    pub strays: u64,
}

/// One exchange under way.
#[derive(Clone, Copy)]
struct Exchange {
    number: u32,
    step: Step,
    since: Instant,
}

impl Agents {
    /// Clients that keep `window` exchanges under way, once they have lines, and backends.
    pub fn new(requests: Requests, window: u16) -> Self {
        let idle = Exchange { number: 0, step: Step::Options, since: Instant::now() };
        let sdp = sdp();
        let contact = "Contact: <sip:bob@127.0.0.11:5060>\r\n";
        Agents {
            requests,
            bodies: [
                format!("{contact}Content-Length: 0\r\n\r\n"),
                format!("{contact}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()),
            ],
            clients: Vec::new(),
            traffic: Traffic::Options,
            slots: vec![idle; window.into()],
            next_number: 1,
            ending: true,
            counts: Counts::default(),
            round_trips_ns: Histogram::new_with_max(60_000_000_000, 3).expect("a minute, to three digits"),
            copied: Vec::with_capacity(4096),
            layers: Vec::new(),
            written: Box::new([0; MESSAGE_BYTES_MAX]),
        }
    }

    /// Counts anew, with other lines.
    pub fn restart(&mut self, clients: Vec<Line>, traffic: Traffic) {
        (self.clients, self.traffic) = (clients, traffic);
        (self.counts, self.ending) = (Counts::default(), false);
        self.round_trips_ns.reset();
    }

    /// What has happened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How long answers took, in nanoseconds; measured anew by [`Agents::begin_measuring`].
    pub fn round_trips_ns(&self) -> &Histogram<u64> {
        &self.round_trips_ns
    }

    /// Forgets how long answers took.
    pub fn begin_measuring(&mut self) {
        self.round_trips_ns.reset();
    }

    /// Lets no exchange begin any more.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// Begins an exchange in each of the first slots.
    pub fn begin_first(&mut self, slots: usize, out: &mut Output) {
        (0..slots.min(self.slots.len()) as u16).for_each(|slot| self.begin(slot, out));
    }

    /// Begins an exchange in every slot.
    pub fn begin_all(&mut self, out: &mut Output) {
        self.begin_first(self.slots.len(), out);
    }

    /// Begins the next exchange in a slot, unless the run is ending.
    fn begin(&mut self, slot: u16, out: &mut Output) {
        let number = self.next_number;
        self.next_number += 1;
        let step = if self.ending { Step::Ack } else { self.traffic.first_step(number) };
        self.slots[usize::from(slot)] = Exchange { number, step, since: Instant::now() };
        if !self.ending {
            self.send_request(Name { slot, number, step }, out);
        }
    }

    /// Begins others in place of the exchanges that have waited for too long.
    pub fn give_up_late_ones(&mut self, now: Instant, out: &mut Output) {
        let late = |exchange: &Exchange| now.saturating_duration_since(exchange.since) > PATIENCE;
        let slots = (0..self.slots.len() as u16).filter(|_| !self.ending && self.counts.answered > 0);
        for slot in slots.collect::<Vec<_>>() {
            if late(&self.slots[usize::from(slot)]) {
                self.begin(slot, out);
            }
        }
    }

    /// A message came out of the device on `line`, to a client or to a backend.
    pub fn message(&mut self, is_client: bool, line: Line, message: &[u8], out: &mut Output) {
        self.counts.received += 1;
        match is_client {
            true => self.response(line, message, out),
            false => self.request(line, message, out),
        }
    }

    fn client_of(&self, slot: u16) -> Option<Line> {
        self.clients.get(usize::from(slot) % self.clients.len().max(1)).copied()
    }

    fn send_request(&mut self, name: Name, out: &mut Output) {
        self.counts.sent += 1;
        let Some(client) = self.client_of(name.slot) else { return };
        let requests = &self.requests;
        match client {
            Line::Connection(id) if self.layers.get(id.slot()).is_some_and(Option::is_some) => {
                let len = requests.write(name, &mut self.written[..]);
                if let Some(Some(layers)) = self.layers.get_mut(id.slot()) {
                    layers.say(&self.written[..len]);
                }
                self.flush(id, out);
            }
            client => drop(client.send(out, |buffer| requests.write(name, buffer))),
        }
    }

    /// Notes the layers of a client's connection, or that it has none.
    pub fn set_layers(&mut self, id: ConnectionId, layers: Option<Layers>) {
        if self.layers.len() <= id.slot() {
            self.layers.resize_with(id.slot() + 1, || None);
        }
        self.layers[id.slot()] = layers;
    }

    /// The layers of a connection, where it has some.
    pub fn layers(&mut self, id: ConnectionId) -> Option<&mut Layers> {
        self.layers.get_mut(id.slot())?.as_mut()
    }

    /// Sends what the layers of a connection have to send.
    pub fn flush(&mut self, id: ConnectionId, out: &mut Output) {
        let Some(wire) = self.layers(id).map(Layers::take_wire).filter(|wire| !wire.is_empty()) else { return };
        if let Ok(mut slot) = out.streams.reserve(id, wire.len()) {
            slot.buffer()[..wire.len()].copy_from_slice(&wire);
            slot.send(wire.len(), None);
        }
    }

    /// A client's part.
    fn response(&mut self, line: Line, message: &[u8], out: &mut Output) {
        let is_final = message.get(8) == Some(&b'2');
        let name = Name::of_response(message).filter(|name| self.client_of(name.slot) == Some(line));
        let exchange = name.and_then(|name| self.slots.get_mut(usize::from(name.slot)));
        let (Some(name), Some(exchange)) = (name, exchange) else { return self.counts.strays += 1 };
        if !is_final {
            return;
        }
        if (exchange.number, exchange.step) != (name.number, name.step) {
            self.counts.strays += 1;
            return;
        }
        let now = Instant::now();
        let round_trip = now - exchange.since;
        self.counts.answered += 1;
        self.round_trips_ns.saturating_record(round_trip.as_nanos() as u64);
        if name.step != Step::Invite {
            return self.begin(name.slot, out);
        }
        (exchange.step, exchange.since) = (Step::Bye, now);
        self.send_request(Name { step: Step::Ack, ..name }, out);
        self.send_request(Name { step: Step::Bye, ..name }, out);
    }

    /// A backend's part.
    fn request(&mut self, line: Line, message: &[u8], out: &mut Output) {
        let answers: &[&str] = match message.first() {
            Some(b'A') => return,
            Some(b'I') => &["100 Trying", "180 Ringing", "200 OK"],
            _ => &["200 OK"],
        };
        let copied = &mut self.copied;
        copied.clear();
        copy_headers(message, copied);
        for (index, answer) in answers.iter().enumerate() {
            let body = &self.bodies[usize::from(index == 2)];
            line.send(out, |buffer| {
                let mut len = 0;
                for part in [&b"SIP/2.0 "[..], answer.as_bytes(), b"\r\n", copied, body.as_bytes()] {
                    buffer[len..len + part.len()].copy_from_slice(part);
                    len += part.len();
                }
                len
            });
            self.counts.sent += 1;
        }
    }
}

/// Copies what a response takes over from its request (§8.2.6.2), and gives To a tag. CSeq is the last of them in all
/// requests here.
fn copy_headers(request: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', request) {
        let line = &request[start..=end];
        if line.starts_with(b"To:") && memchr::memmem::find(line, b";tag=").is_none() {
            out.extend_from_slice(&line[..line.len() - 2]);
            out.extend_from_slice(TO_TAG.as_bytes());
            out.extend_from_slice(b"\r\n");
        } else if start > 0 && !line.starts_with(b"Max-Forwards:") {
            out.extend_from_slice(line);
        }
        if line.starts_with(b"CSeq:") {
            return;
        }
        start = end + 1;
    }
}
