//! Messages for connections of the process that ran before this one, or that runs after it: they go there as they came.
//!
//! Sockets go over to the process that takes over, connections do not: what lies above TCP cannot be handed over in the midst of it.
//! So responses and requests for the clients of these connections come to a process that does not have them. To send what was decided
//! looked thriftier than to decide again there. It would have to be told with all that counts it and all that happens where
//! the connection is gone, in a form that two versions understand; a message is what both understand.
//!
//! Where one upgrade follows another, processes stand in a row, each with a link to the one before it and to the one after it. A message
//! goes along the row in one direction, to where the connection is or the row ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use crossbeam::queue::ArrayQueue;

use crate::io::Output;
use crate::metrics::cells::Dropped;
use crate::metrics::upgrade::UpgradeCells;
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
pub(super) struct Kin {
    relatives: [OnceLock<Relative>; 2],
    pub(super) cells: Arc<UpgradeCells>,
}

#[derive(Debug)]
struct Relative {
    /// The processes whose connections are reached by it: itself, and those before it. Of the one after, none are known: whoever has
    /// taken over the sockets knows best.
    processes: Vec<u32>,
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
    /// Hands messages to a process from here on, for connections of these: to whoever receives what this gives. `None` where there is
    /// one of that role.
    pub(super) fn join(&self, role: Role, processes: Vec<u32>, shards: usize) -> Option<Receiver<Handed>> {
        let (outgoing, handed) = bounded(HANDED_MAX);
        let incoming = (0..shards).map(|_| ArrayQueue::new(HANDED_MAX)).collect();
        let relative = Relative { processes, is_gone: AtomicBool::new(false), outgoing, incoming };
        self.relatives[role as usize].set(relative).ok()?;
        if role == Role::Predecessor {
            self.cells.predecessors.set(1);
        }
        Some(handed)
    }

    /// Hands nothing to it any more.
    pub(super) fn part(&self, role: Role) {
        if let Some(relative) = self.relatives[role as usize].get() {
            relative.is_gone.store(true, Ordering::Release);
            if role == Role::Predecessor {
                self.cells.predecessors.set(0);
            }
        }
    }

    /// Whether one of that role has been there and is gone.
    pub(super) fn has_parted(&self, role: Role) -> bool {
        self.relatives[role as usize].get().is_some_and(|relative| relative.is_gone.load(Ordering::Acquire))
    }

    /// The processes whose connections are reached by the one before; none where that is gone.
    pub(super) fn before(&self) -> &[u32] {
        self.present(Role::Predecessor).map_or(&[], |relative| &relative.processes)
    }

    /// Hands on what one process has handed over, and what the other has the connection for. What it gives is for this process, to
    /// which no other may hand it on: two by different settings could do so for ever.
    pub(super) fn pass(&self, from: Role, handed: Handed) -> Option<Handed> {
        let onward = self.owner(handed.to).filter(|(role, _)| *role != from);
        let Some((_, relative)) = onward else { return Some(handed) };
        match relative.outgoing.try_send(handed) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => {
                self.cells.lost();
                None
            }
            Err(TrySendError::Disconnected(handed)) => Some(handed),
        }
    }

    /// Takes what has come from that process for a shard. `false`, and it is lost, where the shard does not keep up.
    pub(super) fn put(&self, role: Role, shard: usize, handed: Handed) -> bool {
        let queue = self.relatives[role as usize].get().and_then(|relative| relative.incoming.get(shard));
        let is_taken = queue.is_some_and(|queue| queue.push(handed).is_ok());
        if !is_taken {
            self.cells.lost();
        }
        is_taken
    }

    fn take(&self, shard: usize) -> Option<Handed> {
        self.queues(shard).find_map(ArrayQueue::pop)
    }

    pub(super) fn has_any(&self, shard: usize) -> bool {
        self.queues(shard).any(|queue| !queue.is_empty())
    }

    fn queues(&self, shard: usize) -> impl Iterator<Item = &ArrayQueue<Handed>> {
        self.relatives.iter().filter_map(OnceLock::get).filter_map(move |relative| relative.incoming.get(shard))
    }

    /// By which process a connection is reached that is not this one's.
    fn owner(&self, name: ConnectionRef) -> Option<(Role, &Relative)> {
        let before = self.present(Role::Predecessor).filter(|relative| relative.processes.contains(&name.process));
        let after = || self.present(Role::Successor).map(|relative| (Role::Successor, relative));
        before.map(|relative| (Role::Predecessor, relative)).or_else(after)
    }

    fn present(&self, role: Role) -> Option<&Relative> {
        self.relatives[role as usize].get().filter(|relative| !relative.is_gone.load(Ordering::Acquire))
    }
}

