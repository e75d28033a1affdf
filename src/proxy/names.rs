//! What is known of names: for each name that a backend's request may go to, where it leads, or why it leads nowhere.
//!
//! A table of this kind is immutable and replaced whole, so that the same message and the same table give the same bytes. A
//! name that is not in it is asked for, and the message dropped: UDP retransmits, and by then the table has the name.
//! Holding the message until the answer comes looked better, because nothing would be lost; then a shard has a queue with
//! timers, and what it does depends on more than the message and what is known.
//!
//! | module | charge |
//! | --- | --- |
//! | [`name`] | a name as a URI asks for it |
//! | [`targets`] | where a name leads, and which of several targets a request goes to |
//! | [`exchange`] | how shards ask for names and get the table |

pub mod exchange;
pub mod name;
pub mod targets;

use std::sync::Arc;

use ahash::AHashMap;

use self::name::Name;
use self::targets::Targets;
use super::snapshot::Listener;

/// Everything that is known of names. Without any, every name is unknown.
#[derive(Clone, Debug, Default)]
pub struct Names {
    answers: AHashMap<Arc<str>, Answer>,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Where it leads.
    Targets(Arc<Targets>),
    /// Why it leads nowhere.
    Failed(Failure),
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It has no address, or none of a family that a listener has.
    NotFound,
    /// Its domain says that it is not reached over UDP.
    NoUdp,
    /// The name servers do not answer, or answer that they cannot.
    Unanswered,
}

impl Failure {
    /// Every failure, in the order of [`Failure::index`].
    pub const ALL: [Failure; 3] = [Failure::NotFound, Failure::NoUdp, Failure::Unanswered];

    /// Its place in [`Failure::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Failure::NotFound => "not_found",
            Failure::NoUdp => "no_udp",
            Failure::Unanswered => "unanswered",
        }
    }

    /// What the sender of a request to such a name is told.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Failure::NotFound => "Next Hop Has No Address In DNS",
            Failure::NoUdp => "Next Hop Is Not Reached Over UDP",
            Failure::Unanswered => "DNS Does Not Answer About The Next Hop",
        }
    }
}

impl FromIterator<(Arc<str>, Answer)> for Names {
    /// A table of these, each by the text of its [`Name`].
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Answer)>>(answers: I) -> Self {
        Names { answers: answers.into_iter().collect() }
    }
}

impl Names {
    /// What is known of a name; `None` where it must be asked for. Allocates nothing.
    pub fn get(&self, name: &Name) -> Option<&Answer> {
        self.answers.get(name.as_str())
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

/// The address families that some listener has. No name leads to an address of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// Whether IPv4 addresses are reached.
    pub ipv4: bool,
    /// Whether IPv6 addresses are reached.
    pub ipv6: bool,
}

impl Families {
    /// Those of these listeners.
    pub fn of(listeners: &[Listener]) -> Self {
        let has = |ipv4| listeners.iter().any(|listener| listener.address.is_ipv4() == ipv4);
        Families { ipv4: has(true), ipv6: has(false) }
    }
}
