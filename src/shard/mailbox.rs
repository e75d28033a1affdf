//! How a message gets to the shard that has its connection.
//!
//! A lock around each connection looked simpler, as any shard could write to it. The kernel's operations on it belong to one
//! ring, and two shards that write in turn would cut messages into each other; so the message travels, not the connection.

use std::iter;
use std::sync::Arc;

use crossbeam::channel::Receiver;
use crossbeam::queue::ArrayQueue;

use crate::io::{ConnectionId, Doorbell};
use crate::metrics::cells::SentTag;
use crate::metrics::upgrade::UpgradeCells;
use crate::proxy::inbound::ConnectionRef;
use crate::proxy::probe::exchange::ProbeExchange;
use crate::proxy::verdict::NextHop;

use super::kin::{Handed, Kin, Role};

/// The most processes before this one that are known to others: more than anybody starts within one VIADUCT_GRACE_S.
const ROW_MAX: usize = 15;

/// The most parcels that wait for one shard: some turns' worth of all others. One that does not keep up with so many has other
/// troubles.
pub(super) const PARCELS_MAX: usize = 8192;

/// The most buffers that are kept for further parcels.
const SPARE_MAX: usize = 1024;

/// The longest buffer that is kept: most messages are shorter.
const SPARE_BYTES_MAX: usize = 8192;

/// A message on its way to another shard, written out.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) connection: ConnectionId,
    pub(super) hop: NextHop,
    pub(super) tag: SentTag,
    /// The host that it was found by, where another connection may have to be opened for it.
    pub(super) host: Option<Box<[u8]>>,
    pub(super) bytes: Vec<u8>,
}

/// The mailboxes of all shards. Clones are the same one.
#[derive(Clone, Debug)]
pub struct PostOffice(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    process: u32,
    boxes: Vec<Mailbox>,
    probes: Arc<ProbeExchange>,
    spare: ArrayQueue<Vec<u8>>,
    kin: Kin,
}

#[derive(Debug)]
struct Mailbox {
    parcels: ArrayQueue<Parcel>,
    doorbell: Doorbell,
}

impl PostOffice {
    /// A mailbox for each shard, by the doorbells that wake them. `process` is a number that tells this process's
    /// connections from all others': a random one.
    pub fn new(process: u32, doorbells: Vec<Doorbell>) -> Self {
        let mailbox = |doorbell| Mailbox { parcels: ArrayQueue::new(PARCELS_MAX), doorbell };
        let boxes: Vec<Mailbox> = doorbells.into_iter().map(mailbox).collect();
        let probes = Arc::new(ProbeExchange::new(boxes.len()));
        PostOffice(Arc::new(Inner { process, boxes, probes, spare: ArrayQueue::new(SPARE_MAX), kin: Kin::default() }))
    }

    /// The number of this process.
    pub fn process(&self) -> u32 {
        self.0.process
    }

    /// The name by which the whole fleet knows a connection of that shard.
    pub(super) fn name(&self, shard: usize, connection: ConnectionId) -> ConnectionRef {
        ConnectionRef { process: self.0.process, number: connection.to_bits() | (shard as u64) << SHARD_SHIFT }
    }

    /// The shard and connection that have this name; `None` for another process's.
    pub(super) fn find(&self, name: ConnectionRef) -> Option<(usize, ConnectionId)> {
        let shard = (name.number >> SHARD_SHIFT) as usize & SHARD_MASK;
        let bits = name.number & !((SHARD_MASK as u64) << SHARD_SHIFT);
        (name.process == self.0.process && shard < self.0.boxes.len()).then_some((shard, ConnectionId::from_bits(bits)))
    }

    /// Puts a parcel into a shard's mailbox and wakes the shard. `false`, and the parcel is lost, where it is full.
    pub(super) fn post(&self, shard: usize, parcel: Parcel) -> bool {
        let Some(mailbox) = self.0.boxes.get(shard) else { return false };
        match mailbox.parcels.push(parcel) {
            Ok(()) => {
                mailbox.doorbell.ring();
                true
            }
            Err(parcel) => {
                self.give_back(parcel.bytes);
                false
            }
        }
    }

