//! Starts control and shards, waits, and ends them in order.
//!
//! | module | charge |
//! | --- | --- |
//! | [`observation`] | what shards tell of single messages, and who takes it |
//! | [`explain`] | `viaduct explain` |
//! | `admin` | what the admin listener needs |
//! | [`admission`] | a backend that joins while Viaduct runs |
//! | [`discovery`] | settings become a list of backends, and somebody who looks up their names |
//! | [`plan`] | settings become a snapshot: addresses chosen |
//! | [`reach`] | whether a backend can be one: reached, and not Viaduct itself |
//! | `report` | what is told in the log at the start |
//! | `digest` | what the members of a fleet must have in common, as a digest |
//! | [`certificates`] | settings become certificates, keys and authorities |
//! | [`lookout`] | who looks after the backends: probes, outliers, rest |
//! | [`reload`] | settings are read again while Viaduct runs |
//! | [`secrets`] | the secrets that are in force |
//! | [`sockets`] | listeners become sockets, and connections get descriptors |
//! | `drain` | what goes on before Viaduct ends |
//! | [`upgrade`] | how a second process takes over from the first |

mod admin;
pub mod admission;
pub mod certificates;
mod digest;
pub mod discovery;
mod drain;
pub mod explain;
pub mod lookout;
pub mod observation;
pub mod plan;
pub mod reach;
pub mod reload;
mod report;
pub mod secrets;
pub mod sockets;
pub mod upgrade;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::config::error::ConfigError;
use crate::config::source::{Reading, Source};
use crate::config::{PinCores, Settings};
use crate::control::admin::Admin;
use crate::control::admin::guard::Guard;
use crate::control::admin::log::LogFilter;
use crate::control::certificates::Watch;
use crate::control::discovery::ledger::Listing;
use crate::control::discovery::mailbox::DiscoveryHandle;
use crate::control::drain::{Cause, DrainHandle};
use crate::control::file_watch::FileWatch;
use crate::control::observe::exporter::{ExportPolicy, Exporter};
use crate::control::observe::problems::ProblemLog;
use crate::control::pool::LivingPool;
use crate::control::reload::Reload;
use crate::control::resolve::Resolver;
use crate::control::resolve::servers::Servers;
use crate::control::signal::Terminations;
use crate::control::steward::{PoolHandle, Steward};
use crate::control::{self, signal};
use crate::frame::tls::ContextFiles;
use crate::io::{Choice, Doorbell};
use crate::metrics::admin::AdminCells;
use crate::metrics::cells::ShardCells;
use crate::metrics::certificates::Certificates;
use crate::metrics::collector::Metrics;
use crate::metrics::collector::observe::ObservationCells;
use crate::metrics::discovery::{DiscoveryCells, DiscoveryPage};
use crate::metrics::names::NameCells;
use crate::metrics::pool::PoolCells;
use crate::metrics::reload::{ReloadCells, ReloadPage};
use crate::observe::Observation;
use crate::proxy::names::Families;
use crate::proxy::names::exchange::Exchange;
use crate::proxy::publication::Publication;
use crate::shard::mailbox::PostOffice;
use crate::shard::networks::Networks;
use crate::shard::policy::SharedPolicy;
use crate::shard::thread::{self as shard_thread, Running, StartError};

use lookout::{Lookout, Means};
use plan::Plan;
use reload::Reloader;
use secrets::Secrets;
use upgrade::UpgradeError;
use upgrade::inheritance::Inheritance;
use upgrade::protocol::SocketLabel;

