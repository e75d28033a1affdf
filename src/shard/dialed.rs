//! The connections that a shard has opened, by where they lead; and what waits for one to open.
//!
//! To queue on a connection that is being opened looked simpler, as the engine allows it. What the engine holds is given up when
//! the connection fails, and the requests among it could not be answered 503.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ahash::AHashMap;

use crate::balance::backend::BackendSlot;
use crate::io::ConnectionId;
use crate::metrics::cells::SentTag;
use crate::proxy::inbound::{ListenerIndex, Side};

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
    /// The backend that it is a request to.
    pub(super) backend: Option<BackendSlot>,
}

/// The routes of a shard.
#[derive(Debug, Default)]
pub(super) struct Dialed {
    routes: AHashMap<Route, Entry>,
    /// The routes that rest or have rested, each once, the one that failed first in front.
    rested: VecDeque<Route>,
    /// The bytes of all messages that wait, by side: clients that cannot be reached leave the backends' room alone.
    waiting_bytes: [usize; 2],
}

#[derive(Debug)]
struct Entry {
    dial: Dial,
    /// How often in a row it has failed.
    failures: u32,
    /// It is among `rested`.
    is_rested: bool,
}

#[derive(Debug)]
enum Dial {
    Open { connection: ConnectionId, since_us: u64 },
    Opening { connection: ConnectionId, side: Side, waiting: Vec<Waiting>, bytes: usize },
    Resting { until_us: u64 },
}

/// The most messages that wait for one connection.
const WAITING_MAX: usize = 2048;

/// The most bytes that wait for one connection, by side: a client is one, a backend serves thousands.
const WAITING_BYTES_MAX: [usize; 2] = [128 << 10, 1 << 20];

/// The same for all of a shard's.
const ALL_WAITING_BYTES_MAX: [usize; 2] = [4 << 20, 16 << 20];

/// The most routes of which failures are remembered or connections kept: as many as there may be backends, eightfold. A request
/// of a backend's may lead anywhere.
const ROUTES_MAX: usize = 32_768;

/// How many routes that have rested are looked at for one that may be forgotten, where there are that many.
const LOOKED_AT_MAX: usize = 16;

/// How long a route rests after its first failure; after each further one twice as long, up to the longest.
const FIRST_REST_US: u64 = 250_000;
const LONGEST_REST_US: u64 = 4_000_000;

/// A connection that ends sooner, and has brought nothing, has failed like one that did not open: as where a peer has nobody
/// behind it, or lets nobody in.
const SHORT_LIVED_US: u64 = 1_000_000;

impl Dialed {
    /// What there is of a route.
    pub(super) fn find(&self, route: Route, now_us: u64) -> Found {
        match self.routes.get(&route).map(|entry| &entry.dial) {
            Some(Dial::Open { connection, .. }) => Found::Open(*connection),
            Some(Dial::Opening { .. }) => Found::Opening,
            Some(Dial::Resting { until_us }) if now_us < *until_us => Found::Resting,
            Some(Dial::Resting { .. }) | None => Found::Nothing,
        }
    }

    /// Whether another route may be taken in. Where there are as many as there may be, a few of those that have rested for
    /// longest are looked at for one to forget.
    pub(super) fn has_room(&mut self, now_us: u64) -> bool {
        for _ in 0..LOOKED_AT_MAX {
            if self.routes.len() < ROUTES_MAX {
                break;
            }
            let Some(route) = self.rested.pop_front() else { break };
            match self.routes.get_mut(&route) {
                Some(Entry { dial: Dial::Resting { until_us }, .. }) if *until_us <= now_us => {
                    self.routes.remove(&route);
                }
                Some(Entry { dial: Dial::Resting { .. }, .. }) => self.rested.push_back(route),
                Some(entry) => entry.is_rested = false,
                None => {}
            }
        }
        self.routes.len() < ROUTES_MAX
    }

    /// Notes that a connection to a peer on that side is being opened.
    pub(super) fn opening(&mut self, route: Route, connection: ConnectionId, side: Side) {
        let entry = self.routes.entry(route).or_insert(Entry {
            dial: Dial::Resting { until_us: 0 },
            failures: 0,
            is_rested: false,
        });
        let opening = Dial::Opening { connection, side, waiting: Vec::new(), bytes: 0 };
        if let Dial::Opening { side, bytes, .. } = std::mem::replace(&mut entry.dial, opening) {
            self.waiting_bytes[side.index()] -= bytes;
        }
    }

    /// Has a message wait; gives it back where no further one may.
    pub(super) fn wait(&mut self, route: Route, message: Waiting) -> Result<(), Waiting> {
        let Some(entry) = self.routes.get_mut(&route) else { return Err(message) };
        let Dial::Opening { side, waiting, bytes, .. } = &mut entry.dial else { return Err(message) };
        let (len, side) = (message.bytes.len(), side.index());
        let is_full = waiting.len() == WAITING_MAX || *bytes + len > WAITING_BYTES_MAX[side];
        if is_full || self.waiting_bytes[side] + len > ALL_WAITING_BYTES_MAX[side] {
            return Err(message);
        }
        *bytes += len;
        self.waiting_bytes[side] += len;
        waiting.push(message);
        Ok(())
    }

