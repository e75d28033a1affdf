//! Copies of messages on their way from a shard to whoever sends them on: in buffers that were made before, through a queue that has an
//! end.
//!
//! To lend the message itself looked cheaper. It lies in a buffer of the kernel's that the next message needs, and in a send slot
//! that is used again at once. Nor does a shard wake whoever sends copies on: that would cost it a lock and a call of the kernel's for
//! each message.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::SystemTime;

use crossbeam::queue::ArrayQueue;

use crate::balance::key::Key;
use crate::metrics::cells::ShardCells;
use crate::sip::Transport;
use crate::sip::header::HeaderName;
use crate::sip::scan::Head;

/// The most copies that wait. A tenth of a second's worth of a busy shard.
const COPIES_MAX: usize = 1024;

/// The longest message, with what we add to it. Memory is used as buffers are filled.
const MESSAGE_BYTES_MAX: usize = 65_535 + 4096;

/// The longest Call-ID that is told whole.
const CALL_ID_BYTES_MAX: usize = 1024;

/// A message, as it came or as it went.
#[derive(Debug)]
pub struct Copy {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its Call-ID.
    pub call_id: Vec<u8>,
    /// Where it went from, where to, and by what.
    pub path: Path,
    /// When.
    pub at: SystemTime,
}

/// Where a message went from, where to, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Who sent it.
    pub source: SocketAddr,
    /// Who it was sent to.
    pub destination: SocketAddr,
    /// What it went by.
    pub transport: Transport,
}

/// Which part of all calls is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many of all hashes that a Call-ID may have are in it, from the first on; the largest number is all of them.
    hashes: u64,
}

/// What the shards and whoever sends copies on share.
#[derive(Debug)]
pub struct CopyQueue {
    waiting: ArrayQueue<Box<Copy>>,
    free: ArrayQueue<Box<Copy>>,
    /// See [`Share`].
    share_hashes: AtomicU64,
    has_buffers: Once,
}

/// A shard's way to copy messages.
#[derive(Debug)]
pub struct Copier {
    queue: Arc<CopyQueue>,
    cells: Arc<ShardCells>,
    head: Head,
}

impl Share {
    /// Nothing.
    pub const NONE: Share = Share { hashes: 0 };

    /// That part, from 0 to 1.
    pub fn new(part: f64) -> Self {
        // The cast keeps to the numbers that there are.
        Share { hashes: (part * 2f64.powi(64)) as u64 }
    }

    /// Whether a call is in it. The same on every member of a fleet, and nobody who does not have the key can choose it.
    pub fn has(self, key: &Key, call_id: &[u8]) -> bool {
        match self.hashes {
            0 => false,
            u64::MAX => true,
            hashes => key.hash(call_id) < hashes,
        }
    }
}

impl Default for CopyQueue {
    /// An empty queue for no calls.
    fn default() -> Self {
        CopyQueue {
            waiting: ArrayQueue::new(COPIES_MAX),
            free: ArrayQueue::new(COPIES_MAX),
            share_hashes: AtomicU64::new(Share::NONE.hashes),
            has_buffers: Once::new(),
        }
    }
}

impl CopyQueue {
    /// Has that share of all calls copied from here on. All buffers are made the first time that it is any.
    pub fn set_share(&self, share: Share) {
        if share != Share::NONE {
            self.has_buffers.call_once(|| self.make_buffers());
        }
        self.share_hashes.store(share.hashes, Ordering::Relaxed);
    }

    fn make_buffers(&self) {
        for _ in 0..COPIES_MAX {
            // There is room for each.
            let _ = self.free.push(Box::new(Copy::empty()));
        }
    }

    fn share(&self) -> Share {
        Share { hashes: self.share_hashes.load(Ordering::Relaxed) }
    }

    /// The next copy. Give it back. Look for it every few milliseconds: nobody says that there is one.
    pub fn take(&self) -> Option<Box<Copy>> {
        self.waiting.pop()
    }

    /// Takes a copy back: its buffer is free for another.
    pub fn give_back(&self, copy: Box<Copy>) {
        let _ = self.free.push(copy);
    }
}

