//! Messages for connections of the process that ran before this one, or that runs after it: they go there as they came.
//!
//! Sockets go over to the process that takes over, connections do not: what lies above TCP cannot be handed over in the midst of it.
//! So responses and requests for the clients of these connections come to a process that does not have them. To send what was decided
//! looked thriftier than to decide again there. It would have to be told with all that counts it and all that happens where
//! the connection is gone, in a form that two versions understand; a message is what both understand.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use crossbeam::queue::ArrayQueue;

use crate::io::Output;
use crate::metrics::cells::Dropped;
use crate::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use crate::proxy::verdict::AbsorbReason;

use super::problems::About;
use super::worker::Worker;

/// A message for a connection of another process, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The connection that it is for.
    pub to: ConnectionRef,
    /// The message, whole.
    pub bytes: Vec<u8>,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The listener that received it, among the process's own that has this.
    pub listener: ListenerIndex,
    /// The address it was sent to, where the kernel tells.
    pub local: Option<IpAddr>,
    /// The load balancer that handed it on as a datagram.
    pub relay: Option<SocketAddr>,
    /// Over a stream, the connection that it came on.
    pub connection: Option<ConnectionRef>,
}

/// Which process another is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that ran before.
    Predecessor,
    /// The one that runs after.
    Successor,
}

/// The processes that messages are handed to and taken from: one of each role.
#[derive(Debug, Default)]
pub(super) struct Kin([OnceLock<Relative>; 2]);

#[derive(Debug)]
struct Relative {
    process: u32,
    is_gone: AtomicBool,
    outgoing: Sender<Handed>,
    /// What has come from it, for each shard.
    incoming: Vec<ArrayQueue<Handed>>,
}

/// The most messages that wait to be handed to another process, and of those taken from it, for each shard. It has few connections
/// left, and reads at once.
const HANDED_MAX: usize = 1024;

/// The most of them that are decided about in one turn.
const HANDED_A_TURN: usize = 256;

impl Kin {
    /// Hands messages to that process from here on: to whoever receives what this gives. `None` where there is one of that role.
    pub(super) fn join(&self, role: Role, process: u32, shards: usize) -> Option<Receiver<Handed>> {
        let (outgoing, handed) = bounded(HANDED_MAX);
        let incoming = (0..shards).map(|_| ArrayQueue::new(HANDED_MAX)).collect();
        let relative = Relative { process, is_gone: AtomicBool::new(false), outgoing, incoming };
        self.0[role as usize].set(relative).ok().map(|()| handed)
    }

    /// Hands nothing to it any more.
    pub(super) fn part(&self, role: Role) {
        if let Some(relative) = self.0[role as usize].get() {
            relative.is_gone.store(true, Ordering::Release);
        }
    }

    /// Takes what has come from that process for a shard. `false`, and it is lost, where the shard does not keep up.
    pub(super) fn put(&self, role: Role, shard: usize, handed: Handed) -> bool {
        let queue = self.0[role as usize].get().and_then(|relative| relative.incoming.get(shard));
        queue.is_some_and(|queue| queue.push(handed).is_ok())
    }

    fn take(&self, shard: usize) -> Option<Handed> {
        self.queues(shard).find_map(ArrayQueue::pop)
    }

    pub(super) fn has_any(&self, shard: usize) -> bool {
        self.queues(shard).any(|queue| !queue.is_empty())
    }

    fn queues(&self, shard: usize) -> impl Iterator<Item = &ArrayQueue<Handed>> {
        self.0.iter().filter_map(OnceLock::get).filter_map(move |relative| relative.incoming.get(shard))
    }

    /// The process that has a connection, if it is one of these and is still there.
    fn owner(&self, name: ConnectionRef) -> Option<&Relative> {
        let has_it =
            |relative: &&Relative| relative.process == name.process && !relative.is_gone.load(Ordering::Acquire);
        self.0.iter().filter_map(OnceLock::get).find(has_it)
    }
}

impl Worker {
    /// Hands a message to the process that has the connection it is for. `false` where none does: it is to be sent as if the
    /// connection were gone. What was handed over itself is not handed on: two processes by different settings could do so for ever.
    pub(super) fn hand_on(&mut self, name: ConnectionRef, inbound: &Inbound<'_>) -> bool {
        let Some(relative) = self.delivery.post.kin().owner(name).filter(|_| !self.is_handed) else { return false };
        let Inbound { bytes, peer, listener, local, relay, connection, .. } = *inbound;
        let handed = Handed { to: name, bytes: bytes.to_vec(), peer, listener, local, relay, connection };
        match relative.outgoing.try_send(handed) {
            Ok(()) => self.cells.absorbed(AbsorbReason::HandedOn),
            Err(TrySendError::Full(_)) => self.drop_message(Dropped::MailboxFull, About::inbound(inbound)),
            Err(TrySendError::Disconnected(_)) => return false,
        }
        true
    }

    /// Decides about what other processes have handed to this shard.
    pub(super) fn take_handed(&mut self, out: &mut Output) {
        for _ in 0..HANDED_A_TURN {
            let Some(handed) = self.delivery.post.kin().take(self.delivery.number()) else { break };
            let Handed { bytes, peer, listener, local, relay, connection, .. } = &handed;
            let (listener, local, relay, connection) = (*listener, *local, *relay, *connection);
            let now_us = self.now_us();
            let inbound = Inbound { bytes, peer: *peer, listener, local, relay, connection, now_us };
            self.is_handed = true;
            self.message(&inbound, self.delivery.transport(listener), out);
            self.is_handed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(process: u32) -> Handed {
        Handed {
            to: ConnectionRef { process, number: 1 },
            bytes: b"a message".to_vec(),
            peer: "192.0.2.1:5060".parse().unwrap(),
            listener: ListenerIndex(0),
            local: None,
            relay: None,
            connection: None,
        }
    }

    #[test]
    fn a_process_is_known_by_its_number_until_it_is_gone_and_there_is_one_of_each_role() {
        let kin = Kin::default();
        let name = |process| ConnectionRef { process, number: 5 };
        assert!(kin.owner(name(7)).is_none());
        let _before = kin.join(Role::Predecessor, 7, 2).unwrap();
        let _after = kin.join(Role::Successor, 8, 2).unwrap();
        assert!(kin.join(Role::Predecessor, 9, 2).is_none());
        assert!(kin.owner(name(7)).is_some() && kin.owner(name(8)).is_some() && kin.owner(name(9)).is_none());
        kin.part(Role::Predecessor);
        assert!(kin.owner(name(7)).is_none() && kin.owner(name(8)).is_some());
    }

    #[test]
    fn what_has_come_is_the_shards_own_and_no_more_than_the_limit_waits() {
        let kin = Kin::default();
        assert!(!kin.put(Role::Successor, 0, handed(1)), "there is none");
        let _handed = kin.join(Role::Successor, 8, 2).unwrap();
        for _ in 0..HANDED_MAX {
            assert!(kin.put(Role::Successor, 1, handed(1)));
        }
        assert!(!kin.put(Role::Successor, 1, handed(1)) && !kin.put(Role::Successor, 2, handed(1)));
        assert!(kin.take(0).is_none() && !kin.has_any(0) && kin.has_any(1));
        assert_eq!(std::iter::from_fn(|| kin.take(1)).count(), HANDED_MAX);
    }
}
