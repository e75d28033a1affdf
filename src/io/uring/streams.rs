//! Streams on the ring: multishot accepts and receives, and one send under way for each connection.
//!
//! Sending as datagrams are sent, without completion for what succeeds, looks cheaper. A stream may take a part of what it
//! is given, and only a completion tells how much.
//!
//! Sends do not have `MSG_DONTWAIT`: where the socket has no room, the ring waits for it and everything else goes on.

use std::mem;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fd};
use io_uring::{SubmissionQueue, cqueue, opcode};

use super::buffers::{Buffers, STREAM_GROUP};
use super::files::{File, Files};
use super::operation::{Operation, StreamOperation};
use super::push;
use super::ring::{Ring, STREAM_SUBMISSIONS_MAX};
use crate::io::streams::{self, BYTES_A_TURN, Closed, Connection, ConnectionId, Pause, Phase};
use crate::io::{Handler, Output, StreamOptions, Turn, Unavailable};

/// Listeners, receive buffers, and what has completed.
#[derive(Debug)]
pub(super) struct Driver {
    listeners: Vec<Listener>,
    pause: Pause,
    /// Nothing more is accepted.
    stopped: bool,
    /// Nothing is accepted for now.
    released: bool,
    buffers: Buffers,
    /// What has completed and was not delivered, in the order completed.
    events: Vec<Event>,
    /// Operations of streams that the kernel has.
    operations: u32,
}

#[derive(Clone, Copy, Debug)]
struct Listener {
    file: File,
    armed: bool,
}

/// A completion.
#[derive(Clone, Copy, Debug)]
struct Event {
    operation: StreamOperation,
    result: i32,
    /// Whether the operation goes on.
    more: bool,
    buffer: Option<u16>,
}

impl Driver {
    /// Registers the receive buffers. `files` must have the listeners in the same order, and they must block, so that the ring
    /// waits for connections.
    pub(super) fn open(
        ring: &Ring,
        listeners: &[TcpListener],
        files: &Files,
        options: &StreamOptions,
    ) -> Result<Self, Unavailable> {
        let bytes = options.receive_buffer_bytes as usize;
        let buffers = Buffers::open(&ring.submitter(), STREAM_GROUP, options.receive_buffers, bytes)
            .map_err(|error| Unavailable::at("registering receive buffers of streams", error))?;
        let listener = |index| Listener { file: files.listener(index), armed: false };
        Ok(Self {
            listeners: (0..listeners.len()).map(listener).collect(),
            pause: Pause::default(),
            stopped: false,
            released: true,
            buffers,
            events: Vec::new(),
            operations: 0,
        })
    }

    /// Arms listeners, and begins or ends what listed connections need, as far as there is room for it.
    pub(super) fn tend(&mut self, queue: &mut SubmissionQueue<'_>, handler: &mut impl Handler, output: &mut Output) {
        self.arm(queue);
        if !output.streams.has_listed() {
            return;
        }
        let list = output.streams.begin_tending();
        let first = self.operations;
        let mut done = 0;
        while done < list.len() && self.operations - first + OPERATIONS_EACH <= STREAM_SUBMISSIONS_MAX {
            self.tend_one(list[done], queue, handler, output);
            done += 1;
        }
        output.streams.end_tending(list, done);
    }

    /// Whether all listeners are armed that may be.
    pub(super) fn is_ready(&mut self) -> bool {
        let is_settled = |listener: &Listener| listener.armed != self.released;
        self.stopped || self.listeners.iter().all(is_settled) || self.pause.lasts()
    }

    /// Arms no listener any more. Those that are armed end when their sockets are shut.
    pub(super) fn stop_accepting(&mut self) {
        self.stopped = true;
    }

    /// Arms no listener for now.
    pub(super) fn release(&mut self) {
        self.released = true;
    }

    /// Ends what is armed to accept.
    pub(super) fn let_go(&self, ring: &Ring) {
        for (index, listener) in self.listeners.iter().enumerate() {
            if listener.armed {
                ring.cancel(Operation::Stream(StreamOperation::Accept(index as u16)));
            }
        }
    }

    /// Whether no listener is armed, and every connection that was accepted has been told.
    pub(super) fn has_let_go(&self) -> bool {
        let is_accept = |event: &Event| matches!(event.operation, StreamOperation::Accept(_));
        self.listeners.iter().all(|listener| !listener.armed) && !self.events.iter().any(is_accept)
    }

