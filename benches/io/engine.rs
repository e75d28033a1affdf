//! The work by Viaduct's engines.

use std::net::IpAddr;
use std::time::Duration;

use viaduct::io::{
    Choice, Datagram, Doorbell, Engine, Handler, Lost, Options, Outbox, Output, SendError, Sockets, Transmit,
};

use crate::{BURST, BURSTS, PAYLOAD, Pair, WARM_UP_BURSTS, Work, cpu_time, on_the_clock};

use crate::ring::Ring;

/// CPU time of one run on the ring.
pub fn uring(ring: Ring, work: Work, pair: &Pair) -> Duration {
    run(Choice::Uring, &ring.options(), ring.source(), work, pair)
}

/// CPU time of one run on poll.
pub fn poll(work: Work, pair: &Pair) -> Duration {
    run(Choice::Poll, &Options::default(), None, work, pair)
}

fn run(choice: Choice, options: &Options, source: Option<IpAddr>, work: Work, pair: &Pair) -> Duration {
    let doorbell = Doorbell::new().expect("a descriptor");
    let sockets = Sockets { datagrams: vec![pair.measured()], ..Sockets::default() };
    let opened = Engine::open(choice, sockets, options, &doorbell);
    let mut engine = opened.expect("the engine was probed").engine;
    // The first turn arms the receive.
    engine.turn(&mut Count::default(), Some(Duration::ZERO)).expect("the engine works");
    let mut total = Duration::ZERO;
    for burst in 0..WARM_UP_BURSTS + BURSTS {
        let mut count = Count::default();
        if work == Work::Receive {
            pair.fill(burst);
        }
        let start = cpu_time();
        if work != Work::Receive {
            (0..BURST).for_each(|_| stage(&mut engine.output().datagrams, source, pair));
        }
        while count.received + count.sent < BURST {
            engine.turn(&mut count, Some(Duration::ZERO)).expect("the engine works");
        }
        total += on_the_clock(burst, cpu_time() - start);
        if work != Work::Receive {
            pair.take_out();
        }
        assert_eq!(count.received + count.sent, BURST);
    }
    total
}

fn stage(outbox: &mut Outbox, from: Option<IpAddr>, pair: &Pair) {
    let mut slot = outbox.reserve().expect("more slots than a burst needs");
    slot.buffer()[..PAYLOAD.len()].copy_from_slice(&PAYLOAD);
    slot.send(PAYLOAD.len(), Transmit { socket: 0, to: pair.peer_address, from, tag: 0 });
}

#[derive(Default)]
struct Count {
    received: usize,
    sent: usize,
}

impl Handler for Count {
    fn datagram(&mut self, datagram: Datagram<'_>, _: &mut Output) {
        self.received += usize::from(datagram.bytes.len() == PAYLOAD.len());
    }

    fn sent(&mut self, _tag: u16) {
        self.sent += 1;
    }

    fn send_failed(&mut self, _tag: u16, error: SendError, _lost: Lost<'_>) {
        panic!("a send failed: {error:?}");
    }
}
