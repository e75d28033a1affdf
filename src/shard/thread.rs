//! Starts a shard on a thread and core of its own, and stops it.
//!
//! A shard that panics or whose engine breaks ends its thread, and the end of one shard ends the process: what supervises
//! it starts it again in a known state, and the other members of the fleet decide alike meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::{fmt, io};

use core_affinity::CoreId;
use crossbeam::channel::{Sender, bounded};

use crate::io::{Choice, Doorbell, Engine, Options, Sockets, Unavailable};
use crate::metrics::cells::ShardCells;
use crate::observe::Observation;
use crate::proxy::names::exchange::Exchange;
use crate::proxy::publication::Publication;

use super::ending::count_undelivered;
use super::mailbox::PostOffice;
use super::networks::Networks;
use super::policy::SharedPolicy;
use super::{Parts, Shard};

/// What a shard needs to start.
#[derive(Debug)]
pub struct Plan {
    /// Its number, from 0.
    pub number: usize,
    /// The core it stays on, if it is to.
    pub core: Option<CoreId>,
    /// A socket for each listener, those of a kind in the order of the snapshot's listeners.
    pub sockets: Sockets,
    /// Whether another process still has the sockets, so that they are left alone until they are taken up.
    pub starts_released: bool,
    /// Which engine is wanted.
    pub choice: Choice,
    /// The engine's sizes.
    pub options: Options,
    /// What decisions rest on.
    pub publication: Publication,
    /// What it asks for names by.
    pub exchange: Arc<Exchange>,
    /// How it keeps connections.
    pub policy: SharedPolicy,
    /// The connections of all networks to all shards.
    pub networks: Networks,
    /// What it sends messages to other shards by, and gets theirs from.
    pub post: PostOffice,
    /// What it tells of single messages, and to whom.
    pub observation: Observation,
}

/// A shard that runs.
#[derive(Debug)]
pub struct Running {
    /// What it counts.
    pub cells: Arc<ShardCells>,
    /// Why it does not run on io_uring though it was to, if possible.
    pub fallback: Option<Unavailable>,
    number: usize,
    post: PostOffice,
    orders: Arc<Orders>,
    doorbell: Doorbell,
    thread: Option<JoinHandle<()>>,
}

/// What a shard has been told.
#[derive(Debug, Default)]
struct Orders {
    stop: AtomicBool,
    stop_accepting: AtomicBool,
    release: AtomicBool,
    /// What the shard says to that.
    is_released: AtomicBool,
}

/// By what a shard is told to release its sockets or to take them up, from any thread. Clones are for the same shard.
#[derive(Clone, Debug)]
pub struct SocketGrip {
    orders: Arc<Orders>,
    doorbell: Doorbell,
}