    /// Arms listeners again.
    pub(super) fn take_up(&mut self) {
        self.released = false;
    }

    /// How long to wait at most.
    pub(super) fn limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        self.pause.limit(timeout)
    }

    /// Takes a completion, to be delivered later.
    pub(super) fn note(&mut self, operation: StreamOperation, entry: &cqueue::Entry) {
        let more = cqueue::more(entry.flags());
        self.operations -= u32::from(!more);
        let buffer = cqueue::buffer_select(entry.flags());
        self.events.push(Event { operation, result: entry.result(), more, buffer });
    }

    /// Whether something has been received that a turn had no room for.
    pub(super) fn has_undelivered(&self) -> bool {
        !self.events.is_empty()
    }

    /// Tells the handler what has completed, and gives the buffers back. What was received beyond a turn's bound is left for
    /// the next one, in its order.
    pub(super) fn deliver(&mut self, handler: &mut impl Handler, output: &mut Output, turn: &mut Turn) {
        let mut events = mem::take(&mut self.events);
        events.retain(|event| {
            let is_receive = matches!(event.operation, StreamOperation::Receive(_));
            if is_receive && turn.stream_bytes >= BYTES_A_TURN {
                return true;
            }
            match event.operation {
                StreamOperation::Accept(listener) => self.accepted(listener, event, handler, output, turn),
                StreamOperation::Receive(id) => self.received(id, event, handler, output, turn),
                StreamOperation::Send(id) => sent(id, event.result, handler, output),
                StreamOperation::Connect(id) => connected(id, event.result, handler, output),
                StreamOperation::Cancel => {}
            }
            false
        });
        self.events = events;
        self.buffers.publish();
    }

    /// How many operations the kernel has.
    pub(super) fn operations(&self) -> u32 {
        self.operations
    }

    /// Reports what has been sent, and forgets what else has completed; connections that were accepted by it are closed.
    pub(super) fn discard(&mut self, handler: &mut impl Handler, output: &mut Output) {
        for event in self.events.drain(..) {
            match (event.operation, event.result) {
                (StreamOperation::Accept(_), 0..) => drop(descriptor(event.result)),
                (StreamOperation::Send(id), result) => sent(id, result, handler, output),
                _ => {}
            }
        }
    }

    /// Keeps the memory mapped for ever, for the case that the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.buffers.leak();
    }

    fn arm(&mut self, queue: &mut SubmissionQueue<'_>) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            if !listener.armed && !self.stopped && !self.released && !self.pause.lasts() {
                let entry = opcode::AcceptMulti::new(listener.file.number).flags(libc::SOCK_CLOEXEC).build();
                let operation = StreamOperation::Accept(index as u16);
                listener.armed = submit(queue, operation, entry.flags(listener.file.flags), &mut self.operations);
            }
        }
    }

    fn tend_one(
        &mut self,
        slot: u32,
        queue: &mut SubmissionQueue<'_>,
        handler: &mut impl Handler,
        output: &mut Output,
    ) {
        let Some(entry) = output.streams.tend(slot) else { return };
        match entry.phase {
            Phase::Vacant => {}
            Phase::Ended if entry.is_busy() => self.cancel(entry, queue),
            Phase::Ended => streams::finish(slot, handler, output),
            Phase::Connecting if entry.writing => {}
            Phase::Connecting => {
                if output.streams.open_socket(slot, false) {
                    self.connect(output.streams.id(slot), queue, output);
                }
            }
            Phase::Open => {
                self.receive(output.streams.id(slot), queue, output);
                self.send(output.streams.id(slot), queue, handler, output);
                output.streams.shut_if_drained(slot);
            }
        }
    }

    fn cancel(&mut self, entry: &mut Connection, queue: &mut SubmissionQueue<'_>) {
        if !entry.cancelled {
            let all = opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(entry.raw())).all()).build();
            entry.cancelled = submit(queue, StreamOperation::Cancel, all, &mut self.operations);
        }
    }

    fn connect(&mut self, id: ConnectionId, queue: &mut SubmissionQueue<'_>, output: &mut Output) {
        let Some(entry) = output.streams.get_mut(id) else { return };
        let Some(target) = &entry.target else { return };
        let name = &target.name;
        let connect = opcode::Connect::new(Fd(entry.raw()), name.bytes.as_ptr().cast(), name.length);
        entry.writing = submit(queue, StreamOperation::Connect(id), connect.build(), &mut self.operations);
    }

    fn receive(&mut self, id: ConnectionId, queue: &mut SubmissionQueue<'_>, output: &mut Output) {
        let Some(entry) = output.streams.get_mut(id) else { return };
        if !entry.reading && !entry.peer_finished {
            let receive = opcode::RecvMulti::new(Fd(entry.raw()), STREAM_GROUP).build();
            entry.reading = submit(queue, StreamOperation::Receive(id), receive, &mut self.operations);
        }
    }

    fn send(
        &mut self,
        id: ConnectionId,
        queue: &mut SubmissionQueue<'_>,
        handler: &mut impl Handler,
        output: &mut Output,
    ) {
        if output.streams.get(id).is_none_or(|entry| entry.writing) {
            return;
        }
        let Some(unsent) = output.streams.next_send(id.slot, handler) else { return };
        let Some(entry) = output.streams.get_mut(id) else { return };
        let send = opcode::Send::new(Fd(entry.raw()), unsent.start, unsent.len as u32).flags(libc::MSG_NOSIGNAL);
        entry.writing = submit(queue, StreamOperation::Send(id), send.build(), &mut self.operations);
    }

    fn accepted(
        &mut self,
        listener: u16,
        event: &Event,
        handler: &mut impl Handler,
        output: &mut Output,
        turn: &mut Turn,
    ) {
        if let Some(listener) = self.listeners.get_mut(usize::from(listener)) {
            listener.armed = event.more;
        }
        if event.result >= 0 {
            return streams::admit(descriptor(event.result), listener.into(), handler, output, turn);
        }
        if self.stopped || self.released {
            return;
        }
        turn.accept_errors += 1;
        if !streams::is_passing(-event.result) {
            self.pause.begin();
        }
    }

    fn received(
        &mut self,
        id: ConnectionId,
        event: &Event,
        handler: &mut impl Handler,
        output: &mut Output,
        turn: &mut Turn,
    ) {
        // A buffer is taken over whatever the result: else it would be lost.
        let length = usize::try_from(event.result).unwrap_or(0);
        let lease = event.buffer.and_then(|buffer| self.buffers.lease(buffer, length));
        let Some(entry) = output.streams.get_mut(id) else { return };
        entry.reading = event.more;
        if !event.more {
            output.streams.list(id.slot);
        }
        match (event.result, lease) {
            (1.., Some(lease)) => {
                turn.stream_bytes += length as u64;
                streams::received(id, lease.bytes(), handler, output);
            }
            (0, _) => streams::peer_finished(id, handler, output),
            (1.., None) => {}
            (error, _) if error == -libc::ENOBUFS => turn.stream_starved += 1,
            (error, _) if is_repeated(-error) => {}
            (error, _) => output.streams.end(id.slot, Closed::by(-error)),
        }
    }
}

