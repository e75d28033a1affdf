//! How connections are kept, and what they must show: times, numbers and rules that the operator sets.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::frame::stream::Limits;
use crate::frame::tls::{ClientCertificates, TlsContext};
use crate::frame::websocket::Origins;
use crate::proxy::inbound::ListenerIndex;

/// How connections are kept, by every shard alike.
#[derive(Clone, Debug)]
pub struct ConnectionPolicy {
    /// How long a connection may bring nothing, not even a keepalive, before it is closed. RFC 5626 §4.4.1 has clients
    /// speak every 120 s.
    pub idle: Duration,
    /// The same for one that has brought a keepalive at some time: its client wants to be reached by it.
    pub idle_kept_alive: Duration,
    /// How long a connection of ours may take to open, with its TLS handshake.
    pub connect: Duration,
    /// How long the handshakes of a connection that a peer opened may take together.
    pub handshake: Duration,
    /// How many connections of a shard may be in their handshakes at a time: each costs a private key's work and some
    /// 30 KiB.
    pub handshakes_max: u32,
    /// How long a message may take from its first byte to its last.
    pub message: Duration,
    /// For how long after it last brought something a connection is kept whose peer has finished sending, so that responses
    /// still reach it.
    pub half_closed: Duration,
    /// How many connections a shard opens to one backend; each call keeps to one of them.
    pub per_backend: u8,
    /// How many bytes may wait to be sent on all connections of a shard.
    pub queued_bytes_max: usize,
    /// How long a message on a stream may be.
    pub limits: Limits,
    /// Certificates, keys and authorities. They are replaced when their files change.
    pub tls: Arc<ArcSwap<TlsContext>>,
    /// The pages whose scripts may connect by WebSocket.
    pub origins: Arc<Origins>,
    /// What peers must show, by the listeners' places; nothing beyond.
    pub listeners: Arc<[ListenerPolicy]>,
    /// Who speaks for others by the PROXY protocol, on listeners that take it.
    pub proxies: Arc<[IpNet]>,
}

/// The policy in force, for all shards: they take up another together with the next snapshot that is published. Clones are the
/// same one.
#[derive(Clone, Debug, Default)]
pub struct SharedPolicy(Arc<ArcSwap<ConnectionPolicy>>);

impl From<ConnectionPolicy> for SharedPolicy {
    fn from(policy: ConnectionPolicy) -> Self {
        SharedPolicy(Arc::new(ArcSwap::from_pointee(policy)))
    }
}

impl SharedPolicy {
    /// Puts another in force.
    pub fn set(&self, policy: ConnectionPolicy) {
        self.0.store(Arc::new(policy));
    }

    /// One who holds the policy in force now.
    pub(super) fn reader(self) -> PolicyReader {
        PolicyReader { held: self.0.load_full(), shared: self }
    }
}

/// A shard's view of the policy: the one that it holds.
#[derive(Debug)]
pub(super) struct PolicyReader {
    shared: SharedPolicy,
    held: Arc<ConnectionPolicy>,
}

impl PolicyReader {
    /// Takes up the one in force.
    pub(super) fn refresh(&mut self) {
        self.held = self.shared.0.load_full();
    }
}

impl Deref for PolicyReader {
    type Target = ConnectionPolicy;

    fn deref(&self) -> &ConnectionPolicy {
        &self.held
    }
}

/// What peers must show at one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerPolicy {
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
    /// Whether [`ConnectionPolicy::proxies`] say for whom they speak.
    pub takes_proxy_protocol: bool,
}

impl ConnectionPolicy {
    /// What peers must show at that listener.
    pub fn listener(&self, index: ListenerIndex) -> ListenerPolicy {
        self.listeners.get(index.get()).copied().unwrap_or_default()
    }

    /// Whether what comes from there by that listener begins with a head of the PROXY protocol.
    pub fn takes_origin(&self, index: ListenerIndex, from: IpAddr) -> bool {
        self.listener(index).takes_proxy_protocol && self.proxies.iter().any(|network| network.contains(&from))
    }
}

/// RFC 4320 §4.1 has every element respond to a request other than INVITE by the time that its sender's Timer E has reached T2,
/// which is after 3.5 s. An INVITE may take longer, but nobody can acknowledge its answer on a connection that he has
/// finished. For longer it is not kept: nobody can tell a peer that has finished sending from one that has closed its end.
pub const HALF_CLOSED: Duration = Duration::from_secs(5);

impl Default for ConnectionPolicy {
    fn default() -> Self {
        ConnectionPolicy {
            idle: Duration::from_secs(600),
            idle_kept_alive: Duration::from_secs(1800),
            connect: Duration::from_secs(3),
            handshake: Duration::from_secs(5),
            handshakes_max: 512,
            message: Duration::from_secs(10),
            half_closed: HALF_CLOSED,
            per_backend: 1,
            queued_bytes_max: 128 << 20,
            limits: Limits::default(),
            tls: Arc::default(),
            origins: Arc::default(),
            listeners: Arc::default(),
            proxies: Arc::default(),
        }
    }
}
