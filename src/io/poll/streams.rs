//! Streams with epoll: an instance of their own, which the engine's instance watches as one member.
//!
//! One instance for all looks simpler. A thousand ready connections would stand in line before a datagram; as it is, each
//! turn takes from every UDP socket, and from a bounded number of connections, in turn.

use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::epoll;
use crate::io::region::Region;
use crate::io::streams::{self, BYTES_A_TURN, Closed, Connection, ConnectionId, Pause, Phase};
use crate::io::{Handler, Output, StreamOptions, Turn};

/// An epoll instance, the listeners it watches, and the memory to receive into.
#[derive(Debug)]
pub(super) struct Driver {
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    /// Nothing is accepted for now.
    released: bool,
    pause: Pause,
    events: Vec<libc::epoll_event>,
    /// Which of the events come next, of those that a turn had no room for.
    left: Range<usize>,
    memory: Region,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Listener {
    /// Owned by the engine, which outlives this.
    descriptor: RawFd,
    watched: bool,
}

impl Driver {
    /// Watches the listeners, which must not block, once they are taken up and turns begin.
    pub(super) fn open(listeners: &[TcpListener], options: &StreamOptions) -> io::Result<Self> {
        let epoll = epoll()?;
        for (index, listener) in listeners.iter().enumerate() {
            control(&epoll, libc::EPOLL_CTL_ADD, listener.as_raw_fd(), 0, LISTENER | index as u64)?;
        }
        let bytes = options.receive_buffer_bytes as usize;
        let unwatched = |listener: &TcpListener| Listener { descriptor: listener.as_raw_fd(), watched: false };
        Ok(Self {
            epoll,
            listeners: listeners.iter().map(unwatched).collect(),
            released: true,
            pause: Pause::default(),
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX],
            left: 0..0,
            memory: Region::zeroed(bytes)?,
            bytes,
        })
    }

    /// The instance, to be watched by another.
    pub(super) fn descriptor(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Watches no listener any more.
    pub(super) fn stop_accepting(&mut self) {
        for listener in self.listeners.drain(..) {
            let _ = control(&self.epoll, libc::EPOLL_CTL_DEL, listener.descriptor, 0, 0);
        }
    }

    /// Accepts nothing for now.
    pub(super) fn release(&mut self) {
        self.released = true;
    }

    /// Accepts again.
    pub(super) fn take_up(&mut self) {
        self.released = false;
    }

    /// How long to wait at most.
    pub(super) fn limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        self.pause.limit(timeout)
    }

    /// Begins or ends what listed connections need, and sends what is queued on them.
    pub(super) fn tend(&mut self, handler: &mut impl Handler, output: &mut Output) {
        self.watch_listeners();
        if !output.streams.has_listed() {
            return;
        }
        let list = output.streams.begin_tending();
        let done = list.len().min(TENDED_MAX);
        for &slot in &list[..done] {
            self.tend_one(slot, handler, output);
        }
        output.streams.end_tending(list, done);
    }

    /// Handles what has become ready, within a bound: from each connection one piece, from each listener some connections.
    pub(super) fn deliver(
        &mut self,
        handler: &mut impl Handler,
        output: &mut Output,
        turn: &mut Turn,
    ) -> io::Result<()> {
        if self.left.is_empty() {
            self.left = 0..self.ready()?;
        }
        // What is left over is taken up by the next turn where this one ended: asked anew, the kernel would name the
        // same ones first.
        while turn.stream_bytes < BYTES_A_TURN {
            let Some(index) = self.left.next() else { break };
            let libc::epoll_event { events, u64: token } = self.events[index];
            turn.completions += 1;
            match token & LISTENER {
                0 => self.connection(ConnectionId::from_bits(token), events as i32, handler, output, turn),
                _ => self.accept((token & !LISTENER) as usize, handler, output, turn),
            }
        }
        Ok(())
    }

