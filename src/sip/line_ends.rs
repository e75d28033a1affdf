//! Where the lines of a message end, found 64 bytes at a time.
//!
//! memchr's iterator looked better, as it is there. It starts anew for each line, and lines are short.

use wide::i8x16;

const BLOCK_BYTES: usize = 64;

/// The places of all line feeds from some byte on.
pub(super) struct LineEnds<'a> {
    message: &'a [u8],
    /// Where the block begins that `found` is of.
    block: usize,
    /// A bit for each line feed of the block that has not been given yet.
    found: u64,
}

impl<'a> LineEnds<'a> {
    pub(super) fn new(message: &'a [u8], from: usize) -> Self {
        let block = from - from % BLOCK_BYTES;
        let found = line_feeds(message, block) & (u64::MAX << (from % BLOCK_BYTES));
        LineEnds { message, block, found }
    }
}

impl Iterator for LineEnds<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.block += BLOCK_BYTES;
            if self.block >= self.message.len() {
                return None;
            }
            self.found = line_feeds(self.message, self.block);
        }
        let place = self.found.trailing_zeros();
        self.found &= self.found - 1;
        Some(self.block + place as usize)
    }
}

/// A bit for each line feed in the 64 bytes from `block` on; none behind the end of the message.
#[inline]
fn line_feeds(message: &[u8], block: usize) -> u64 {
    let rest = message.get(block..).unwrap_or_default();
    match rest.first_chunk::<BLOCK_BYTES>() {
        Some(bytes) => line_feeds_of(bytes),
        None => {
            let mut bytes = [0; BLOCK_BYTES];
            bytes[..rest.len()].copy_from_slice(rest);
            line_feeds_of(&bytes)
        }
    }
}

#[inline]
fn line_feeds_of(bytes: &[u8; BLOCK_BYTES]) -> u64 {
    let (quarters, _) = bytes.as_chunks::<16>();
    let line_feed = i8x16::splat(b'\n' as i8);
    let mut found = 0;
    for (index, quarter) in quarters.iter().enumerate() {
        let equal = i8x16::new(quarter.map(|byte| byte as i8)).simd_eq(line_feed);
        found |= (equal.to_bitmask() as u64) << (16 * index);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_feed_is_found_once_whatever_the_length() {
        for len in 0..200 {
            for step in [1, 2, 7, 63, 64, 65] {
                let message: Vec<u8> = (0..len).map(|i| if i % step == step - 1 { b'\n' } else { 0x8a }).collect();
                for from in [0, 1, 5, 63, 64, 66, 130] {
                    let from = from.min(len);
                    let expected: Vec<usize> = (from..len).filter(|i| message[*i] == b'\n').collect();
                    assert_eq!(LineEnds::new(&message, from).collect::<Vec<_>>(), expected);
                }
            }
        }
    }
}
