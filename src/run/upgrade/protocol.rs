//! What two processes tell each other while one takes over: a line of text a packet.
//!
//! A serialised structure looked more regular. Two versions of Viaduct read it, and the first word that they must agree on is the
//! protocol's number; a line can be read by any of them, and by people.

use std::fmt;
use std::net::SocketAddr;

use crate::balance::backend::Weight;
use crate::control::pool::member::{Health, Member, Word};

/// The number of this protocol. It changes where one that is older would do the wrong thing.
pub(super) const PROTOCOL: u32 = 1;

/// The longest packet.
pub(super) const PACKET_BYTES_MAX: usize = 64 << 10;

/// A word of either.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// The second one's first.
    Hello { protocol: u32, version: String },
    /// The first one's: how many shards it has, and its number.
    Offer { shards: u16, process: u32 },
    /// Which sockets go with this packet.
    Sockets(Vec<SocketLabel>),
    /// How a member of the pool stands.
    Member(MemberStanding),
    /// That was all.
    Complete,
    /// The second one could run.
    Ready,
    /// The first one takes nothing more from the sockets.
    Released,
    /// The second one runs: its number.
    Running { process: u32 },
    /// The first one hands nothing over.
    Refused(String),
}

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// It receives datagrams.
    Datagrams,
    /// It accepts connections.
    Listener,
    /// It accepts those to the admin listener.
    Admin,
}

/// Which socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketLabel {
    /// Which shard has it; no matter for the admin listener's.
    pub shard: u16,
    /// What it is.
    pub kind: SocketKind,
    /// Where it is bound.
    pub address: SocketAddr,
}

/// What is known of a member of the pool, besides what its list says.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberStanding {
    /// Its name.
    pub name: String,
    /// The administrator's word.
    pub word: Word,
    /// How well it is, by probes.
    pub health: Health,
    /// The administrator's weight.
    pub weight: Option<Weight>,
}

impl MemberStanding {
    /// That of a member.
    pub fn of(member: &Member) -> Self {
        let Member { word, health, weight_set, .. } = *member;
        MemberStanding { name: member.name(), word, health, weight: weight_set }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Hello { protocol, version } => write!(f, "viaduct {protocol} {version}"),
            Told::Offer { shards, process } => write!(f, "offer {shards} {process}"),
            Told::Sockets(labels) => {
                f.write_str("sockets")?;
                let mut labels = labels.iter();
                labels.try_for_each(|SocketLabel { shard, kind, address }| {
                    write!(f, " {shard} {} {address}", word_of(&KINDS, *kind))
                })
            }
            Told::Member(MemberStanding { name, word, health, weight }) => {
                let weight = weight.map_or("-".to_owned(), |weight| weight.value().to_string());
                write!(f, "member {} {} {weight} {name}", word_of(&WORDS, *word), word_of(&HEALTHS, *health))
            }
            Told::Complete => f.write_str("complete"),
            Told::Ready => f.write_str("ready"),
            Told::Released => f.write_str("released"),
            Told::Running { process } => write!(f, "running {process}"),
            Told::Refused(why) => write!(f, "refused {why}"),
        }
    }
}

impl Told {
    /// Reads a packet; `None` where it is none of these.
    pub(super) fn read(packet: &[u8]) -> Option<Told> {
        let line = std::str::from_utf8(packet).ok()?;
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let mut word = || words.next();
        Some(match first {
            "viaduct" => Told::Hello { protocol: word()?.parse().ok()?, version: word()?.to_owned() },
            "offer" => Told::Offer { shards: word()?.parse().ok()?, process: word()?.parse().ok()? },
            "sockets" => Told::Sockets(labels(rest)?),
            "member" => Told::Member(member(rest)?),
            "complete" => Told::Complete,
            "ready" => Told::Ready,
            "released" => Told::Released,
            "running" => Told::Running { process: word()?.parse().ok()? },
            "refused" => Told::Refused(rest.to_owned()),
            _ => return None,
        })
    }
}