    /// Takes the next parcel for that shard.
    pub(super) fn take(&self, shard: usize) -> Option<Parcel> {
        self.0.boxes.get(shard)?.parcels.pop()
    }

    /// Has that shard look into its mailbox again soon.
    pub(super) fn remind(&self, shard: usize) {
        if let Some(mailbox) = self.0.boxes.get(shard).filter(|mailbox| !mailbox.parcels.is_empty()) {
            mailbox.doorbell.ring();
        } else if self.0.probes.has_questions(shard) || self.0.kin.has_any(shard) {
            self.wake(shard);
        }
    }

    /// Wakes that shard, which then sends the probes that wait for it.
    pub fn wake(&self, shard: usize) {
        if let Some(mailbox) = self.0.boxes.get(shard) {
            mailbox.doorbell.ring();
        }
    }

    /// Hands messages for connections of these processes to the one of that role: to whoever receives what this gives. To the one
    /// after, all that are nobody else's. `None` where there is one of that role already.
    pub fn join_kin(&self, role: Role, processes: Vec<u32>) -> Option<Receiver<Handed>> {
        self.0.kin.join(role, processes, self.0.boxes.len())
    }

    /// Hands nothing to it any more: it has ended.
    pub fn part_from(&self, role: Role) {
        self.0.kin.part(role);
    }

    /// Whether a process of that role was there and has ended.
    pub fn has_parted_from(&self, role: Role) -> bool {
        self.0.kin.has_parted(role)
    }

    /// The processes whose connections are reached by this one: itself, and those before it that still run.
    pub fn reached(&self) -> Vec<u32> {
        let before = self.0.kin.before().iter().take(ROW_MAX);
        iter::once(self.0.process).chain(before.copied()).collect()
    }

    /// Has the shard decide about a message from that process that has the connection it is for, or hands it on to the process that has.
    /// Where nobody has, any shard decides, as if the connection were gone.
    pub fn take_in(&self, role: Role, handed: Handed) {
        let handed = match handed.to.process == self.0.process {
            true => Some(handed),
            false => self.0.kin.pass(role, handed),
        };
        let Some(handed) = handed else { return };
        let shard = self.find(handed.to).map_or(0, |(shard, _)| shard);
        if self.0.kin.put(role, shard, handed) {
            self.wake(shard);
        }
    }

    /// What is counted of upgrades.
    pub fn upgrade_cells(&self) -> &Arc<UpgradeCells> {
        &self.0.kin.cells
    }

    pub(super) fn kin(&self) -> &Kin {
        &self.0.kin
    }

    /// By what the shards get probes to send, and tell what becomes of them.
    pub fn probes(&self) -> &Arc<ProbeExchange> {
        &self.0.probes
    }

    /// An empty buffer for a parcel.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.0.spare.pop().unwrap_or_default()
    }

    /// Takes a parcel's buffer back.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= SPARE_BYTES_MAX {
            // Where enough are kept, this one goes.
            let _ = self.0.spare.push(buffer);
        }
    }
}

/// A slot's number has at most 24 bits, and the shard stands above it.
const SHARD_SHIFT: u32 = 24;
const SHARD_MASK: usize = 0xff;

/// The most shards that a connection's name can tell apart.
pub const MAX_SHARDS: usize = SHARD_MASK + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_shard_and_connection_in_its_own_process_alone() {
        let doorbells = || (0..3).map(|_| Doorbell::new().unwrap()).collect();
        let (here, elsewhere) = (PostOffice::new(7, doorbells()), PostOffice::new(8, doorbells()));
        for (shard, bits) in [(0, 0), (1, 5), (2, 0xffff_ffff_000f_ffff)] {
            let connection = ConnectionId::from_bits(bits);
            let name = here.name(shard, connection);
            assert_eq!(here.find(name), Some((shard, connection)));
            assert_eq!(elsewhere.find(name), None);
        }
        assert_eq!(here.find(here.name(3, ConnectionId::from_bits(0))), None);
    }
}
