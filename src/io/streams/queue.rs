//! What waits to be sent on one connection: two buffers, one that is filled and one that the kernel has.
//!
//! One ring buffer for each connection looks simpler. It would be held while nothing is sent, and could not grow while
//! the kernel reads it. Two buffers that are borrowed from a common pool cost an idle connection nothing, and all that is
//! queued while one is on its way leaves by the next send.

/// The send queue of a connection.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    filling: Option<Box<SendBuffer>>,
    /// Does not move and is not written until the kernel is done with it.
    leaving: Option<Box<SendBuffer>>,
}

/// What is to be handed to the kernel next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsent {
    pub(crate) start: *const u8,
    /// Zero where only empty pieces are queued.
    pub(crate) len: usize,
}

impl SendQueue {
    /// How many bytes the kernel has not taken.
    pub(crate) fn bytes(&self) -> usize {
        [&self.filling, &self.leaving].into_iter().flatten().map(|buffer| buffer.filled - buffer.sent).sum()
    }

    /// Whether nothing waits, not even an empty piece.
    pub(crate) fn is_empty(&self) -> bool {
        self.filling.is_none() && self.leaving.is_none()
    }

    /// Room for `bytes` behind what is queued. It holds what was last written there.
    pub(crate) fn room(&mut self, bytes: usize, pool: &mut Pool) -> &mut [u8] {
        let buffer = self.filling.get_or_insert_with(|| pool.take());
        let end = buffer.filled + bytes;
        if buffer.bytes.len() < end {
            let grown = end.next_power_of_two().max(BUFFER_BYTES_MIN);
            buffer.bytes.resize(grown, 0);
        }
        &mut buffer.bytes[buffer.filled..end]
    }

    /// Queues the first `len` bytes of the room.
    pub(crate) fn append(&mut self, len: usize, tag: Option<u16>) {
        let Some(buffer) = &mut self.filling else { return };
        buffer.filled = buffer.bytes.len().min(buffer.filled + len);
        if let Some(tag) = tag {
            buffer.pieces.push(Piece { end: buffer.filled, tag });
        }
    }

    /// Gives the room back if nothing was queued in it.
    pub(crate) fn tidy(&mut self, pool: &mut Pool) {
        if let Some(buffer) = self.filling.take_if(|buffer| buffer.filled == 0 && buffer.pieces.is_empty()) {
            pool.give(buffer);
        }
    }

    /// What is to be sent next: the rest of what is leaving, or else all that is queued, which is leaving from then on.
    pub(crate) fn next(&mut self) -> Option<Unsent> {
        if self.leaving.is_none() {
            self.leaving = self.filling.take();
        }
        let buffer = self.leaving.as_ref()?;
        let unsent = &buffer.bytes[buffer.sent..buffer.filled];
        Some(Unsent { start: unsent.as_ptr(), len: unsent.len() })
    }

    /// Notes that the kernel took the next `len` bytes; reports the pieces that have gone by it.
    pub(crate) fn took(&mut self, len: usize, pool: &mut Pool, mut report: impl FnMut(u16)) {
        let Some(buffer) = &mut self.leaving else { return };
        buffer.sent = buffer.filled.min(buffer.sent + len);
        while let Some(piece) = buffer.pieces.get(buffer.reported).filter(|piece| piece.end <= buffer.sent) {
            buffer.reported += 1;
            report(piece.tag);
        }
        if let Some(buffer) = self.leaving.take_if(|buffer| buffer.sent == buffer.filled) {
            pool.give(buffer);
        }
    }

    /// Gives up what is queued; reports the pieces that have not gone, with their bytes. The kernel must be done with it.
    pub(crate) fn fail(&mut self, pool: &mut Pool, mut report: impl FnMut(u16, &[u8])) {
        for buffer in [self.leaving.take(), self.filling.take()].into_iter().flatten() {
            let mut start = buffer.reported.checked_sub(1).map_or(0, |last| buffer.pieces[last].end);
            for piece in &buffer.pieces[buffer.reported..] {
                report(piece.tag, &buffer.bytes[start..piece.end]);
                start = piece.end;
            }
            pool.give(buffer);
        }
    }
}

/// Send buffers that no connection needs, for the next one that does.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Last in, first out: the buffer used last is the one most likely in the cache.
    #[allow(clippy::vec_box, reason = "a buffer moves between pool and queues as one word, and not at all in memory")]
    free: Vec<Box<SendBuffer>>,
    free_bytes: usize,
    lent: usize,
}