fn labels(text: &str) -> Option<Vec<SocketLabel>> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let label = |words: &[&str]| match words {
        [shard, kind, address] => Some(SocketLabel {
            shard: shard.parse().ok()?,
            kind: of_word(&KINDS, kind)?,
            address: address.parse().ok()?,
        }),
        _ => None,
    };
    words.chunks(3).map(label).collect()
}

fn member(text: &str) -> Option<MemberStanding> {
    // The name comes last, since it may have spaces in it.
    let mut words = text.splitn(4, ' ');
    let (word, health, weight) = (words.next()?, words.next()?, words.next()?);
    let weight = match weight {
        "-" => None,
        number => Some(Weight::new(number.parse().ok()?)?),
    };
    let (word, health) = (of_word(&WORDS, word)?, of_word(&HEALTHS, health)?);
    Some(MemberStanding { name: words.next()?.to_owned(), word, health, weight })
}

const KINDS: [(SocketKind, &str); 3] =
    [(SocketKind::Datagrams, "udp"), (SocketKind::Listener, "tcp"), (SocketKind::Admin, "admin")];

const WORDS: [(Word, &str); 3] =
    [(Word::Enabled, "enabled"), (Word::Draining, "draining"), (Word::Disabled, "disabled")];

const HEALTHS: [(Health, &str); 3] =
    [(Health::Alive, "alive"), (Health::Overloaded, "overloaded"), (Health::Dead, "dead")];

fn word_of<T: PartialEq>(words: &[(T, &'static str)], of: T) -> &'static str {
    words.iter().find(|(value, _)| *value == of).map_or("", |(_, word)| word)
}

fn of_word<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label() -> impl Strategy<Value = SocketLabel> {
        let kind = prop::sample::select(KINDS.map(|(kind, _)| kind).to_vec());
        (any::<u16>(), kind, any::<SocketAddr>()).prop_map(|(shard, kind, mut address)| {
            if let SocketAddr::V6(v6) = &mut address {
                // A scope is a number of this machine's, and has no place in the text of a listener.
                v6.set_scope_id(0);
                v6.set_flowinfo(0);
            }
            SocketLabel { shard, kind, address }
        })
    }

    fn standing() -> impl Strategy<Value = MemberStanding> {
        let word = prop::sample::select(WORDS.map(|(word, _)| word).to_vec());
        let health = prop::sample::select(HEALTHS.map(|(health, _)| health).to_vec());
        let weight = prop::option::of((0..=1000u32).prop_map(|weight| Weight::new(weight).unwrap()));
        ("[ -~]{1,40}", word, health, weight).prop_map(|(name, word, health, weight)| MemberStanding {
            name,
            word,
            health,
            weight,
        })
    }

    fn told() -> impl Strategy<Value = Told> {
        prop_oneof![
            (any::<u32>(), "[0-9.]{1,10}").prop_map(|(protocol, version)| Told::Hello { protocol, version }),
            (any::<u16>(), any::<u32>()).prop_map(|(shards, process)| Told::Offer { shards, process }),
            prop::collection::vec(label(), 0..64).prop_map(Told::Sockets),
            standing().prop_map(Told::Member),
            Just(Told::Complete),
            Just(Told::Ready),
            Just(Told::Released),
            any::<u32>().prop_map(|process| Told::Running { process }),
            "[ -~]{0,80}".prop_map(Told::Refused),
        ]
    }

    proptest! {
        #[test]
        fn what_is_told_reads_back_as_told(told in told()) {
            let packet = told.to_string();
            prop_assert!(packet.len() <= PACKET_BYTES_MAX);
            prop_assert_eq!(Told::read(packet.as_bytes()), Some(told));
        }

        #[test]
        fn any_bytes_are_read_or_refused(packet: Vec<u8>) {
            let _ = Told::read(&packet);
        }
    }
}
