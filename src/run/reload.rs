//! Settings are read again while Viaduct runs: checked whole, then put in force, all of them or none.
//!
//! To start a process anew looked simpler, and is what listeners and shards need. Everything else would lose with it what is known:
//! who is alive, what the administrator has said, what was counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::config::Settings;
use crate::config::error::{ConfigError, Refused as NotRead};
use crate::config::secrets::SecretSetting;
use crate::config::source::{Reading, Source, Variables};
use crate::control::admin::guard::Guard;
use crate::control::certificates::{Files, Watch};
use crate::control::discovery::entry::Entry;
use crate::control::discovery::mailbox::DiscoveryHandle;
use crate::control::file_watch::FileWatch;
use crate::control::observe::exporter::ExportPolicy;
use crate::control::reload::{Asked, Refused, Report};
use crate::control::resolve::servers::Servers;
use crate::control::steward::Rules;
use crate::frame::tls::TlsContext;
use crate::metrics::reload::ReloadCells;
use crate::proxy::keys::Keys;
use crate::proxy::latency::Instance;
use crate::proxy::snapshot::Snapshot;
use crate::shard::policy::SharedPolicy;
use crate::sip::Transport;

use super::Desk;
use super::lookout::Lookout;
use super::observation::{self, Wishes};
use super::secrets::{self, Secrets};
use super::{certificates, digest, discovery, plan};

/// What is set at the start alone: listeners, shards, their sockets and memory. To change it would take a restart, which the error
/// says.
pub const NEEDS_RESTART: &[&str] = &[
    "VIADUCT_ADMIN_LISTEN",
    "VIADUCT_CONNECTIONS_MAX",
    "VIADUCT_CONNECTIONS_PER_NETWORK",
    "VIADUCT_ENV_FILE",
    "VIADUCT_HANDSHAKES_MAX",
    "VIADUCT_IO",
    "VIADUCT_LISTEN",
    "VIADUCT_LOG_FORMAT",
    "VIADUCT_PIN_CORES",
    "VIADUCT_QUEUE_BYTES",
    "VIADUCT_RECEIVE_BUFFERS",
    "VIADUCT_RECEIVE_BUFFER_BYTES",
    "VIADUCT_SEND_SLOTS",
    "VIADUCT_SHARDS",
    "VIADUCT_SOCKET_RECEIVE_BYTES",
    "VIADUCT_SOCKET_SEND_BYTES",
    "VIADUCT_TCP_KEEPALIVE_S",
    "VIADUCT_TCP_NODELAY",
    "VIADUCT_TCP_USER_TIMEOUT_MS",
    "VIADUCT_UPGRADE_SOCKET",
];

/// Where what was read is put in force.
#[derive(Debug)]
pub struct Parts {
    /// The pool, and what is set of the admin listener and the log.
    pub desk: Desk,
    /// The list of backends.
    pub discovery: DiscoveryHandle,
    /// Who looks after the backends.
    pub lookout: Lookout,
    /// What is told of single messages.
    pub wishes: Wishes,
    /// Certificates, and the files that they were read from.
    pub certificates: Watch,
    /// The certificates that connections begin with.
    pub tls: Arc<ArcSwap<TlsContext>>,
    /// How the shards keep connections.
    pub policy: SharedPolicy,
    /// For all that looks the settings up when it needs them.
    pub in_force: watch::Sender<Settings>,
    /// What is counted and shown.
    pub cells: Arc<ReloadCells>,
    /// The secrets that are in force: read, or drawn.
    pub secrets: Secrets,
    /// The listeners as they are bound.
    pub snapshot: Arc<Snapshot>,
}

/// The one who reads again.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    parts: Parts,
    /// What is in force.
    settings: Settings,
    variables: Variables,
    secrets: Secrets,
    entries: Vec<Entry>,
    watch: FileWatch,
}

/// What was read and checked.
struct Read {
    settings: Settings,
    variables: Variables,
    secrets: Secrets,
    keys: Keys,
    guard: Guard,
    entries: Vec<Entry>,
    latency: Option<Instance>,
    export: Option<ExportPolicy>,
    digest: String,
    /// Where they are to be put in force.
    certificates: Option<(TlsContext, Files)>,
    /// Where others are to be asked.
    servers: Option<Servers>,
}

impl Reloader {
    /// One who has read this from there, with what it leads to; the watch has been over its files since.
    pub fn new(source: Source, reading: Reading, (entries, watch): (Vec<Entry>, FileWatch), parts: Parts) -> Self {
        let Reading { line, variables } = reading;
        let (settings, secrets) = (line.settings, parts.secrets.clone());
        Reloader { source, parts, settings, variables, secrets, entries, watch }
    }

