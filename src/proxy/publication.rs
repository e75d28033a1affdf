//! How a snapshot gets to the shards: whoever steers the pool publishes one, and each shard takes it up at its next turn.
//!
//! A lock around the snapshot, or a message to each shard, looked simpler. A lock is a line that every shard writes, and a
//! queue of snapshots has an end at which the publisher waits; here a shard compares one pointer a turn.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::snapshot::Snapshot;

/// The snapshot that is in force. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Publication(Arc<ArcSwap<Snapshot>>);

/// A shard's hold on a snapshot: the one in force when it was last refreshed.
#[derive(Debug)]
pub struct SnapshotReader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    held: Arc<Snapshot>,
}

/// Who publishes, and frees what was published before: there is one.
#[derive(Debug)]
pub struct Publisher {
    publication: Publication,
    /// Snapshots that somebody may still hold. Each shard holds one at most, so they are few.
    retired: Vec<Arc<Snapshot>>,
}

impl Publication {
    /// One that begins with this snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Publication(Arc::new(ArcSwap::new(snapshot)))
    }

    /// The snapshot in force, for whoever is not in a hurry.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// A hold on the snapshot in force. Make it on the thread that uses it: the first look of a thread allocates.
    pub fn reader(&self) -> SnapshotReader {
        let mut reader = SnapshotReader { cache: Cache::new(self.0.clone()), held: self.current() };
        reader.refresh();
        reader
    }

    /// The one who publishes here. What shards take up from one must not be freed by another, so have no two.
    pub fn publisher(&self) -> Publisher {
        Publisher { publication: self.clone(), retired: Vec::new() }
    }
}

impl From<Snapshot> for Publication {
    fn from(snapshot: Snapshot) -> Self {
        Publication::new(Arc::new(snapshot))
    }
}

impl SnapshotReader {
    /// Takes up the snapshot in force. Where it is the one that is held already, one relaxed load of a line that is written
    /// only when another is published. Allocates and frees nothing. Gives whether it is another.
    pub fn refresh(&mut self) -> bool {
        let current = self.cache.load();
        let is_another = !Arc::ptr_eq(current, &self.held);
        if is_another {
            self.held = current.clone();
        }
        is_another
    }
}

impl Deref for SnapshotReader {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.held
    }
}

impl Publisher {
    /// Puts a snapshot in force. The old one stays here until nobody else holds it: no shard is to spend its time on freeing it.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.free();
        self.retired.push(self.publication.0.swap(snapshot));
    }

    /// Frees what nobody holds any more.
    pub fn free(&mut self) {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Snapshot> {
        self.publication.current()
    }

    /// How many snapshots are kept because somebody may hold them.
    pub fn retired(&self) -> usize {
        self.retired.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::pool::Pool;
    use crate::proxy::keys::Keys;
    use crate::proxy::snapshot::Policy;

    fn snapshot(match_ports: bool) -> Snapshot {
        let keys = Keys::derive(b"a secret for tests only").unwrap();
        Snapshot::new(Vec::new(), Pool::default(), keys, Policy { match_ports, ..Policy::default() })
    }

    #[test]
    fn a_reader_keeps_its_snapshot_until_it_refreshes() {
        let publication = Publication::from(snapshot(false));
        let (mut reader, mut publisher) = (publication.reader(), publication.publisher());
        publisher.publish(Arc::new(snapshot(true)));
        assert!(!reader.policy().match_ports);
        reader.refresh();
        assert!(reader.policy().match_ports && publication.current().policy().match_ports);
    }

    #[test]
    fn the_publisher_keeps_an_old_snapshot_for_as_long_as_a_reader_holds_it_and_no_longer() {
        let publication = Publication::from(snapshot(false));
        let (mut reader, mut publisher) = (publication.reader(), publication.publisher());
        for _ in 0..100 {
            publisher.publish(Arc::new(snapshot(true)));
            assert!(publisher.retired() <= 2);
        }
        reader.refresh();
        publisher.free();
        assert_eq!(publisher.retired(), 0);
    }
}
