//! What goes on before Viaduct ends: messages and connections, for a time, while others are told to turn elsewhere.
//!
//! To count the dialogs that pass and end with the last looked better. They pass without a trace, and most of those that have begun
//! here go on through another member of the fleet; so what tells that nobody needs this one is that nothing is forwarded any more.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::config::drain::DrainSettings;
use crate::control::drain::Cause;
use crate::control::signal::Terminations;
use crate::control::steward::PoolHandle;
use crate::metrics::cells::ShardCells;
use crate::shard::kin::Role;
use crate::shard::thread::Running;

use super::process::Viaduct;

/// How often it is looked whether anything goes on.
const LOOK: Duration = Duration::from_millis(50);

/// How long it may take until shards tell others.
const TOLD: Duration = Duration::from_millis(500);

/// Why the end has come.
#[derive(Clone, Copy, Debug)]
enum Drained {
    Idle,
    GraceOver,
    ToldAgain,
    ShardEnded,
    SuccessorEnded,
}

impl Viaduct {
    /// Tells others to turn elsewhere, accepts no more connections, and goes on until the peers have closed theirs and nothing
    /// was forwarded for a time, the grace is over, the operator asks again, or a shard ends. Who drains is not ready any more.
    /// Where another process has taken over, others are told nothing: the address is as good as ever. Only the connections are left
    /// then, also those to backends, by which responses come; and when that process ends, they are of no use, while the sockets
    /// would keep the next one from its address.
    pub(super) async fn drain(
        &mut self,
        cause: Cause,
        settings: &DrainSettings,
        pool: PoolHandle,
        terminations: &mut Terminations,
    ) {
        let is_handed_over = cause == Cause::HandedOver;
        // From here on nobody takes over: who has been told to end closes its listeners for everybody who has them.
        self.drain.ask(cause);
        let (why, connections) = (cause.label(), self.connections(is_handed_over));
        tracing::info!(why, connections, grace_s = settings.grace_s, "draining");
        if !is_handed_over {
            // Whoever steers may have a table to make first, and is not waited for then. Where nobody steers, the process ends anyway.
            let told = tokio::spawn(async move { pool.drain().await.ok() });
            let _ = timeout(TOLD, told).await;
            self.shards.iter().for_each(Running::stop_accepting);
        }
        let drained = tokio::select! {
            signal = terminations.next() => {
                tracing::info!(signal, "told again to end");
                Drained::ToldAgain
            }
            drained = self.until_idle(settings, is_handed_over) => drained,
        };
        tracing::info!(why = drained.label(), connections = self.connections(is_handed_over), "drained");
    }

    async fn until_idle(&mut self, settings: &DrainSettings, is_handed_over: bool) -> Drained {
        let deadline = Instant::now() + settings.grace();
        let (mut idle_since, mut seen) = (Instant::now(), self.forwarded());
        loop {
            let is_needed = self.connections(is_handed_over) > 0 || self.carries_for_another();
            if !is_needed && idle_since.elapsed() >= settings.idle() {
                return Drained::Idle;
            }
            if is_handed_over && self.post.has_parted_from(Role::Successor) {
                return Drained::SuccessorEnded;
            }
            if Instant::now() >= deadline {
                return Drained::GraceOver;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = self.ended.recv() => return Drained::ShardEnded,
            }
            let forwarded = self.forwarded();
            if std::mem::replace(&mut seen, forwarded) != forwarded {
                idle_since = Instant::now();
            }
        }
    }

    /// The connections that are waited for: all, or those that others have opened.
    fn connections(&self, all: bool) -> u64 {
        let open = |cells: &ShardCells| if all { cells.connections_open() } else { cells.accepted_open() };
        self.shards.iter().map(|shard| open(&shard.cells)).sum()
    }

    /// Whether what comes for connections of the process before comes to it by this one.
    fn carries_for_another(&self) -> bool {
        self.post.reached().len() > 1
    }

    /// Neighbours' OPTIONS, keepalives and probes are not among what is forwarded: they go on for ever.
    fn forwarded(&self) -> u64 {
        self.shards.iter().map(|shard| shard.cells.forwarded_total()).sum()
    }
}

impl Drained {
    fn label(self) -> &'static str {
        match self {
            Drained::Idle => "nothing is forwarded any more",
            Drained::GraceOver => "the time is over",
            Drained::ToldAgain => "told again",
            Drained::ShardEnded => "a shard has ended",
            Drained::SuccessorEnded => "the process that has taken over has ended",
        }
    }
}
