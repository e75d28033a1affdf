//! Settings become a snapshot: names are resolved, addresses chosen, and what cannot work is refused.
//!
//! Binding first and deciding later looked simpler. A socket that shares its port is given datagrams from the moment it is
//! bound, and nobody reads them while the table is made; so sockets are opened last, and a check opens none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::balance::backend::{Backend, BackendIndex};
use crate::balance::pool::{Pool, PoolError};
use crate::config::error::ConfigError;
use crate::config::per_network::PerNetworkSetting;
use crate::config::secrets::SecretSetting;
use crate::config::value::{BackendSetting, HostPort, Listen};
use crate::config::{Settings, Switch};
use crate::control::outlier::OutlierPolicy;
use crate::control::overload::rest::RestPolicy;
use crate::control::pool::{AFTERLIFE, LivingPool, MemberSpec, PoolPolicy};
use crate::control::probe::ProbePolicy;
use crate::frame::stream::Limits;
use crate::frame::tls::{ContextFiles, TlsContext};
use crate::frame::websocket::Origins;
use crate::io::Options;
use crate::proxy::keys::Keys;
use crate::proxy::latency::Instance;
use crate::proxy::snapshot::{Listener, Snapshot};
use crate::shard::networks::PerNetwork;
use crate::shard::policy::{ConnectionPolicy, HALF_CLOSED, ListenerPolicy};
use crate::sip::Transport;

use super::certificates;
use super::sockets::{self, Claimed};

/// What the shards start from.
#[derive(Debug)]
pub struct Plan {
    /// What decisions rest on.
    pub snapshot: Snapshot,
    /// A digest of what the members of a fleet must have in common.
    pub digest: String,
    /// The listeners' addresses that another program has.
    pub in_use: Vec<(Transport, SocketAddr)>,
    /// Certificates, keys and authorities.
    pub tls: TlsContext,
    /// The files that those were read from.
    pub tls_files: ContextFiles,
}

/// Makes the plan. Binds each listener for a moment, to learn its port where port 0 is set, and whether it is free.
pub fn make(settings: &Settings) -> Result<Plan, ConfigError> {
    let (keys, pool) = (keys(settings)?, pool(settings)?);
    let (tls, tls_files) = certificates::load(settings)?;
    let Claimed { addresses, in_use } = sockets::claim(settings)?;
    let digest = digest(&keys, &pool, settings);
    Ok(Plan { snapshot: snapshot(settings, keys, pool, &addresses)?, digest, in_use, tls, tls_files })
}

/// The snapshot alone, with the listeners' addresses as they are set: no listener is bound, so a port 0 stays 0.
pub fn snapshot_as_set(settings: &Settings) -> Result<Snapshot, ConfigError> {
    let addresses: Vec<SocketAddr> = settings.listen.0.iter().map(|listen| listen.address).collect();
    snapshot(settings, keys(settings)?, pool(settings)?, &addresses)
}

fn snapshot(settings: &Settings, keys: Keys, pool: Pool, addresses: &[SocketAddr]) -> Result<Snapshot, ConfigError> {
    let listeners = listeners(settings, addresses, &pool)?;
    let transports = transports(settings);
    let snapshot = Snapshot::new(listeners, pool, keys, settings.policy()).with_backend_transports(transports);
    let ways = snapshot.pool().backends().iter().zip(also_by_tcp(settings, snapshot.pool()));
    let both: Vec<SocketAddr> = ways.filter(|(_, also)| *also).map(|(backend, _)| backend.address).collect();
    let snapshot = snapshot.with_backends_also_by_tcp(both);
    reachable(&snapshot)?;
    no_loop(&snapshot)?;
    Ok(match settings.latency {
        Switch::On => snapshot.with_latency(random_instance()?),
        Switch::Off => snapshot,
    })
}

/// The transports of the backends, in the order of the pool, which is that of their names.
fn transports(settings: &Settings) -> Vec<Transport> {
    let mut named: Vec<_> = settings.backends.0.iter().map(|backend| (&backend.name, backend.transport)).collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(_, transport)| transport).collect()
}

