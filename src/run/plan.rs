//! Settings become a snapshot and sockets: names are resolved, addresses chosen, ports bound.
//!
//! Binding first and deciding later looked simpler. A socket that shares its port is given datagrams from the moment it is
//! bound, and nobody reads them while the table is made; so sockets are opened last, and a check opens none.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use sha2::{Digest, Sha256};

use crate::balance::backend::Backend;
use crate::balance::pool::Pool;
use crate::config::error::ConfigError;
use crate::config::value::{BackendSetting, HostPort, Listen};
use crate::config::{SecretSetting, Settings, Switch};
use crate::io::Options;
use crate::io::socket::{SocketOptions, claim_udp, open_udp};
use crate::proxy::keys::Keys;
use crate::proxy::latency::Instance;
use crate::proxy::snapshot::{Listener, Snapshot};

/// What the shards start from.
#[derive(Debug)]
pub struct Plan {
    /// What decisions rest on.
    pub snapshot: Snapshot,
    /// A digest of what the members of a fleet must have in common.
    pub digest: String,
    /// The listeners' addresses that another program has.
    pub in_use: Vec<SocketAddr>,
}

/// Makes the plan. Binds each listener for a moment, to learn its port where port 0 is set, and whether it is free.
pub fn make(settings: &Settings) -> Result<Plan, ConfigError> {
    let (keys, pool) = (keys(settings)?, pool(settings)?);
    let (addresses, in_use) = claim(settings)?;
    let digest = digest(&keys, &pool, settings);
    Ok(Plan { snapshot: snapshot(settings, keys, pool, &addresses)?, digest, in_use })
}

/// The snapshot alone, with the listeners' addresses as they are set: no listener is bound, so a port 0 stays 0.
pub fn snapshot_as_set(settings: &Settings) -> Result<Snapshot, ConfigError> {
    let addresses: Vec<SocketAddr> = settings.listen.0.iter().map(|listen| listen.address).collect();
    snapshot(settings, keys(settings)?, pool(settings)?, &addresses)
}

fn snapshot(settings: &Settings, keys: Keys, pool: Pool, addresses: &[SocketAddr]) -> Result<Snapshot, ConfigError> {
    let listeners = listeners(settings, addresses, &pool)?;
    reachable(&listeners, &pool)?;
    no_loop(&listeners, &pool)?;
    let snapshot = Snapshot::new(listeners, pool, keys, settings.policy());
    Ok(match settings.latency {
        Switch::On => snapshot.with_latency(random_instance()?),
        Switch::Off => snapshot,
    })
}

fn keys(settings: &Settings) -> Result<Keys, ConfigError> {
    let secret = match settings.secret()? {
        SecretSetting::Set(secret) => secret,
        SecretSetting::Missing => random_secret()?,
    };
    let table = match settings.table_secret()? {
        SecretSetting::Set(secret) => secret,
        SecretSetting::Missing => secret.clone(),
    };
    Keys::rotating(&secret, &settings.secrets_accepted()?, &table).map_err(|error| secret_error(&error))
}

/// Opens a socket for each listener and shard. A listener that another program has is an error: with a shared port each
/// would get half of the messages.
pub fn open(plan: &Plan, settings: &Settings) -> Result<Vec<Vec<UdpSocket>>, ConfigError> {
    if let Some(address) = plan.in_use.first() {
        let wrong = "another program, perhaps a Viaduct, has it";
        return Err(ConfigError::new("VIADUCT_LISTEN", format!("udp://{address}"), wrong, FREE_ADDRESS));
    }
    let options = SocketOptions {
        receive_buffer_bytes: settings.socket_receive_bytes,
        send_buffer_bytes: settings.socket_send_bytes,
    };
    let open = |listener: &Listener| {
        let unusable = |error| unusable(listener.address, &error);
        open_udp(listener.address, &options).map_err(unusable)
    };
    let of_shard = |_| plan.snapshot.listeners().iter().map(open).collect();
    (0..settings.shard_count()).map(of_shard).collect()
}

const FREE_ADDRESS: &str = "an address of this machine and a port that no other program has";

