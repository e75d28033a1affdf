//! Where one connection stands.
//!
//! A type for each phase looks safer. The kernel may still have operations of any phase while a connection ends, so the
//! flags that matter most are common to all phases.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::queue::SendQueue;
use super::{Closed, ConnectionId};
use crate::io::control::Name;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The slot is free.
    Vacant,
    /// To be opened, or being opened, by us.
    Connecting,
    /// Opened.
    Open,
    /// Over: nothing is reported any more but its end, once the kernel is done with its buffers.
    Ended,
}

/// A slot of the table.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    /// Why it has ended, once it has.
    pub(crate) why: Closed,
    /// Whether the slot is in the list of those that the engine has something to do with.
    pub(crate) listed: bool,
    /// On the ring: a receive is armed. With poll: it is watched for what arrives.
    pub(crate) reading: bool,
    /// On the ring: a send or a connect is under way. With poll: it is watched for room to send.
    pub(crate) writing: bool,
    /// The ring was asked to give up its operations.
    pub(crate) cancelled: bool,
    /// The peer has finished sending.
    pub(crate) peer_finished: bool,
    /// The handler has closed it: what is queued still goes.
    pub(crate) closing: bool,
    /// We have finished sending, and told the peer.
    pub(crate) shut: bool,
    /// `None` until a connect is begun.
    pub(crate) descriptor: Option<OwnedFd>,
    /// Where it is to be opened to, until it is.
    pub(crate) target: Option<Box<Target>>,
    pub(crate) queue: SendQueue,
}

/// Where a connection is to go, and from where.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) to: SocketAddr,
    pub(crate) from: Option<IpAddr>,
    /// `to` as the kernel reads it, at a place that does not move.
    pub(crate) name: Name,
}

impl Connection {
    /// A free slot.
    pub(crate) fn vacant() -> Self {
        Self {
            generation: 0,
            phase: Phase::Vacant,
            why: Closed::Aborted,
            listed: false,
            reading: false,
            writing: false,
            cancelled: false,
            peer_finished: false,
            closing: false,
            shut: false,
            descriptor: None,
            target: None,
            queue: SendQueue::default(),
        }
    }

    /// Whether the slot is that connection's.
    pub(crate) fn is(&self, id: ConnectionId) -> bool {
        self.generation == id.generation && self.phase != Phase::Vacant
    }

    /// The descriptor's number; -1, which the kernel refuses, where there is none.
    pub(crate) fn raw(&self) -> RawFd {
        self.descriptor.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Whether the ring has operations of it.
    pub(crate) fn is_busy(&self) -> bool {
        self.reading || self.writing
    }

    /// Whether there is something to do once a send is done.
    pub(crate) fn wants_tending(&self) -> bool {
        self.phase == Phase::Ended || self.closing || !self.queue.is_empty()
    }

    /// Whether the last byte has been sent and the peer is to be told.
    pub(crate) fn is_drained(&self) -> bool {
        self.closing && !self.shut && !self.writing && self.queue.is_empty()
    }
}

impl Target {
    pub(crate) fn new(to: SocketAddr, from: Option<IpAddr>) -> Self {
        let mut name = Name::default();
        name.set(to);
        Self { to, from, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    }
}
