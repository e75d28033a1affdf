//! The engine on io_uring: one multishot receive per socket into provided buffers, sends in batches,
//! one system call per turn. Streams are in `streams`; what follows is about datagrams.
//!
//! Letting every send post a completion looks simpler than inferring success. Those completions would
//! end the wait of the turn that submits them, for one system call more per batch. With `MSG_DONTWAIT`
//! a send is done or failed when the submitting call returns, and only failures post: so after that
//! call, and after the completion queue has been emptied, a slot that posted nothing was taken.

use std::io;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::{SubmissionQueue, cqueue, opcode};

use super::control::drops_since;
use super::handler::Silent;
use super::outbox::Wire;
use super::streams::{FINISH_ROUNDS_MAX, finish_all};
use super::{Doorbell, Handler, Options, Outbox, Output, SendError, Sockets, Streams, Turn, Unavailable};

mod bell;
mod buffers;
mod files;
mod message;
mod operation;
mod probe;
mod receiver;
mod ring;
mod setup;
mod streams;

use bell::Bell;
use buffers::{Buffers, GROUP, STREAM_GROUP};
use files::{File, Files};
use operation::Operation;
pub use probe::probe;
use receiver::{Receiver, count_failure, receive};
use ring::{Ring, Wait};
pub use setup::RingSetup;

/// The state of one ring and all memory that the kernel uses through it.
#[derive(Debug)]
pub(crate) struct Uring {
    ring: Ring,
    files: Files,
    /// Of datagrams.
    send_flags: Flags,
    buffers: Buffers,
    /// Tells the kernel how much room for address and control data precedes a payload.
    header: Box<libc::msghdr>,
    receivers: Vec<Receiver>,
    bell: Bell,
    streams: streams::Driver,
    output: Output,
    /// Slots pushed and not settled, in the order pushed.
    in_flight: Vec<u16>,
    /// Filled buffers of the round, in the order received. No longer than there are buffers.
    arrivals: Vec<Arrival>,
    /// Nothing is to be taken from the sockets.
    released: bool,
}

/// A completion that filled a buffer.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    socket: u16,
    buffer: u16,
    /// Bytes filled, from the start of the buffer.
    length: u32,
}

impl Uring {
    /// Builds the ring and registers sockets and buffers. Receives are armed by the first turn.
    pub(crate) fn open(sockets: &Sockets, options: &Options, doorbell: &Doorbell) -> Result<Self, Unavailable> {
        let Sockets { datagrams, listeners } = sockets;
        let ring = Ring::open(datagrams.len() + listeners.len(), options)?;
        let files = Files::open(&ring.submitter(), sockets, doorbell, options.ring)?;
        let bytes = message::prefixed(options.receive_buffer_bytes);
        let buffers = Buffers::open(&ring.submitter(), GROUP, options.receive_buffers, bytes)
            .map_err(|error| Unavailable::at("registering receive buffers", error))?;
        let outbox = Outbox::new(options.send_slots, options.send_slot_bytes)
            .map_err(|error| Unavailable::at("mapping send slots", error))?;
        let streams = streams::Driver::open(&ring, listeners, &files, &options.streams)?;
        Ok(Self {
            ring,
            files,
            send_flags: options.ring.send_flags(),
            buffers,
            header: Box::new(message::header()),
            receivers: datagrams.iter().map(Receiver::of).collect(),
            bell: Bell::new(doorbell),
            streams,
            output: Output { datagrams: outbox, streams: Streams::new(&options.streams) },
            in_flight: Vec::with_capacity(options.send_slots.into()),
            arrivals: Vec::with_capacity(options.receive_buffers.into()),
            released: true,
        })
    }

    pub(crate) fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    pub(crate) fn stop_accepting(&mut self) {
        self.streams.stop_accepting();
    }

    /// Arms nothing any more that takes from the sockets; what is armed is ended by the turns that follow.
    pub(crate) fn release(&mut self) {
        self.released = true;
        self.streams.release();
    }

