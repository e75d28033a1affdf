//! Starts control and shards, waits, and ends them in order.
//!
//! | module | charge |
//! | --- | --- |
//! | [`observation`] | what shards tell of single messages, and who takes it |
//! | [`explain`] | `viaduct explain` |
//! | `admin` | what the admin listener needs |
//! | [`admission`] | a backend that joins while Viaduct runs |
//! | [`discovery`] | settings become a list of backends, and somebody who looks up their names |
//! | [`process`] | Viaduct as it runs: its shards, and who works for them |
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
pub mod process;
pub mod reach;
pub mod reload;
mod report;
pub mod secrets;
pub mod sockets;
pub mod upgrade;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::config::error::ConfigError;
use crate::config::source::{Reading, Source};
use crate::control::admin::Admin;
use crate::control::admin::guard::Guard;
use crate::control::admin::log::LogFilter;
use crate::control::discovery::mailbox::DiscoveryHandle;
use crate::control::drain::Cause;
use crate::control::file_watch::FileWatch;
use crate::control::reload::Reload;
use crate::control::resolve::servers::Servers;
use crate::control::signal::Terminations;
use crate::control::steward::PoolHandle;
use crate::control::{self, signal};
use crate::io::Choice;
use crate::shard::thread::StartError;

use lookout::Lookout;
use process::Viaduct;
use reload::Reloader;
use upgrade::UpgradeError;

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
        let (takers, wishes) = viaduct.told.begin(export);
        let resolving = tokio::spawn(viaduct.resolver(servers.clone()).run());
        let (steward, pool) = viaduct.steward();
        let steering = tokio::spawn(steward.run());
        let (reload, asked) = Reload::open();
        let desk = Desk { pool, servers, guard: reload::guard(settings)?, log: Arc::new(log) };
        let api = viaduct.api(desk.clone(), Some(reload));
        if predecessor.is_some() && terminations.was_told().await {
            tracing::info!("told to end before anything was taken over, so the Viaduct that runs goes on");
            return Ok(());
        }
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
        let parts = viaduct.parts(desk.clone(), begun.handle, lookout, wishes, in_force);
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
        takers.end().await;
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