/// Why Viaduct did not start, or ended without being asked to.
#[derive(Debug)]
pub enum RunError {
    /// A setting cannot be used.
    Setting(ConfigError),
    /// A shard did not start.
    Shard(StartError),
    /// A shard ended by itself; the log says why.
    ShardEnded,
    /// The control thread failed.
    Control(io::Error),
    /// Nothing could be taken over from the process that runs.
    Upgrade(UpgradeError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Setting(error) => error.fmt(f),
            RunError::Shard(error) => error.fmt(f),
            RunError::ShardEnded => write!(f, "a shard ended by itself, so the process ends"),
            RunError::Control(error) => write!(f, "the control thread failed: {error}"),
            RunError::Upgrade(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

impl From<ConfigError> for RunError {
    fn from(error: ConfigError) -> Self {
        RunError::Setting(error)
    }
}

/// How long an answer of the admin listener may still take when the process ends.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// For how long the collector may still take copies then.
const EXPORT_GRACE: Duration = Duration::from_secs(1);

/// Runs until the operator ends it, another process takes over, or a shard fails.
pub fn run(source: Source, mut reading: Reading, log: LogFilter) -> Result<(), RunError> {
    let (predecessor, mut inherited) = upgrade::find(&reading.line.settings)?.unzip();
    let inherited = inherited.get_or_insert_default();
    reading.line.settings = inherited.settings(&reading.line.settings);
    let settings = &reading.line.settings.clone();
    let uring = settings.io != Choice::Poll;
    let outcome = control::block_on(uring, async {
        // First what may fail without a message having come in.
        let admin = admin::bind(settings, inherited).await?;
        let hangups = signal::hangups().map_err(RunError::Control)?;
        let mut terminations = Terminations::new().map_err(RunError::Control)?;
        let export = observation::export_policy(settings)?;
        // Before anything is read: what changes meanwhile is found the next time.
        let files = FileWatch::new(settings.files());
        let entries = discovery::entries(settings)?;
        let servers = discovery::servers(settings);
        let begun = discovery::begin(settings, servers.clone()).await?;
        inherited.must_not_miss(&begun.discovery.missing())?;
        let mut viaduct = Viaduct::start_with(settings, begun.listing, begun.cells, inherited)?;
        viaduct.admin.ready.store(begun.handle.is_ready(), Ordering::Release);
        let (stop_export, export_stopped) = oneshot::channel();
        let exporting = viaduct.exporter(export).map(|exporter| tokio::spawn(exporter.run(export_stopped)));
        let telling = viaduct.problem_log().map(|log| tokio::spawn(log.run()));
        let resolving = tokio::spawn(viaduct.resolver(servers.clone()).run());
        let (steward, pool) = viaduct.steward();
        let steering = tokio::spawn(steward.run());
        let (reload, asked) = Reload::open();
        let desk = Desk { pool, servers, guard: reload::guard(settings)?, log: Arc::new(log) };
        let api = viaduct.api(desk.clone(), Some(reload));
        // Behind this nothing may fail: another process may have ended for it.
        let offered = viaduct.succeed(predecessor, inherited, settings, &admin, &desk.pool).await?;
        let address = settings.admin.admin_listen;
        tracing::info!(%address, "status at /, API at /api, metrics at /metrics, health at /livez and /readyz");
        let (stop_admin, stopped) = oneshot::channel();
        let mut stop_admin = Some(stop_admin);
        let admin = tokio::spawn(control::admin::serve(admin, viaduct.admin.clone(), api, stopped));
        let discovering =
            tokio::spawn(begun.discovery.run(discovery::steered(desk.pool.clone(), viaduct.snapshot.clone())));
        let readying = tokio::spawn(ready(begun.handle.clone(), viaduct.admin.clone()));
        let lookout = Lookout::begin(settings, viaduct.means(desk.pool.clone()));
        let (in_force, now_in_force) = watch::channel(settings.clone());
        let parts = viaduct.parts(desk.clone(), begun.handle, lookout, in_force);
        let reloading = tokio::spawn(Reloader::new(source, reading, (entries, files), parts).run(hangups, asked));
        let outcome = viaduct.wait(&mut terminations).await;
        readying.abort();
        if outcome.as_ref().is_ok_and(|cause| *cause == Cause::HandedOver) {
            // The admin listener is the other process's, and so is who looks after the backends: their answers come there.
            drop(stop_admin.take());
            reloading.abort();
        } else {
            viaduct.admin.ready.store(false, Ordering::Release);
        }
        if let Ok(cause) = outcome {
            let settings = now_in_force.borrow().drain;
            viaduct.drain(cause, &settings, desk.pool, &mut terminations).await;
        }
        for task in [resolving, steering, discovering, reloading] {
            task.abort();
        }
        drop(stop_admin);
        if let Some(offered) = offered {
            offered.withdraw();
        }
        viaduct.stop();
        // Not before: what the last messages met with is told too.
        if let Some(telling) = telling {
            telling.abort();
        }
        drop(stop_export);
        if let Some(exporting) = exporting {
            let _ = timeout(EXPORT_GRACE, exporting).await;
        }
        // A client of the admin listener that never ends its request must not keep the process.
        let _ = timeout(ADMIN_GRACE, admin).await;
        outcome.map(drop)
    });
    outcome.map_err(RunError::Control)?
}

/// Has the orchestrator send traffic once the first list of backends is there.
async fn ready(discovery: DiscoveryHandle, admin: Arc<Admin>) {
    if !discovery.is_ready() {
        tracing::warn!("not every name of VIADUCT_BACKENDS is found yet, so /readyz says 503");
    }
    if discovery.ready().await.is_ok() {
        admin.ready.store(true, Ordering::Release);
    }
}

/// What operators get at while Viaduct runs, by HTTP or by settings that are read again. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The pool.
    pub pool: PoolHandle,
    /// Who is asked about names.
    pub servers: Servers,
    /// Who may change anything by HTTP.
    pub guard: Guard,
    /// What is logged.
    pub log: Arc<LogFilter>,
}

/// Viaduct as it runs: its shards and what they show.
#[derive(Debug)]
pub struct Viaduct {
    /// What the admin listener shows.
    pub admin: Arc<Admin>,
    /// What decisions rested on at the start, with the addresses that are really bound.
    pub snapshot: Arc<crate::proxy::snapshot::Snapshot>,
    /// What they rest on.
    pub publication: Publication,
    /// By what it is told to drain, and then to end.
    pub drain: DrainHandle,
    exchange: Arc<Exchange>,
    names: Arc<NameCells>,
    /// The files of certificates, and what was read from them.
    tls_files: ContextFiles,
    certificates: Arc<Certificates>,
    policy: SharedPolicy,
    secrets: Secrets,
    reloads: Arc<ReloadCells>,
    living: LivingPool,
    pool: Arc<PoolCells>,
    admin_cells: Arc<AdminCells>,
    started: (Instant, SystemTime),
    observation: (Observation, ObservationCells),
    post: PostOffice,
    /// Further descriptors of the sockets, for a process that takes over, until they are offered.
    to_hand_over: Vec<(SocketLabel, OwnedFd)>,
    shards: Vec<Running>,
    ended: mpsc::UnboundedReceiver<()>,
}

impl Viaduct {
    /// Binds and starts the shards, with a pool that begins with what is listed. Returns when all of them run. Who has it know of
    /// its backends by discovery says when it is ready.
    pub fn start(settings: &Settings, listing: Listing, found: Arc<DiscoveryCells>) -> Result<Self, RunError> {
        Self::start_with(settings, listing, found, &mut Inheritance::default())
    }

    /// The same with sockets of another process, which are left alone until they are taken over from it.
    fn start_with(
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
        let observation = observation::wanted(settings);
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
        let observed = ObservationCells { shards: cells.clone(), ..ObservationCells::default() };
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
            .map(|metrics| metrics.with(DiscoveryPage(found)).with(ReloadPage(reloads.clone())).with(observed.clone()))
            .map_err(|error| RunError::Control(io::Error::other(error)))?;
        let admin = Arc::new(Admin { metrics, ready: AtomicBool::new(false) });
        let observation = (observation, observed);
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
            observation,
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

    /// Who sends copies of messages on, if anybody is to.
    pub fn exporter(&self, policy: Option<ExportPolicy>) -> Option<Exporter> {
        observation::exporter(policy?, &self.observation.0, &self.observation.1)
    }

    /// Who writes to the log what problems messages and connections meet with, if anybody is to.
    pub fn problem_log(&self) -> Option<ProblemLog> {
        observation::problem_log(&self.observation.0, &self.observation.1)
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
    fn parts(
        &self,
        desk: Desk,
        discovery: DiscoveryHandle,
        lookout: Lookout,
        in_force: watch::Sender<Settings>,
    ) -> reload::Parts {
        reload::Parts {
            desk,
            discovery,
            lookout,
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