    /// Notes that a connection is open; gives what waited for it.
    pub(super) fn opened(&mut self, route: Route, now_us: u64) -> Vec<Waiting> {
        let Some(entry) = self.routes.get_mut(&route) else { return Vec::new() };
        let Dial::Opening { connection, .. } = entry.dial else { return Vec::new() };
        let open = Dial::Open { connection, since_us: now_us };
        let opening = std::mem::replace(&mut entry.dial, open);
        self.waited_for(opening)
    }

    /// Notes that a connection has ended, or did not open; gives what waited for it. `has_spoken` says whether it has brought
    /// anything.
    pub(super) fn ended(
        &mut self,
        route: Route,
        connection: ConnectionId,
        has_spoken: bool,
        now_us: u64,
    ) -> Vec<Waiting> {
        match self.routes.get(&route).map(|entry| &entry.dial) {
            Some(Dial::Open { connection: open, since_us }) if *open == connection => {
                let is_short = !has_spoken && now_us.saturating_sub(*since_us) < SHORT_LIVED_US;
                if is_short { self.failed(route, now_us) } else { self.forget(route) }
            }
            Some(Dial::Opening { connection: opening, .. }) if *opening == connection => self.failed(route, now_us),
            _ => Vec::new(),
        }
    }

    /// Gives all that waits, since no connection will be opened any more.
    pub(super) fn give_up(&mut self) -> Vec<Waiting> {
        self.waiting_bytes = [0; 2];
        self.rested.clear();
        let waiting = |(_, entry): (Route, Entry)| match entry.dial {
            Dial::Opening { waiting, .. } => waiting,
            Dial::Open { .. } | Dial::Resting { .. } => Vec::new(),
        };
        self.routes.drain().flat_map(waiting).collect()
    }

    /// Lets a route rest.
    fn failed(&mut self, route: Route, now_us: u64) -> Vec<Waiting> {
        let Some(entry) = self.routes.get_mut(&route) else { return Vec::new() };
        let rest_us = FIRST_REST_US.saturating_mul(1 << entry.failures.min(16)).min(LONGEST_REST_US);
        entry.failures = entry.failures.saturating_add(1);
        if !std::mem::replace(&mut entry.is_rested, true) {
            self.rested.push_back(route);
        }
        let failed = std::mem::replace(&mut entry.dial, Dial::Resting { until_us: now_us + rest_us });
        self.waited_for(failed)
    }

    /// Lets go of a route that has done well. One that is among those that have rested is as one that has done so for long.
    fn forget(&mut self, route: Route) -> Vec<Waiting> {
        match self.routes.get_mut(&route).filter(|entry| entry.is_rested) {
            Some(entry) => (entry.dial, entry.failures) = (Dial::Resting { until_us: 0 }, 0),
            None => drop(self.routes.remove(&route)),
        }
        Vec::new()
    }

