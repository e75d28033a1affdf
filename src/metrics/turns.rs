//! What a shard counts of its turns: how its loop, its engine and its sockets are.

use crate::io::Turn;

use super::cells::{Cell, ShardCells};

/// A shard's health, summed over its turns.
#[derive(Debug, Default)]
pub struct TurnCells {
    /// Turns.
    pub turns: Cell,
    /// See [`Turn::completions`].
    pub completions: Cell,
    /// See [`Turn::datagrams`].
    pub datagrams: Cell,
    /// See [`Turn::starved`].
    pub starved: Cell,
    /// See [`Turn::rearmed`].
    pub rearmed: Cell,
    /// See [`Turn::receive_errors`].
    pub receive_errors: Cell,
    /// See [`Turn::kernel_drops`].
    pub kernel_drops: Cell,
    /// See [`Turn::accepted`].
    pub accepted: Cell,
    /// See [`Turn::accepts_refused`].
    pub accepts_refused: Cell,
    /// See [`Turn::accept_errors`].
    pub accept_errors: Cell,
    /// See [`Turn::stream_bytes`].
    pub stream_bytes: Cell,
    /// See [`Turn::stream_starved`].
    pub stream_starved: Cell,
}

impl ShardCells {
    /// Counts a turn.
    pub fn turn(&self, turn: &Turn) {
        let cells = self.turns();
        cells.turns.add(1);
        cells.completions.add(u64::from(turn.completions));
        cells.datagrams.add(u64::from(turn.datagrams));
        cells.starved.add(u64::from(turn.starved));
        cells.rearmed.add(u64::from(turn.rearmed));
        cells.receive_errors.add(u64::from(turn.receive_errors));
        cells.kernel_drops.add(turn.kernel_drops);
        cells.accepted.add(u64::from(turn.accepted));
        cells.accepts_refused.add(u64::from(turn.accepts_refused));
        cells.accept_errors.add(u64::from(turn.accept_errors));
        cells.stream_bytes.add(turn.stream_bytes);
        cells.stream_starved.add(u64::from(turn.stream_starved));
    }
}