impl Copy {
    fn empty() -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        Copy {
            bytes: Vec::with_capacity(MESSAGE_BYTES_MAX),
            call_id: Vec::with_capacity(CALL_ID_BYTES_MAX),
            path: Path { source: nowhere, destination: nowhere, transport: Transport::Udp },
            at: SystemTime::UNIX_EPOCH,
        }
    }
}

impl Copier {
    /// A way into that queue; what does not get in is counted in `cells`, which are the shard's own.
    pub fn new(queue: Arc<CopyQueue>, cells: Arc<ShardCells>) -> Self {
        Copier { queue, cells, head: Head::default() }
    }

    /// Whether any messages are copied.
    pub fn is_on(&self) -> bool {
        self.queue.share() != Share::NONE
    }

    /// Whether the messages of that call are copied.
    pub fn takes(&self, key: &Key, call_id: &[u8]) -> bool {
        self.queue.share().has(key, call_id)
    }

    /// The Call-ID of a message that nobody has read.
    pub fn call_id<'a>(&mut self, message: &'a [u8]) -> &'a [u8] {
        let _ = self.head.scan(message);
        self.head.first(HeaderName::CallId).map_or(&[], |field| field.value.of(message))
    }

    /// Copies a message, which `write` writes into an empty buffer with room for it. Allocates nothing, locks nothing and wakes
    /// nobody: where no buffer is free, the copy is left out, and counted.
    pub fn copy(&self, path: Path, at: SystemTime, call_id: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let Some(mut copy) = self.queue.free.pop() else { return self.cells.copy_crowded_out() };
        copy.bytes.clear();
        copy.call_id.clear();
        copy.call_id.extend_from_slice(&call_id[..call_id.len().min(CALL_ID_BYTES_MAX)]);
        (copy.path, copy.at) = (path, at);
        write(&mut copy.bytes);
        let _ = self.queue.waiting.push(copy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::EngineKind;

    fn path() -> Path {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Path { source: at(1), destination: at(2), transport: Transport::Udp }
    }

    #[test]
    fn a_share_has_its_part_of_all_calls_and_each_call_whole_whoever_asks() {
        let key = Key::new([7; 16]);
        let calls: Vec<String> = (0..20_000).map(|number| format!("{number}@a.example")).collect();
        let part = |share: f64| {
            let share = Share::new(share);
            calls.iter().filter(|call| share.has(&key, call.as_bytes())).collect::<Vec<_>>()
        };
        assert_eq!((Share::new(0.0), part(0.0).len()), (Share::NONE, 0));
        assert_eq!(part(1.0).len(), calls.len());
        let (quarter, half) = (part(0.25), part(0.5));
        assert!((4_700..5_300).contains(&quarter.len()) && (9_600..10_400).contains(&half.len()));
        assert!(quarter.iter().all(|call| half.contains(call)), "a larger share adds calls and takes none away");
    }

    #[test]
    fn without_a_free_buffer_a_copy_is_left_out_and_counted_and_a_buffer_given_back_serves_again() {
        let cells = Arc::new(ShardCells::new(EngineKind::Poll, false, 0));
        let queue = Arc::new(CopyQueue::default());
        queue.set_share(Share::new(1.0));
        let copier = Copier::new(queue.clone(), cells.clone());
        let copy = |text: &[u8]| {
            copier.copy(path(), SystemTime::now(), &[b'x'; 5000], |bytes| bytes.extend_from_slice(text));
        };
        (0..COPIES_MAX + 3).for_each(|_| copy(b"a long message"));
        assert_eq!(cells.copies().crowded_out.get(), 3);
        let first = queue.take().unwrap();
        assert_eq!((&first.bytes[..], first.call_id.len()), (&b"a long message"[..], CALL_ID_BYTES_MAX));
        queue.give_back(first);
        copy(b"short");
        let all: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!((all.len(), &all.last().unwrap().bytes[..]), (COPIES_MAX, &b"short"[..]));
        assert_eq!(cells.copies().crowded_out.get(), 3);
    }
}
