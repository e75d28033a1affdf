//! The connections that a shard has opened, by where they lead; and what waits for one to open.
//!
//! To queue on a connection that is being opened looked simpler, as the engine allows it. What the engine holds is given up when
//! the connection fails, and the requests among it could not be answered 503.

use std::net::SocketAddr;

use ahash::AHashMap;

use crate::io::ConnectionId;
use crate::metrics::cells::SentTag;
use crate::proxy::inbound::ListenerIndex;

/// Where a connection leads, and which of several to the same place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    pub(super) to: SocketAddr,
    /// The listener by which what goes there is said to leave.
    pub(super) listener: ListenerIndex,
    pub(super) lane: u8,
    /// Who a TLS peer has proved to be there, as a keyed hash of its name: a connection to one name is not another's, though
    /// they share an address (RFC 5923 §8.1).
    pub(super) whom: u64,
}

/// What a shard has of a route.
#[derive(Debug)]
pub(super) enum Found {
    /// A connection that is open.
    Open(ConnectionId),
    /// One that is being opened.
    Opening,
    /// None, and the last attempt failed so lately that another would too.
    Resting,
    /// None.
    Nothing,
}

/// A message that waits for its connection to open, written out.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    pub(super) tag: SentTag,
}

/// The routes of a shard.
#[derive(Debug, Default)]
pub(super) struct Dialed {
    routes: AHashMap<Route, Dial>,
    /// The bytes of all messages that wait.
    waiting_bytes: usize,
}

#[derive(Debug)]
enum Dial {
    Open(ConnectionId),
    Opening { connection: ConnectionId, waiting: Vec<Waiting>, bytes: usize, failures: u32 },
    Resting { until_us: u64, failures: u32 },
}

/// The most messages that wait for one connection, and the most bytes of them.
const WAITING_MAX: usize = 2048;
const WAITING_BYTES_MAX: usize = 1 << 20;

/// The same for all of a shard's.
const ALL_WAITING_BYTES_MAX: usize = 16 << 20;

/// The most routes of which failures are remembered or connections kept: as many as there may be backends, eightfold. A request
/// of a backend's may lead anywhere.
const ROUTES_MAX: usize = 32_768;

/// How long a route rests after its first failure; after each further one twice as long, up to the longest.
const FIRST_REST_US: u64 = 250_000;
const LONGEST_REST_US: u64 = 4_000_000;

impl Dialed {
    /// What there is of a route.
    pub(super) fn find(&self, route: Route, now_us: u64) -> Found {
        match self.routes.get(&route) {
            Some(Dial::Open(connection)) => Found::Open(*connection),
            Some(Dial::Opening { .. }) => Found::Opening,
            Some(Dial::Resting { until_us, .. }) if now_us < *until_us => Found::Resting,
            Some(Dial::Resting { .. }) | None => Found::Nothing,
        }
    }

    /// Whether another route may be taken in.
    pub(super) fn has_room(&mut self, now_us: u64) -> bool {
        if self.routes.len() >= ROUTES_MAX {
            self.routes.retain(|_, dial| !matches!(dial, Dial::Resting { until_us, .. } if *until_us <= now_us));
        }
        self.routes.len() < ROUTES_MAX
    }

    /// Notes that a connection is being opened.
    pub(super) fn opening(&mut self, route: Route, connection: ConnectionId) {
        let failures = match self.routes.get(&route) {
            Some(Dial::Resting { failures, .. }) => *failures,
            _ => 0,
        };
        let opening = Dial::Opening { connection, waiting: Vec::new(), bytes: 0, failures };
        if let Some(Dial::Opening { bytes, .. }) = self.routes.insert(route, opening) {
            self.waiting_bytes -= bytes;
        }
    }

    /// Has a message wait; gives it back where no further one may.
    pub(super) fn wait(&mut self, route: Route, message: Waiting) -> Result<(), Waiting> {
        let Some(Dial::Opening { waiting, bytes, .. }) = self.routes.get_mut(&route) else { return Err(message) };
        let len = message.bytes.len();
        let is_full = waiting.len() == WAITING_MAX || *bytes + len > WAITING_BYTES_MAX;
        if is_full || self.waiting_bytes + len > ALL_WAITING_BYTES_MAX {
            return Err(message);
        }
        *bytes += len;
        self.waiting_bytes += len;
        waiting.push(message);
        Ok(())
    }

