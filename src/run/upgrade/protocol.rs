//! What two processes tell each other while one takes over: a line of text a packet.
//!
//! A serialised structure looked more regular. Two versions of Viaduct read it, and the first word that they must agree on is the
//! protocol's number; a line can be read by any of them, and by people.

use std::fmt;
use std::net::SocketAddr;

use crate::balance::backend::Weight;
use crate::control::pool::member::{Health, Member, Word};
use crate::proxy::keys::{Keys, SigningKeys};
use crate::sip::Transport;

/// The number of this protocol. It changes where one that is older would do the wrong thing.
pub(super) const PROTOCOL: u32 = 1;

/// The longest packet.
pub(super) const PACKET_BYTES_MAX: usize = 64 << 10;

/// A word of either.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// The second one's first.
    Hello { protocol: u32, version: String },
    /// The first one's: how many shards it has, what tells its keys, and the processes whose connections are reached by it.
    Offer { shards: u16, seal: Seal, processes: Vec<u32> },
    /// The first one's listeners, in their order.
    Listeners(Vec<(Transport, SocketAddr)>),
    /// Which sockets go with this packet.
    Sockets(Vec<SocketLabel>),
    /// How a member of the pool stands.
    Member(MemberStanding),
    /// That was all.
    Complete,
    /// The second one could run.
    Ready,
    /// The first one takes nothing more from the sockets, for so many microseconds already.
    Released { paused_us: u64 },
    /// The second one runs.
    Running,
    /// The first one does not take the sockets up again, whatever happens.
    Yours,
    /// The first one hands nothing over.
    Refused(String),
}

/// What tells keys from others, and tells nothing of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// Of those that sign.
    pub signing: u64,
    /// Of the one that places calls.
    pub table: u64,
}

impl Seal {
    /// Of the keys that sign, and the one that places calls.
    pub fn of(keys: &Keys) -> Self {
        Seal { signing: signing(keys.current()), table: keys.table.hash(SEALED) }
    }

    /// Whether what was signed by the keys of this seal is accepted by those.
    pub fn is_accepted_by(&self, keys: &Keys) -> bool {
        keys.find(|accepted| (signing(accepted) == self.signing).then_some(())).is_some()
    }
}

fn signing(keys: &SigningKeys) -> u64 {
    keys.path.hash(SEALED)
}

/// No message of SIP that is ever signed.
const SEALED: &[u8] = b"upgrade";

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

    /// Whether anything is known that a member does not begin with.
    pub(super) fn is_told(&self) -> bool {
        self.word != Word::default() || self.health != Health::default() || self.weight.is_some()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Told::Hello { protocol, version } => write!(f, "viaduct {protocol} {version}"),
            Told::Offer { shards, seal: Seal { signing, table }, processes } => {
                write!(f, "offer {shards} {signing:x} {table:x}")?;
                processes.iter().try_for_each(|process| write!(f, " {process}"))
            }
            Told::Listeners(listeners) => {
                f.write_str("listeners")?;
                let mut listeners = listeners.iter();
                listeners.try_for_each(|(transport, address)| write!(f, " {} {address}", transport.label()))
            }
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
            Told::Released { paused_us } => write!(f, "released {paused_us}"),
            Told::Running => f.write_str("running"),
            Told::Yours => f.write_str("yours"),
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
            "offer" => Told::Offer {
                shards: word()?.parse().ok()?,
                seal: Seal { signing: hex(word()?)?, table: hex(word()?)? },
                processes: words.map(|process| process.parse().ok()).collect::<Option<_>>()?,
            },
            "listeners" => Told::Listeners(listeners(rest)?),
            "sockets" => Told::Sockets(labels(rest)?),
            "member" => Told::Member(member(rest)?),
            "complete" => Told::Complete,
            "ready" => Told::Ready,
            "released" => Told::Released { paused_us: word()?.parse().ok()? },
            "running" => Told::Running,
            "yours" => Told::Yours,
            "refused" => Told::Refused(rest.to_owned()),
            _ => return None,
        })
    }
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

fn listeners(text: &str) -> Option<Vec<(Transport, SocketAddr)>> {
    let listener = |words: &[&str]| match words {
        [transport, address] => {
            let transport = Transport::ALL.into_iter().find(|known| known.label() == *transport)?;
            Some((transport, address.parse().ok()?))
        }
        _ => None,
    };
    words(text).chunks(2).map(listener).collect()
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').filter(|word| !word.is_empty()).collect()
}

fn labels(text: &str) -> Option<Vec<SocketLabel>> {
    let label = |words: &[&str]| match words {
        [shard, kind, address] => Some(SocketLabel {
            shard: shard.parse().ok()?,
            kind: of_word(&KINDS, kind)?,
            address: address.parse().ok()?,
        }),
        _ => None,
    };
    words(text).chunks(3).map(label).collect()
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

    fn address() -> impl Strategy<Value = SocketAddr> {
        any::<SocketAddr>().prop_map(|mut address| {
            if let SocketAddr::V6(v6) = &mut address {
                // A scope is a number of this machine's, and has no place in the text of a listener.
                v6.set_scope_id(0);
                v6.set_flowinfo(0);
            }
            address
        })
    }

    fn listener() -> impl Strategy<Value = (Transport, SocketAddr)> {
        (prop::sample::select(Transport::ALL.to_vec()), address())
    }

    fn label() -> impl Strategy<Value = SocketLabel> {
        let kind = prop::sample::select(KINDS.map(|(kind, _)| kind).to_vec());
        (any::<u16>(), kind, address()).prop_map(|(shard, kind, address)| SocketLabel { shard, kind, address })
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

    fn secret() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0..4u8, 16..18)
    }

    fn told() -> impl Strategy<Value = Told> {
        prop_oneof![
            (any::<u32>(), "[0-9.]{1,10}").prop_map(|(protocol, version)| Told::Hello { protocol, version }),
            (any::<u16>(), any::<u64>(), any::<u64>(), prop::collection::vec(any::<u32>(), 0..16)).prop_map(
                |(shards, signing, table, processes)| {
                    Told::Offer { shards, seal: Seal { signing, table }, processes }
                }
            ),
            prop::collection::vec(listener(), 0..64).prop_map(Told::Listeners),
            prop::collection::vec(label(), 0..64).prop_map(Told::Sockets),
            standing().prop_map(Told::Member),
            Just(Told::Complete),
            Just(Told::Ready),
            any::<u64>().prop_map(|paused_us| Told::Released { paused_us }),
            Just(Told::Running),
            Just(Told::Yours),
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
        fn a_seal_is_accepted_by_whoever_accepts_the_secret(secret in secret(), other in secret(), older in secret()) {
            let keys = |own: &[u8], older: &[&[u8]]| {
                let older: Vec<Vec<u8>> = older.iter().map(|older| older.to_vec()).collect();
                Keys::rotating(own, &older, own).unwrap()
            };
            let seal = Seal::of(&keys(&secret, &[&older]));
            prop_assert!(seal.is_accepted_by(&keys(&secret, &[])));
            prop_assert!(seal.is_accepted_by(&keys(&other, &[&secret])));
            prop_assert_eq!(seal.is_accepted_by(&keys(&other, &[])), secret == other);
            prop_assert_eq!(seal == Seal::of(&keys(&other, &[])), secret == other);
        }

        #[test]
        fn any_bytes_are_read_or_refused(packet: Vec<u8>) {
            let _ = Told::read(&packet);
        }
    }
}
