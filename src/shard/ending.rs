//! What a shard does before it ends, so that every message is accounted for.
//!
//! To end and leave the rest to the kernel looked simpler. A request that waits for its backend's connection would be lost without
//! a word; answered, it is tried elsewhere at once.

use crate::io::Output;
use crate::metrics::cells::{Dropped, ShardCells};
use crate::metrics::connections::Ended;

use super::delivery::Undelivered;
use super::dialed::Waiting;
use super::mailbox::{PARCELS_MAX, PostOffice};
use super::worker::Worker;

impl Worker {
    /// Sends what other shards have posted, answers what waits for connections that will not be opened any more, and takes leave.
    pub(super) fn end(&mut self, out: &mut Output) {
        self.begin_turn();
        for _ in 0..PARCELS_MAX {
            let Some(parcel) = self.delivery.take_parcel() else { break };
            self.send_parcel(parcel, out);
        }
        for Waiting { bytes, tag, .. } in self.delivery.dialed.give_up() {
            self.waiting_not_sent(&bytes, tag, None, Undelivered::NoConnection, out);
        }
        let now_us = self.now_us();
        self.delivery.connections.close_layered(Ended::Stopped, now_us, &mut out.streams);
    }
}

/// Counts what was posted to a shard that has ended. All of those who might post must have ended too.
pub(super) fn count_undelivered(post: &PostOffice, shard: usize, cells: &ShardCells) {
    while post.take(shard).is_some() {
        cells.dropped(Dropped::Ended);
    }
}
