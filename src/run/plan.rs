//! Settings become a snapshot: addresses are chosen, and what cannot work is refused.
//!
//! Binding first and deciding later looked simpler. A socket that shares its port is given datagrams from the moment it is
//! bound, and nobody reads them while the table is made; so sockets are opened last, and a check opens none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::balance::past::Past;
use crate::balance::pool::Pool;
use crate::config::error::ConfigError;
use crate::config::per_network::PerNetworkSetting;
use crate::config::value::{HostPort, Listen};
use crate::config::{Settings, Switch};
use crate::control::certificates::Files;
use crate::control::discovery::ledger::Listing;
use crate::control::outlier::OutlierPolicy;
use crate::control::overload::rest::RestPolicy;
use crate::control::pool::{AFTERLIFE, LivingPool, MemberSpec, PoolPolicy};
use crate::control::probe::ProbePolicy;
use crate::frame::stream::Limits;
use crate::frame::tls::TlsContext;
use crate::frame::websocket::Origins;
use crate::io::Options;
use crate::proxy::keys::Keys;
use crate::proxy::latency::Instance;
use crate::proxy::snapshot::{Listener, Snapshot};
use crate::shard::networks::PerNetwork;
use crate::shard::policy::{ConnectionPolicy, HALF_CLOSED, ListenerPolicy};
use crate::sip::Transport;

use super::digest::digest;
use super::discovery::SOURCE;
use super::secrets::Secrets;
use super::sockets::{self, Claimed};
use super::upgrade::inheritance::Inheritance;
use super::{certificates, discovery, reach};

/// What the shards start from.
#[derive(Debug)]
pub struct Plan {
    /// What decisions rest on.
    pub snapshot: Snapshot,
    /// The pool that is steered while Viaduct runs; it stands as in the snapshot.
    pub pool: LivingPool,
    /// A digest of what the members of a fleet must have in common.
    pub digest: String,
    /// The listeners' addresses that another program has.
    pub in_use: Vec<(Transport, SocketAddr)>,
    /// Certificates, keys and authorities.
    pub tls: TlsContext,
    /// The files that those were read from.
    pub tls_files: Files,
    /// The secrets.
    pub secrets: Secrets,
}

/// Makes the plan, with a pool that begins with what is listed. Binds each listener for a moment, to learn its port where port 0 is
/// set, and whether it is free.
pub fn make(settings: &Settings, listing: Listing) -> Result<Plan, ConfigError> {
    make_with(settings, listing, &Inheritance::default())
}

/// The same where sockets go over from another process.
pub fn make_with(settings: &Settings, listing: Listing, inherited: &Inheritance) -> Result<Plan, ConfigError> {
    let secrets = Secrets::read(settings)?;
    let keys = secrets.keys()?;
    let (tls, tls_files) = certificates::load(settings)?;
    let Claimed { addresses, in_use } = sockets::claim(settings, inherited)?;
    let digest = digest(&keys, settings)?;
    let (snapshot, pool) = begun(settings, keys, listing, &addresses)?;
    Ok(Plan { snapshot, pool, digest, in_use, tls, tls_files, secrets })
}

/// The snapshot alone, with a pool of what is listed and the listeners' addresses as they are set: no listener is bound, so a port
/// 0 stays 0.
pub fn snapshot_as_set(settings: &Settings, listing: Listing) -> Result<Snapshot, ConfigError> {
    let addresses: Vec<SocketAddr> = settings.listen.0.iter().map(|listen| listen.address).collect();
    Ok(begun(settings, Secrets::read(settings)?.keys()?, listing, &addresses)?.0)
}