/// A connection needs at most a receive and a send at once.
const OPERATIONS_EACH: u32 = 2;

fn sent(id: ConnectionId, result: i32, handler: &mut impl Handler, output: &mut Output) {
    let Some(entry) = output.streams.get_mut(id) else { return };
    entry.writing = false;
    match result {
        0.. => output.streams.took(id.slot, result as usize, handler),
        _ if is_repeated(-result) => {}
        _ => output.streams.end(id.slot, Closed::by(-result)),
    }
    if output.streams.get(id).is_some_and(Connection::wants_tending) {
        output.streams.list(id.slot);
    }
}

fn connected(id: ConnectionId, result: i32, handler: &mut impl Handler, output: &mut Output) {
    let Some(entry) = output.streams.get_mut(id) else { return };
    entry.writing = false;
    output.streams.list(id.slot);
    streams::opened(id, -result, handler, output);
}

/// Whether an operation that failed so is to be begun again. One that was cancelled is, unless its connection has ended.
fn is_repeated(errno: i32) -> bool {
    matches!(errno, libc::ECANCELED | libc::EINTR | libc::EAGAIN)
}

fn descriptor(result: i32) -> OwnedFd {
    // SAFETY: the completion of an accept gives a descriptor that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(result) }
}

fn submit(queue: &mut SubmissionQueue<'_>, operation: StreamOperation, entry: Entry, operations: &mut u32) -> bool {
    let pushed = push(queue, &entry.user_data(Operation::Stream(operation).user_data()));
    *operations += u32::from(pushed);
    pushed
}
