//! The engine where io_uring is forbidden: epoll tells which sockets have something, recvmmsg and
//! sendmmsg move many datagrams per system call.
//!
//! Edge-triggered readiness looks cheaper. It obliges to read each socket until it is empty, so that a
//! flooded socket would hold up the others; level-triggered, every ready socket gets one batch per
//! turn.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::control::drops_since;
use super::{Doorbell, Handler, Options, Outbox, SendError, Turn};

mod receive;
mod send;

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
    outbox: Outbox,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// Owned by the engine, which outlives this.
    descriptor: RawFd,
    /// The socket's drop counter as last seen.
    drops: u32,
}

impl Poll {
    /// Maps the buffers and watches the sockets. Errors are shortages of descriptors and memory.
    pub(crate) fn open(sockets: &[UdpSocket], options: &Options, doorbell: &Doorbell) -> io::Result<Self> {
        let epoll = epoll()?;
        for (index, socket) in sockets.iter().enumerate() {
            watch(&epoll, socket.as_raw_fd(), index)?;
        }
        watch(&epoll, doorbell.descriptor(), sockets.len())?;
        let members = sockets.iter().map(|socket| Member { descriptor: socket.as_raw_fd(), drops: 0 });
        Ok(Self {
            epoll,
            sockets: members.collect(),
            doorbell: doorbell.clone(),
            events: vec![libc::epoll_event { events: 0, u64: 0 }; sockets.len() + 1],
            batch: Batch::new(options.receive_buffers, options.receive_buffer_bytes)?,
            queue: Queue::new(options.send_slots, sockets.len()),
            outbox: Outbox::new(options.send_slots, options.send_slot_bytes)?,
        })
    }

    pub(crate) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Sends what was staged since the last turn, waits, takes one batch from each ready socket, and
    /// sends what that staged.
    pub(crate) fn turn(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> io::Result<Turn> {
        let mut turn = Turn::default();
        self.flush(handler);
        let ready = self.wait(timeout, &mut turn)?;
        turn.completions = ready as u32;
        for index in 0..ready {
            let socket = self.events[index].u64 as usize;
            if socket < self.sockets.len() {
                self.receive(socket, handler, &mut turn);
            } else {
                self.doorbell.drain();
            }
        }
        self.flush(handler);
        Ok(turn)
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
        if self.outbox.available() < self.batch.capacity() {
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
            handler.datagram(datagram, &mut self.outbox);
        }
    }

    fn flush(&mut self, handler: &mut impl Handler) {
        if !self.outbox.has_staged() {
            return;
        }
        let sockets = &self.sockets;
        let descriptor = |socket: usize| sockets.get(socket).map(|member| member.descriptor);
        self.queue.flush(&mut self.outbox, descriptor, |(tag, failure)| match failure {
            None => handler.sent(tag),
            Some(error) => handler.send_failed(tag, error),
        });
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.flush(&mut Silent);
    }
}

/// Hears the outcomes when no one else is left to.
struct Silent;

impl Handler for Silent {
    fn datagram(&mut self, _: super::Datagram<'_>, _: &mut Outbox) {}
    fn sent(&mut self, _: u16) {}
    fn send_failed(&mut self, _: u16, _: SendError) {}
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

fn watch(epoll: &OwnedFd, descriptor: RawFd, index: usize) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
    // SAFETY: the event outlives the call, and both descriptors are open.
    let result = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
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
