//! Starts control and shards, waits, and ends them in order.
//!
//! | module | charge |
//! | --- | --- |
//! | [`explain`] | `viaduct explain` |
//! | [`admission`] | a backend that joins while Viaduct runs |
//! | [`discovery`] | settings become a list of backends, and somebody who looks up their names |
//! | [`plan`] | settings become a snapshot: addresses chosen |
//! | [`reach`] | whether a backend can be one: reached, and not Viaduct itself |
//! | `report` | what is told in the log at the start |
//! | `digest` | what the members of a fleet must have in common, as a digest |
//! | [`certificates`] | settings become certificates, keys and authorities |
//! | [`sockets`] | listeners become sockets, and connections get descriptors |
//! | `drain` | what goes on before Viaduct ends |

pub mod admission;
pub mod certificates;
mod digest;
pub mod discovery;
mod drain;
pub mod explain;
pub mod plan;
pub mod reach;
mod report;
pub mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{fmt, io};

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::config::error::ConfigError;
use crate::config::overload::OverloadSettings;
use crate::config::secrets::SecretSetting;
use crate::config::{PinCores, Settings, Switch};
use crate::control::admin::api::Api;
use crate::control::admin::guard::Guard;
use crate::control::admin::log::LogFilter;
use crate::control::admin::problem::Problem;
use crate::control::admin::rates::Rates;
use crate::control::admin::{self, Admin};
use crate::control::certificates::Watch;
use crate::control::discovery::mailbox::DiscoveryHandle;
use crate::control::drain::DrainHandle;
use crate::control::outlier::watcher::Watcher;
use crate::control::overload::monitor::Monitor;
use crate::control::pool::MemberSpec;
use crate::control::probe::prober::{Prober, Tools};
use crate::control::resolve::Resolver;
use crate::control::resolve::servers::Servers;
use crate::control::signal::Terminations;
use crate::control::steward::{PoolHandle, Steward};
use crate::control::{self, signal};
use crate::io::{Choice, Doorbell};
use crate::metrics::admin::AdminCells;
use crate::metrics::cells::ShardCells;
use crate::metrics::certificates::Certificates;
use crate::metrics::collector::Metrics;
use crate::metrics::discovery::{DiscoveryCells, DiscoveryPage};
use crate::metrics::names::NameCells;
use crate::metrics::pool::PoolCells;
use crate::proxy::names::Families;
use crate::proxy::names::exchange::Exchange;
use crate::proxy::publication::Publication;
use crate::shard::mailbox::PostOffice;
use crate::shard::networks::Networks;
use crate::shard::thread::{self as shard_thread, Running, StartError};

use plan::Plan;

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
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Setting(error) => error.fmt(f),
            RunError::Shard(error) => error.fmt(f),
            RunError::ShardEnded => write!(f, "a shard ended by itself, so the process ends"),
            RunError::Control(error) => write!(f, "the control thread failed: {error}"),
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

