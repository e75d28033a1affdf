//! Settings become a list of entries, and somebody who looks them up.
//!
//! To look names up before anything else, and not to start without, looked cleaner. A container may start before its name server, or
//! before its backends, and a Viaduct that ends then is started again ever more slowly.

use std::sync::Arc;
use std::time::Duration;

use crate::balance::backend::Backend;
use crate::balance::pool::{MAX_BACKENDS, Pool, PoolError};
use crate::config::Settings;
use crate::config::backends::{BackendSetting, Backends};
use crate::config::error::ConfigError;
use crate::control;
use crate::control::discovery::entry::{Entry, Place, Reach};
use crate::control::discovery::ledger::Listing;
use crate::control::discovery::mailbox::DiscoveryHandle;
use crate::control::discovery::{Discovery, FIRST_LOOK, Steered, Tools};
use crate::control::pool::MemberSpec;
use crate::control::pool::member::Member;
use crate::control::resolve::servers::Servers;
use crate::control::steward::PoolHandle;
use crate::metrics::discovery::DiscoveryCells;
use crate::proxy::snapshot::{Listener, Snapshot};
use crate::sip::Transport;

use super::reach;

/// What the pool's configured members are known by, among others' members.
pub const SOURCE: &str = "VIADUCT_BACKENDS";

/// The pool as Viaduct begins with it, and who keeps it.
#[derive(Debug)]
pub struct Begun {
    /// The members that were found in time.
    pub listing: Listing,
    /// Who looks for them from here on.
    pub discovery: Discovery,
    /// By what that is told of another list.
    pub handle: DiscoveryHandle,
    /// What is counted.
    pub cells: Arc<DiscoveryCells>,
}

/// Looks up what the settings name, for a few seconds at most. What cannot be found by then is looked for further, and does not keep
/// Viaduct from starting: a container may start before its name server, or before its backends.
pub async fn begin(settings: &Settings, servers: Servers) -> Result<Begun, ConfigError> {
    let entries = entries(settings)?;
    let cells = Arc::new(DiscoveryCells::default());
    let (reach, hold) = (set_reach(settings), hold(settings));
    let tools = Tools { servers, reach, hold, cells: cells.clone() };
    let (mut discovery, handle) = Discovery::new(entries, tools);
    let listing = discovery.begin(FIRST_LOOK).await.clone();
    for entry in discovery.missing() {
        tracing::error!(entry, "no backend of this name is found; Viaduct starts without, and goes on looking");
    }
    Ok(Begun { listing, discovery, handle, cells })
}

/// The members that the settings lead to. Fails where anything leads nowhere: whoever asks wants to know. Not to be called on a
/// thread that is a runtime's already.
pub fn look_up(settings: &Settings) -> Result<Listing, ConfigError> {
    let has_names = entries(settings)?.iter().any(Entry::is_looked_up);
    let begun = control::block_on(false, async { begin(settings, servers(settings)).await })
        .map_err(|error| unresolved(settings, &error.to_string(), &error))??;
    match begun.discovery.missing().first() {
        Some(name) if has_names => Err(unresolved(settings, name, &"nothing is found by this name")),
        _ => Ok(begun.listing),
    }
}

/// The entries of the list and of the file, each name and each address once, and what is given by name of a transport that a listener
/// has.
pub fn entries(settings: &Settings) -> Result<Vec<Entry>, ConfigError> {
    entries_of(&settings.all_backends()?, &set_reach(settings))
}

/// The entries of a list, each name and each address once, before listeners of this reach.
pub fn entries_of(list: &Backends, reach: &Reach) -> Result<Vec<Entry>, ConfigError> {
    let Backends(all) = list;
    let entries: Vec<Entry> = all.iter().map(entry).collect();
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| PoolError::NameTwice(pair[0].to_owned()));
    let too_many = (entries.len() > MAX_BACKENDS).then_some(PoolError::TooMany(entries.len()));
    match twice.or(too_many).or_else(|| pool_of_addresses(&entries).err()) {
        None => {}
        Some(error) => return Err(pool_error(list, &error)),
    }
    all.iter().try_for_each(|backend| is_spoken(backend, reach))?;
    Ok(entries)
}

/// The same, where every address among them can be a backend before these listeners.
pub fn entries_before(settings: &Settings, listeners: &[Listener]) -> Result<Vec<Entry>, ConfigError> {
    let entries = entries(settings)?;
    entries.iter().filter_map(fixed).try_for_each(|member| reach::check(listeners, &member))?;
    Ok(entries)
}

