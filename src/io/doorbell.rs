//! Wakes a shard that sleeps in its engine, from any other thread.
//!
//! An eventfd written on every call looks simpler. A shard under load does not sleep, so nearly all of
//! those writes would be system calls for nothing: three states tell when one is needed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam::utils::CachePadded;

/// A bell for one engine; clones ring the same bell.
///
/// Put the work where the shard will find it, then ring. A ring is never lost: it ends the wait under
/// way, or keeps the next one from starting. Several rings before the shard looks count as one.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    /// On its own cache line, since ringers of other cores write it.
    state: CachePadded<AtomicU8>,
    /// Blocking, since a read that the ring holds would otherwise fail at once instead of waiting.
    event: File,
}

/// The shard is awake and no one has rung since it last looked.
const RUNNING: u8 = 0;
/// Someone has rung and the shard has not looked since.
const NOTIFIED: u8 = 1;
/// The shard sleeps or is about to; the next ring must write to the eventfd.
const PARKED: u8 = 2;

impl Doorbell {
    /// Makes a bell. Fails only for want of descriptors or kernel memory.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers; the result is checked before use.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nothing else owns it.
        let event = unsafe { File::from_raw_fd(fd) };
        let state = CachePadded::new(AtomicU8::new(RUNNING));
        Ok(Self(Arc::new(Bell { state, event })))
    }

    /// Makes the engine's turn end soon and report `rung`. One atomic swap, and a system call only if
    /// the shard sleeps. What was written before this call is visible to the shard after that turn.
    pub fn ring(&self) {
        if self.0.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            // The counter cannot overflow: the shard reads it after each wait, and one wait sees at
            // most one write.
            let _ = (&self.0.event).write(&1u64.to_ne_bytes());
        }
    }

    /// Says that the shard is about to sleep. False: someone has rung, so it must not.
    pub(crate) fn park(&self) -> bool {
        self.0.state.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Says that the shard is awake. True: someone has rung since the last call.
    pub(crate) fn unpark(&self) -> bool {
        // The load first: a shard that did not park and was not rung need not own the cache line.
        self.0.state.load(Ordering::Acquire) != RUNNING && self.0.state.swap(RUNNING, Ordering::AcqRel) == NOTIFIED
    }

    /// Empties the eventfd. Call only when it is readable: it blocks otherwise.
    pub(crate) fn drain(&self) {
        let mut count = [0; 8];
        let _ = (&self.0.event).read(&mut count);
    }

    /// The eventfd, to wait on.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_next_wait_from_starting_and_is_reported_once() {
        let doorbell = Doorbell::new().unwrap();
        doorbell.ring();
        doorbell.ring();
        assert!(!doorbell.park());
        assert!(doorbell.unpark());
        assert!(!doorbell.unpark());
        assert!(doorbell.park());
    }

    #[test]
    fn only_a_parked_shard_costs_a_write() {
        let doorbell = Doorbell::new().unwrap();
        doorbell.ring();
        assert!(doorbell.unpark());
        assert!(doorbell.park());
        doorbell.clone().ring();
        doorbell.ring();
        assert!(doorbell.unpark());
        let mut count = [0; 8];
        (&doorbell.0.event).read_exact(&mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
    }
}