    /// Reads again on SIGHUP, when it is asked to, and when a file has changed, for ever.
    pub async fn run(mut self, mut hangups: Signal, mut asked: mpsc::Receiver<Asked>) {
        let (mut files, mut certificates) = (Instant::now(), Instant::now());
        loop {
            let files_due = due(files, self.settings.discovery.reload_s);
            let certificates_due = due(certificates, self.settings.layers.tls_reload_s);
            tokio::select! {
                _ = hangups.recv() => drop(self.reload(true).await),
                Some(asked) = asked.recv() => {
                    // Who asked may have gone; it is done all the same.
                    let _ = asked.send(self.reload(true).await);
                }
                () = sleep_until(files_due.into()) => {
                    files = Instant::now();
                    if self.settings.discovery.reload_s > 0 && self.watch.has_changed() {
                        drop(self.reload(false).await);
                    }
                }
                () = sleep_until(certificates_due.into()) => {
                    certificates = Instant::now();
                    if self.settings.layers.tls_reload_s > 0 {
                        self.parts.certificates.look();
                    }
                }
            }
        }
    }

    /// Reads again, and certificates too where they are wanted though nothing that is set of them has changed.
    async fn reload(&mut self, with_certificates: bool) -> Result<Report, Refused> {
        // Looked at before they are read: what changes meanwhile is found the next time.
        self.watch = FileWatch::new(self.settings.files());
        let outcome = match self.read(with_certificates) {
            Ok(read) => self.put_in_force(read).await,
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(Report { changed, digest }) if changed.is_empty() => {
                tracing::info!(digest, "settings were read again: nothing has changed");
            }
            Ok(Report { changed, digest }) => {
                tracing::info!(changed = changed.join(", "), digest, "settings were read again");
            }
            Err(error) => tracing::error!("settings stay as they were: {error}"),
        }
        self.parts.cells.reloaded(outcome.is_ok());
        outcome.map_err(|error| Refused(error.to_string().into()))
    }

    /// All that can fail without a name being looked up.
    fn read(&mut self, with_certificates: bool) -> Result<Read, ConfigError> {
        let Reading { line, variables } = self.source.read().map_err(not_read)?;
        needs_no_restart(&self.variables, &variables)?;
        // As many shards as run: where sockets were taken over from another process, that need not be as many as are set.
        let settings = Settings { shards: self.settings.shards, ..line.settings };
        let secrets = Secrets::read_again(&settings, &self.secrets)?;
        let keys = secrets.keys()?;
        let entries = discovery::entries_before(&settings, self.parts.snapshot.listeners())?;
        let digest = digest::digest(&keys, &settings)?;
        let timed_by = self.parts.desk.pool.state().borrow().snapshot.latency().or(self.parts.snapshot.latency());
        let latency = plan::latency(&settings, timed_by)?;
        let over_tls = |entries: &[Entry]| entries.iter().any(|entry| entry.may_use(Transport::Tls));
        let is_other_need = settings.layers != self.settings.layers || over_tls(&entries) != over_tls(&self.entries);
        let certificates = match with_certificates || is_other_need {
            true => Some(certificates::load(&settings).inspect_err(|error| self.parts.certificates.refuse(error))?),
            false => None,
        };
        let are_others_asked = settings.resolvers != self.settings.resolvers;
        let servers = if are_others_asked { Some(discovery::servers_as_set(&settings)?) } else { None };
        let (guard, export) = (guard(&settings)?, observation::export_policy(&settings)?);
        if self.parts.desk.guard.has_token() && !guard.has_token() {
            // Or else whoever is on this machine might change anything.
            return Err(secrets::missing("VIADUCT_ADMIN_TOKEN"));
        }
        Ok(Read { settings, variables, secrets, keys, guard, entries, latency, export, digest, certificates, servers })
    }

