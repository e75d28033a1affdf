//! Viaduct itself as a document: version, time, messages, drops and shards.

use std::collections::BTreeMap;
use std::fs;
use std::time::UNIX_EPOCH;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::balance::standing::Standing;
use crate::metrics::admin::{Action, ActionOutcome};
use crate::metrics::cells::{Dropped, ShardCells};
use crate::metrics::collector::dropped_label;
use crate::metrics::connections::Direction;
use crate::proxy::inbound::Side;
use crate::proxy::verdict::{AbsorbReason, MessageKind};
use crate::sip::Transport;
use crate::sip::reply::Status;

use super::api::{Api, Peer, Shared};
use super::body;

#[derive(Serialize)]
struct StatusDocument {
    version: &'static str,
    /// In Unix time.
    started_s: f64,
    uptime_s: f64,
    config_digest: String,
    log_level: String,
    /// What changes need from who asks: `token`, `nothing`, or they are `refused`.
    changes_need: &'static str,
    /// Whether Viaduct itself drains.
    is_draining: bool,
    messages: Messages,
    pool: PoolCounts,
    shards: Vec<Shard>,
    /// Changes by the administrator, by action and outcome; those that there were.
    changes: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

#[derive(Serialize)]
struct Messages {
    received: u64,
    forwarded: u64,
    answered: u64,
    absorbed: u64,
    dropped: u64,
    /// Those that there were.
    dropped_by_reason: BTreeMap<&'static str, u64>,
    /// Datagrams that the kernel dropped before Viaduct saw them.
    kernel_drops: u64,
}

#[derive(Serialize)]
struct PoolCounts {
    backends: usize,
    up: usize,
    draining: usize,
    down: usize,
    is_panic: bool,
}

#[derive(Serialize)]
struct Shard {
    shard: usize,
    engine: &'static str,
    is_fallback: bool,
    /// Processor time that its thread has used, in seconds; `null` where the kernel does not tell.
    cpu_s: Option<f64>,
    turns: u64,
    completions: u64,
    datagrams: u64,
    stream_bytes: u64,
    connections: u64,
    kernel_drops: u64,
}

pub(super) async fn show(State(api): Shared, Extension(Peer(peer)): Extension<Peer>) -> Response {
    let (started, at) = api.started;
    let document = StatusDocument {
        version: env!("CARGO_PKG_VERSION"),
        started_s: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        uptime_s: started.elapsed().as_secs_f64(),
        config_digest: api.reloads.digest(),
        log_level: api.log.current(),
        changes_need: api.guard.need(peer.ip()),
        is_draining: api.pool.state().borrow().snapshot.is_draining(),
        messages: messages(&api.shards),
        pool: pool(&api),
        shards: shards(&api.shards),
        changes: changes(&api),
    };
    body::answer(StatusCode::OK, &document)
}

fn messages(shards: &[std::sync::Arc<ShardCells>]) -> Messages {
    let total = |count: &dyn Fn(&ShardCells) -> u64| -> u64 { shards.iter().map(|cells| count(cells)).sum() };
    let places = || Side::ALL.into_iter().flat_map(|side| Transport::ALL.map(|transport| (side, transport)));
    let kinds =
        || places().flat_map(|(side, transport)| (0..MessageKind::COUNT).map(move |kind| (side, transport, kind)));
    let by_reason = |index| (dropped_label(index), total(&|cells| cells.dropped_count(index)));
    let dropped_by_reason: BTreeMap<_, _> =
        (0..Dropped::COUNT).map(by_reason).filter(|(_, count)| *count > 0).collect();
    let answers = |cells: &ShardCells| -> u64 {
        let statuses = |(side, transport)| Status::ALL.map(|status| cells.answered_count(side, transport, status));
        places().flat_map(statuses).sum()
    };
    Messages {
        received: total(&|cells| kinds().map(|(side, over, kind)| cells.received_count(side, over, kind)).sum()),
        forwarded: total(&|cells| kinds().map(|(side, over, kind)| cells.forwarded_count(side, over, kind)).sum()),
        answered: total(&|cells| answers(cells) + cells.stun_answered_count()),
        absorbed: total(&|cells| AbsorbReason::ALL.map(|reason| cells.absorbed_count(reason)).iter().sum()),
        dropped: dropped_by_reason.values().sum(),
        dropped_by_reason,
        kernel_drops: total(&|cells| cells.turns().kernel_drops.get()),
    }
}

fn pool(api: &Api) -> PoolCounts {
    let state = api.pool.state().borrow().clone();
    let count = |standing| state.members.iter().filter(|member| member.standing() == standing).count();
    PoolCounts {
        backends: state.members.len(),
        up: count(Standing::Up),
        draining: count(Standing::Draining),
        down: count(Standing::Down),
        is_panic: state.snapshot.roster().is_panic(),
    }
}

fn shards(shards: &[std::sync::Arc<ShardCells>]) -> Vec<Shard> {
    let used = processor_times();
    let open = |cells: &ShardCells| -> u64 {
        let places = Side::ALL.into_iter().flat_map(|side| Transport::ALL.map(|transport| (side, transport)));
        let both = |(side, over)| Direction::ALL.map(|direction| cells.connections().open_count(side, over, direction));
        places.flat_map(both).sum()
    };
    let shard = |(number, cells): (usize, &std::sync::Arc<ShardCells>)| Shard {
        shard: number,
        engine: cells.engine.label(),
        is_fallback: cells.fallback,
        cpu_s: used.get(&format!("shard-{number}")).copied(),
        turns: cells.turns().turns.get(),
        completions: cells.turns().completions.get(),
        datagrams: cells.turns().datagrams.get(),
        stream_bytes: cells.turns().stream_bytes.get(),
        connections: open(cells),
        kernel_drops: cells.turns().kernel_drops.get(),
    };
    shards.iter().enumerate().map(shard).collect()
}

fn changes(api: &Api) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
    let of = |action: Action| {
        let count = |outcome: ActionOutcome| (outcome.label(), api.cells.action_count(action, outcome));
        ActionOutcome::ALL.map(count).into_iter().filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
    };
    let all = Action::ALL.map(|action| (action.label(), of(action)));
    all.into_iter().filter(|(_, outcomes)| !outcomes.is_empty()).collect()
}

/// The processor time of each thread by its name, in seconds (proc(5), /proc/self/task). A thread's own clock would be read by
/// itself, in the packet path.
fn processor_times() -> BTreeMap<String, f64> {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let time = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (name, figures) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut figures = figures.split_ascii_whitespace().skip(11).map_while(|figure| figure.parse::<u64>().ok());
        Some((name.to_owned(), (figures.next()? + figures.next()?) as f64 / ticks))
    };
    threads.filter_map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_thread_has_used_is_known_by_its_name() {
        let thread = std::thread::Builder::new().name("shard-77".to_owned());
        let looked = thread.spawn(processor_times).unwrap().join().unwrap();
        assert!(looked["shard-77"] >= 0.0);
    }
}