/// Which of the pool's backends take TCP besides UDP, in its order.
fn also_by_tcp(settings: &Settings, pool: &Pool) -> Vec<bool> {
    let set = |backend: &Backend| settings.backends.0.iter().find(|set| set.name == backend.name);
    pool.backends().iter().map(|backend| set(backend).is_some_and(|set| set.also_by_tcp)).collect()
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

/// The engine's sizes as set.
pub fn engine_options(settings: &Settings) -> Options {
    Options {
        receive_buffers: settings.receive_buffers,
        receive_buffer_bytes: settings.receive_buffer_bytes,
        send_slots: settings.send_slots,
        send_slot_bytes: 65_535,
        streams: settings.streams.options(settings.shard_count()),
        ..Options::default()
    }
}

/// How connections are kept, as set.
pub fn connection_policy(settings: &Settings, tls: Arc<ArcSwap<TlsContext>>) -> ConnectionPolicy {
    let (streams, layers) = (&settings.streams, &settings.layers);
    let listener =
        |listen: &Listen| ListenerPolicy { clients: listen.clients, takes_proxy_protocol: listen.takes_proxy_protocol };
    let shards = u32::try_from(settings.shard_count()).unwrap_or(u32::MAX).max(1);
    ConnectionPolicy {
        idle: Duration::from_secs(streams.connection_idle_s.into()),
        idle_kept_alive: Duration::from_secs(streams.kept_alive_idle_s.into()),
        connect: Duration::from_millis(streams.connect_timeout_ms.into()),
        handshake: Duration::from_millis(layers.handshake_timeout_ms.into()),
        handshakes_max: layers.handshakes_max.div_ceil(shards),
        message: Duration::from_secs(streams.message_timeout_s.into()),
        per_backend: streams.backend_connections,
        half_closed: HALF_CLOSED,
        queued_bytes_max: streams.queued_bytes_max(settings.shard_count()),
        limits: Limits::default(),
        tls,
        origins: Arc::new(Origins::only(&layers.websocket_origins.0, false)),
        listeners: settings.listen.0.iter().map(listener).collect(),
        proxies: layers.proxy_protocol_from.0.clone().into(),
    }
}

/// The pool that is steered while Viaduct runs, with the members that it starts with, which are those of VIADUCT_BACKENDS.
pub fn living_pool(settings: &Settings, snapshot: &Snapshot) -> Result<LivingPool, ConfigError> {
    let spec = |(index, backend): (usize, &Backend)| {
        let index = BackendIndex(index as u16);
        let (transport, also_by_tcp) = (snapshot.backend_transport(index), snapshot.is_also_reached_by_tcp(index));
        MemberSpec { backend: backend.clone(), transport, also_by_tcp }
    };
    let members = snapshot.pool().backends().iter().enumerate().map(spec).collect();
    let policy = PoolPolicy {
        panic: settings.pool.panic == Switch::On,
        slow_start: Duration::from_secs(settings.pool.slow_start_s.into()),
        afterlife: AFTERLIFE,
    };
    let pool = LivingPool::new(policy, &"VIADUCT_BACKENDS".into(), members, Instant::now());
    pool.map_err(|error| pool_error(settings, &error))
}

/// How backends are asked whether they are alive, as set.
pub fn probe_policy(settings: &Settings) -> ProbePolicy {
    let probe = &settings.probe;
    ProbePolicy {
        interval: Duration::from_millis(probe.probe_interval_ms.into()),
        timeout: Duration::from_millis(probe.probe_timeout_ms.into()),
        fall: probe.probe_fall,
        rise: probe.probe_rise,
        codes: probe.probe_codes.0.clone(),
    }
}

/// When a backend is an outlier, as set.
pub fn outlier_policy(settings: &Settings) -> OutlierPolicy {
    let outlier = &settings.outlier;
    OutlierPolicy {
        window: Duration::from_secs(outlier.outlier_window_s.into()),
        requests_min: outlier.outlier_requests.into(),
        share: f64::from(outlier.outlier_percent) / 100.0,
        ejected_max: f64::from(outlier.outlier_max_percent) / 100.0,
        base: Duration::from_secs(outlier.outlier_aside_s.into()),
    }
}

/// How much rest backends get that ask for it, as set.
pub fn rest_policy(settings: &Settings) -> RestPolicy {
    let overload = &settings.overload;
    RestPolicy {
        longest: Duration::from_secs(overload.retry_after_max_s.into()),
        share_max: f64::from(overload.retry_after_max_percent) / 100.0,
    }
}

/// How many connections one source network may have, as set.
pub fn per_network(settings: &Settings) -> PerNetwork {
    let PerNetworkSetting { connections_max, ipv4_bits, ipv6_bits } = settings.streams.connections_per_network;
    PerNetwork { connections_max, ipv4_bits, ipv6_bits }
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
    Pool::new(backends).map_err(|error| pool_error(settings, &error))
}

fn pool_error(settings: &Settings, error: &PoolError) -> ConfigError {
    let right = "each name and each address once, at most 4096";
    ConfigError::new("VIADUCT_BACKENDS", &settings.backends, error, right)
}

/// Resolves a backend's host. Of several addresses it takes the lowest, IPv4 first, so that all members of a fleet take
/// the same.
pub(super) fn resolve(setting: &BackendSetting) -> Result<Backend, ConfigError> {
    let HostPort { host, port } = &setting.target;
    let address = match setting.target.ip() {
        Some(ip) => SocketAddr::new(ip, *port),
        None => {
            let unresolved = |error: &dyn std::fmt::Display| {
                let wrong = format!("the host name {host} cannot be resolved: {error}");
                ConfigError::new(
                    "VIADUCT_BACKENDS",
                    format!("{}://{}", setting.transport.label(), setting.target),
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

fn reachable(snapshot: &Snapshot) -> Result<(), ConfigError> {
    each(snapshot, is_reachable)
}

fn no_loop(snapshot: &Snapshot) -> Result<(), ConfigError> {
    each(snapshot, is_no_loop)
}

fn each(
    snapshot: &Snapshot,
    check: impl Fn(&[Listener], &Backend, Transport) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    for (index, backend) in snapshot.pool().backends().iter().enumerate() {
        let index = BackendIndex(index as u16);
        let also = snapshot.is_also_reached_by_tcp(index).then_some(Transport::Tcp);
        let mut transports = [Some(snapshot.backend_transport(index)), also].into_iter().flatten();
        transports.try_for_each(|transport| check(snapshot.listeners(), backend, transport))?;
    }
    Ok(())
}

/// Every backend must be reachable by a listener of its transport and address family.
pub(super) fn is_reachable(listeners: &[Listener], backend: &Backend, transport: Transport) -> Result<(), ConfigError> {
    let same_family = |listener: &Listener| listener.address.is_ipv4() == backend.address.is_ipv4();
    if listeners.iter().any(|listener| listener.transport == transport && same_family(listener)) {
        return Ok(());
    }
    let family = if backend.address.is_ipv4() { "IPv4" } else { "IPv6" };
    let url = format!("{}://", transport.label());
    let wrong = format!("no listener is {url} and {family}, so {} cannot be reached", backend.address);
    let right = format!("a pool that the listeners reach, or an {family} listener {url} in VIADUCT_LISTEN");
    Err(ConfigError::new("VIADUCT_BACKENDS", as_set(backend, transport), wrong, &right))
}

/// No backend may be Viaduct itself: each request would go round until its hops are used up. Over which transport makes no
/// difference: where one listener is, so is Viaduct.
pub(super) fn is_no_loop(listeners: &[Listener], backend: &Backend, transport: Transport) -> Result<(), ConfigError> {
    let is_ours = listeners.iter().any(|listener| {
        let advertised = format!("{}:{}", listener.advertised_host, listener.advertised_port).parse().ok();
        listener.address == backend.address || advertised == Some(backend.address)
    });
    if !is_ours {
        return Ok(());
    }
    let (wrong, right) = ("it is a listener of Viaduct's own", "the addresses of the proxies behind it");
    Err(ConfigError::new("VIADUCT_BACKENDS", as_set(backend, transport), wrong, right))
}

fn as_set(backend: &Backend, transport: Transport) -> String {
    format!("{}={}://{}", backend.name, transport.label(), backend.address)
}

/// Covers what places calls and what signs: secret, pool, weights, trusted networks, and listeners as they are set. Not
/// what differs between machines, such as addresses found in the routing table. A backend's transport is named where it is
/// not UDP: a fleet over UDP has the digest that it had when there was no other.
fn digest(keys: &Keys, pool: &Pool, settings: &Settings) -> String {
    let mut sha = Sha256::new();
    let mut take = |text: String| sha.update(format!("{}:{text}", text.len()));
    take(format!("{:x}", keys.table.hash(b"digest")));
    for Listen { transport, address, advertise, .. } in &settings.listen.0 {
        let advertised = advertise.as_ref().map_or_else(String::new, ToString::to_string);
        take(format!("{} {} {advertised}", transport.label(), address.port()));
    }
    let ways = transports(settings).into_iter().zip(also_by_tcp(settings, pool));
    for (Backend { name, address, host, weight }, (transport, also)) in pool.backends().iter().zip(ways) {
        let transport = if transport.is_stream() { format!(" {}", transport.label()) } else { String::new() };
        let also = if also { format!(" also {}", settings.udp_request_bytes_max) } else { String::new() };
        take(format!("{name} {host} {address} {weight}{transport}{also}"));
    }
    let mut trusted: Vec<String> = settings.trusted.0.iter().map(ToString::to_string).collect();
    trusted.sort();
    trusted.dedup();
    trusted.into_iter().for_each(&mut take);
    sha.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::parse;

    fn made(backends: &str, listen: &str) -> Result<Plan, String> {
        let words = format!("viaduct --secret 0123456789abcdef --backends {backends} --listen {listen}");
        match parse(words.split_whitespace().map(Into::into)) {
            Ok(line) => make(&line.settings).map_err(|error| error.to_string()),
            Err(refused) => panic!("{refused:?}"),
        }
    }

    #[test]
    fn transports_follow_the_pool_though_it_is_sorted() {
        let backends = "c=tcp://127.0.0.2:1,a=udp://127.0.0.3:1,b=tcp://127.0.0.4:1";
        let plan = made(backends, "udp://127.0.0.1:0,tcp://127.0.0.1:0").unwrap();
        let transports: Vec<_> = (0..3).map(|index| plan.snapshot.backend_transport(BackendIndex(index))).collect();
        assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Tcp]);
    }

    #[test]
    fn a_backend_needs_a_listener_of_its_transport_and_its_family() {
        let error = made("tcp://127.0.0.2:1", "udp://127.0.0.1:0,tcp://[::1]:0").unwrap_err();
        assert!(error.contains("127.0.0.2:1=tcp://127.0.0.2:1`: no listener is tcp:// and IPv4"), "{error}");
        assert!(error.contains("an IPv4 listener tcp:// in VIADUCT_LISTEN"), "{error}");
        made("tcp://127.0.0.2:1", "udp://[::1]:0,tcp://127.0.0.1:0").unwrap();
    }

    #[test]
    fn a_backend_that_takes_tcp_too_needs_listeners_of_both_and_makes_another_fleet() {
        let also = "b=udp://127.0.0.3:1;also=tcp,a=udp://127.0.0.2:1";
        let error = made(also, "udp://127.0.0.1:0").unwrap_err();
        assert!(error.contains("no listener is tcp:// and IPv4, so 127.0.0.3:1"), "{error}");
        let both = "udp://127.0.0.1:0,tcp://127.0.0.1:0";
        let plan = made(also, both).unwrap();
        let taken: Vec<_> = (0..2).map(|index| plan.snapshot.is_also_reached_by_tcp(BackendIndex(index))).collect();
        assert_eq!(taken, [false, true]);
        assert_eq!(plan.snapshot.stream_backends(), 1);
        assert_ne!(plan.digest, made(&also.replace(";also=tcp", ""), both).unwrap().digest);
    }

    #[test]
    fn an_address_over_another_transport_is_the_same_address() {
        let both = "udp://127.0.0.1:0,tcp://127.0.0.1:0";
        assert!(made("a=udp://127.0.0.2:1,b=tcp://127.0.0.2:1", both).unwrap_err().contains("two backends are at"));
        assert!(made("a=udp://127.0.0.2:1,a=tcp://127.0.0.3:1", both).unwrap_err().contains("are named `a`"));
        let error = made("tcp://127.0.0.1:5999", "udp://127.0.0.1:5999,tcp://127.0.0.1:0").unwrap_err();
        assert!(error.contains("tcp://127.0.0.1:5999`: it is a listener of Viaduct's own"), "{error}");
    }

    /// The digest is compared between members of a fleet of several versions.
    #[test]
    fn the_digest_names_transports_but_leaves_a_fleet_over_udp_as_it_was() {
        let udp = "a=udp://127.0.0.2:5060;weight=3,b=udp://127.0.0.3:5060";
        let both = "udp://127.0.0.1:0,tcp://127.0.0.1:0";
        assert_eq!(made(udp, "udp://127.0.0.1:0").unwrap().digest, "da1afba6d2acd043");
        let of = |backends: &str| made(backends, both).unwrap().digest;
        assert_ne!(of(udp), of(&udp.replace("b=udp", "b=tcp")));
        assert_eq!(of(udp), of(udp));
    }
}