    /// Notes that a connection is open; gives what waited for it.
    pub(super) fn opened(&mut self, route: Route) -> Vec<Waiting> {
        let Some(dial) = self.routes.get_mut(&route) else { return Vec::new() };
        let Dial::Opening { connection, .. } = dial else { return Vec::new() };
        let open = Dial::Open(*connection);
        match std::mem::replace(dial, open) {
            Dial::Opening { waiting, bytes, .. } => {
                self.waiting_bytes -= bytes;
                waiting
            }
            Dial::Open(_) | Dial::Resting { .. } => Vec::new(),
        }
    }

    /// Notes that a connection has ended, or did not open; gives what waited for it.
    pub(super) fn ended(&mut self, route: Route, connection: ConnectionId, now_us: u64) -> Vec<Waiting> {
        match self.routes.get(&route) {
            Some(Dial::Open(open)) if *open == connection => drop(self.routes.remove(&route)),
            Some(Dial::Opening { connection: opening, .. }) if *opening == connection => {
                return self.failed(route, now_us);
            }
            _ => {}
        }
        Vec::new()
    }

    fn failed(&mut self, route: Route, now_us: u64) -> Vec<Waiting> {
        let Some(Dial::Opening { waiting, bytes, failures, .. }) = self.routes.remove(&route) else {
            return Vec::new();
        };
        self.waiting_bytes -= bytes;
        let rest_us = FIRST_REST_US.saturating_mul(1 << failures.min(16)).min(LONGEST_REST_US);
        let failures = failures.saturating_add(1);
        self.routes.insert(route, Dial::Resting { until_us: now_us + rest_us, failures });
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::inbound::Side;
    use crate::proxy::verdict::MessageKind;
    use crate::sip::Transport;

    const ROUTE: Route = Route {
        to: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
        listener: ListenerIndex(0),
        lane: 0,
        whom: 0,
    };

    fn message(bytes: usize) -> Waiting {
        Waiting { bytes: vec![0; bytes], tag: SentTag::forwarded(Side::Backend, Transport::Tcp, MessageKind::Unread) }
    }

    #[test]
    fn what_waits_is_given_when_its_connection_opens_or_fails_and_a_failed_route_rests_ever_longer() {
        let mut dialed = Dialed::default();
        let connection = ConnectionId::from_bits(5);
        let mut now_us = 0;
        for rest_us in [250_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 4_000_000] {
            dialed.opening(ROUTE, connection);
            dialed.wait(ROUTE, message(1)).unwrap();
            assert!(matches!(dialed.find(ROUTE, now_us), Found::Opening));
            assert_eq!(dialed.ended(ROUTE, connection, now_us).len(), 1);
            assert!(matches!(dialed.find(ROUTE, now_us + rest_us - 1), Found::Resting));
            now_us += rest_us;
            assert!(matches!(dialed.find(ROUTE, now_us), Found::Nothing));
        }
        dialed.opening(ROUTE, connection);
        dialed.wait(ROUTE, message(1)).unwrap();
        assert_eq!(dialed.opened(ROUTE).len(), 1);
        assert!(matches!(dialed.find(ROUTE, now_us), Found::Open(found) if found == connection));
        assert!(dialed.ended(ROUTE, ConnectionId::from_bits(6), now_us).is_empty());
        assert!(matches!(dialed.find(ROUTE, now_us), Found::Open(_)));
        assert!(dialed.ended(ROUTE, connection, now_us).is_empty());
        assert!(matches!(dialed.find(ROUTE, now_us), Found::Nothing));
    }

    #[test]
    fn no_more_waits_than_may() {
        let mut dialed = Dialed::default();
        assert!(dialed.wait(ROUTE, message(1)).is_err());
        dialed.opening(ROUTE, ConnectionId::from_bits(5));
        assert!((0..WAITING_MAX).all(|_| dialed.wait(ROUTE, message(1)).is_ok()));
        assert!(dialed.wait(ROUTE, message(1)).is_err());
        dialed.opening(ROUTE, ConnectionId::from_bits(6));
        assert!(dialed.wait(ROUTE, message(WAITING_BYTES_MAX)).is_ok());
        assert!(dialed.wait(ROUTE, message(1)).is_err());
    }
}