    /// First the backends, since a list of which nothing is found is refused; all that follows cannot fail.
    async fn put_in_force(&mut self, read: Read) -> Result<Report, ConfigError> {
        self.set_backends(&read).await?;
        let changed = self.changed(&read);
        let Read { settings, variables, secrets, keys, guard, entries, latency, export, digest, certificates, .. } =
            read;
        let (policy, before) = (settings.policy(), &self.settings);
        let is_kept_otherwise = settings.streams != before.streams || settings.layers != before.layers;
        if is_kept_otherwise {
            self.parts.policy.set(plan::connection_policy(&settings, self.parts.tls.clone()));
        }
        let is_ruled_otherwise =
            secrets != self.secrets || policy != before.policy() || settings.latency != before.latency;
        if is_kept_otherwise || is_ruled_otherwise {
            // The process may end meanwhile, here and below.
            let _ = self.parts.desk.pool.set_rules(Rules { keys, policy, latency }).await;
        }
        if settings.pool != before.pool {
            let policy = plan::pool_policy(&settings);
            let _ = self.parts.desk.pool.change(move |pool, _| pool.set_policy(policy)).await;
        }
        self.parts.lookout.follow(before, &settings).await;
        self.parts.wishes.follow(&settings, export);
        self.parts.desk.guard.follow(&guard);
        if settings.log != before.log {
            // It was checked when it was read.
            let _ = self.parts.desk.log.set(&settings.log);
        }
        if let Some((context, files)) = certificates {
            self.parts.certificates.replace(context, files);
        }
        if settings.files() != before.files() {
            self.watch = FileWatch::unseen(settings.files());
        }
        self.parts.cells.show_digest(&digest);
        self.parts.in_force.send_replace(settings.clone());
        (self.settings, self.variables, self.secrets, self.entries) = (settings, variables, secrets, entries);
        Ok(Report { changed, digest })
    }

    async fn set_backends(&self, read: &Read) -> Result<(), ConfigError> {
        let Read { settings, entries, servers, .. } = read;
        let Parts { desk: Desk { servers: asked, .. }, discovery, .. } = &self.parts;
        let hold = discovery::hold(settings);
        if *entries != self.entries || hold != discovery::hold(&self.settings) {
            let set = discovery.set(entries.clone(), hold, servers.clone()).await;
            set.map_err(|refused| {
                let right = "backends that can be found, each name and each address once";
                ConfigError::new(discovery::SOURCE, &settings.backends, refused, right)
            })?;
        }
        if let Some(servers) = servers {
            asked.follow(servers);
        }
        Ok(())
    }

    /// What is written otherwise than before, by its variable; where that names a file as before, what the file says.
    fn changed(&self, read: &Read) -> Vec<String> {
        let Read { settings, variables, secrets, guard, entries, .. } = read;
        let mut changed: Vec<String> = self.variables.changes(variables).map(|(name, ..)| name.to_owned()).collect();
        let is_told = |of: &str| changed.iter().any(|name| name.contains(of));
        let has_file = settings.discovery.backends_file.is_some();
        let other_backends = *entries != self.entries && has_file && !is_told(discovery::SOURCE);
        let other_secrets = *secrets != self.secrets && !is_told("SECRET");
        let other_key = !self.parts.wishes.has(&read.export) && !is_told("HEP");
        let other_token = !guard.is_like(&self.parts.desk.guard) && !is_told("TOKEN");
        changed.extend(other_backends.then(|| "VIADUCT_BACKENDS_FILE".to_owned()));
        changed.extend(other_key.then(|| "VIADUCT_HEP_KEY_FILE".to_owned()));
        changed.extend(other_token.then(|| "VIADUCT_ADMIN_TOKEN_FILE".to_owned()));
        changed.extend(other_secrets.then(|| "the files of secrets".to_owned()));
        changed.sort();
        changed
    }
}

/// Who may change anything by HTTP, as set.
pub fn guard(settings: &Settings) -> Result<Guard, ConfigError> {
    Ok(match settings.admin_token()? {
        SecretSetting::Set(token) => Guard::new(Some(&token)),
        SecretSetting::Missing => Guard::new(None),
    })
}

fn needs_no_restart(before: &Variables, newer: &Variables) -> Result<(), ConfigError> {
    match before.changes(newer).find(|(name, ..)| NEEDS_RESTART.contains(name)) {
        None => Ok(()),
        Some((name, before, after)) => {
            let right = format!("`{}`, as it was, or a restart", before.unwrap_or("unset"));
            Err(ConfigError::new(name, after.unwrap_or("unset"), "it cannot change while Viaduct runs", &right))
        }
    }
}

/// When it is looked next; where that is never, an hour later whether it still is.
fn due(last: Instant, every_s: u32) -> Instant {
    last + Duration::from_secs(if every_s == 0 { 3600 } else { every_s.into() })
}

