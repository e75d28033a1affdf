//! What engines do with connections: take them in, hear of what happened to them, and let them go.
//!
//! Letting each engine keep its own connections looks more direct. The rules that matter (each end is reported once, each
//! tag is reported once, nothing comes after the end) are the same for both, and stand here once.

use std::os::fd::OwnedFd;
use std::{io, mem};

use socket2::SockRef;

use super::connection::{Connection, Phase};
use super::queue::Unsent;
use super::table::Streams;
use super::{Closed, ConnectionId};
use crate::io::socket::open_outgoing;
use crate::io::{Handler, Lost, Output, SendError};

impl Streams {
    /// Whether the engine has something to do before it may wait.
    pub(crate) fn has_listed(&self) -> bool {
        !self.listed.is_empty()
    }

    /// Notes that the engine has something to do with a connection.
    pub(crate) fn list(&mut self, slot: u32) {
        if let Some(entry) = self.connections.get_mut(slot as usize).filter(|entry| !entry.listed) {
            entry.listed = true;
            self.listed.push(slot);
        }
    }

    /// Takes the list, to be given back to [`Streams::end_tending`]. What arises meanwhile makes a list of its own.
    pub(crate) fn begin_tending(&mut self) -> Vec<u32> {
        mem::replace(&mut self.listed, mem::take(&mut self.spare))
    }

    /// Puts those that were not come to before those that arose meanwhile.
    pub(crate) fn end_tending(&mut self, mut list: Vec<u32>, done: usize) {
        list.drain(..done);
        list.append(&mut self.listed);
        self.spare = mem::replace(&mut self.listed, list);
    }

    /// The connection in a slot that is taken from the list.
    pub(crate) fn tend(&mut self, slot: u32) -> Option<&mut Connection> {
        let entry = self.connections.get_mut(slot as usize)?;
        entry.listed = false;
        Some(entry)
    }

    /// The name of the connection in a slot.
    pub(crate) fn id(&self, slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: self.connections[slot as usize].generation }
    }

    /// Takes in a connection that was accepted; gives it back where the table is full.
    pub(super) fn take_in(&mut self, descriptor: OwnedFd) -> Result<ConnectionId, OwnedFd> {
        let Some(id) = self.occupy(Phase::Open) else { return Err(descriptor) };
        self.connections[id.slot as usize].descriptor = Some(descriptor);
        self.list(id.slot);
        Ok(id)
    }

    /// Makes the socket of a connection that is to be opened. False: that failed, and the connection has ended.
    pub(crate) fn open_socket(&mut self, slot: u32, nonblocking: bool) -> bool {
        let entry = &mut self.connections[slot as usize];
        let Some(target) = &entry.target else { return false };
        match open_outgoing(target.to, target.from, &self.options.outgoing, nonblocking) {
            Ok(descriptor) => {
                entry.descriptor = Some(descriptor);
                true
            }
            Err(error) => {
                self.end(slot, Closed::ConnectFailed(error.kind()));
                false
            }
        }
    }

    /// Ends a connection; the first reason given is the one reported.
    pub(crate) fn end(&mut self, slot: u32, why: Closed) {
        let entry = &mut self.connections[slot as usize];
        if matches!(entry.phase, Phase::Connecting | Phase::Open) {
            entry.phase = Phase::Ended;
            entry.why = why;
            self.list(slot);
        }
    }

    /// What is to be sent next on a connection.
    pub(crate) fn next_send(&mut self, slot: u32, handler: &mut impl Handler) -> Option<Unsent> {
        loop {
            let unsent = self.connections[slot as usize].queue.next()?;
            if unsent.len > 0 {
                return Some(unsent);
            }
            self.took(slot, 0, handler);
        }
    }

    /// Notes that the kernel took `len` more bytes of a connection, and reports the pieces that have gone by it.
    pub(crate) fn took(&mut self, slot: u32, len: usize, handler: &mut impl Handler) {
        let queue = &mut self.connections[slot as usize].queue;
        let before = queue.bytes();
        queue.took(len, &mut self.pool, |tag| handler.sent(tag));
        self.queued_bytes -= before - queue.bytes();
    }

    /// Tells the peer that all has been sent, if so. A connection that its peer has finished too is over by that.
    pub(crate) fn shut_if_drained(&mut self, slot: u32) {
        let entry = &mut self.connections[slot as usize];
        if !entry.is_drained() {
            return;
        }
        entry.shut = true;
        let told = entry.descriptor.as_ref().map(|it| SockRef::from(it).shutdown(std::net::Shutdown::Write));
        match told {
            Some(Err(error)) => self.end(slot, Closed::by(error.raw_os_error().unwrap_or(0))),
            _ if entry.peer_finished => self.end(slot, Closed::Finished),
            _ => {}
        }
    }
}

