//! Settings become a snapshot and sockets: names are resolved, addresses chosen, ports bound.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::balance::backend::Backend;
use crate::balance::pool::Pool;
use crate::config::error::ConfigError;
use crate::config::value::{BackendSetting, HostPort, Listen};
use crate::config::{Secret, Settings};
use crate::io::Options;
use crate::io::socket::{SocketOptions, open_udp};
use crate::proxy::keys::Keys;
use crate::proxy::snapshot::{Listener, Snapshot};

/// What the shards start from.
#[derive(Debug)]
pub struct Plan {
    /// What decisions rest on.
    pub snapshot: Arc<Snapshot>,
    /// For each shard a socket for each listener.
    pub sockets: Vec<Vec<UdpSocket>>,
    /// A digest of all that decisions rest on: the same on all members of a fleet.
    pub digest: String,
}

/// Makes the plan, with all sockets bound.
pub fn make(settings: &Settings) -> Result<Plan, ConfigError> {
    let secret = match settings.secret()? {
        Secret::Set(secret) => secret,
        Secret::Missing => random_secret()?,
    };
    let keys = Keys::derive(&secret).map_err(|error| secret_error(&error))?;
    let backends = settings.backends.0.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    let right = "each name and each address once, at most 4096";
    let no_pool = |error| ConfigError::new("VIADUCT_BACKENDS", &settings.backends, error, right);
    let pool = Pool::new(backends).map_err(no_pool)?;
    let (sockets, addresses) = bind(settings)?;
    let listeners = listeners(settings, &addresses, &pool)?;
    reachable(&listeners, &pool)?;
    let digest = digest(&keys, &listeners, &pool, settings);
    let snapshot = Arc::new(Snapshot::new(listeners, pool, keys, settings.trusted.0.clone()));
    Ok(Plan { snapshot, sockets, digest })
}

/// The engine's sizes as set.
pub fn engine_options(settings: &Settings) -> Options {
    Options {
        receive_buffers: settings.receive_buffers,
        receive_buffer_bytes: settings.receive_buffer_bytes,
        send_slots: settings.send_slots,
        send_slot_bytes: 65_535,
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

fn secret_error(error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::new("VIADUCT_SECRET", "(not shown)", error, "16 random bytes or more, as from: openssl rand -hex 16")
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

/// Opens every shard's sockets. Where port 0 is set the kernel chooses for the first shard and the others share it.
fn bind(settings: &Settings) -> Result<(Vec<Vec<UdpSocket>>, Vec<SocketAddr>), ConfigError> {
    let options = SocketOptions {
        receive_buffer_bytes: settings.socket_receive_bytes,
        send_buffer_bytes: settings.socket_send_bytes,
    };
    let mut addresses: Vec<SocketAddr> = settings.listen.0.iter().map(|listen| listen.address).collect();
    let mut sockets = Vec::new();
    for _ in 0..settings.shard_count() {
        let mut of_shard = Vec::new();
        for (address, listen) in addresses.iter_mut().zip(&settings.listen.0) {
            let opened =
                open_udp(*address, &options).and_then(|socket| socket.local_addr().map(|bound| (socket, bound)));
            let (socket, bound) = opened.map_err(|error| {
                let right = "an address of this machine and a port that no other program has";
                let listener = format!("{}://{address}", listen.transport.label());
                ConfigError::new("VIADUCT_LISTEN", listener, format!("it cannot be bound: {error}"), right)
            })?;
            *address = bound;
            of_shard.push(socket);
        }
        sockets.push(of_shard);
    }
    Ok((sockets, addresses))
}

fn listeners(settings: &Settings, bound: &[SocketAddr], pool: &Pool) -> Result<Vec<Listener>, ConfigError> {
    settings.listen.0.iter().zip(bound).map(|(listen, bound)| listener(listen, *bound, pool)).collect()
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

/// The address of this machine from which the first backend of that family is reached; without one, the loopback address,
/// since nothing is forwarded. Connecting a UDP socket asks the routing table and sends nothing.
fn address_towards(pool: &Pool, wildcard: IpAddr) -> Result<IpAddr, ConfigError> {
    let same_family = |backend: &&Backend| backend.address.is_ipv4() == wildcard.is_ipv4();
    let Some(backend) = pool.backends().iter().find(same_family) else {
        return Ok(if wildcard.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    };
    let asked = UdpSocket::bind((wildcard, 0)).and_then(|socket| {
        socket.connect(backend.address)?;
        socket.local_addr()
    });
    asked.map(|address| address.ip()).map_err(|error| {
        let wrong = format!("no address to advertise is found: backend {} has no route: {error}", backend.name);
        ConfigError::new("VIADUCT_LISTEN", wildcard, wrong, "a listener with ;advertise=host:port")
    })
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

fn digest(keys: &Keys, listeners: &[Listener], pool: &Pool, settings: &Settings) -> String {
    let mut sha = Sha256::new();
    let mut take = |text: String| sha.update(format!("{}:{text}", text.len()));
    take(format!("{:x}", keys.table.hash(b"digest")));
    for listener in listeners {
        take(format!("{} {}:{}", listener.transport.label(), listener.advertised_host, listener.advertised_port));
    }
    for backend in pool.backends() {
        take(format!("{} {} {} {}", backend.name, backend.host, backend.address, backend.weight));
    }
    for network in &settings.trusted.0 {
        take(network.to_string());
    }
    sha.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
