//! Clients and backends: a closed loop of a fixed number of exchanges under way, which keeps the device busy without
//! overrunning it.
//!
//! An open loop at a set rate looks closer to life. At saturation it measures how the device loses messages; the cost of
//! one message is seen best where it works without pause and loses none.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use viaduct::io::socket::{SocketOptions, open_udp};
use viaduct::io::{Choice, Datagram, Doorbell, Engine, Handler, Options, Outbox, Output, SendError, Sockets, Transmit};

use crate::traffic::{Name, Requests, Step, TO_TAG, Traffic, sdp};

/// Clients and backends on sockets of their own, driven by one thread.
pub struct Load {
    engine: Engine,
    agents: Agents,
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
    /// Round trips while it was measured, in nanoseconds.
    pub round_trips_ns: Histogram<u64>,
}

/// The clients' socket; those of the backends follow it.
const CLIENT: usize = 0;

/// How long an exchange may wait for its answer before it is given up as lost.
const PATIENCE: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(20);

impl Load {
    /// Opens the sockets of clients and backends.
    pub fn open(client: SocketAddr, backends: &[SocketAddr], window: u16) -> Result<Self, String> {
        let large = SocketOptions { receive_buffer_bytes: 8 << 20, send_buffer_bytes: 8 << 20 };
        let addresses = [client].into_iter().chain(backends.iter().copied());
        let sockets = addresses.map(|address| open_udp(address, &large).map_err(|error| format!("{address}: {error}")));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let options =
            Options { send_slots: 8192, send_slot_bytes: 4096, receive_buffer_bytes: 4096, ..Options::default() };
        let doorbell = Doorbell::new().map_err(|error| error.to_string())?;
        let sockets = Sockets { datagrams: sockets, ..Sockets::default() };
        let opened = Engine::open(Choice::Poll, sockets, &options, &doorbell).map_err(|error| error.to_string())?;
        Ok(Load { engine: opened.engine, agents: Agents::new(client, window) })
    }

    /// Waits until the device carries an exchange; `false` where it does not within a few seconds.
    pub fn wait_for(&mut self, device: SocketAddr) -> bool {
        self.agents.restart(device, Traffic::Options);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.agents.answered == 0 && Instant::now() < deadline {
            self.agents.begin(0, &mut self.engine.output().datagrams);
            self.turn_until(Instant::now() + TICK, |agents| agents.answered > 0);
        }
        let ready = self.agents.answered > 0;
        self.drain();
        ready
    }

    /// Keeps the device busy for `warm_up`, then for `measured`. `begin` and `end` are called where the measured time
    /// begins and ends.
    pub fn run(
        &mut self,
        (device, traffic): (SocketAddr, Traffic),
        (warm_up, measured): (Duration, Duration),
        begin: impl FnOnce(),
        end: impl FnOnce(),
    ) -> Seen {
        self.agents.restart(device, traffic);
        for slot in 0..self.agents.slots.len() as u16 {
            self.agents.begin(slot, &mut self.engine.output().datagrams);
        }
        self.turn_until(Instant::now() + warm_up, |_| false);
        self.agents.round_trips_ns.reset();
        let before = self.agents.received;
        begin();
        self.turn_until(Instant::now() + measured, |_| false);
        end();
        let forwarded = self.agents.received - before;
        let round_trips_ns = self.agents.round_trips_ns.clone();
        self.drain();
        let (sent, received) = (self.agents.sent, self.agents.received);
        Seen { forwarded, sent, lost: sent.saturating_sub(received), round_trips_ns }
    }

    /// Lets what is under way end, and begins nothing.
    fn drain(&mut self) {
        self.agents.ending = true;
        let quiet = |agents: &Agents| agents.sent <= agents.received;
        self.turn_until(Instant::now() + PATIENCE, quiet);
    }

    fn turn_until(&mut self, deadline: Instant, done: impl Fn(&Agents) -> bool) {
        let mut tick = Instant::now() + TICK;
        loop {
            let now = Instant::now();
            if now >= deadline || done(&self.agents) {
                return;
            }
            self.engine.turn(&mut self.agents, Some(TICK)).expect("the engine works");
            if now >= tick {
                self.agents.give_up_late_ones(now, &mut self.engine.output().datagrams);
                tick = now + TICK;
            }
        }
    }
}

struct Agents {
    requests: Requests,
    bodies: [String; 2],
    device: SocketAddr,
    traffic: Traffic,
    slots: Vec<Exchange>,
    next_number: u32,
    /// No exchange begins any more.
    ending: bool,
    sent: u64,
    received: u64,
    answered: u64,
    round_trips_ns: Histogram<u64>,
    copied: Vec<u8>,
}