fn not_read(refused: NotRead) -> ConfigError {
    match refused {
        NotRead::Setting(error) => error,
        NotRead::Usage(usage) => ConfigError::new("the command line", "", usage, "one that `viaduct --help` tells"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::CommandLine;

    /// What is put in force by a reload.
    const RELOADED: &[&str] = &[
        "VIADUCT_ADMIN_TOKEN",
        "VIADUCT_ADMIN_TOKEN_FILE",
        "VIADUCT_BACKENDS",
        "VIADUCT_BACKENDS_FILE",
        "VIADUCT_BACKEND_CONNECTIONS",
        "VIADUCT_BACKEND_MATCH",
        "VIADUCT_CONNECTION_IDLE_S",
        "VIADUCT_CONNECT_TIMEOUT_MS",
        "VIADUCT_DNS_HOLD_S",
        "VIADUCT_DRAIN_IDLE_MS",
        "VIADUCT_DRAIN_NEW_REQUESTS",
        "VIADUCT_DRAIN_OPTIONS",
        "VIADUCT_DRAIN_RETRY_AFTER_S",
        "VIADUCT_GRACE_S",
        "VIADUCT_HANDSHAKE_TIMEOUT_MS",
        "VIADUCT_HASH",
        "VIADUCT_HEP",
        "VIADUCT_HEP_AGENT_ID",
        "VIADUCT_HEP_BODIES",
        "VIADUCT_HEP_KEY_FILE",
        "VIADUCT_HEP_SAMPLE",
        "VIADUCT_KEPT_ALIVE_IDLE_S",
        "VIADUCT_LATENCY",
        "VIADUCT_LOG",
        "VIADUCT_LOG_PROBLEMS_PER_SECOND",
        "VIADUCT_LOST_PIN",
        "VIADUCT_MESSAGE_TIMEOUT_S",
        "VIADUCT_OUTLIER",
        "VIADUCT_OUTLIER_ASIDE_S",
        "VIADUCT_OUTLIER_MAX_PERCENT",
        "VIADUCT_OUTLIER_PERCENT",
        "VIADUCT_OUTLIER_REQUESTS",
        "VIADUCT_OUTLIER_WINDOW_S",
        "VIADUCT_OVERLOAD_CONTROL",
        "VIADUCT_OVERLOAD_EXEMPT_NAMESPACES",
        "VIADUCT_OVERLOAD_EXEMPT_NUMBERS",
        "VIADUCT_OVERLOAD_RETRY_AFTER_S",
        "VIADUCT_PANIC",
        "VIADUCT_PATH",
        "VIADUCT_PROBE",
        "VIADUCT_PROBE_CODES",
        "VIADUCT_PROBE_FALL",
        "VIADUCT_PROBE_INTERVAL_MS",
        "VIADUCT_PROBE_RISE",
        "VIADUCT_PROBE_TIMEOUT_MS",
        "VIADUCT_PROXY_PROTOCOL_FROM",
        "VIADUCT_QUEUES_BYTES_MAX",
        "VIADUCT_RECORD_ROUTE",
        "VIADUCT_RELOAD_S",
        "VIADUCT_RESOLVERS",
        "VIADUCT_RETRY_AFTER",
        "VIADUCT_RETRY_AFTER_MAX_PERCENT",
        "VIADUCT_RETRY_AFTER_MAX_S",
        "VIADUCT_SECRET",
        "VIADUCT_SECRETS_ACCEPTED",
        "VIADUCT_SECRETS_ACCEPTED_FILE",
        "VIADUCT_SECRET_FILE",
        "VIADUCT_SLOW_START_S",
        "VIADUCT_TABLE_SECRET",
        "VIADUCT_TABLE_SECRET_FILE",
        "VIADUCT_TLS_CERTIFICATES",
        "VIADUCT_TLS_CLIENT_CA",
        "VIADUCT_TLS_CONNECT_CA",
        "VIADUCT_TLS_CONNECT_CERTIFICATE",
        "VIADUCT_TLS_RELOAD_S",
        "VIADUCT_TRUSTED",
        "VIADUCT_UDP_REQUEST_BYTES_MAX",
        "VIADUCT_WEBSOCKET_ORIGINS",
    ];

    #[test]
    fn each_setting_is_reloaded_or_needs_a_restart() {
        let command = CommandLine::command();
        let known =
            command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_str().unwrap().to_owned()));
        let mut known: Vec<String> = known.collect();
        known.sort();
        let mut told = [NEEDS_RESTART, RELOADED].concat();
        told.sort_unstable();
        assert_eq!(known, told);
        assert!(NEEDS_RESTART.iter().all(|name| !name.contains("SECRET")), "their values are told");
    }
}