impl Pool {
    /// How many buffers are lent.
    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    fn take(&mut self) -> Box<SendBuffer> {
        self.lent += 1;
        let buffer = self.free.pop().unwrap_or_default();
        self.free_bytes -= buffer.bytes.len();
        buffer
    }

    fn give(&mut self, mut buffer: Box<SendBuffer>) {
        self.lent -= 1;
        if self.free_bytes + buffer.bytes.len() > FREE_BYTES_MAX {
            return;
        }
        self.free_bytes += buffer.bytes.len();
        buffer.clear();
        self.free.push(buffer);
    }
}

/// Bytes with the pieces they consist of.
#[derive(Debug, Default)]
struct SendBuffer {
    /// Initialised throughout; only as far as `filled` it is queued.
    bytes: Vec<u8>,
    filled: usize,
    sent: usize,
    /// The tagged ones, in order.
    pieces: Vec<Piece>,
    reported: usize,
}

/// A part that the handler wants to hear of.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it ends in the buffer.
    end: usize,
    tag: u16,
}

impl SendBuffer {
    fn clear(&mut self) {
        (self.filled, self.sent, self.reported) = (0, 0, 0);
        self.pieces.clear();
    }
}

/// Some messages; smaller buffers would have to grow at once.
const BUFFER_BYTES_MIN: usize = 4096;

/// What an engine keeps ready: for 1,000 busy connections with a dozen messages each.
const FREE_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::slice;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_queued_and_each_tag_is_reported_when_its_last_byte_has_gone(
            steps in vec((0usize..6000, 0usize..9000), 1..60),
        ) {
            let (mut queue, mut pool) = (SendQueue::default(), Pool::default());
            let (mut queued, mut sent, mut ends, mut tags) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (tag, (length, taken)) in steps.into_iter().enumerate() {
                queue.room(length + 10, &mut pool)[..length].fill(tag as u8);
                queue.append(length, Some(tag as u16));
                queued.extend(vec![tag as u8; length]);
                ends.push(queued.len());
                take(&mut queue, &mut pool, taken, &mut sent, &mut tags);
                prop_assert_eq!(queue.bytes(), queued.len() - sent.len());
                // An empty piece may wait for the next send.
                prop_assert!(tags.iter().all(|tag| ends[usize::from(*tag)] <= sent.len()));
            }
            for _ in 0..2 {
                take(&mut queue, &mut pool, usize::MAX / 2, &mut sent, &mut tags);
            }
            prop_assert!(sent == queued);
            prop_assert!(tags.iter().copied().eq(0..ends.len() as u16));
            prop_assert!(queue.is_empty());
            prop_assert_eq!(pool.lent(), 0);
        }
    }

    #[test]
    fn what_is_given_up_is_reported_but_for_what_has_gone() {
        let (mut queue, mut pool) = (SendQueue::default(), Pool::default());
        for tag in 0..3 {
            queue.room(10, &mut pool).fill(tag as u8);
            queue.append(10, Some(tag));
        }
        queue.next();
        queue.took(15, &mut pool, |tag| assert_eq!(tag, 0));
        queue.room(10, &mut pool).fill(3);
        queue.append(10, Some(3));
        let mut failed = Vec::new();
        queue.fail(&mut pool, |tag, bytes| failed.push((tag, bytes[0], bytes.len())));
        assert_eq!(failed, [(1, 1, 10), (2, 2, 10), (3, 3, 10)]);
        assert_eq!((pool.lent(), queue.bytes()), (0, 0));
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_limit() {
        let (mut queue, mut pool) = (SendQueue::default(), Pool::default());
        queue.room(FREE_BYTES_MAX + 1, &mut pool);
        queue.tidy(&mut pool);
        assert_eq!((pool.free.len(), pool.free_bytes, pool.lent()), (0, 0, 0));
    }

    fn take(queue: &mut SendQueue, pool: &mut Pool, len: usize, sent: &mut Vec<u8>, tags: &mut Vec<u16>) {
        let Some(unsent) = queue.next() else { return };
        let len = len.min(unsent.len);
        // SAFETY: what is unsent stays where it is until it is taken.
        sent.extend(unsafe { slice::from_raw_parts(unsent.start, len) });
        queue.took(len, pool, |tag| tags.push(tag));
    }
}
