//! Places in a message, small enough to be copied freely.

use std::ops::Range;

/// A range of bytes of a message. 32 bits suffice: a datagram has at most 65,535 bytes and streams are framed below that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte; never below `start`.
    pub end: u32,
}

impl Span {
    /// The bytes from `start` up to `end`; empty where `end` lies before `start`.
    pub fn new(start: usize, end: usize) -> Self {
        let start = start as u32;
        Span { start, end: (end as u32).max(start) }
    }

    /// The bytes of `message` that this span names; empty where the span was made from another message.
    pub fn of(self, message: &[u8]) -> &[u8] {
        message.get(self.range()).unwrap_or_default()
    }

    /// As a range for indexing.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Its number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it names no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// An empty span at this one's end: where text is put in behind it.
    pub fn after(self) -> Self {
        Span { start: self.end, end: self.end }
    }

    /// An empty span at this one's start: where text is put in before it.
    pub fn before(self) -> Self {
        Span { start: self.start, end: self.start }
    }
}