/// One exchange under way.
#[derive(Clone, Copy)]
struct Exchange {
    number: u32,
    step: Step,
    since: Instant,
}

impl Handler for Agents {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        let outbox = &mut out.datagrams;
        self.received += 1;
        match datagram.socket {
            CLIENT => self.response(datagram.bytes, outbox),
            backend => self.request(backend, datagram.bytes, outbox),
        }
    }

    fn sent(&mut self, _tag: u16) {}

    fn send_failed(&mut self, _tag: u16, error: SendError) {
        panic!("the generator could not send: {error:?}");
    }
}

impl Agents {
    fn new(client: SocketAddr, window: u16) -> Self {
        let idle = Exchange { number: 0, step: Step::Options, since: Instant::now() };
        let sdp = sdp();
        let contact = "Contact: <sip:bob@127.0.0.11:5060>\r\n";
        Agents {
            requests: Requests::new(client),
            bodies: [
                format!("{contact}Content-Length: 0\r\n\r\n"),
                format!("{contact}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()),
            ],
            device: SocketAddr::new(IpAddr::from([0; 4]), 0),
            traffic: Traffic::Options,
            slots: vec![idle; window.into()],
            next_number: 1,
            ending: true,
            sent: 0,
            received: 0,
            answered: 0,
            round_trips_ns: Histogram::new_with_max(60_000_000_000, 3).expect("a minute, to three digits"),
            copied: Vec::with_capacity(4096),
        }
    }

    fn restart(&mut self, device: SocketAddr, traffic: Traffic) {
        (self.device, self.traffic) = (device, traffic);
        (self.sent, self.received, self.answered, self.ending) = (0, 0, 0, false);
        self.round_trips_ns.reset();
    }

    /// Begins the next exchange in a slot, unless the run is ending.
    fn begin(&mut self, slot: u16, outbox: &mut Outbox) {
        let number = self.next_number;
        self.next_number += 1;
        let step = if self.ending { Step::Ack } else { self.traffic.first_step(number) };
        self.slots[usize::from(slot)] = Exchange { number, step, since: Instant::now() };
        if !self.ending {
            self.send_request(Name { slot, number, step }, outbox);
        }
    }

    fn give_up_late_ones(&mut self, now: Instant, outbox: &mut Outbox) {
        let late = |exchange: &Exchange| now.saturating_duration_since(exchange.since) > PATIENCE;
        let slots = (0..self.slots.len() as u16).filter(|_| !self.ending && self.answered > 0);
        for slot in slots.collect::<Vec<_>>() {
            if late(&self.slots[usize::from(slot)]) {
                self.begin(slot, outbox);
            }
        }
    }

    fn send_request(&mut self, name: Name, outbox: &mut Outbox) {
        let mut slot = outbox.reserve().expect("more send slots than messages under way");
        let len = self.requests.write(name, slot.buffer());
        slot.send(len, Transmit { socket: CLIENT, to: self.device, from: None, tag: 0 });
        self.sent += 1;
    }

    /// A client's part.
    fn response(&mut self, message: &[u8], outbox: &mut Outbox) {
        let final_ = message.get(8) == Some(&b'2');
        let Some(name) = Name::of_response(message).filter(|_| final_) else { return };
        let Some(exchange) = self.slots.get_mut(usize::from(name.slot)) else { return };
        if (exchange.number, exchange.step) != (name.number, name.step) {
            return;
        }
        let now = Instant::now();
        let round_trip = now - exchange.since;
        self.answered += 1;
        self.round_trips_ns.saturating_record(round_trip.as_nanos() as u64);
        if name.step != Step::Invite {
            return self.begin(name.slot, outbox);
        }
        (exchange.step, exchange.since) = (Step::Bye, now);
        self.send_request(Name { step: Step::Ack, ..name }, outbox);
        self.send_request(Name { step: Step::Bye, ..name }, outbox);
    }

    /// A backend's part.
    fn request(&mut self, backend: usize, message: &[u8], outbox: &mut Outbox) {
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
            let mut slot = outbox.reserve().expect("more send slots than messages under way");
            let mut len = 0;
            for part in [&b"SIP/2.0 "[..], answer.as_bytes(), b"\r\n", copied, body.as_bytes()] {
                slot.buffer()[len..len + part.len()].copy_from_slice(part);
                len += part.len();
            }
            slot.send(len, Transmit { socket: backend, to: self.device, from: None, tag: 0 });
            self.sent += 1;
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