    fn waited_for(&mut self, dial: Dial) -> Vec<Waiting> {
        let Dial::Opening { side, waiting, bytes, .. } = dial else { return Vec::new() };
        self.waiting_bytes[side.index()] -= bytes;
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::verdict::MessageKind;
    use crate::sip::Transport;

    const ROUTE: Route = Route {
        to: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
        listener: ListenerIndex(0),
        lane: 0,
        whom: 0,
    };

    fn message(bytes: usize) -> Waiting {
        Waiting {
            bytes: vec![0; bytes],
            tag: SentTag::forwarded(Side::Backend, Transport::Tcp, MessageKind::Unread),
            backend: None,
        }
    }

    #[test]
    fn what_waits_is_given_when_its_connection_opens_or_fails_and_a_failed_route_rests_ever_longer() {
        let mut dialed = Dialed::default();
        let connection = ConnectionId::from_bits(5);
        let mut now_us = 0;
        for rest_us in [250_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 4_000_000] {
            dialed.opening(ROUTE, connection, Side::Backend);
            dialed.wait(ROUTE, message(1)).unwrap();
            assert!(matches!(dialed.find(ROUTE, now_us), Found::Opening));
            assert_eq!(dialed.ended(ROUTE, connection, false, now_us).len(), 1);
            assert!(matches!(dialed.find(ROUTE, now_us + rest_us - 1), Found::Resting));
            now_us += rest_us;
            assert!(matches!(dialed.find(ROUTE, now_us), Found::Nothing));
        }
        dialed.opening(ROUTE, connection, Side::Backend);
        dialed.wait(ROUTE, message(1)).unwrap();
        assert_eq!(dialed.opened(ROUTE, now_us).len(), 1);
        assert!(matches!(dialed.find(ROUTE, now_us), Found::Open(found) if found == connection));
        assert!(dialed.ended(ROUTE, ConnectionId::from_bits(6), true, now_us).is_empty());
        assert!(matches!(dialed.find(ROUTE, now_us), Found::Open(_)));
        assert!(dialed.ended(ROUTE, connection, true, now_us).is_empty());
        assert!(matches!(dialed.find(ROUTE, now_us), Found::Nothing));
    }

    #[test]
    fn no_more_waits_than_may_and_what_waits_for_clients_leaves_room_for_backends() {
        let mut dialed = Dialed::default();
        assert!(dialed.wait(ROUTE, message(1)).is_err());
        for side in Side::ALL {
            dialed.opening(ROUTE, ConnectionId::from_bits(5), side);
            assert!((0..WAITING_MAX).all(|_| dialed.wait(ROUTE, message(1)).is_ok()));
            assert!(dialed.wait(ROUTE, message(1)).is_err());
            dialed.opening(ROUTE, ConnectionId::from_bits(6), side);
            assert!(dialed.wait(ROUTE, message(WAITING_BYTES_MAX[side.index()])).is_ok());
            assert!(dialed.wait(ROUTE, message(1)).is_err());
        }
        let fill = |dialed: &mut Dialed, side: Side| {
            let len = WAITING_BYTES_MAX[side.index()];
            (0..ALL_WAITING_BYTES_MAX[side.index()] / len).for_each(|nth| {
                dialed.opening(route(side.index() << 12 | nth), ConnectionId::from_bits(7), side);
                let _ = dialed.wait(route(side.index() << 12 | nth), message(len));
            });
        };
        fill(&mut dialed, Side::Client);
        assert_eq!(dialed.waiting_bytes[Side::Client.index()], ALL_WAITING_BYTES_MAX[Side::Client.index()]);
        dialed.opening(ROUTE, ConnectionId::from_bits(8), Side::Client);
        assert!(dialed.wait(ROUTE, message(1)).is_err());
        dialed.opening(ROUTE, ConnectionId::from_bits(8), Side::Backend);
        assert!(dialed.wait(ROUTE, message(WAITING_BYTES_MAX[1])).is_ok());
    }

    #[test]
    fn a_route_whose_connections_end_at_once_rests_ever_longer_and_one_that_has_spoken_does_not() {
        let (mut dialed, connection) = (Dialed::default(), ConnectionId::from_bits(5));
        let mut now_us = 0;
        let open_and_end = |dialed: &mut Dialed, has_spoken, after_us, now_us: &mut u64| {
            dialed.opening(ROUTE, connection, Side::Backend);
            dialed.opened(ROUTE, *now_us);
            *now_us += after_us;
            dialed.ended(ROUTE, connection, has_spoken, *now_us);
        };
        for _ in 0..2 {
            for rest_us in [FIRST_REST_US, 2 * FIRST_REST_US] {
                open_and_end(&mut dialed, false, SHORT_LIVED_US - 1, &mut now_us);
                assert!(matches!(dialed.find(ROUTE, now_us + rest_us - 1), Found::Resting));
                now_us += rest_us;
            }
            for (has_spoken, after_us) in [(true, 0), (false, SHORT_LIVED_US)] {
                open_and_end(&mut dialed, has_spoken, after_us, &mut now_us);
                assert!(matches!(dialed.find(ROUTE, now_us), Found::Nothing));
            }
        }
        assert_eq!((dialed.routes.len(), dialed.rested.len()), (1, 1));
    }

    #[test]
    fn where_there_are_as_many_routes_as_may_be_those_that_have_rested_make_room_a_few_at_a_time() {
        let (mut dialed, connection) = (Dialed::default(), ConnectionId::from_bits(5));
        for nth in 0..ROUTES_MAX {
            assert!(dialed.has_room(0));
            dialed.opening(route(nth), connection, Side::Client);
            dialed.ended(route(nth), connection, false, 0);
        }
        assert!(!dialed.has_room(FIRST_REST_US - 1));
        assert_eq!(dialed.rested.len(), ROUTES_MAX);
        // One of those in front is in use again.
        dialed.opening(route(LOOKED_AT_MAX), connection, Side::Client);
        for nth in 0..ROUTES_MAX - 1 {
            assert!(dialed.has_room(FIRST_REST_US));
            dialed.opening(route(ROUTES_MAX + nth), connection, Side::Client);
        }
        assert!(matches!(dialed.find(route(LOOKED_AT_MAX), FIRST_REST_US), Found::Opening));
        assert!(!dialed.has_room(FIRST_REST_US));
    }

    fn route(number: usize) -> Route {
        let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 | number as u32);
        Route { to: SocketAddr::new(ip.into(), 5060), ..ROUTE }
    }
}
