//! How others have another list of backends put in the place of the one in force, and learn whether the first one is found.

use std::fmt;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::balance::pool::PoolError;
use crate::control::resolve::servers::Servers;
use crate::control::steward::Ended;

use super::entry::Entry;

/// By what discovery is told of another list. Clones are the same one.
#[derive(Clone, Debug)]
pub struct DiscoveryHandle {
    orders: mpsc::Sender<Order>,
    ready: watch::Receiver<bool>,
}

/// Another list, and who waits for it.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) entries: Vec<Entry>,
    pub(super) hold: Duration,
    pub(super) servers: Option<Servers>,
    pub(super) taken: oneshot::Sender<Result<(), Refused>>,
}

/// Why another list was not put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing that it names leads anywhere.
    NothingFound(Vec<String>),
    /// It has no backend, and there are some.
    Empty,
    /// It makes no pool.
    NoPool(PoolError),
    /// The process ends.
    Ended,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NothingFound(names) => write!(f, "nothing is found of {}", names.join(", ")),
            Refused::Empty => f.write_str("it has no backend at all, so those that there are stay"),
            Refused::NoPool(error) => error.fmt(f),
            Refused::Ended => f.write_str("the process ends"),
        }
    }
}

impl std::error::Error for Refused {}

/// How many lists wait at most; who has another one waits.
const ORDERS_MAX: usize = 4;

pub(super) fn open(ready: watch::Receiver<bool>) -> (DiscoveryHandle, mpsc::Receiver<Order>) {
    let (orders, taken) = mpsc::channel(ORDERS_MAX);
    (DiscoveryHandle { orders, ready }, taken)
}

impl DiscoveryHandle {
    /// Puts another list in force: when this returns, the shards take it up with their next message. What the lists have in common
    /// keeps what is known of it. All or nothing. The names in it are looked up at these servers, where any are given; have those
    /// that are asked from then on follow them.
    pub async fn set(&self, entries: Vec<Entry>, hold: Duration, servers: Option<Servers>) -> Result<(), Refused> {
        let (taken, is_taken) = oneshot::channel();
        self.orders.send(Order { entries, hold, servers, taken }).await.map_err(|_| Refused::Ended)?;
        is_taken.await.map_err(|_| Refused::Ended)?
    }

    /// Returns when the first list is there: about each name something was said, or half a minute is over; and there is a member.
    pub async fn ready(&self) -> Result<(), Ended> {
        self.ready.clone().wait_for(|ready| *ready).await.map(drop).map_err(|_| Ended)
    }

    /// Whether the first list is there.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }
}
