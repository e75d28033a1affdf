//! What a datagram costs by each way in and out: the two engines, the sockets of two runtimes, and one call a datagram;
//! and what each choice of our ring brings, by a ring without it.
//!
//! Each runs the same work in short runs, interleaved and shuffled, and medians are printed: longer runs of the same
//! program differ by a fifth on a shared machine. Only the side that is measured is on the clock; datagrams are put into
//! the socket before, or taken out and counted after.
//!
//! A ring that does not defer its task run receives while the datagrams are put in, since the same thread puts them in.
//! So "with arrival" has that on the clock too, for each way; it is by this column that such a ring compares.
//!
//! A completion for each send is seen here by what posting and reading it costs. That it also ends the wait of the turn
//! that sends is not seen, as no turn waits here.
//!
//! Our engines give the address with each datagram, connected or not: Viaduct answers whoever asks, by sockets that are
//! not connected, and an address to leave out would be one more case in the packet path. What leaving it out would
//! save is the difference between the two columns of one system call each.

use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[path = "io/engine.rs"]
mod engine;
#[path = "io/ring.rs"]
mod ring;
#[path = "io/runtime.rs"]
mod runtime;
mod statistics;

use ring::Ring;

/// Datagrams in one burst; as many as a busy shard finds in one look.
const BURST: usize = 128;

/// Bursts in one run that are on the clock.
const BURSTS: usize = 16;

/// Bursts before them: enough for each of 2,048 receive buffers to have been used four times. The first use of memory
/// costs more than the datagram, and the next ones still find little of it in the cache.
const WARM_UP_BURSTS: usize = 64;

/// A usual SIP message.
const PAYLOAD: [u8; 700] = [b'x'; 700];

/// Runs of each; `IO_ROUNDS` sets another number.
const ROUNDS: u64 = 60;

/// A way in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Uring(Ring),
    Poll,
    TokioUring,
    Tokio,
    Single,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Receive,
    /// To an address given with each datagram.
    SendTo,
    /// By a socket that is connected to its destination.
    SendConnected,
}

impl Way {
    const ENGINES: [Way; 5] = [Way::Uring(Ring::Shipped), Way::Poll, Way::TokioUring, Way::Tokio, Way::Single];

    fn all() -> impl Iterator<Item = Way> {
        Way::ENGINES.into_iter().chain(Ring::CHANGED.map(Way::Uring))
    }

    fn label(self) -> &'static str {
        match self {
            Way::Uring(ring) => ring.label(),
            Way::Poll => "viaduct, poll",
            Way::TokioUring => "tokio-uring 0.5, 16 at once",
            Way::Tokio => "tokio, try loop",
            Way::Single => "one system call each",
        }
    }

    /// CPU time of one burst, which this function makes and checks.
    fn run(self, work: Work, pair: &Pair) -> Duration {
        match self {
            Way::Uring(ring) => engine::uring(ring, work, pair),
            Way::Poll => engine::poll(work, pair),
            Way::TokioUring => runtime::tokio_uring(work, pair),
            Way::Tokio => runtime::tokio(work, pair),
            Way::Single => single(work, pair),
        }
    }

    fn is_available(self) -> bool {
        !matches!(self, Way::Uring(_) | Way::TokioUring) || viaduct::io::probe(&viaduct::io::Options::default()).is_ok()
    }

    fn does(self, work: Work) -> bool {
        !matches!(self, Way::Uring(ring) if !ring.concerns(work))
    }
}

impl Work {
    const ALL: [Work; 3] = [Work::Receive, Work::SendTo, Work::SendConnected];
}