    /// Whether nothing that takes from the sockets is armed.
    pub(crate) fn has_let_go(&self) -> bool {
        self.receivers.iter().all(|receiver| !receiver.armed) && self.streams.has_let_go()
    }

    pub(crate) fn take_up(&mut self) {
        self.released = false;
        self.streams.take_up();
    }

    /// A first round that may wait, then more for what one call of the kernel left over.
    pub(crate) fn turn(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> io::Result<Turn> {
        let mut turn = Turn::default();
        if self.released {
            self.let_go();
        }
        self.tend_streams(handler);
        self.round(handler, timeout, &mut turn)?;
        for _ in 1..ROUNDS_MAX {
            if !self.ring.has_work() {
                break;
            }
            self.round(handler, Some(Duration::ZERO), &mut turn)?;
        }
        Ok(turn)
    }

    /// Ends what takes from the sockets. What it had taken has been posted when the end of it is. Asked for in each turn until then: the
    /// kernel does not find what it has not consumed yet.
    fn let_go(&mut self) {
        for (socket, receiver) in self.receivers.iter().enumerate() {
            if receiver.armed {
                self.ring.cancel(Operation::Receive(socket as u16));
            }
        }
        self.streams.let_go(&self.ring);
    }

    /// Sends are settled before datagrams are handled, so that their slots are free for the answers;
    /// buffers are published before the next round arms a receive that found none.
    fn round(&mut self, handler: &mut impl Handler, timeout: Option<Duration>, turn: &mut Turn) -> io::Result<()> {
        self.push(turn);
        let wait = self.wait(timeout);
        let entered = self.ring.enter(wait);
        turn.rung |= self.bell.doorbell.unpark();
        entered?;
        self.collect(turn)?;
        if !self.ring.has_overflown() {
            self.settle(handler);
        }
        self.deliver(handler, turn);
        self.buffers.publish();
        self.streams.deliver(handler, &mut self.output, turn);
        Ok(())
    }

    /// Once a turn, so that all that is queued on a connection within it leaves by one send.
    fn tend_streams(&mut self, handler: &mut impl Handler) {
        if self.ring.unconsumed() == 0 {
            self.streams.tend(&mut self.ring.submissions(), handler, &mut self.output);
        }
    }

    /// Pushes all or nothing: while the kernel has not consumed earlier sends, further ones would not
    /// stay the last ones in the queue, so that what is unconsumed tells which of them went. (Those of streams
    /// come before them.)
    fn push(&mut self, turn: &mut Turn) {
        if self.in_flight.is_empty() {
            self.push_receives(turn);
            self.push_sends();
        }
    }

    fn push_receives(&mut self, turn: &mut Turn) {
        let mut queue = self.ring.submissions();
        for (socket, receiver) in self.receivers.iter_mut().enumerate() {
            if !receiver.armed && !self.released {
                let entry = receive(socket as u16, self.files.socket(socket), &self.header);
                receiver.armed = push(&mut queue, &entry);
                turn.rearmed += u32::from(receiver.begun);
                receiver.begun = true;
            }
        }
        if !self.bell.armed {
            self.bell.armed = push(&mut queue, &self.bell.read(self.files.doorbell()));
        }
    }

    fn push_sends(&mut self) {
        let mut queue = self.ring.submissions();
        let first = self.in_flight.len();
        self.output.datagrams.take_staged(&mut self.in_flight);
        for &slot in &self.in_flight[first..] {
            let wire = self.output.datagrams.wire(slot);
            push(&mut queue, &send(slot, &wire, self.files.socket(wire.socket)).flags(self.send_flags));
        }
    }

    /// Waits only if all that there was to push has been pushed and no one has rung.
    fn wait(&mut self, timeout: Option<Duration>) -> Wait {
        let armed = self.bell.armed && self.receivers.iter().all(|receiver| receiver.armed != self.released);
        let staged =
            self.output.datagrams.has_staged() || self.output.streams.has_listed() || self.streams.has_undelivered();
        if timeout == Some(Duration::ZERO) || !armed || staged || !self.streams.is_ready() {
            return Wait::No;
        }
        let timeout = self.streams.limit(timeout);
        if !self.bell.doorbell.park() {
            return Wait::No;
        }
        match timeout {
            _ if self.in_flight.is_empty() => timeout.map_or(Wait::Forever, Wait::For),
            Some(timeout) => Wait::For(timeout.min(SETTLE)),
            None => Wait::For(SETTLE),
        }
    }

    /// Takes all completions, with those that did not fit the queue: a send whose failure is among them must not
    /// count as taken.
    fn collect(&mut self, turn: &mut Turn) -> io::Result<()> {
        self.empty(turn);
        for _ in 0..OVERFLOWS_MAX {
            if !self.ring.has_overflown() {
                break;
            }
            self.ring.enter(Wait::No)?;
            self.empty(turn);
        }
        Ok(())
    }

    /// Empties the completion queue into `arrivals`, the slots' outcomes and the events of streams.
    fn empty(&mut self, turn: &mut Turn) {
        for entry in self.ring.completions() {
            turn.completions += 1;
            let result = entry.result();
            match Operation::of(entry.user_data()) {
                Some(Operation::Send(slot)) if result < 0 => {
                    self.output.datagrams.fail(slot, SendError::from_errno(-result));
                }
                Some(Operation::Doorbell) => self.bell.armed = false,
                Some(Operation::Receive(socket)) => {
                    if let Some(receiver) = self.receivers.get_mut(usize::from(socket)) {
                        receiver.armed = cqueue::more(entry.flags());
                    }
                    count_failure(result, turn);
                    // A buffer is taken over whatever the result: else it would be lost.
                    if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
                        self.arrivals.push(Arrival { socket, buffer, length: u32::try_from(result).unwrap_or(0) });
                    }
                }
                Some(Operation::Stream(operation)) => self.streams.note(operation, &entry),
                Some(Operation::Send(_)) | None => {}
            }
        }
    }