fn unusable(address: SocketAddr, error: &std::io::Error) -> ConfigError {
    ConfigError::new("VIADUCT_LISTEN", format!("udp://{address}"), format!("it cannot be bound: {error}"), FREE_ADDRESS)
}

/// The engine's sizes as set.
pub fn engine_options(settings: &Settings) -> Options {
    Options {
        receive_buffers: settings.receive_buffers,
        receive_buffer_bytes: settings.receive_buffer_bytes,
        send_slots: settings.send_slots,
        send_slot_bytes: 65_535,
        ..Options::default()
    }
}

fn random_secret() -> Result<Vec<u8>, ConfigError> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|error| secret_error(&error))?;
    tracing::warn!(
        "no secret is set (VIADUCT_SECRET or VIADUCT_SECRET_FILE), so a random one is used: calls in progress are \
         lost at a restart, and members of a fleet disagree about every call. Draw one by: openssl rand -hex 16"
    );
    Ok(secret)
}

fn random_instance() -> Result<Instance, ConfigError> {
    let drawn = getrandom::u32().map(|number| Instance(number as u16));
    drawn.map_err(|error| ConfigError::new("VIADUCT_LATENCY", "on", error, "off, where no random number is to be had"))
}

fn secret_error(error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::new("VIADUCT_SECRET", "(not shown)", error, "16 random bytes or more, as from: openssl rand -hex 16")
}

fn pool(settings: &Settings) -> Result<Pool, ConfigError> {
    let backends = settings.backends.0.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    let right = "each name and each address once, at most 4096";
    Pool::new(backends).map_err(|error| ConfigError::new("VIADUCT_BACKENDS", &settings.backends, error, right))
}

/// Resolves a backend's host. Of several addresses it takes the lowest, IPv4 first, so that all members of a fleet take
/// the same.
fn resolve(setting: &BackendSetting) -> Result<Backend, ConfigError> {
    let HostPort { host, port } = &setting.target;
    let address = match setting.target.ip() {
        Some(ip) => SocketAddr::new(ip, *port),
        None => {
            let unresolved = |error: &dyn std::fmt::Display| {
                let wrong = format!("the host name {host} cannot be resolved: {error}");
                ConfigError::new(
                    "VIADUCT_BACKENDS",
                    format!("udp://{}", setting.target),
                    wrong,
                    "a name that resolves here, or an address",
                )
            };
            let found = (host.as_str(), *port).to_socket_addrs().map_err(|error| unresolved(&error))?;
            found
                .min_by_key(|address| (address.is_ipv6(), address.ip()))
                .ok_or_else(|| unresolved(&"it has no address"))?
        }
    };
    Ok(Backend { name: setting.name.clone(), address, host: host.clone(), weight: setting.weight })
}

/// The listeners' addresses with their ports, and those of them that another program has.
fn claim(settings: &Settings) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), ConfigError> {
    let (mut addresses, mut in_use) = (Vec::new(), Vec::new());
    for Listen { address, .. } in &settings.listen.0 {
        match claim_udp(*address) {
            Ok(claimed) => addresses.push(claimed),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                addresses.push(*address);
                in_use.push(*address);
            }
            Err(error) => return Err(unusable(*address, &error)),
        }
    }
    Ok((addresses, in_use))
}

fn listeners(settings: &Settings, bound: &[SocketAddr], pool: &Pool) -> Result<Vec<Listener>, ConfigError> {
    let with_aliases = |(listen, bound): (&Listen, &SocketAddr)| {
        let listener = listener(listen, *bound, pool)?;
        Ok(listen.aliases.iter().fold(listener, |listener, alias| listener.with_alias(&alias.host, alias.port)))
    };
    settings.listen.0.iter().zip(bound).map(with_aliases).collect()
}

fn listener(listen: &Listen, bound: SocketAddr, pool: &Pool) -> Result<Listener, ConfigError> {
    if let Some(HostPort { host, port }) = &listen.advertise {
        return Ok(Listener::new(listen.transport, bound, host, *port));
    }
    let ip = if bound.ip().is_unspecified() { address_towards(pool, bound.ip())? } else { bound.ip() };
    let host = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Ok(Listener::new(listen.transport, bound, &host, bound.port()))
}

