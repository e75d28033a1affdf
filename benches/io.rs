//! What a datagram costs by each way in and out: the two engines, the sockets of two runtimes, and one call a datagram.
//!
//! Each runs the same work in short runs, interleaved and shuffled, and medians are printed: longer runs of the same
//! program differ by a fifth on a shared machine. Only the side that is measured is on the clock; datagrams are put into
//! the socket before, or taken out and counted after.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

#[path = "io/engine.rs"]
mod engine;
#[path = "io/runtime.rs"]
mod runtime;
mod statistics;

/// Datagrams in one burst; as many as a busy shard finds in one look.
const BURST: usize = 128;

/// Bursts in one run that are on the clock.
const BURSTS: usize = 16;

/// Bursts before them: enough for every receive buffer to have been used once, since the first use of memory costs more
/// than the datagram.
const WARM_UP_BURSTS: usize = 8;

/// A usual SIP message.
const PAYLOAD: [u8; 700] = [b'x'; 700];

/// Runs of each; `IO_ROUNDS` sets another number.
const ROUNDS: u64 = 60;

/// A way in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Uring,
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
    const ALL: [Way; 5] = [Way::Uring, Way::Poll, Way::TokioUring, Way::Tokio, Way::Single];

    fn label(self) -> &'static str {
        match self {
            Way::Uring => "viaduct, io_uring",
            Way::Poll => "viaduct, poll",
            Way::TokioUring => "tokio-uring 0.5, 16 at once",
            Way::Tokio => "tokio, try loop",
            Way::Single => "one system call each",
        }
    }

    /// CPU time of one burst, which this function makes and checks.
    fn run(self, work: Work, pair: &Pair) -> Duration {
        match self {
            Way::Uring => engine::run(viaduct::io::Choice::Uring, work, pair),
            Way::Poll => engine::run(viaduct::io::Choice::Poll, work, pair),
            Way::TokioUring => runtime::tokio_uring(work, pair),
            Way::Tokio => runtime::tokio(work, pair),
            Way::Single => single(work, pair),
        }
    }

    fn is_available(self) -> bool {
        !matches!(self, Way::Uring | Way::TokioUring) || viaduct::io::probe(&viaduct::io::Options::default()).is_ok()
    }
}

impl Work {
    const ALL: [Work; 3] = [Work::Receive, Work::SendTo, Work::SendConnected];
}

fn main() {
    let rounds = std::env::var("IO_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let ways = Way::ALL.into_iter().filter(|way| way.is_available());
    let mut order: Vec<_> = ways.flat_map(|way| Work::ALL.map(|work| (way, work))).collect();
    let mut costs = Vec::new();
    for round in 0..rounds {
        statistics::shuffle(&mut order, round);
        for &(way, work) in &order {
            let cpu = way.run(work, &Pair::open(work));
            costs.push((way, work, cpu.as_nanos() as f64 / (BURST * BURSTS) as f64));
        }
    }
    print(&costs, rounds);
}

fn print(costs: &[(Way, Work, f64)], rounds: u64) {
    println!("CPU ns a datagram of {} bytes on loopback; medians of {rounds} interleaved runs", PAYLOAD.len());
    println!("{:<28} {:>9} {:>9} {:>15}", "", "receive", "send", "send, connected");
    for way in Way::ALL.into_iter().filter(|way| costs.iter().any(|cost| cost.0 == *way)) {
        let cost =
            |work| statistics::median(costs.iter().filter(|cost| (cost.0, cost.1) == (way, work)).map(|cost| cost.2));
        let [receive, send_to, connected] = Work::ALL.map(cost);
        println!("{:<28} {receive:>9.0} {send_to:>9.0} {connected:>15.0}", way.label());
    }
    println!("The engines give the address with each datagram, so a connected socket saves them nothing.");
}

/// The socket that is measured and its peer.
struct Pair {
    measured: UdpSocket,
    address: SocketAddr,
    peer: UdpSocket,
    peer_address: SocketAddr,
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
        Pair { measured, address, peer, peer_address }
    }

    /// The socket to hand over.
    fn measured(&self) -> UdpSocket {
        self.measured.try_clone().expect("a descriptor")
    }

    /// Puts a burst into the measured socket.
    fn fill(&self) {
        for _ in 0..BURST {
            self.peer.send_to(&PAYLOAD, self.address).expect("there is room");
        }
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
            pair.fill();
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