    /// Reports and frees all slots that the kernel has consumed.
    fn settle(&mut self, handler: &mut impl Handler) {
        let unconsumed = self.ring.unconsumed().min(self.in_flight.len());
        let consumed = self.in_flight.len() - unconsumed;
        for slot in self.in_flight.drain(..consumed) {
            self.output.datagrams.report(slot, None, handler);
        }
    }

    fn deliver(&mut self, handler: &mut impl Handler, turn: &mut Turn) {
        for arrival in self.arrivals.drain(..) {
            let lease = self.buffers.lease(arrival.buffer, arrival.length as usize);
            // A failed receive (already counted) that still took a buffer only has it given back.
            let Some(lease) = lease.filter(|_| arrival.length > 0) else {
                continue;
            };
            let socket = usize::from(arrival.socket);
            let Some((datagram, drops)) = message::parse(lease.bytes(), socket) else {
                turn.receive_errors += 1;
                continue;
            };
            if let Some(receiver) = self.receivers.get_mut(socket) {
                turn.kernel_drops += drops_since(&mut receiver.drops, drops);
            }
            turn.datagrams += 1;
            handler.datagram(datagram, &mut self.output);
        }
    }
}

impl Drop for Uring {
    /// Without this the kernel takes the ring down later, in its own time, and keeps the ports until
    /// then (measured: 40 to 68 ms).
    fn drop(&mut self) {
        self.send_rest(&mut Silent);
        if !self.quiesce(&mut Silent) {
            self.leak();
        }
        let submitter = self.ring.submitter();
        let _ = submitter.unregister_buf_ring(GROUP);
        let _ = submitter.unregister_buf_ring(STREAM_GROUP);
        let _ = submitter.unregister_files();
    }
}

impl Uring {
    /// Sends what it can, lets the kernel be done with everything, and lets go of all connections.
    pub(crate) fn finish(&mut self, handler: &mut impl Handler) {
        self.send_rest(handler);
        // Where the kernel is not done, what it may still read is left to be leaked, and its outcome is not known.
        if self.quiesce(handler) {
            self.settle(handler);
            self.give_up_unsettled(handler);
            finish_all(handler, &mut self.output);
        }
    }

