//! What a shard knows of each of its connections: whose it is, what of a message it has brought, and since when it is silent.
//!
//! A timer for each connection looked more exact. Nobody minds whether a silent connection is closed a quarter of a second later,
//! and a hundred thousand timers would be set anew with every message; so all are looked at in turn.

use std::net::{IpAddr, SocketAddr};

use crate::frame::stream::Framer;
use crate::io::{ConnectionId, Streams};
use crate::metrics::connections::{Direction, Ended};
use crate::proxy::inbound::{ListenerIndex, Side};

use super::dialed::Route;
use super::policy::ConnectionPolicy;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// Which side the far end is on.
    pub(super) side: Side,
    /// The listener that it came by, or by which what goes out on it is said to leave.
    pub(super) listener: ListenerIndex,
    pub(super) peer: SocketAddr,
    /// Our end, once it is open.
    pub(super) local: Option<IpAddr>,
    /// Where it leads, if we opened it.
    pub(super) route: Option<Route>,
    pub(super) framer: Framer,
    /// When it last brought anything, or when it was begun.
    pub(super) heard_us: u64,
    /// When the message began that is not complete yet.
    pub(super) begun_us: Option<u64>,
    /// Why and when we began to end it.
    pub(super) ending: Option<(Ended, u64)>,
}

impl Connection {
    /// Who opened it.
    pub(super) fn direction(&self) -> Direction {
        if self.route.is_some() { Direction::Connected } else { Direction::Accepted }
    }

    /// Why it is to be ended at that time, if it is.
    fn overdue(&self, now_us: u64, policy: &ConnectionPolicy) -> Option<Ended> {
        let has_passed =
            |since: u64, time: std::time::Duration| now_us.saturating_sub(since) >= time.as_micros() as u64;
        if self.route.is_some() && self.local.is_none() {
            return has_passed(self.heard_us, policy.connect).then_some(Ended::ConnectTimeout);
        }
        if self.begun_us.is_some_and(|begun_us| has_passed(begun_us, policy.message)) {
            return Some(Ended::MessageTimeout);
        }
        has_passed(self.heard_us, policy.idle).then_some(Ended::Idle)
    }
}

/// The connections of a shard, by the engine's slots.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    len: usize,
    /// Where the next look at some of them begins.
    next: usize,
    looked_us: u64,
}

/// How often some connections are looked at, in microseconds.
pub(super) const LOOK_US: u64 = 250_000;

/// How many of them at least. All are looked at within four seconds, however many there are.
const LOOKED_AT_MIN: usize = 4096;
const LOOKS_FOR_ALL: usize = 16;

/// How long a connection that we close may take to close, in microseconds: what is queued must go, and the peer finish.
const LINGER_US: u64 = 5_000_000;

impl Connections {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes one in.
    pub(super) fn insert(&mut self, connection: Connection) {
        let slot = connection.id.slot();
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        self.len += usize::from(self.slots[slot].replace(Box::new(connection)).is_none());
    }

    /// That connection, if it has not ended.
    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot())?.as_deref_mut().filter(|connection| connection.id == id)
    }

    /// Lets one go. Its framer is the caller's to close.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let gone = self.slots.get_mut(id.slot())?.take_if(|connection| connection.id == id)?;
        self.len -= 1;
        Some(gone)
    }

    /// Begins to end one: what is queued still goes.
    pub(super) fn close(&mut self, id: ConnectionId, why: Ended, now_us: u64, streams: &mut Streams) {
        if let Some(connection) = self.get_mut(id) {
            connection.ending.get_or_insert((why, now_us));
            streams.close(id);
        }
    }

    /// Ends one at once.
    pub(super) fn abort(&mut self, id: ConnectionId, why: Ended, now_us: u64, streams: &mut Streams) {
        if let Some(connection) = self.get_mut(id) {
            connection.ending.get_or_insert((why, now_us));
            streams.abort(id);
        }
    }

    /// Looks at some, if it is time to, and ends those that are overdue.
    pub(super) fn look(&mut self, now_us: u64, policy: &ConnectionPolicy, streams: &mut Streams) {
        if self.is_empty() || now_us.saturating_sub(self.looked_us) < LOOK_US {
            return;
        }
        self.looked_us = now_us;
        let count = (self.slots.len() / LOOKS_FOR_ALL).max(LOOKED_AT_MIN).min(self.slots.len());
        for _ in 0..count {
            let slot = self.next % self.slots.len();
            self.next = slot + 1;
            let Some(connection) = self.slots[slot].as_deref() else { continue };
            let (id, overdue) = (connection.id, connection.overdue(now_us, policy));
            match (connection.ending, overdue) {
                (Some((why, since_us)), _) if now_us.saturating_sub(since_us) >= LINGER_US => {
                    self.abort(id, why, now_us, streams);
                }
                (Some(_), _) | (None, None) => {}
                (None, Some(Ended::ConnectTimeout)) => self.abort(id, Ended::ConnectTimeout, now_us, streams),
                (None, Some(why)) => self.close(id, why, now_us, streams),
            }
        }
    }
}
