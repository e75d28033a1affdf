//! What goes on before Viaduct ends: messages and connections, for a time, while others are told to turn elsewhere.
//!
//! To count the dialogs that pass and end with the last looked better. They pass without a trace, and most of those that have begun
//! here go on through another member of the fleet; so what tells that nobody needs this one is that nothing is forwarded any more.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::config::drain::DrainSettings;
use crate::control::signal::Terminations;
use crate::control::steward::PoolHandle;
use crate::shard::thread::Running;

use super::Viaduct;

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
}

impl Viaduct {
    /// Tells others to turn elsewhere, accepts no more connections, and goes on until the peers have closed theirs and nothing
    /// was forwarded for a time, the grace is over, the operator asks again, or a shard ends. Who drains is not ready any more.
    pub(super) async fn drain(
        &mut self,
        why: &str,
        settings: &DrainSettings,
        pool: PoolHandle,
        terminations: &mut Terminations,
    ) {
        let connections = self.accepted_open();
        tracing::info!(why, connections, grace_s = settings.grace_s, "draining");
        // Whoever steers may have a table to make first, and is not waited for then. Where nobody steers, the process ends anyway.
        let told = tokio::spawn(async move { pool.drain().await.ok() });
        let _ = timeout(TOLD, told).await;
        self.shards.iter().for_each(Running::stop_accepting);
        let drained = tokio::select! {
            signal = terminations.next() => {
                tracing::info!(signal, "told again to end");
                Drained::ToldAgain
            }
            drained = self.until_idle(settings) => drained,
        };
        tracing::info!(why = drained.label(), connections = self.accepted_open(), "drained");
    }

    async fn until_idle(&mut self, settings: &DrainSettings) -> Drained {
        let deadline = Instant::now() + settings.grace();
        let (mut idle_since, mut seen) = (Instant::now(), self.forwarded());
        loop {
            if self.accepted_open() == 0 && idle_since.elapsed() >= settings.idle() {
                return Drained::Idle;
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

    fn accepted_open(&self) -> u64 {
        self.shards.iter().map(|shard| shard.cells.accepted_open()).sum()
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
        }
    }
}
