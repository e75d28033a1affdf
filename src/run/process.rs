//! Viaduct as it runs: its shards, what they show, and who works for them.
//!
//! A bag of handles that is passed from hand to hand looked looser. Whoever starts it, a program, its demonstration or a test, would
//! have to put the same parts together.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use crate::config::{PinCores, Settings};
use crate::control::admin::Admin;
use crate::control::certificates::{Files, Watch};
use crate::control::discovery::ledger::Listing;
use crate::control::discovery::mailbox::DiscoveryHandle;
use crate::control::drain::{Cause, DrainHandle};
use crate::control::pool::LivingPool;
use crate::control::resolve::Resolver;
use crate::control::resolve::servers::Servers;
use crate::control::signal::Terminations;
use crate::control::steward::{PoolHandle, Steward};
use crate::io::Doorbell;
use crate::metrics::admin::AdminCells;
use crate::metrics::cells::ShardCells;
use crate::metrics::certificates::Certificates;
use crate::metrics::collector::Metrics;
use crate::metrics::discovery::{DiscoveryCells, DiscoveryPage};
use crate::metrics::names::NameCells;
use crate::metrics::pool::PoolCells;
use crate::metrics::reload::{ReloadCells, ReloadPage};
use crate::metrics::upgrade::UpgradePage;
use crate::observe::Observation;
use crate::proxy::names::Families;
use crate::proxy::names::exchange::Exchange;
use crate::proxy::publication::Publication;
use crate::proxy::snapshot::Snapshot;
use crate::shard::mailbox::PostOffice;
use crate::shard::networks::Networks;
use crate::shard::policy::SharedPolicy;
use crate::shard::thread::{self as shard_thread, Running, StartError};

use super::lookout::{Lookout, Means};
use super::observation::{Told, Wishes};
use super::plan::Plan;
use super::secrets::Secrets;
use super::upgrade::inheritance::Inheritance;
use super::upgrade::protocol::SocketLabel;
use super::{Desk, RunError, observation, plan, reload, report, sockets, upgrade};

/// Viaduct as it runs: its shards and what they show.
#[derive(Debug)]
pub struct Viaduct {
    /// What the admin listener shows.
    pub admin: Arc<Admin>,
    /// What decisions rested on at the start, with the addresses that are really bound.
    pub snapshot: Arc<Snapshot>,
    /// What they rest on.
    pub publication: Publication,
    /// By what it is told to drain, and then to end.
    pub drain: DrainHandle,
    pub(super) exchange: Arc<Exchange>,
    pub(super) names: Arc<NameCells>,
    /// The files of certificates, and what was read from them.
    pub(super) tls_files: Files,
    pub(super) certificates: Arc<Certificates>,
    pub(super) policy: SharedPolicy,
    pub(super) secrets: Secrets,
    pub(super) reloads: Arc<ReloadCells>,
    pub(super) living: LivingPool,
    pub(super) pool: Arc<PoolCells>,
    pub(super) admin_cells: Arc<AdminCells>,
    pub(super) started: (Instant, SystemTime),
    pub(super) told: Told,
    pub(super) post: PostOffice,
    /// Further descriptors of the sockets, for a process that takes over, until they are offered.
    pub(super) to_hand_over: Vec<(SocketLabel, OwnedFd)>,
    pub(super) shards: Vec<Running>,
    pub(super) ended: mpsc::UnboundedReceiver<()>,
}

impl Viaduct {
    /// Binds and starts the shards, with a pool that begins with what is listed. Returns when all of them run. Who has it know of
    /// its backends by discovery says when it is ready.
    pub fn start(settings: &Settings, listing: Listing, found: Arc<DiscoveryCells>) -> Result<Self, RunError> {
        Self::start_with(settings, listing, found, &mut Inheritance::default())
    }

