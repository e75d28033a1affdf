//! The provided-buffer ring: where the kernel finds buffers for what it receives.
//!
//! Incremental buffers (one large buffer consumed piece by piece) look denser. The kernel does not
//! support them soundly together with multishot recvmsg, and one datagram that is still needed would
//! hold back all its neighbours.

use std::sync::atomic::{AtomicU16, Ordering};
use std::{io, slice};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::io::region::{Region, stride};

/// The group of buffers that all UDP sockets of an engine share.
pub(crate) const GROUP: u16 = 0;

/// The group of buffers that all its connections share.
pub(crate) const STREAM_GROUP: u16 = 1;

/// Buffers of equal size, all registered with one ring. Each is either the kernel's or, between its
/// completion and the drop of its [`Lease`], ours. They are used in turn, first in, first out.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What the kernel reads: an array of entries, page-aligned as it demands.
    entries: Region,
    pool: Region,
    count: u16,
    bytes: usize,
    stride: usize,
    /// Entries written since the start, wrapping. The kernel sees them when published.
    tail: u16,
    published: u16,
}

impl Buffers {
    /// Makes and registers `count` (a power of two to 32,768) buffers of `bytes` each as `group`. Errors:
    /// `EINVAL` on kernels before 5.19, `ENOMEM` for want of locked memory.
    pub(crate) fn open(submitter: &Submitter<'_>, group: u16, count: u16, bytes: usize) -> io::Result<Self> {
        let stride = stride(bytes);
        let mut buffers = Self {
            entries: Region::zeroed(usize::from(count) * size_of::<BufRingEntry>())?,
            pool: Region::zeroed(usize::from(count) * stride)?,
            count,
            bytes,
            stride,
            tail: 0,
            published: 0,
        };
        let address = buffers.entries.at(0) as u64;
        // SAFETY: the region holds `count` entries and outlives the registration: the engine
        // unregisters it before it drops the buffers, or leaks them.
        unsafe { submitter.register_buf_ring_with_flags(address, count, group, 0) }?;
        (0..count).for_each(|id| buffers.give(id));
        buffers.publish();
        Ok(buffers)
    }

    /// Takes over buffer `id`, of which a completion said that the first `length` bytes are filled.
    /// `None` for a buffer that does not exist.
    pub(crate) fn lease(&mut self, id: u16, length: usize) -> Option<Lease<'_>> {
        let length = length.min(self.bytes);
        (id < self.count).then_some(Lease { buffers: self, id, length })
    }

    /// Shows the kernel all buffers given back since the last call.
    pub(crate) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        self.published = self.tail;
        let base = self.entries.at(0).cast::<BufRingEntry>();
        // SAFETY: base points to the first entry, where the kernel keeps the tail; only this thread
        // writes it, and the kernel reads it atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        // Release: the kernel must see the entries before it sees that there are more.
        tail.store(self.tail, Ordering::Release);
    }

    /// Keeps the memory mapped for ever, for the case that the kernel may still write to it.
    pub(crate) fn leak(&mut self) {
        self.entries.leak();
        self.pool.leak();
    }

    fn give(&mut self, id: u16) {
        let index = self.tail & (self.count - 1);
        let entry = self.entries.at(usize::from(index) * size_of::<BufRingEntry>());
        // SAFETY: the index is within the array; the kernel does not read an entry past the published
        // tail, and at most `count` buffers are out, so it is done with what was here. The setters
        // leave the tail, which shares the first entry, alone.
        let entry = unsafe { &mut *entry.cast::<BufRingEntry>() };
        entry.set_addr(self.address(id) as u64);
        entry.set_len(self.bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn address(&self, id: u16) -> *mut u8 {
        self.pool.at(usize::from(id) * self.stride)
    }
}

/// A filled buffer. Dropping it gives the buffer back, on every path; the kernel sees it at the next
/// [`Buffers::publish`].
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    buffers: &'a mut Buffers,
    id: u16,
    length: usize,
}

impl Lease<'_> {
    /// What the kernel wrote.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the range lies within the pool, which is initialised by being mapped; the kernel
        // gave the buffer up with its completion and gets it back only after this lease.
        unsafe { slice::from_raw_parts(self.buffers.address(self.id), self.length) }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.buffers.give(self.id);
    }
}