/// Why a shard did not start.
#[derive(Debug)]
pub enum StartError {
    /// The engine that was asked for is not to be had.
    Engine(Unavailable),
    /// The thread or its doorbell could not be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Engine(unavailable) => unavailable.fmt(f),
            StartError::Thread(error) => write!(f, "a shard's thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

type Started = Result<(Arc<ShardCells>, Option<Unavailable>), Unavailable>;

/// Starts a shard; returns when its engine runs. The doorbell is the one that the plan's post office has for it. `ended` is
/// called when the shard has ended, for whatever reason.
pub fn start(plan: Plan, doorbell: Doorbell, ended: impl FnOnce() + Send + 'static) -> Result<Running, StartError> {
    let orders = Arc::new(Orders::default());
    orders.release.store(plan.starts_released, Ordering::Release);
    let (report, started) = bounded(1);
    let (number, post) = (plan.number, plan.post.clone());
    let name = format!("shard-{number}");
    let body = {
        let (doorbell, orders) = (doorbell.clone(), orders.clone());
        move || {
            let _on_end = OnEnd(Some(ended));
            run(plan, &doorbell, &orders, &report);
        }
    };
    let thread = Builder::new().name(name).spawn(body).map_err(StartError::Thread)?;
    let gone = |_| StartError::Thread(io::Error::other("it ended before it began"));
    let (cells, fallback) = started.recv().map_err(gone)?.map_err(StartError::Engine)?;
    Ok(Running { cells, fallback, number, post, orders, doorbell, thread: Some(thread) })
}

impl Running {
    /// Has the shard accept no more connections. All else goes on.
    pub fn stop_accepting(&self) {
        self.orders.stop_accepting.store(true, Ordering::Release);
        self.doorbell.ring();
    }

    /// By what its sockets are released and taken up.
    pub fn grip(&self) -> SocketGrip {
        SocketGrip { orders: self.orders.clone(), doorbell: self.doorbell.clone() }
    }

    /// Ends the shard after the turn it is in.
    fn tell_to_stop(&self) {
        self.orders.stop.store(true, Ordering::Release);
        self.doorbell.ring();
    }

    fn join(&mut self) -> bool {
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl SocketGrip {
    /// Has the shard take nothing more from its sockets, which are another process's from when it says so.
    pub fn release(&self) {
        self.order(true);
    }

    /// Has the shard take from its sockets.
    pub fn take_up(&self) {
        self.order(false);
    }

    /// Whether the shard takes nothing from its sockets and has handled everything that it had taken.
    pub fn is_released(&self) -> bool {
        self.orders.is_released.load(Ordering::Acquire)
    }

    fn order(&self, release: bool) {
        self.orders.release.store(release, Ordering::Release);
        self.doorbell.ring();
    }
}

impl Orders {
    /// Whether the shard is to do otherwise than it does.
    fn is_released_otherwise(&self, released: bool) -> bool {
        self.release.load(Ordering::Acquire) != released
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell_to_stop();
        self.join();
    }
}

/// Ends all shards of a process, each after the turn it is in. Returns when their sockets are closed, and what one had for another
/// that had ended before is counted; `false` where one had panicked.
pub fn stop(mut shards: Vec<Running>) -> bool {
    shards.iter().for_each(Running::tell_to_stop);
    let ended: Vec<bool> = shards.iter_mut().map(Running::join).collect();
    shards.iter().for_each(|shard| count_undelivered(&shard.post, shard.number, &shard.cells));
    ended.into_iter().all(|ended| ended)
}

fn run(plan: Plan, doorbell: &Doorbell, orders: &Orders, report: &Sender<Started>) {
    if let Some(core) = plan.core
        && !core_affinity::set_for_current(core)
    {
        tracing::warn!(shard = plan.number, core = core.id, "the shard could not be pinned to its core");
    }
    let open = if plan.starts_released { Engine::open_released } else { Engine::open };
    let opened = match open(plan.choice, plan.sockets, &plan.options, doorbell) {
        Ok(opened) => opened,
        Err(unavailable) => return drop(report.send(Err(unavailable))),
    };
    let backends = plan.publication.current().pool().backends().len();
    let cells = Arc::new(ShardCells::new(opened.kind, opened.fallback.is_some(), backends));
    let parts = Parts {
        publication: plan.publication,
        exchange: plan.exchange,
        cells: cells.clone(),
        policy: plan.policy,
        networks: plan.networks,
        post: plan.post,
        observation: plan.observation,
        number: plan.number,
    };
    let mut shard = Shard::new(opened.engine, parts);
    orders.is_released.store(plan.starts_released, Ordering::Release);
    let _ = report.send(Ok((cells, opened.fallback)));
    let (mut accepts, mut released) = (true, plan.starts_released);
    while !orders.stop.load(Ordering::Acquire) {
        if accepts && orders.stop_accepting.load(Ordering::Acquire) {
            shard.stop_accepting();
            accepts = false;
        }
        if orders.is_released_otherwise(released) {
            released = !released;
            if let Err(error) = grip(&mut shard, released) {
                tracing::error!(shard = plan.number, %error, "the shard's sockets cannot be taken up");
                break;
            }
            if !accepts {
                shard.stop_accepting();
            }
            orders.is_released.store(shard.is_released(), Ordering::Release);
        }
        if let Err(error) = shard.turn(None) {
            tracing::error!(shard = plan.number, %error, "the shard's engine broke");
            break;
        }
        if released {
            orders.is_released.store(shard.is_released(), Ordering::Release);
        }
    }
    shard.close();
}

fn grip(shard: &mut Shard, release: bool) -> io::Result<()> {
    if release {
        shard.release();
        return Ok(());
    }
    shard.take_up()
}

struct OnEnd<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnEnd<F> {
    fn drop(&mut self) {
        if let Some(ended) = self.0.take() {
            ended();
        }
    }
}