    /// The same with sockets of another process, which are left alone until they are taken over from it.
    pub(super) fn start_with(
        settings: &Settings,
        listing: Listing,
        found: Arc<DiscoveryCells>,
        inherited: &mut Inheritance,
    ) -> Result<Self, RunError> {
        sockets::allow_descriptors(settings);
        let plan = plan::make_with(settings, listing, inherited)?;
        let sockets = sockets::open(&plan, settings, inherited)?;
        let to_hand_over = match settings.upgrade.upgrade_socket {
            Some(_) => upgrade::duplicates(&sockets).map_err(RunError::Control)?,
            None => Vec::new(),
        };
        let Plan { snapshot, pool: living, digest, tls, tls_files, secrets, .. } = plan;
        let certificates = Arc::new(Certificates::new(Arc::new(ArcSwap::from_pointee(tls))));
        let policy = SharedPolicy::from(plan::connection_policy(settings, certificates.context.clone()));
        let snapshot = Arc::new(snapshot);
        let publication = Publication::new(snapshot.clone());
        let exchange = Arc::new(Exchange::default());
        let cores = cores(settings, sockets.len());
        let (post, doorbells) =
            post_office(sockets.len()).map_err(|error| RunError::Shard(StartError::Thread(error)))?;
        let observation = Observation::default();
        observation::want(&observation, settings);
        let networks = Networks::new(plan::per_network(settings), settings.layers.handshakes_max);
        let (ending, ended) = mpsc::unbounded_channel();
        let mut shards = Vec::new();
        for (number, ((sockets, core), doorbell)) in sockets.into_iter().zip(cores).zip(doorbells).enumerate() {
            let plan = shard_thread::Plan {
                number,
                core,
                sockets,
                starts_released: inherited.is_some(),
                choice: settings.io,
                options: plan::engine_options(settings),
                publication: publication.clone(),
                exchange: exchange.clone(),
                policy: policy.clone(),
                networks: networks.clone(),
                post: post.clone(),
                observation: observation.clone(),
            };
            let ending = ending.clone();
            let ended = move || {
                let _ = ending.send(());
            };
            shards.push(shard_thread::start(plan, doorbell, ended).map_err(RunError::Shard)?);
        }
        report::warn_of_own_addresses(settings);
        report::report(&shards, &snapshot, &digest);
        let cells: Vec<_> = shards.iter().map(|shard| shard.cells.clone()).collect();
        let told = Told::new(observation, cells.clone());
        let (names, pool) = (Arc::new(NameCells::default()), Arc::new(PoolCells::default()));
        let (admin_cells, reloads) = (Arc::new(AdminCells::default()), Arc::new(ReloadCells::new(&digest)));
        let metrics = Metrics::new(
            cells,
            names.clone(),
            certificates.clone(),
            pool.clone(),
            admin_cells.clone(),
            publication.clone(),
        );
        let metrics = metrics
            .map(|metrics| {
                let upgrades = UpgradePage(post.upgrade_cells().clone());
                let metrics = metrics.with(DiscoveryPage(found)).with(ReloadPage(reloads.clone()));
                metrics.with(told.cells.clone()).with(upgrades)
            })
            .map_err(|error| RunError::Control(io::Error::other(error)))?;
        let admin = Arc::new(Admin { metrics, ready: AtomicBool::new(false) });
        let started = (Instant::now(), SystemTime::now());
        Ok(Viaduct {
            admin,
            snapshot,
            publication,
            drain: DrainHandle::default(),
            exchange,
            names,
            tls_files,
            certificates,
            policy,
            secrets,
            reloads,
            living,
            pool,
            admin_cells,
            told,
            started,
            post,
            to_hand_over,
            shards,
            ended,
        })
    }

    /// What each shard counts.
    pub fn cells(&self) -> impl Iterator<Item = &Arc<ShardCells>> {
        self.shards.iter().map(|shard| &shard.cells)
    }

    /// Who resolves the names that the shards ask for. Until it runs, no name is known.
    pub fn resolver(&self, servers: Servers) -> Resolver {
        let families = Families::of(self.snapshot.listeners());
        Resolver::new(self.exchange.clone(), self.names.clone(), servers, families)
    }

    /// Who steers the pool, and by what it is changed. Have one alone, and have it run; without, the pool stays as it is set.
    pub fn steward(&self) -> (Steward, PoolHandle) {
        let (pool, cells) = (self.living.clone(), self.cells().cloned().collect());
        Steward::new(pool, self.publication.publisher(), cells, self.pool.clone())
    }

    /// What those work with who look after the backends.
    pub fn means(&self, pool: PoolHandle) -> Means {
        let (post, shards, cells) = (self.post.clone(), self.cells().cloned().collect(), self.pool.clone());
        Means { pool, post, shards, cells }
    }

    /// Where settings are put in force that are read again.
    pub(super) fn parts(
        &self,
        desk: Desk,
        discovery: DiscoveryHandle,
        lookout: Lookout,
        wishes: Wishes,
        in_force: watch::Sender<Settings>,
    ) -> reload::Parts {
        reload::Parts {
            desk,
            discovery,
            lookout,
            wishes,
            in_force,
            certificates: Watch::new(self.tls_files.clone(), self.certificates.clone()),
            tls: self.certificates.context.clone(),
            policy: self.policy.clone(),
            cells: self.reloads.clone(),
            secrets: self.secrets.clone(),
            snapshot: self.snapshot.clone(),
        }
    }

    /// Waits for the operator's word, which it gives, or the end of a shard.
    pub async fn wait(&mut self, terminations: &mut Terminations) -> Result<Cause, RunError> {
        tokio::select! {
            signal = terminations.next() => Ok(Cause::Signal(signal)),
            cause = self.drain.asked() => Ok(cause),
            _ = self.ended.recv() => Err(RunError::ShardEnded),
        }
    }

    /// Ends the shards; returns when their sockets are closed.
    pub fn stop(self) {
        if !shard_thread::stop(self.shards) {
            tracing::error!("a shard had panicked");
        }
    }
}

/// What the shards send messages to each other by, with a doorbell for each. The number of the process is random: a connection
/// that a token names is looked for only in the process that had it.
fn post_office(shards: usize) -> io::Result<(PostOffice, Vec<Doorbell>)> {
    let process = getrandom::u32().map_err(io::Error::other)?;
    let doorbells = (0..shards).map(|_| Doorbell::new()).collect::<io::Result<Vec<_>>>()?;
    Ok((PostOffice::new(process, doorbells.clone()), doorbells))
}

/// A core for each shard, in turn; none where shards are not to be pinned. By itself Viaduct pins only where it has a shard for
/// each core that it may use: under a CPU quota every container on the machine would take the same first cores.
fn cores(settings: &Settings, shards: usize) -> Vec<Option<core_affinity::CoreId>> {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let pinned = match settings.pin_cores {
        PinCores::True => true,
        PinCores::False => false,
        PinCores::Auto => allowed.len() == shards,
    };
    let allowed = if pinned { allowed } else { Vec::new() };
    (0..shards).map(|shard| allowed.get(shard % allowed.len().max(1)).copied()).collect()
}
