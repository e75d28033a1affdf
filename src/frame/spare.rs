//! Buffers for messages that are split over receives: bounded in all, and shared by a shard's connections.
//!
//! A buffer in each connection looked simpler. Most connections are idle most of the time, and a peer that sends half a message
//! on each of many connections would choose how much memory is taken.

use bytes::BytesMut;

/// The smallest buffer: most messages fit.
const SMALLEST_BYTES: usize = 2048;

/// The largest buffer that is kept when it is given back; it holds what a browser offers.
const KEPT_BYTES: usize = 16 * 1024;

/// How much may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpareLimits {
    /// The most bytes in all buffers that hold part of a message. A split message beyond that is refused.
    pub held_bytes: usize,
    /// The most buffers, of up to 16 KiB each, that are kept for the next split message.
    pub kept_buffers: usize,
}

impl Default for SpareLimits {
    /// 64 MiB, which is 32,768 messages of usual size or 1,024 of the longest; 256 buffers.
    fn default() -> Self {
        SpareLimits { held_bytes: 64 << 20, kept_buffers: 256 }
    }
}

/// A shard's spare buffers.
#[derive(Debug)]
pub struct SpareBuffers {
    limits: SpareLimits,
    kept: Vec<BytesMut>,
    /// The last message that was assembled: it stays here while it is read.
    lent: BytesMut,
    held_bytes: usize,
}

/// As much is held as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl SpareBuffers {
    /// None to begin with: they are made as they are needed, and then kept.
    pub fn new(limits: SpareLimits) -> Self {
        let kept = Vec::with_capacity(limits.kept_buffers);
        SpareBuffers { limits, kept, lent: BytesMut::new(), held_bytes: 0 }
    }

    /// The bytes of all buffers that hold part of a message: 0 when no message is under way.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Puts `bytes` behind what `buffer` holds. It grows by doubling, as bytes come and not as a header announces them.
    pub(super) fn append(&mut self, buffer: &mut BytesMut, bytes: &[u8]) -> Result<(), Exhausted> {
        let wanted = buffer.len() + bytes.len();
        if wanted > buffer.capacity() {
            self.enlarge(buffer, wanted)?;
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes a buffer back whose message will not be read.
    pub(super) fn give_back(&mut self, buffer: BytesMut) {
        self.held_bytes = self.held_bytes.saturating_sub(buffer.capacity());
        self.keep(buffer);
    }

    /// Takes a buffer back whose message is whole, and lends the message.
    pub(super) fn lend(&mut self, buffer: BytesMut) -> &[u8] {
        self.held_bytes = self.held_bytes.saturating_sub(buffer.capacity());
        let last = std::mem::replace(&mut self.lent, buffer);
        self.keep(last);
        &self.lent
    }

    fn enlarge(&mut self, buffer: &mut BytesMut, wanted: usize) -> Result<(), Exhausted> {
        let before = buffer.capacity();
        let spare = if before == 0 { self.kept.last().map_or(0, BytesMut::capacity) } else { 0 };
        let target = wanted.next_power_of_two().max(SMALLEST_BYTES).max(spare);
        if self.held_bytes + (target - before) > self.limits.held_bytes {
            return Err(Exhausted);
        }
        if before == 0 {
            *buffer = self.kept.pop().unwrap_or_default();
        }
        buffer.reserve(target - buffer.len());
        self.held_bytes += buffer.capacity() - before;
        Ok(())
    }

    fn keep(&mut self, mut buffer: BytesMut) {
        let fits = (1..=KEPT_BYTES).contains(&buffer.capacity());
        if fits && self.kept.len() < self.limits.kept_buffers {
            buffer.clear();
            self.kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(held_bytes: usize, kept_buffers: usize) -> SpareBuffers {
        SpareBuffers::new(SpareLimits { held_bytes, kept_buffers })
    }

    #[test]
    fn what_is_held_is_bounded_to_the_byte() {
        let mut spare = buffers(4 * SMALLEST_BYTES, 8);
        let (mut first, mut second, mut third) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        assert_eq!(spare.append(&mut first, &[1; SMALLEST_BYTES + 1]), Ok(()));
        assert_eq!(spare.append(&mut second, &[2; 2 * SMALLEST_BYTES]), Ok(()));
        assert_eq!(spare.held_bytes(), 4 * SMALLEST_BYTES);
        assert_eq!(spare.append(&mut third, b"3"), Err(Exhausted));
        assert_eq!(spare.append(&mut second, b"2"), Err(Exhausted));
        assert_eq!(second.len(), 2 * SMALLEST_BYTES);
        spare.give_back(first);
        assert_eq!(spare.append(&mut third, b"3"), Ok(()));
    }

    #[test]
    fn a_buffer_is_used_again_and_one_that_grew_large_is_not_kept() {
        let mut spare = buffers(1 << 20, 8);
        let mut buffer = BytesMut::new();
        spare.append(&mut buffer, b"message").unwrap();
        let place = buffer.as_ptr();
        assert_eq!(spare.lend(std::mem::take(&mut buffer)), b"message");
        let mut large = BytesMut::new();
        spare.append(&mut large, &[0; KEPT_BYTES + 1]).unwrap();
        assert_eq!(spare.lend(large).len(), KEPT_BYTES + 1);
        assert_eq!(spare.kept.len(), 1);
        spare.append(&mut buffer, b"another").unwrap();
        assert_eq!((buffer.as_ptr(), &buffer[..]), (place, &b"another"[..]));
        spare.give_back(buffer);
        assert_eq!((spare.held_bytes(), spare.kept.len()), (0, 1));
    }

    #[test]
    fn no_more_buffers_are_kept_than_the_limit() {
        let mut spare = buffers(1 << 20, 2);
        let mut held = [(); 5].map(|()| BytesMut::new());
        held.iter_mut().for_each(|buffer| spare.append(buffer, b"x").unwrap());
        held.into_iter().for_each(|buffer| spare.give_back(buffer));
        assert_eq!((spare.held_bytes(), spare.kept.len()), (0, 2));
    }
}