/// Runs until the operator ends it or a shard fails.
pub fn run(settings: &Settings, log: LogFilter) -> Result<(), RunError> {
    let uring = settings.io != Choice::Poll;
    let outcome = control::block_on(uring, async {
        // First what may fail without a message having come in.
        let admin = bind_admin(settings).await?;
        let hangups = signal::hangups().map_err(RunError::Control)?;
        let mut terminations = Terminations::new().map_err(RunError::Control)?;
        let servers = discovery::servers(settings);
        let begun = discovery::begin(settings, servers.clone()).await?;
        let mut viaduct = Viaduct::start(settings, begun.members, begun.cells)?;
        viaduct.admin.ready.store(begun.handle.is_ready(), Ordering::Release);
        let resolving = tokio::spawn(viaduct.resolver(servers.clone()).run());
        let rereading = viaduct.watch.take().map(|watch| tokio::spawn(watch.run(hangups)));
        let (steward, pool) = viaduct.steward(settings)?;
        let steering = tokio::spawn(steward.run());
        let api = viaduct.api(settings, pool.clone(), servers, log)?;
        let address = settings.admin.admin_listen;
        tracing::info!(%address, "status at /, API at /api, metrics at /metrics, health at /livez and /readyz");
        let (stop_admin, stopped) = oneshot::channel();
        let admin = tokio::spawn(admin::serve(admin, viaduct.admin.clone(), api, stopped));
        let discovering = tokio::spawn(begun.discovery.run(discovery::steered(pool.clone(), viaduct.snapshot.clone())));
        let readying = tokio::spawn(ready(begun.handle.clone(), viaduct.admin.clone()));
        let backends_file =
            tokio::spawn(discovery::watch_file(settings.clone(), viaduct.snapshot.clone(), begun.handle));
        let watching = viaduct.watcher(settings, pool.clone()).map(|watcher| tokio::spawn(watcher.run()));
        let monitoring = viaduct.monitor(settings, pool.clone()).map(|monitor| tokio::spawn(monitor.run()));
        let probing = viaduct.prober(settings, pool.clone()).map(|prober| tokio::spawn(prober.run()));
        let outcome = viaduct.wait(&mut terminations).await;
        readying.abort();
        viaduct.admin.ready.store(false, Ordering::Release);
        if let Ok(why) = outcome {
            viaduct.drain(why, &settings.drain, pool, &mut terminations).await;
        }
        for task in [resolving, steering, discovering, backends_file] {
            task.abort();
        }
        for task in [rereading, watching, monitoring, probing].into_iter().flatten() {
            task.abort();
        }
        drop(stop_admin);
        viaduct.stop();
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

async fn bind_admin(settings: &Settings) -> Result<TcpListener, RunError> {
    let bound = TcpListener::bind(settings.admin.admin_listen).await;
    let unusable = |error| {
        let right = "an address of this machine with a free port, as 127.0.0.1:9060";
        RunError::from(ConfigError::new("VIADUCT_ADMIN_LISTEN", settings.admin.admin_listen, error, right))
    };
    bound.map_err(unusable)
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
    /// Who reads certificates again when their files change, until it runs.
    watch: Option<Watch>,
    pool: Arc<PoolCells>,
    admin_cells: Arc<AdminCells>,
    digest: String,
    started: (Instant, SystemTime),
    post: PostOffice,
    shards: Vec<Running>,
    ended: mpsc::UnboundedReceiver<()>,
}

impl Viaduct {
    /// Binds and starts the shards, with a pool that begins with these members. Returns when all of them run. Who has it know of
    /// its backends by discovery says when it is ready.
    pub fn start(settings: &Settings, members: Vec<MemberSpec>, found: Arc<DiscoveryCells>) -> Result<Self, RunError> {
        sockets::allow_descriptors(settings);
        let plan = plan::make(settings, members)?;
        let sockets = sockets::open(&plan, settings)?;
        let Plan { snapshot, digest, tls, tls_files, .. } = plan;
        let certificates = Arc::new(Certificates::new(Arc::new(ArcSwap::from_pointee(tls))));
        let policy = plan::connection_policy(settings, certificates.context.clone());
        let snapshot = Arc::new(snapshot);
        let publication = Publication::new(snapshot.clone());
        let exchange = Arc::new(Exchange::default());
        let cores = cores(settings, sockets.len());
        let (post, doorbells) =
            post_office(sockets.len()).map_err(|error| RunError::Shard(StartError::Thread(error)))?;
        let networks = Networks::new(plan::per_network(settings), settings.layers.handshakes_max);
        let (ending, ended) = mpsc::unbounded_channel();
        let mut shards = Vec::new();
        for (number, ((sockets, core), doorbell)) in sockets.into_iter().zip(cores).zip(doorbells).enumerate() {
            let plan = shard_thread::Plan {
                number,
                core,
                sockets,
                choice: settings.io,
                options: plan::engine_options(settings),
                publication: publication.clone(),
                exchange: exchange.clone(),
                policy: policy.clone(),
                networks: networks.clone(),
                post: post.clone(),
            };
            let ending = ending.clone();
            let ended = move || {
                let _ = ending.send(());
            };
            shards.push(shard_thread::start(plan, doorbell, ended).map_err(RunError::Shard)?);
        }
        report::warn_of_own_addresses(settings);
        report::report(&shards, &snapshot, &digest);
        let cells = shards.iter().map(|shard| shard.cells.clone()).collect();
        let (names, pool) = (Arc::new(NameCells::default()), Arc::new(PoolCells::default()));
        let admin_cells = Arc::new(AdminCells::default());
        let metrics = Metrics::new(
            cells,
            names.clone(),
            certificates.clone(),
            pool.clone(),
            admin_cells.clone(),
            publication.clone(),
            digest.clone(),
        );
        let metrics = metrics
            .map(|metrics| metrics.with(DiscoveryPage(found)))
            .map_err(|error| RunError::Control(io::Error::other(error)))?;
        let admin = Arc::new(Admin { metrics, ready: AtomicBool::new(false) });
        let every = Some(Duration::from_secs(settings.layers.tls_reload_s.into())).filter(|every| !every.is_zero());
        let watch = Some(Watch::new(tls_files, certificates, every));
        let drain = DrainHandle::default();
        let started = (Instant::now(), SystemTime::now());
        Ok(Viaduct {
            admin,
            snapshot,
            publication,
            drain,
            exchange,
            names,
            watch,
            pool,
            admin_cells,
            digest,
            started,
            post,
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
    pub fn steward(&self, settings: &Settings) -> Result<(Steward, PoolHandle), RunError> {
        let pool = plan::living_pool(settings, &self.snapshot)?;
        Ok(Steward::new(pool, self.publication.publisher(), self.cells().cloned().collect(), self.pool.clone()))
    }

    /// What operators ask and change by HTTP.
    pub fn api(
        &self,
        settings: &Settings,
        pool: PoolHandle,
        servers: Servers,
        log: LogFilter,
    ) -> Result<Arc<Api>, ConfigError> {
        let guard = match settings.admin_token()? {
            SecretSetting::Set(token) => Guard::new(Some(&token)),
            SecretSetting::Missing => Guard::new(None),
        };
        let snapshot = self.snapshot.clone();
        let admit = move |list: &str| {
            let members = admission::members(list, snapshot.listeners(), servers.clone());
            members.map_err(|error| Problem::senseless(error.wrong(), error.right()))
        };
        Ok(Arc::new(Api {
            pool,
            shards: self.cells().cloned().collect(),
            pool_cells: self.pool.clone(),
            rates: Rates::default(),
            cells: self.admin_cells.clone(),
            guard,
            admit: Arc::new(admit),
            names: self.exchange.clone(),
            log,
            drain: self.drain.clone(),
            digest: self.digest.clone(),
            started: self.started,
            unauthorised_told_s: AtomicU64::new(0),
            previews: Semaphore::new(1),
        }))
    }

    /// Who looks for backends that stand out, if anybody is to.
    pub fn watcher(&self, settings: &Settings, pool: PoolHandle) -> Option<Watcher> {
        let (shards, cells) = (self.cells().cloned().collect(), self.pool.clone());
        let policy = plan::outlier_policy(settings);
        (settings.outlier.outlier == Switch::On).then(|| Watcher::new(policy, pool, shards, cells))
    }

    /// Who heeds what backends say of their load, if anybody is to.
    pub fn monitor(&self, settings: &Settings, pool: PoolHandle) -> Option<Monitor> {
        let (shards, cells) = (self.cells().cloned().collect(), self.pool.clone());
        let OverloadSettings { retry_after, overload_control, .. } = &settings.overload;
        let rests = (*retry_after == Switch::On).then(|| plan::rest_policy(settings));
        let is_needed = rests.is_some() || *overload_control == Switch::On;
        is_needed.then(|| Monitor::new(rests, pool, shards, cells))
    }

    /// Who asks the backends whether they are alive, if anybody is to.
    pub fn prober(&self, settings: &Settings, pool: PoolHandle) -> Option<Prober> {
        if settings.probe.probe == Switch::Off {
            return None;
        }
        let post = self.post.clone();
        let process = getrandom::u32().unwrap_or_else(|_| std::process::id()) as u16;
        let tools = Tools {
            exchange: post.probes().clone(),
            wake: Box::new(move |shard| post.wake(shard)),
            shards: self.cells().cloned().collect(),
            cells: self.pool.clone(),
            process,
        };
        Some(Prober::new(plan::probe_policy(settings), pool, tools))
    }

    /// Waits for the operator's word, which it gives, or the end of a shard.
    pub async fn wait(&mut self, terminations: &mut Terminations) -> Result<&'static str, RunError> {
        tokio::select! {
            signal = terminations.next() => Ok(signal),
            why = self.drain.asked() => Ok(why),
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