impl Worker {
    /// Hands a message to the process that has the connection it is for. `false` where none does: it is to be sent as if the
    /// connection were gone.
    pub(super) fn hand_on(&mut self, name: ConnectionRef, inbound: &Inbound<'_>) -> bool {
        if self.is_handed || name.process == self.delivery.post.process() {
            return false;
        }
        let Some((_, relative)) = self.delivery.post.kin().owner(name) else { return false };
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
    fn connections_are_reached_by_the_process_that_is_known_to_have_them_and_else_by_the_one_after() {
        let kin = Kin::default();
        let by = |process| kin.owner(ConnectionRef { process, number: 5 }).map(|(role, _)| role);
        assert_eq!(by(7), None);
        let _before = kin.join(Role::Predecessor, vec![7, 6], 2).unwrap();
        assert_eq!([by(6), by(7), by(8)], [Some(Role::Predecessor), Some(Role::Predecessor), None]);
        let _after = kin.join(Role::Successor, Vec::new(), 2).unwrap();
        assert!(kin.join(Role::Predecessor, vec![9], 2).is_none(), "there is one of each role");
        assert_eq!([by(6), by(8)], [Some(Role::Predecessor), Some(Role::Successor)]);
        kin.part(Role::Predecessor);
        assert_eq!([by(6), by(8)], [Some(Role::Successor); 2]);
        assert!(kin.has_parted(Role::Predecessor) && !kin.has_parted(Role::Successor) && kin.before().is_empty());
    }

    #[test]
    fn what_was_handed_over_goes_on_along_the_row_and_never_back() {
        let kin = Kin::default();
        let before = kin.join(Role::Predecessor, vec![7], 2).unwrap();
        let after = kin.join(Role::Successor, Vec::new(), 2).unwrap();
        assert_eq!(kin.pass(Role::Successor, handed(7)), None);
        assert_eq!(before.try_recv().unwrap(), handed(7));
        assert_eq!(kin.pass(Role::Predecessor, handed(9)), None);
        assert_eq!(after.try_recv().unwrap(), handed(9));
        assert_eq!(kin.pass(Role::Predecessor, handed(7)), Some(handed(7)));
        assert_eq!(kin.pass(Role::Successor, handed(9)), Some(handed(9)));
        for _ in 0..=HANDED_MAX {
            assert_eq!(kin.pass(Role::Successor, handed(7)), None);
        }
        assert_eq!((before.len(), kin.cells.lost_count()), (HANDED_MAX, 1));
        kin.part(Role::Predecessor);
        assert_eq!(
            kin.pass(Role::Successor, handed(7)),
            Some(handed(7)),
            "it is decided about as if the connection were gone"
        );
    }

    #[test]
    fn what_has_come_is_the_shards_own_and_no_more_than_the_limit_waits() {
        let kin = Kin::default();
        assert!(!kin.put(Role::Successor, 0, handed(1)), "there is none");
        let _handed = kin.join(Role::Successor, Vec::new(), 2).unwrap();
        for _ in 0..HANDED_MAX {
            assert!(kin.put(Role::Successor, 1, handed(1)));
        }
        assert!(!kin.put(Role::Successor, 1, handed(1)) && !kin.put(Role::Successor, 2, handed(1)));
        assert!(kin.take(0).is_none() && !kin.has_any(0) && kin.has_any(1));
        assert_eq!(std::iter::from_fn(|| kin.take(1)).count(), HANDED_MAX);
        assert_eq!(kin.cells.lost_count(), 3);
    }
}