    /// Hands all that is staged or queued to the kernel, without waiting.
    fn send_rest(&mut self, handler: &mut impl Handler) {
        self.tend_streams(handler);
        self.push_sends();
        let _ = self.ring.enter(Wait::No);
        for _ in 0..FINISH_ROUNDS_MAX {
            let _ = self.collect(&mut Turn::default());
            self.arrivals.clear();
            self.streams.discard(handler, &mut self.output);
            if !self.output.streams.has_listed() || self.ring.unconsumed() > 0 {
                break;
            }
            self.settle(handler);
            self.tend_streams(handler);
            let _ = self.ring.enter(Wait::No);
        }
    }

    /// Reports the datagrams that the kernel has not taken to the last.
    fn give_up_unsettled(&mut self, handler: &mut impl Handler) {
        for slot in self.in_flight.drain(..) {
            self.output.datagrams.report(slot, Some(SendError::WouldBlock), handler);
        }
    }

    /// Ends all receives and waits for their last completions: before those, the kernel still holds
    /// our memory and the sockets. False if they do not come.
    fn quiesce(&mut self, handler: &mut impl Handler) -> bool {
        // One call of the kernel posts some tens of completions.
        for _ in 0..QUIESCE_ROUNDS_MAX + self.streams.operations() {
            let _ = self.collect(&mut Turn::default());
            self.arrivals.clear();
            self.streams.discard(handler, &mut self.output);
            let streams_done = self.streams.operations() == 0;
            if streams_done && !self.bell.armed && self.receivers.iter().all(|receiver| !receiver.armed) {
                return true;
            }
            self.ring.cancel_all();
            let _ = self.ring.enter(Wait::For(QUIESCE_ROUND));
        }
        false
    }

    /// The kernel did not confirm that it is done with our memory, so it must stay mapped.
    fn leak(&mut self) {
        self.buffers.leak();
        self.output.datagrams.leak();
        self.output.streams.leak();
        self.streams.leak();
        self.bell.leak();
    }
}

/// How often one turn enters the kernel at most. Under load an entry yields 30 to 70 datagrams, so that
/// a turn handles a few hundred (measured: 264): enough to spread its fixed cost, and half a
/// millisecond of work at most.
const ROUNDS_MAX: u32 = 4;

/// How often a completion queue that was too short is emptied and filled again before datagrams are handled.
const OVERFLOWS_MAX: u32 = 16;

/// How long the outcome of the last sends before a lull may stay unreported: they leave as the wait begins, but are
/// settled when it ends.
const SETTLE: Duration = Duration::from_millis(10);

/// A cancelled receive completes in the first round.
const QUIESCE_ROUNDS_MAX: u32 = 20;
const QUIESCE_ROUND: Duration = Duration::from_millis(50);

/// A send that never waits. Whether its success posts a completion is for the caller to add.
fn send(slot: u16, wire: &Wire, file: File) -> Entry {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let entry = if wire.has_source {
        opcode::SendMsg::new(file.number, wire.header).flags(flags as u32).build()
    } else {
        let payload = wire.payload.iov_base.cast_const().cast();
        opcode::Send::new(file.number, payload, wire.payload.iov_len as u32)
            .flags(flags)
            .dest_addr(wire.name)
            .dest_addr_len(wire.name_length)
            .build()
    };
    entry.flags(file.flags).user_data(Operation::Send(slot).user_data())
}

/// False if the queue is full, which its size rules out.
fn push(queue: &mut SubmissionQueue<'_>, entry: &Entry) -> bool {
    // SAFETY: entries are made by `receive`, `send`, `Bell::read` and `streams`. What they point to belongs to
    // the engine, does not move, and is not reused before their completion; the engine cancels them
    // before it drops or else leaks it.
    unsafe { queue.push(entry) }.is_ok()
}