/// Why these backends make no pool, with what would be right.
pub fn pool_error(list: &Backends, error: &PoolError) -> ConfigError {
    let right = "each name and each address once, at most 4096";
    ConfigError::new(SOURCE, list, error, right)
}

fn pool_of_addresses(entries: &[Entry]) -> Result<Pool, PoolError> {
    Pool::new(entries.iter().filter_map(fixed).map(|member| member.backend).collect())
}

/// The member that an address is.
fn fixed(entry: &Entry) -> Option<MemberSpec> {
    let Place::At(address, transport) = entry.place else { return None };
    let Entry { name, host, weight, also_by_tcp, .. } = entry.clone();
    Some(MemberSpec { backend: Backend { name, address, host, weight }, transport, also_by_tcp })
}

fn entry(backend: &BackendSetting) -> Entry {
    let BackendSetting { name, is_named, transport, host, port, weight, also_by_tcp } = backend.clone();
    let place = match (backend.address(), transport, port) {
        (Some((address, transport)), ..) => Place::At(address, transport),
        (None, transport, None) => Place::Service(transport),
        (None, transport, Some(port)) => Place::Host(port, transport.unwrap_or(Transport::Udp)),
    };
    Entry { name, is_named, host, place, weight, also_by_tcp }
}

/// Who is asked about names: of backends, and those that backends send to.
pub fn servers(settings: &Settings) -> Servers {
    servers_as_set(settings).unwrap_or_else(|error| {
        tracing::warn!("no name server is known, so no name is found: {error}");
        Servers::none()
    })
}

/// The same, and nobody else where they cannot be asked.
pub fn servers_as_set(settings: &Settings) -> Result<Servers, ConfigError> {
    Servers::new(&settings.resolvers.0).map_err(|error| {
        let asked: Vec<String> = settings.resolvers.0.iter().map(ToString::to_string).collect();
        let right = "addresses of name servers, or none and an /etc/resolv.conf that names some";
        ConfigError::new("VIADUCT_RESOLVERS", asked.join(","), error, right)
    })
}

/// For how long what is known is held while name servers say that there is nothing.
pub fn hold(settings: &Settings) -> Duration {
    Duration::from_secs(settings.discovery.dns_hold_s.into())
}

/// What a look at names needs that is made once and counted nowhere.
pub fn tools(servers: Servers, reach: Reach) -> Tools {
    Tools { servers, reach, hold: Duration::ZERO, cells: Arc::default() }
}

fn set_reach(settings: &Settings) -> Reach {
    Reach::of(settings.listen.0.iter().map(|listen| (listen.transport, listen.address)))
}

/// Where what is found goes: to members before these listeners, at addresses that nobody else has brought.
pub fn steered(pool: PoolHandle, snapshot: Arc<Snapshot>) -> Steered {
    let state = pool.state();
    let is_free = move |MemberSpec { backend, .. }: &MemberSpec| {
        let is_anothers = |other: &Member| other.source.as_ref() != SOURCE && other.leaving.is_none();
        let has_place =
            |other: &Member| other.spec.backend.address == backend.address && other.spec.backend.name != backend.name;
        !state.borrow().members.iter().any(|other| is_anothers(other) && has_place(other))
    };
    let admits = move |member: &MemberSpec| reach::check(snapshot.listeners(), member).is_ok() && is_free(member);
    Steered { source: SOURCE.into(), pool, admits: Box::new(admits) }
}

/// What is given by a name must be of a transport that a listener has; of addresses, more is known.
fn is_spoken(backend: &BackendSetting, reach: &Reach) -> Result<(), ConfigError> {
    let also = backend.also_by_tcp.then_some(Transport::Tcp);
    let is_missing = |transport: &Transport| !reach.has(*transport);
    match backend.transport.into_iter().chain(also).find(is_missing) {
        Some(missing) if backend.address().is_none() => {
            let url = format!("{}://", missing.label());
            let wrong = format!("no listener is {url}, so {} cannot be reached", backend.host);
            let right = format!("a pool that the listeners reach, or a listener {url} in VIADUCT_LISTEN");
            Err(ConfigError::new(SOURCE, backend, wrong, &right))
        }
        _ => Ok(()),
    }
}

fn unresolved(settings: &Settings, name: &str, error: &dyn std::fmt::Display) -> ConfigError {
    let backends = settings.all_backends().unwrap_or_default();
    let written =
        backends.0.iter().find(|backend| backend.name == name).map_or_else(|| name.to_owned(), ToString::to_string);
    ConfigError::new(SOURCE, written, error, "a name that resolves here, or an address")
}
