//! What a shard refuses because too much of it would leave too little for others.
//!
//! One limit on all connections looked enough. Clients could take all of it, and then no connection to a backend could be opened:
//! the more callers, the fewer of them would be served.

use std::net::IpAddr;

use crate::metrics::connections::Refused;
use crate::proxy::inbound::Side;

use super::networks::{Admission, Networks};
use super::policy::ConnectionPolicy;

/// The limits of one shard on what all of its connections have together.
#[derive(Debug)]
pub(super) struct Limits {
    networks: Networks,
    /// How many connections there may be.
    connections_max: usize,
    /// How many are opened to one backend.
    per_backend: usize,
    /// How many bytes may wait on all connections.
    queued_bytes_max: usize,
}

/// What a new connection is weighed against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// How many connections clients have.
    pub(super) clients: usize,
    /// How many backends are reached over streams.
    pub(super) stream_backends: usize,
}

/// Clients leave free one connection for each by which a backend is connected to, and some for those that backends open; of all
/// that a shard may have, at most one in so many.
const RESERVED_ONE_IN_MAX: usize = 4;
const OPENED_BY_BACKENDS: usize = 64;

/// Of what may wait on all connections, clients' may hold so much; so what goes to a backend finds room.
const CLIENTS_SHARE: (usize, usize) = (3, 4);

/// From where on a client's connection is one that fills the room of others, in bytes: a turn's worth is less.
const CROWDING_BYTES: usize = 32 << 10;

impl Limits {
    /// The limits of a shard that may have `connections_max` connections.
    pub(super) fn new(policy: &ConnectionPolicy, networks: Networks, connections_max: usize) -> Self {
        let per_backend = usize::from(policy.per_backend.max(1));
        Limits { networks, connections_max, per_backend, queued_bytes_max: policy.queued_bytes_max }
    }

    /// Limits by another policy from here on. What there is already stays.
    pub(super) fn follow(&mut self, policy: &ConnectionPolicy) {
        let per_backend = usize::from(policy.per_backend.max(1));
        (self.per_backend, self.queued_bytes_max) = (per_backend, policy.queued_bytes_max);
    }

    /// Whether a connection from there may be kept, where there are so many; and the place that it takes of its network's. Who
    /// is trusted takes none.
    pub(super) fn admit(&self, side: Side, source: IpAddr, held: Held) -> Result<Option<Admission>, Refused> {
        if side == Side::Backend {
            return Ok(None);
        }
        if !self.has_room(side, held) {
            return Err(Refused::Reserved);
        }
        self.networks.admit(source).map(Some).ok_or(Refused::Network)
    }

    /// The place that a connection from there takes of its network's handshakes; `None` where there is none left.
    pub(super) fn admit_handshake(&self, source: IpAddr) -> Option<Admission> {
        self.networks.admit_handshake(source)
    }

    /// Whether there may be one more connection on that side, where there are so many.
    pub(super) fn has_room(&self, side: Side, held: Held) -> bool {
        side == Side::Backend || held.clients < self.clients_max(held.stream_backends)
    }

    /// How many connections clients may have, where so many backends are reached over streams. The pool may change.
    fn clients_max(&self, stream_backends: usize) -> usize {
        let reserved = stream_backends * self.per_backend + OPENED_BY_BACKENDS;
        self.connections_max - reserved.min(self.connections_max / RESERVED_ONE_IN_MAX)
    }

    /// Whether `bytes` more may wait for that side, where `queued` wait on all connections.
    pub(super) fn may_queue(&self, side: Side, queued: usize, bytes: usize) -> bool {
        queued.saturating_add(bytes) <= self.queued_max(side)
    }

    /// Whether a client's connection on which `own` bytes wait is to end, since it leaves others no room.
    pub(super) fn is_crowding(&self, side: Side, queued: usize, own: usize) -> bool {
        side == Side::Client && own >= CROWDING_BYTES && queued > self.queued_max(side) / 2
    }

    fn queued_max(&self, side: Side) -> usize {
        match side {
            Side::Client => self.queued_bytes_max / CLIENTS_SHARE.1 * CLIENTS_SHARE.0,
            Side::Backend => self.queued_bytes_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections_max: usize) -> Limits {
        let policy = ConnectionPolicy { queued_bytes_max: 1 << 20, ..ConnectionPolicy::default() };
        Limits::new(&policy, Networks::default(), connections_max)
    }

    #[test]
    fn clients_leave_some_connections_to_backends_and_backends_may_have_all() {
        for (connections_max, clients_max) in [(1, 1), (4, 3), (100, 75), (65_536, 65_469)] {
            let has_room = |side, clients| limits(connections_max).has_room(side, Held { clients, stream_backends: 3 });
            assert!(has_room(Side::Client, clients_max - 1), "{connections_max}");
            assert!(!has_room(Side::Client, clients_max), "{connections_max}");
            assert!(has_room(Side::Backend, connections_max), "{connections_max}");
        }
    }

    #[test]
    fn a_pool_that_grows_is_left_more_connections() {
        let limits = limits(1000);
        let has_room = |stream_backends| limits.has_room(Side::Client, Held { clients: 930, stream_backends });
        assert!(has_room(5) && !has_room(6));
    }

    #[test]
    fn what_waits_for_clients_leaves_room_for_what_goes_to_backends() {
        let limits = limits(100);
        let of_clients = (1 << 20) / 4 * 3;
        assert!(limits.may_queue(Side::Client, of_clients - 10, 10));
        assert!(!limits.may_queue(Side::Client, of_clients - 10, 11));
        assert!(limits.may_queue(Side::Backend, of_clients, 1 << 18));
        assert!(!limits.may_queue(Side::Backend, of_clients, (1 << 18) + 1));
    }

    #[test]
    fn only_a_client_that_holds_much_is_crowding_and_only_where_much_is_held() {
        let limits = limits(100);
        assert!(limits.is_crowding(Side::Client, 1 << 19, CROWDING_BYTES));
        assert!(!limits.is_crowding(Side::Client, 1 << 18, CROWDING_BYTES));
        assert!(!limits.is_crowding(Side::Client, 1 << 19, CROWDING_BYTES - 1));
        assert!(!limits.is_crowding(Side::Backend, 1 << 20, 1 << 20));
    }
}