fn begun(
    settings: &Settings,
    keys: Keys,
    Listing { mut members, ranks, .. }: Listing,
    addresses: &[SocketAddr],
) -> Result<(Snapshot, LivingPool), ConfigError> {
    // The order of a pool is that of the names.
    members.sort_by(|one, other| one.backend.name.cmp(&other.backend.name));
    let listeners = listeners(settings, addresses, &members)?;
    let members = reach::admitted(settings, &listeners, members)?;
    let (now, wrong) = (Instant::now(), |error| discovery::pool_error(&settings.backends, &error));
    let mut pool = LivingPool::new(pool_policy(settings), &SOURCE.into(), members, now).map_err(wrong)?;
    pool.set_ranks(&SOURCE.into(), ranks);
    let plan = pool.first_plan(now);
    let roster = plan.build(&keys.table, &mut Past::new(AFTERLIFE, now), now).map_err(wrong)?;
    let snapshot = Snapshot::new(listeners, Pool::default(), keys, settings.policy())
        .with_roster(roster, plan.transports())
        .with_backends_also_by_tcp(plan.also_by_tcp())
        .with_latency_of(latency(settings, None)?);
    Ok((snapshot, pool))
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

/// How the pool lives, as set.
pub fn pool_policy(settings: &Settings) -> PoolPolicy {
    PoolPolicy {
        panic: settings.pool.panic == Switch::On,
        slow_start: Duration::from_secs(settings.pool.slow_start_s.into()),
        afterlife: AFTERLIFE,
    }
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

/// The number that marks stamps of time, where backends are timed: the one before, where there was any.
pub fn latency(settings: &Settings, before: Option<Instance>) -> Result<Option<Instance>, ConfigError> {
    match settings.latency {
        Switch::On => before.map_or_else(random_instance, Ok).map(Some),
        Switch::Off => Ok(None),
    }
}

fn random_instance() -> Result<Instance, ConfigError> {
    let drawn = getrandom::u32().map(|number| Instance(number as u16));
    drawn.map_err(|error| ConfigError::new("VIADUCT_LATENCY", "on", error, "off, where no random number is to be had"))
}

fn listeners(settings: &Settings, bound: &[SocketAddr], members: &[MemberSpec]) -> Result<Vec<Listener>, ConfigError> {
    let awaits_backends =
        members.is_empty() && (!settings.backends.0.is_empty() || settings.discovery.backends_file.is_some());
    let with_aliases = |(listen, bound): (&Listen, &SocketAddr)| {
        if awaits_backends && bound.ip().is_unspecified() && listen.advertise.is_none() {
            // It would be another address than that of the next start, in routes that backends keep.
            let wrong =
                "which address leads to the backends cannot be told, since none of their names leads anywhere yet";
            return Err(ConfigError::new("VIADUCT_LISTEN", bound, wrong, "a listener with ;advertise=host:port"));
        }
        let listener = listener(listen, *bound, members)?;
        Ok(listen.aliases.iter().fold(listener, |listener, alias| listener.with_alias(&alias.host, alias.port)))
    };
    settings.listen.0.iter().zip(bound).map(with_aliases).collect()
}

fn listener(listen: &Listen, bound: SocketAddr, members: &[MemberSpec]) -> Result<Listener, ConfigError> {
    if let Some(HostPort { host, port }) = &listen.advertise {
        return Ok(Listener::new(listen.transport, bound, host, *port));
    }
    let ip = if bound.ip().is_unspecified() { address_towards(members, bound.ip())? } else { bound.ip() };
    let host = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Ok(Listener::new(listen.transport, bound, &host, bound.port()))
}

/// The address of this machine from which the first backend of that family is reached, or, without one, any other
/// machine. Connecting a UDP socket asks the routing table and sends nothing.
fn address_towards(members: &[MemberSpec], wildcard: IpAddr) -> Result<IpAddr, ConfigError> {
    let mut addresses = members.iter().map(|member| member.backend.address);
    let backend = addresses.find(|address| address.is_ipv4() == wildcard.is_ipv4());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::BackendIndex;
    use crate::config::error::parse;
    use crate::control::pool::rank::Rank;

    fn settings(backends: &str, listen: &str) -> Settings {
        let words = format!("viaduct --secret 0123456789abcdef --backends {backends} --listen {listen}");
        match parse(words.split_whitespace().map(Into::into)) {
            Ok(line) => line.settings,
            Err(refused) => panic!("{refused:?}"),
        }
    }

    fn made(backends: &str, listen: &str) -> Result<Plan, String> {
        let settings = settings(backends, listen);
        let made = discovery::look_up(&settings).and_then(|listing| make(&settings, listing));
        made.map_err(|error| error.to_string())
    }

    #[test]
    fn transports_follow_the_pool_though_it_is_sorted() {
        let backends = "c=tcp://127.0.0.2:1,a=udp://127.0.0.3:1,b=tcp://127.0.0.4:1";
        let plan = made(backends, "udp://127.0.0.1:0,tcp://127.0.0.1:0").unwrap();
        let transports: Vec<_> = (0..3).map(|index| plan.snapshot.backend_transport(BackendIndex(index))).collect();
        assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Tcp]);
    }

    #[test]
    fn who_comes_behind_others_gets_no_calls_from_the_first_on() {
        let settings = settings("a=udp://127.0.0.2:1,b=udp://127.0.0.3:1,c=udp://127.0.0.4:1", "udp://127.0.0.1:0");
        let mut listing = discovery::look_up(&settings).unwrap();
        let rank = |tier| Rank { group: "farm".into(), tier };
        listing.ranks = [("a", 2), ("b", 1), ("c", 2)].map(|(name, tier)| (name.to_owned(), rank(tier))).into();
        let Plan { snapshot, mut pool, .. } = make(&settings, listing).unwrap();
        let shares = [0, 1, 2].map(|index| snapshot.roster().share(BackendIndex(index)));
        assert_eq!(shares, [0.0, 1.0, 0.0]);
        assert!(pool.plan(Instant::now()).is_none(), "it goes on as it has begun");
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
