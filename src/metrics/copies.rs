//! What is counted of copies of messages that are sent on.

use super::cells::{Cell, ShardCells};

/// What a shard counts of the copies that it does not hand on.
#[derive(Debug, Default)]
pub struct CopyCells {
    /// Copies left out because all buffers were in use.
    pub crowded_out: Cell,
}

impl ShardCells {
    /// Counts a copy that is left out because all buffers are in use.
    pub fn copy_crowded_out(&self) {
        self.copies().crowded_out.add(1);
    }
}

/// What whoever sends copies on counts.
#[derive(Debug, Default)]
pub struct ExportCells {
    /// Copies that the kernel took.
    pub sent: Cell,
    /// Copies that could not be sent.
    pub lost: Cell,
    /// Copies of messages too long for a packet.
    pub too_long: Cell,
}