    fn ready(&mut self) -> io::Result<usize> {
        // SAFETY: the events array has the length given and outlives the call.
        let ready =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), self.events.len() as i32, 0) };
        match usize::try_from(ready).map_err(|_| io::Error::last_os_error()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            result => result,
        }
    }

    fn watch_listeners(&mut self) {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let wanted = !self.released && !self.pause.lasts();
            if listener.watched != wanted {
                let interest = if wanted { libc::EPOLLIN } else { 0 };
                let token = LISTENER | index as u64;
                let done = control(&self.epoll, libc::EPOLL_CTL_MOD, listener.descriptor, interest, token).is_ok();
                listener.watched = if done { wanted } else { listener.watched };
            }
        }
    }

    fn tend_one(&mut self, slot: u32, handler: &mut impl Handler, output: &mut Output) {
        let Some(entry) = output.streams.tend(slot) else { return };
        match entry.phase {
            Phase::Vacant => {}
            Phase::Ended => streams::finish(slot, handler, output),
            Phase::Connecting if entry.writing => {}
            Phase::Connecting => {
                if output.streams.open_socket(slot, true) {
                    self.connect(output.streams.id(slot), handler, output);
                }
            }
            Phase::Open => {
                self.watch(output.streams.id(slot), output);
                self.send(output.streams.id(slot), handler, output);
                output.streams.shut_if_drained(slot);
            }
        }
    }

    fn connect(&mut self, id: ConnectionId, handler: &mut impl Handler, output: &mut Output) {
        let Some(entry) = output.streams.get_mut(id) else { return };
        let Some(target) = &entry.target else { return };
        // SAFETY: the address outlives the call and has the length given.
        let result = unsafe { libc::connect(entry.raw(), target.name.bytes.as_ptr().cast(), target.name.length) };
        let errno = if result == 0 { 0 } else { last_errno() };
        if matches!(errno, libc::EINPROGRESS | libc::EINTR) {
            entry.writing = true;
            let added = control(&self.epoll, libc::EPOLL_CTL_ADD, entry.raw(), libc::EPOLLOUT, id.to_bits());
            if let Err(error) = added {
                output.streams.end(id.slot, Closed::ConnectFailed(error.kind()));
            }
        } else {
            streams::opened(id, errno, handler, output);
        }
    }

    /// Sends until all is sent or there is no room: at most what was leaving, and what is queued behind it.
    fn send(&mut self, id: ConnectionId, handler: &mut impl Handler, output: &mut Output) {
        if output.streams.get(id).is_none_or(|entry| entry.writing) {
            return;
        }
        while let Some(unsent) = output.streams.next_send(id.slot, handler) {
            let Some(entry) = output.streams.get_mut(id) else { return };
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            // SAFETY: what is unsent stays where it is until it is taken.
            let sent = unsafe { libc::send(entry.raw(), unsent.start.cast(), unsent.len, flags) };
            match (usize::try_from(sent), last_errno()) {
                (Ok(sent), _) => {
                    output.streams.took(id.slot, sent, handler);
                    if sent < unsent.len {
                        return self.await_room(id, output);
                    }
                }
                (_, libc::EINTR) => {}
                (_, libc::EAGAIN) => return self.await_room(id, output),
                (_, errno) => return output.streams.end(id.slot, Closed::by(errno)),
            }
        }
    }

    fn await_room(&mut self, id: ConnectionId, output: &mut Output) {
        if let Some(entry) = output.streams.get_mut(id) {
            entry.writing = true;
            self.change(id, libc::EPOLL_CTL_MOD, output);
        }
    }

    /// Watches a connection from the time on that it is open.
    fn watch(&mut self, id: ConnectionId, output: &mut Output) {
        let Some(entry) = output.streams.get_mut(id) else { return };
        if !entry.reading && !entry.peer_finished && entry.phase == Phase::Open {
            entry.reading = true;
            self.change(id, libc::EPOLL_CTL_ADD, output);
        }
    }

    /// Watches for what the flags of the connection say; `how` is what is expected to do for it.
    fn change(&mut self, id: ConnectionId, how: i32, output: &mut Output) {
        let Some(entry) = output.streams.get(id) else { return };
        let reading = if entry.reading { libc::EPOLLIN | libc::EPOLLRDHUP } else { 0 };
        let writing = if entry.writing { libc::EPOLLOUT } else { 0 };
        let changed = control(&self.epoll, how, entry.raw(), reading | writing, id.to_bits());
        let other = if how == libc::EPOLL_CTL_ADD { libc::EPOLL_CTL_MOD } else { libc::EPOLL_CTL_ADD };
        // A connection that we opened is watched before it is open, an accepted one is not.
        let changed = changed.or_else(|_| control(&self.epoll, other, entry.raw(), reading | writing, id.to_bits()));
        if let Err(error) = changed {
            output.streams.end(id.slot, Closed::Failed(error.kind()));
        }
    }

    fn connection(
        &mut self,
        id: ConnectionId,
        events: i32,
        handler: &mut impl Handler,
        output: &mut Output,
        turn: &mut Turn,
    ) {
        let Some(entry) = output.streams.get_mut(id) else { return };
        match entry.phase {
            Phase::Connecting => {
                let errno = pending_error(entry);
                entry.writing = false;
                streams::opened(id, errno, handler, output);
            }
            Phase::Open => {
                if events & libc::EPOLLOUT != 0 && entry.writing {
                    entry.writing = false;
                    self.change(id, libc::EPOLL_CTL_MOD, output);
                    output.streams.list(id.slot);
                }
                self.receive(id, events, handler, output, turn);
            }
            Phase::Ended | Phase::Vacant => {}
        }
    }

    fn receive(
        &mut self,
        id: ConnectionId,
        events: i32,
        handler: &mut impl Handler,
        output: &mut Output,
        turn: &mut Turn,
    ) {
        let Some(entry) = output.streams.get_mut(id) else { return };
        if !entry.reading {
            // After the peer has finished, only that it has gone is news.
            if events & (libc::EPOLLERR | libc::EPOLLHUP) != 0 {
                let errno = Some(pending_error(entry)).filter(|errno| *errno != 0);
                output.streams.end(id.slot, Closed::by(errno.unwrap_or(libc::ECONNRESET)));
            }
            return;
        }
        if events & !libc::EPOLLOUT == 0 {
            return;
        }
        // SAFETY: the memory has the length given and nothing else uses it during the call.
        let count = unsafe { libc::recv(entry.raw(), self.memory.at(0).cast(), self.bytes, libc::MSG_DONTWAIT) };
        match (usize::try_from(count), last_errno()) {
            (Ok(0), _) => {
                entry.reading = false;
                self.change(id, libc::EPOLL_CTL_MOD, output);
                streams::peer_finished(id, handler, output);
            }
            (Ok(count), _) => {
                turn.stream_bytes += count as u64;
                // SAFETY: the range lies within the mapping, which is initialised by being mapped, and is written
                // only by the next receive.
                let bytes = unsafe { &*ptr::slice_from_raw_parts(self.memory.at(0), count.min(self.bytes)) };
                streams::received(id, bytes, handler, output);
            }
            (_, libc::EAGAIN | libc::EINTR) => {}
            (_, errno) => output.streams.end(id.slot, Closed::by(errno)),
        }
    }

    fn accept(&mut self, listener: usize, handler: &mut impl Handler, output: &mut Output, turn: &mut Turn) {
        let Some(descriptor) = self.listeners.get(listener).map(|listener| listener.descriptor) else { return };
        if self.released {
            return;
        }
        for _ in 0..ACCEPTS_MAX {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: no address is asked for, so no pointer is followed.
            let accepted = unsafe { libc::accept4(descriptor, ptr::null_mut(), ptr::null_mut(), flags) };
            if accepted >= 0 {
                // SAFETY: the descriptor was just made and nothing else owns it.
                let connection = unsafe { OwnedFd::from_raw_fd(accepted) };
                streams::admit(connection, listener, handler, output, turn);
                continue;
            }
            match last_errno() {
                libc::EAGAIN => return,
                errno => {
                    turn.accept_errors += 1;
                    if !streams::is_passing(errno) {
                        return self.pause.begin();
                    }
                }
            }
        }
    }
}

/// Distinguishes listeners from connections in what epoll gives back. A slot has fewer bits.
const LISTENER: u64 = 1 << 31;

/// How many connections and listeners one turn takes from: with the default size of a receive, a megabyte.
const EVENTS_MAX: usize = 64;

/// How many connections one turn begins, sends on or ends.
const TENDED_MAX: usize = 512;

/// How many connections one turn accepts from one listener.
const ACCEPTS_MAX: usize = 64;

fn control(epoll: &OwnedFd, how: i32, descriptor: RawFd, interest: i32, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: interest as u32, u64: token };
    // SAFETY: the event outlives the call, and both descriptors are open.
    match unsafe { libc::epoll_ctl(epoll.as_raw_fd(), how, descriptor, &raw mut event) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes the error that a socket holds; 0 if none.
fn pending_error(entry: &Connection) -> i32 {
    let taken = entry.descriptor.as_ref().map(|descriptor| socket2::SockRef::from(descriptor).take_error());
    match taken {
        Some(Ok(None)) => 0,
        Some(Ok(Some(error)) | Err(error)) => error.raw_os_error().unwrap_or(libc::EIO),
        None => libc::ENOTCONN,
    }
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