/// The address of this machine from which the first backend of that family is reached, or, without one, any other
/// machine. Connecting a UDP socket asks the routing table and sends nothing.
fn address_towards(pool: &Pool, wildcard: IpAddr) -> Result<IpAddr, ConfigError> {
    let same_family = |backend: &&Backend| backend.address.is_ipv4() == wildcard.is_ipv4();
    let backend = pool.backends().iter().find(same_family).map(|backend| backend.address);
    // Addresses for documentation (RFC 5737, RFC 3849): on nobody's network, so by the default route.
    let elsewhere: IpAddr = if wildcard.is_ipv4() {
        Ipv4Addr::new(192, 0, 2, 1).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
    };
    let asked = UdpSocket::bind((wildcard, 0)).and_then(|socket| {
        socket.connect(backend.unwrap_or(SocketAddr::new(elsewhere, 9)))?;
        socket.local_addr()
    });
    match asked {
        Ok(address) => Ok(address.ip()),
        // A machine without a network, as for a first try: only it can reach itself.
        Err(_) if backend.is_none() && wildcard.is_ipv4() => Ok(Ipv4Addr::LOCALHOST.into()),
        Err(_) if backend.is_none() => Ok(Ipv6Addr::LOCALHOST.into()),
        Err(error) => {
            let wrong = format!("no address to advertise is found, because a backend cannot be reached: {error}");
            Err(ConfigError::new("VIADUCT_LISTEN", wildcard, wrong, "a listener with ;advertise=host:port"))
        }
    }
}

/// No backend may be Viaduct itself: each request would go round until its hops are used up.
fn no_loop(listeners: &[Listener], pool: &Pool) -> Result<(), ConfigError> {
    let is_ours = |backend: &&Backend| {
        listeners.iter().any(|listener| {
            let advertised = format!("{}:{}", listener.advertised_host, listener.advertised_port).parse().ok();
            listener.address == backend.address || advertised == Some(backend.address)
        })
    };
    match pool.backends().iter().find(is_ours) {
        None => Ok(()),
        Some(backend) => Err(ConfigError::new(
            "VIADUCT_BACKENDS",
            format!("{}=udp://{}", backend.name, backend.address),
            "it is a listener of Viaduct's own",
            "the addresses of the proxies behind it",
        )),
    }
}

/// Every backend must be reachable by a listener of its address family.
fn reachable(listeners: &[Listener], pool: &Pool) -> Result<(), ConfigError> {
    let reaches = |backend: &Backend| listeners.iter().any(|l| l.address.is_ipv4() == backend.address.is_ipv4());
    match pool.backends().iter().find(|backend| !reaches(backend)) {
        None => Ok(()),
        Some(backend) => {
            let family = if backend.address.is_ipv4() { "IPv4" } else { "IPv6" };
            let wrong = format!("no listener is {family}, so {} cannot be reached", backend.address);
            Err(ConfigError::new(
                "VIADUCT_BACKENDS",
                format!("{}=udp://{}", backend.name, backend.address),
                wrong,
                &format!("a pool that the listeners reach, or an {family} listener"),
            ))
        }
    }
}

/// Covers what places calls and what signs: secret, pool, weights, trusted networks, and listeners as they are set. Not
/// what differs between machines, such as addresses found in the routing table.
fn digest(keys: &Keys, pool: &Pool, settings: &Settings) -> String {
    let mut sha = Sha256::new();
    let mut take = |text: String| sha.update(format!("{}:{text}", text.len()));
    take(format!("{:x}", keys.table.hash(b"digest")));
    for Listen { transport, address, advertise, .. } in &settings.listen.0 {
        let advertised = advertise.as_ref().map_or_else(String::new, ToString::to_string);
        take(format!("{} {} {advertised}", transport.label(), address.port()));
    }
    for Backend { name, address, host, weight } in pool.backends() {
        take(format!("{name} {host} {address} {weight}"));
    }
    let mut trusted: Vec<String> = settings.trusted.0.iter().map(ToString::to_string).collect();
    trusted.sort();
    trusted.dedup();
    trusted.into_iter().for_each(&mut take);
    sha.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
