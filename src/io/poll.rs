//! The engine where io_uring is forbidden: epoll tells which sockets have something, recvmmsg and
//! sendmmsg move many datagrams per system call.
//!
//! Edge-triggered readiness looks cheaper. It obliges to read each socket until it is empty, so that a
//! flooded socket would hold up the others; level-triggered, every ready socket gets one batch per
//! turn.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::control::drops_since;
use super::descriptors::drops_so_far;
use super::handler::Silent;
use super::{Doorbell, Handler, Options, Outbox, Output, Sockets, Streams, Turn};
use crate::io::streams::{FINISH_ROUNDS_MAX, finish_all};

mod receive;
mod send;
mod streams;

use receive::Batch;
use send::Queue;

/// An epoll instance, its sockets, and all memory of its system calls.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
    sockets: Vec<Member>,
    doorbell: Doorbell,
    events: Vec<libc::epoll_event>,
    batch: Batch,
    queue: Queue,
    streams: streams::Driver,
    output: Output,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Owned by the engine, which outlives this.
    descriptor: RawFd,
    /// The socket's drop counter as last seen.
    drops: u32,
}

impl Poll {
    /// Maps the buffers. The sockets are watched once they are taken up. Errors are shortages of descriptors and memory.
    pub(crate) fn open(sockets: &Sockets, options: &Options, doorbell: &Doorbell) -> io::Result<Self> {
        let Sockets { datagrams, listeners } = sockets;
        let (epoll, streams) = (epoll()?, streams::Driver::open(listeners, &options.streams)?);
        watch(&epoll, doorbell.descriptor(), datagrams.len())?;
        watch(&epoll, streams.descriptor(), datagrams.len() + 1)?;
        let members = datagrams
            .iter()
            .map(|socket| Member { descriptor: socket.as_raw_fd(), drops: drops_so_far(socket.as_fd()) });
        let outbox = Outbox::new(options.send_slots, options.send_slot_bytes)?;
        Ok(Self {
            epoll,
            sockets: members.collect(),
            doorbell: doorbell.clone(),
            events: vec![libc::epoll_event { events: 0, u64: 0 }; datagrams.len() + 2],
            batch: Batch::new(options.receive_buffers, options.receive_buffer_bytes)?,
            queue: Queue::new(options.send_slots, datagrams.len()),
            streams,
            output: Output { datagrams: outbox, streams: Streams::new(&options.streams) },
        })
    }

    pub(crate) fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    pub(crate) fn stop_accepting(&mut self) {
        self.streams.stop_accepting();
    }

    /// Watches neither sockets nor listeners for now.
    pub(crate) fn release(&mut self) {
        for member in &self.sockets {
            // One that is not watched is none of our trouble.
            let _ = control(&self.epoll, libc::EPOLL_CTL_DEL, member.descriptor, 0);
        }
        self.streams.release();
    }

    /// Watches sockets and listeners.
    pub(crate) fn take_up(&mut self) -> io::Result<()> {
        for (index, member) in self.sockets.iter().enumerate() {
            watch(&self.epoll, member.descriptor, index)?;
        }
        self.streams.take_up();
        Ok(())
    }

    /// Sends what was staged since the last turn, waits, takes one batch from each ready socket and one piece from
    /// each ready connection, and sends what that staged.
    pub(crate) fn turn(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> io::Result<Turn> {
        let mut turn = Turn::default();
        self.flush(handler);
        self.streams.tend(handler, &mut self.output);
        let timeout = self.timeout(timeout);
        let ready = self.wait(timeout, &mut turn)?;
        turn.completions = ready as u32;
        for index in 0..ready {
            let member = self.events[index].u64 as usize;
            match member.checked_sub(self.sockets.len()) {
                None => self.receive(member, handler, &mut turn),
                Some(0) => self.doorbell.drain(),
                Some(_) => self.streams.deliver(handler, &mut self.output, &mut turn)?,
            }
        }
        self.flush(handler);
        self.streams.tend(handler, &mut self.output);
        Ok(turn)
    }

    /// Sends what it can and lets go of all connections.
    pub(crate) fn finish(&mut self, handler: &mut impl Handler) {
        self.flush(handler);
        for _ in 0..FINISH_ROUNDS_MAX {
            if !self.output.streams.has_listed() {
                break;
            }
            self.streams.tend(handler, &mut self.output);
        }
        finish_all(handler, &mut self.output);
    }

    /// How long to wait: not at all while there is something left to do.
    fn timeout(&self, timeout: Option<Duration>) -> Option<Duration> {
        let staged = self.output.datagrams.has_staged() || self.output.streams.has_listed();
        if staged { Some(Duration::ZERO) } else { self.streams.limit(timeout) }
    }

    fn wait(&mut self, timeout: Option<Duration>, turn: &mut Turn) -> io::Result<usize> {
        let blocking = timeout != Some(Duration::ZERO) && self.doorbell.park();
        let timeout_ms = if blocking { milliseconds(timeout) } else { 0 };
        // SAFETY: the events array has the length given and outlives the call.
        let ready = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), self.events.len() as i32, timeout_ms)
        };
        let result = usize::try_from(ready).map_err(|_| io::Error::last_os_error());
        turn.rung = self.doorbell.unpark();
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            result => result,
        }
    }

    /// Handles one batch of a socket. Slots are made free first if the answers might lack them.
    fn receive(&mut self, socket: usize, handler: &mut impl Handler, turn: &mut Turn) {
        if self.output.datagrams.available() < self.batch.capacity() {
            self.flush(handler);
        }
        let member = &mut self.sockets[socket];
        let Ok(count) = self.batch.receive(member.descriptor) else {
            turn.receive_errors += 1;
            return;
        };
        for index in 0..count {
            let (datagram, drops) = self.batch.message(index, socket);
            turn.kernel_drops += drops_since(&mut member.drops, drops);
            let Some(datagram) = datagram else {
                turn.receive_errors += 1;
                continue;
            };
            turn.datagrams += 1;
            handler.datagram(datagram, &mut self.output);
        }
    }

    fn flush(&mut self, handler: &mut impl Handler) {
        if !self.output.datagrams.has_staged() {
            return;
        }
        let sockets = &self.sockets;
        let descriptor = |socket: usize| sockets.get(socket).map(|member| member.descriptor);
        self.queue.flush(&mut self.output.datagrams, descriptor, handler);
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.streams.tend(&mut Silent, &mut self.output);
        self.flush(&mut Silent);
    }
}

fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the result is checked before use.
    let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Watches a socket, if it is not watched yet.
fn watch(epoll: &OwnedFd, descriptor: RawFd, index: usize) -> io::Result<()> {
    match control(epoll, libc::EPOLL_CTL_ADD, descriptor, index) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn control(epoll: &OwnedFd, how: i32, descriptor: RawFd, index: usize) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
    // SAFETY: the event outlives the call, and both descriptors are open.
    let result = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), how, descriptor, &raw mut event) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The timeout for epoll, rounded up: rounded down, the last millisecond before a deadline would be
/// spent in turns that do not wait.
fn milliseconds(timeout: Option<Duration>) -> i32 {
    timeout.map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_rounded_up_to_milliseconds() {
        for (timeout, expected) in [
            (None, -1),
            (Some(Duration::from_nanos(1)), 1),
            (Some(Duration::from_millis(7)), 7),
            (Some(Duration::from_micros(7001)), 8),
            (Some(Duration::MAX), i32::MAX),
        ] {
            assert_eq!(milliseconds(timeout), expected);
        }
    }
}