fn main() {
    let rounds = std::env::var("IO_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let ways = Way::all().filter(|way| way.is_available());
    let pairs = ways.flat_map(|way| Work::ALL.map(|work| (way, work)));
    let mut order: Vec<_> = pairs.filter(|(way, work)| way.does(*work)).collect();
    let mut costs = Vec::new();
    for round in 0..rounds {
        statistics::shuffle(&mut order, round);
        for &(way, work) in &order {
            let pair = Pair::open(work);
            let each = |cpu: Duration| cpu.as_nanos() as f64 / (BURST * BURSTS) as f64;
            let own = each(way.run(work, &pair));
            costs.push(Cost { way, work, own, with_arrival: own + each(pair.filling.get()) });
        }
    }
    print(&costs, rounds);
}

/// CPU nanoseconds a datagram in one run.
struct Cost {
    way: Way,
    work: Work,
    own: f64,
    /// With what it cost to put it into the measured socket.
    with_arrival: f64,
}

fn print(costs: &[Cost], rounds: u64) {
    println!("CPU ns a datagram of {} bytes on loopback; medians of {rounds} interleaved runs", PAYLOAD.len());
    println!("{:<31} {:>9} {:>14} {:>9} {:>15}", "", "receive", "with arrival", "send", "send, connected");
    Way::ENGINES.into_iter().for_each(|way| print_row(way, costs));
    println!("viaduct, io_uring, but with");
    Ring::CHANGED.into_iter().for_each(|ring| print_row(Way::Uring(ring), costs));
    println!("Without deferred task run, datagrams are received as they arrive: compare by \"with arrival\".");
    println!("Our engines give the address with each datagram, so a connected socket saves them nothing.");
}

fn print_row(way: Way, costs: &[Cost]) {
    let of = |work| costs.iter().filter(move |cost| (cost.way, cost.work) == (way, work));
    let [receive, send, connected] = Work::ALL.map(|work| cell(of(work).map(|cost| cost.own)));
    let arrival = cell(of(Work::Receive).map(|cost| cost.with_arrival));
    println!("{:<31} {receive:>9} {arrival:>14} {send:>9} {connected:>15}", way.label());
}

/// A dash where nothing was measured.
fn cell(values: impl Iterator<Item = f64>) -> String {
    let median = statistics::median(values);
    if median.is_nan() { "-".to_owned() } else { format!("{median:.0}") }
}

/// The socket that is measured and its peer.
struct Pair {
    measured: UdpSocket,
    address: SocketAddr,
    peer: UdpSocket,
    peer_address: SocketAddr,
    /// CPU time of putting bursts into the measured socket.
    filling: Cell<Duration>,
}

impl Pair {
    fn open(work: Work) -> Self {
        let large = viaduct::io::socket::SocketOptions { receive_buffer_bytes: 4 << 20, send_buffer_bytes: 4 << 20 };
        let open = |address: &str| {
            let socket =
                viaduct::io::socket::open_udp(address.parse().expect("an address"), &large).expect("a free port");
            let address = socket.local_addr().expect("it is bound");
            (socket, address)
        };
        let ((measured, address), (peer, peer_address)) = (open("127.0.0.1:0"), open("127.0.0.2:0"));
        if work == Work::SendConnected {
            measured.connect(peer_address).expect("it can be connected");
        }
        Pair { measured, address, peer, peer_address, filling: Cell::default() }
    }

    /// The socket to hand over.
    fn measured(&self) -> UdpSocket {
        self.measured.try_clone().expect("a descriptor")
    }

    /// Puts a burst into the measured socket.
    fn fill(&self, burst: usize) {
        let start = cpu_time();
        for _ in 0..BURST {
            self.peer.send_to(&PAYLOAD, self.address).expect("there is room");
        }
        self.filling.set(self.filling.get() + on_the_clock(burst, cpu_time() - start));
    }

    /// Takes what was sent out of the peer's socket: all of one burst, neither more nor less.
    fn take_out(&self) {
        let mut buffer = [0; 2048];
        let received = std::iter::from_fn(|| self.peer.recv(&mut buffer).ok());
        assert_eq!(received.filter(|length| *length == PAYLOAD.len()).count(), BURST, "datagrams sent");
    }
}

/// CPU time of the whole process, so that what the kernel's workers do for it counts too.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What a burst counts: nothing while it warms up.
fn on_the_clock(burst: usize, cpu: Duration) -> Duration {
    if burst < WARM_UP_BURSTS { Duration::ZERO } else { cpu }
}

fn single(work: Work, pair: &Pair) -> Duration {
    let mut buffer = [0; 2048];
    let mut total = Duration::ZERO;
    for burst in 0..WARM_UP_BURSTS + BURSTS {
        if work == Work::Receive {
            pair.fill(burst);
        }
        let start = cpu_time();
        for _ in 0..BURST {
            let length = match work {
                Work::Receive => pair.measured.recv_from(&mut buffer).map(|(length, _)| length),
                Work::SendTo => pair.measured.send_to(&PAYLOAD, pair.peer_address),
                Work::SendConnected => pair.measured.send(&PAYLOAD),
            };
            assert_eq!(length.ok(), Some(PAYLOAD.len()));
        }
        total += on_the_clock(burst, cpu_time() - start);
        if work != Work::Receive {
            pair.take_out();
        }
    }
    total
}
