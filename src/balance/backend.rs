//! One member of the pool.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::key::Key;

/// A SIP proxy that calls are shared out to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// What it is known by: in the hash, in metrics and logs. A backend that keeps its name keeps its calls.
    pub name: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// The host as configured: a name or an address. A Route may name the backend by it.
    pub host: String,
    /// Its share of the calls, relative to the others'.
    pub weight: Weight,
}

/// A relative share: a whole number from 0 to 1,000. A backend of weight 0 gets no new calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

impl Weight {
    /// The largest weight.
    pub const MAX: Weight = Weight(1000);

    /// The weight where none is given.
    pub const DEFAULT: Weight = Weight(1);

    /// `None` above [`Weight::MAX`].
    pub fn new(weight: u32) -> Option<Self> {
        u16::try_from(weight).ok().map(Weight).filter(|weight| *weight <= Weight::MAX)
    }

    /// As a number.
    pub fn value(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a dialog's pin knows a backend by: a hash of its name, the same on every member of a fleet and in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BackendId(pub NonZeroU32);

impl BackendId {
    /// `None` for 0, which stands for no backend.
    pub fn new(id: u32) -> Option<Self> {
        NonZeroU32::new(id).map(BackendId)
    }

    /// The id of a name: SipHash-2-4 under a fixed key, cut to 32 bits. It is no secret, and it outlives any secret.
    pub fn of_name(name: &str) -> Self {
        let hash = Key::new(*b"viaduct backends").hash(name.as_bytes()) as u32;
        BackendId(NonZeroU32::new(hash).unwrap_or(NonZeroU32::MIN))
    }
}

/// Where a backend's figures are counted: it goes with the name, and stays the same while the pool changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendSlot(pub u16);

impl BackendSlot {
    /// As an index.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// A backend's place in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIndex(pub u16);

impl BackendIndex {
    /// As an index.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}