/// Reports bytes of a connection, unless it has ended.
pub(crate) fn received(id: ConnectionId, bytes: &[u8], handler: &mut impl Handler, output: &mut Output) {
    if output.streams.get(id).is_some_and(|entry| entry.phase == Phase::Open) {
        handler.received(id, bytes, output);
    }
}

/// Notes that the peer has finished sending. A connection that we have finished too is over by that.
pub(crate) fn peer_finished(id: ConnectionId, handler: &mut impl Handler, output: &mut Output) {
    let Some(entry) = output.streams.get_mut(id).filter(|entry| entry.phase == Phase::Open) else { return };
    entry.peer_finished = true;
    match entry.shut {
        true => output.streams.end(id.slot, Closed::Finished),
        false => handler.peer_finished(id, output),
    }
}

/// Notes how opening a connection came out: 0, or an error number of connect(2).
pub(crate) fn opened(id: ConnectionId, errno: i32, handler: &mut impl Handler, output: &mut Output) {
    let Some(entry) = output.streams.get_mut(id).filter(|entry| entry.phase == Phase::Connecting) else { return };
    let local = match errno {
        0 => local_address(entry).map_err(|error| Closed::ConnectFailed(error.kind())),
        _ => Err(Closed::connecting(errno)),
    };
    match local {
        Ok(local) => {
            entry.phase = Phase::Open;
            entry.target = None;
            output.streams.list(id.slot);
            handler.connected(id, local, output);
        }
        Err(why) => output.streams.end(id.slot, why),
    }
}

/// Lets go of a connection that has ended and that the kernel is done with: reports what did not go, closes the
/// descriptor, frees the slot, and reports the end.
pub(crate) fn finish(slot: u32, handler: &mut impl Handler, output: &mut Output) {
    let streams = &mut output.streams;
    let id = streams.id(slot);
    let entry = &mut streams.connections[slot as usize];
    let why = entry.why;
    streams.queued_bytes -= entry.queue.bytes();
    entry.queue.fail(&mut streams.pool, |tag, bytes| {
        handler.send_failed(tag, SendError::ConnectionClosed, Lost { bytes, to: None });
    });
    if let Some(descriptor) = entry.descriptor.take() {
        let _ = (why == Closed::Aborted).then(|| reset_on_close(&descriptor));
    }
    streams.vacate(slot);
    handler.closed(id, why, output);
}

/// Lets go of all connections, the kernel being done with them: as [`finish`] does, each in good order.
pub(crate) fn finish_all(handler: &mut impl Handler, output: &mut Output) {
    for slot in 0..output.streams.connections.len() as u32 {
        output.streams.end(slot, Closed::Stopped);
        if output.streams.connections[slot as usize].phase == Phase::Ended {
            finish(slot, handler, output);
        }
    }
}

/// Makes closing a descriptor reset its connection, at once and without a trace (`TIME_WAIT`).
pub(super) fn reset_on_close(descriptor: &OwnedFd) -> io::Result<()> {
    SockRef::from(descriptor).set_linger(Some(std::time::Duration::ZERO))
}

fn local_address(entry: &Connection) -> io::Result<std::net::SocketAddr> {
    let descriptor = entry.descriptor.as_ref().ok_or(io::ErrorKind::NotConnected)?;
    SockRef::from(descriptor).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::NotConnected.into())
}
