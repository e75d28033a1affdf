//! Memory that the kernel reads and writes beside us: mapped once, never moved, released on drop.
//!
//! A `Vec<u8>` looks simpler. It is ruled out twice: a zeroed `Vec` with page alignment is written to
//! by the allocator and so committed in full, and a reference to the whole of it may not exist while
//! the kernel writes to a part.

use std::io;
use std::ptr::{self, NonNull};

/// An anonymous mapping, zeroed and page-aligned. A page costs memory from its first use on.
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    bytes: usize,
}

impl Region {
    /// Maps `bytes` (at least one). Fails with `ENOMEM` where address space or overcommit is limited.
    pub(crate) fn zeroed(bytes: usize) -> io::Result<Self> {
        let bytes = bytes.max(1);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing
        // memory; the result is checked before use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, bytes })
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
    }

    /// The address of byte `offset`. Offsets past the end give the address of the end.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: the offset is at most the size of the mapping, so the result is within it or one
        // past its end.
        unsafe { self.start.as_ptr().add(offset.min(self.bytes)) }
    }

    /// Gives up the mapping without unmapping it, for the case that the kernel may still write there.
    pub(crate) fn leak(&mut self) {
        self.bytes = 0;
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: start and size are those of a mapping that only this value owns.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        }
    }
}

/// The distance, in bytes, between neighbours of at least `bytes` each: an odd number of cache lines,
/// so that the neighbours' first lines fall on different offsets within a page. With a stride of
/// whole pages all first lines (the only ones that short datagrams use) would compete for the same
/// few sets of the first-level cache.
pub(crate) fn stride(bytes: usize) -> usize {
    (bytes.div_ceil(LINE_BYTES) | 1) * LINE_BYTES
}

const LINE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_holds_its_bytes_and_visits_every_line_of_a_page() {
        for bytes in [0, 1, 63, 64, 65, 2048, 4096, 65_535, 65_647] {
            let stride = stride(bytes);
            assert!(stride >= bytes);
            let offsets: std::collections::BTreeSet<_> = (0..64).map(|index| index * stride % 4096).collect();
            assert_eq!(offsets.len(), 64, "stride {stride}");
        }
    }
}
