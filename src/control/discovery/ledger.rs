//! What is known of each entry, when it is looked up again, and what an answer changes. A function of what is found and of the times
//! it is told: no clock, no socket.
//!
//! To take each answer as it comes looked more honest. A name server that is being started again, or a zone that is being written
//! anew, says for a moment that nothing exists; a pool that believed it would end every call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::balance::backend::Backend;
use crate::balance::pool::MAX_BACKENDS;
use crate::control::pool::MemberSpec;
use crate::control::pool::rank::Rank;

use super::entry::Entry;
use super::finding::{Answer, Finding, Lead, Target, leads};
use super::standing::{Change, EntryState};

/// A time to live is taken for at least this long, so that a server that says 0 is not asked without end.
const TTL_MIN: Duration = Duration::from_secs(1);

/// And for at most this long, so that a backend that is taken out of DNS is so within five minutes.
const TTL_MAX: Duration = Duration::from_secs(300);

/// How soon a name is looked up again about which nothing was learnt, or of which it was said that it does not exist. Each further
/// time it is twice as long, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_millis(500);

/// No longer than that: what has come back is to be found.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A look-up that has not ended by then has been lost, and is begun anew.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// The entries.
#[derive(Debug)]
pub struct Ledger {
    tracked: Vec<Tracked>,
    /// How long what is known is held while name servers say that there is nothing.
    hold: Duration,
    /// The number of the next look-up.
    number: u64,
    /// The members as they were listed last, to see which have another name.
    listed: Vec<Lead>,
}

#[derive(Clone, Debug)]
struct Tracked {
    entry: Entry,
    known: Vec<Target>,
    state: EntryState,
    /// When it is looked up again; `None` for an address.
    due: Option<Instant>,
    /// The look-up that is under way.
    asked: Option<u64>,
    /// How many look-ups in a row found nothing.
    failures: u32,
    /// Since when the name servers say that there is nothing.
    nothing_since: Option<Instant>,
}

/// The list of members that the entries make.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The members.
    pub members: Vec<MemberSpec>,
    /// Their ranks, by name.
    pub ranks: BTreeMap<String, Rank>,
    /// Members that have another name than in the listing before: from, to.
    pub renamed: Vec<(String, String)>,
    /// Members that were found but cannot be taken: an address that another has, not admitted, or beyond the limit.
    pub left_out: Vec<String>,
    /// For each entry that is looked up, how many members it leads to.
    pub found: Vec<(String, usize)>,
}

impl Ledger {
    /// Of these entries nothing is known yet.
    pub fn new(entries: Vec<Entry>, hold: Duration, now: Instant) -> Self {
        let tracked = entries.into_iter().map(|entry| Tracked::new(entry, now)).collect();
        Ledger { tracked, hold, number: 0, listed: Vec::new() }
    }

    /// The same of other entries: what is known of those that stay is kept.
    pub fn renewed(&self, entries: Vec<Entry>, hold: Duration, now: Instant) -> Self {
        let track = |entry: Entry| {
            let known = self.tracked.iter().find(|tracked| tracked.entry.has_answer_of(&entry));
            match known {
                Some(known) => Tracked { entry, asked: None, due: known.due.map(|due| due.min(now)), ..known.clone() },
                None => Tracked::new(entry, now),
            }
        };
        let tracked = entries.into_iter().map(track).collect();
        Ledger { tracked, hold, number: self.number, listed: self.listed.clone() }
    }

    /// The same, where what is under way is lost.
    pub fn resumed(mut self, now: Instant) -> Self {
        for tracked in &mut self.tracked {
            if tracked.asked.take().is_some() {
                tracked.due = Some(now);
            }
        }
        self
    }

    /// The entries to look up, at most so many, each with the number of its look-up.
    pub fn due(&mut self, now: Instant, room: usize) -> Vec<(u64, Entry)> {
        let mut due: Vec<_> =
            self.tracked.iter_mut().filter(|tracked| tracked.due.is_some_and(|due| due <= now)).collect();
        due.sort_by_key(|tracked| tracked.due);
        due.truncate(room);
        let mut ask = |tracked: &mut Tracked| {
            self.number += 1;
            (tracked.due, tracked.asked) = (Some(now + LOST_AFTER), Some(self.number));
            (self.number, tracked.entry.clone())
        };
        due.into_iter().map(&mut ask).collect()
    }

    /// When something is to be done next.
    pub fn next(&self) -> Option<Instant> {
        let ends = self.tracked.iter().filter_map(|tracked| self.end_of_hold(tracked));
        self.tracked.iter().filter_map(|tracked| tracked.due).chain(ends).min()
    }

    /// Takes in what a look-up has found; gives the entry's name and what has become of it, where an operator is to know.
    pub fn take_in(&mut self, number: u64, finding: Finding, now: Instant) -> Option<(String, Change)> {
        let tracked = self.tracked.iter_mut().find(|tracked| tracked.asked == Some(number))?;
        let before = tracked.state;
        tracked.take_in(finding, now);
        Change::between(before, tracked.state).map(|change| (tracked.entry.name.clone(), change))
    }

    /// Lets go what was held long enough; gives whose. The last members of all are never let go: where nobody is left, nobody is
    /// worse off with those that were there, and probes say which of them live.
    pub fn let_go(&mut self, now: Instant) -> Vec<String> {
        let is_over = |tracked: &Tracked| self.end_of_hold(tracked).is_some_and(|end| end <= now);
        let over: Vec<usize> = (0..self.tracked.len()).filter(|place| is_over(&self.tracked[*place])).collect();
        let mut gone = Vec::new();
        for place in over {
            let has_members = |other: usize| other != place && !self.tracked[other].leads().is_empty();
            let is_last = !(0..self.tracked.len()).any(has_members);
            let tracked = &mut self.tracked[place];
            tracked.nothing_since = None;
            if !is_last {
                (tracked.known, tracked.state) = (Vec::new(), EntryState::Gone);
                gone.push(tracked.entry.name.clone());
            }
        }
        gone
    }

    /// Whether about every entry something was said, were it that there is nothing.
    pub fn is_complete(&self) -> bool {
        self.tracked.iter().all(|tracked| !matches!(tracked.state, EntryState::Waiting | EntryState::Silent))
    }

    /// The entries that lead nowhere, as far as is known.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.tracked.iter().filter(|tracked| tracked.leads().is_empty());
        missing.map(|tracked| tracked.entry.name.clone()).collect()
    }

    /// The entries that are looked up, and how what is known of them stands.
    pub fn states(&self) -> impl Iterator<Item = (&str, EntryState)> {
        let looked_up = self.tracked.iter().filter(|tracked| tracked.entry.is_looked_up());
        looked_up.map(|tracked| (tracked.entry.name.as_str(), tracked.state))
    }

    /// The members that all entries make, in the order of the entries, those that were found only where they are admitted. Who comes
    /// first has an address or name.
    pub fn list(&mut self, admits: impl Fn(&MemberSpec) -> bool) -> Listing {
        let mut listing = Listing::default();
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        let mut listed = Vec::new();
        for Tracked { entry, known, .. } in &self.tracked {
            let before = listing.members.len();
            for lead in leads(entry, known) {
                let is_free = !names.contains(&lead.name) && !addresses.contains(&lead.address);
                let spec = spec(&lead);
                let is_admitted = !entry.is_looked_up() || admits(&spec);
                if !is_free || !is_admitted || listing.members.len() >= MAX_BACKENDS {
                    listing.left_out.push(lead.name);
                    continue;
                }
                names.insert(lead.name.clone());
                addresses.insert(lead.address);
                let rank = Rank { group: entry.name.as_str().into(), tier: lead.tier };
                listing.ranks.insert(lead.name.clone(), rank);
                listing.members.push(spec);
                listed.push(lead);
            }
            if entry.is_looked_up() {
                listing.found.push((entry.name.clone(), listing.members.len() - before));
            }
        }
        listing.renamed = renamed(&self.listed, &listed);
        self.listed = listed;
        listing
    }

    fn end_of_hold(&self, tracked: &Tracked) -> Option<Instant> {
        tracked.nothing_since.filter(|_| !tracked.known.is_empty()).map(|since| since + self.hold)
    }
}

impl Tracked {
    fn new(entry: Entry, now: Instant) -> Self {
        let due = entry.is_looked_up().then_some(now);
        let state = if entry.is_looked_up() { EntryState::Waiting } else { EntryState::Current };
        Tracked { entry, known: Vec::new(), state, due, asked: None, failures: 0, nothing_since: None }
    }

    fn leads(&self) -> Vec<Lead> {
        leads(&self.entry, &self.known)
    }

    fn take_in(&mut self, Finding { answer, ttl }: Finding, now: Instant) {
        self.asked = None;
        let answer = match answer {
            Answer::Targets(targets) => self.completed(targets),
            other => other,
        };
        if let Answer::Targets(targets) = answer {
            (self.known, self.state) = (targets, EntryState::Current);
            (self.failures, self.nothing_since) = (0, None);
            self.due = Some(now + ttl.clamp(TTL_MIN, TTL_MAX));
            return;
        }
        self.due = Some(now + (RETRY * 2u32.saturating_pow(self.failures.min(16))).min(RETRY_MAX));
        self.failures = self.failures.saturating_add(1);
        let has_known = !self.known.is_empty();
        self.state = match answer {
            Answer::Nothing if has_known => EntryState::Held,
            Answer::Nothing => EntryState::Gone,
            _ if has_known => EntryState::Stale,
            // That there is nothing was an answer; it holds until there is another.
            _ if self.state == EntryState::Gone => EntryState::Gone,
            _ => EntryState::Silent,
        };
        // Whoever does not answer has not said that there is nothing, and the time begins anew.
        self.nothing_since = match answer {
            Answer::Nothing => self.nothing_since.or(Some(now)),
            _ => None,
        };
    }

    /// The targets, those about which nobody answered with the addresses that they had.
    fn completed(&self, mut targets: Vec<Target>) -> Answer {
        let mut is_answered = true;
        for target in targets.iter_mut().filter(|target| target.addresses.is_none()) {
            let is_same = |known: &&Target| (&known.host, known.port) == (&target.host, target.port);
            target.addresses = self.known.iter().find(is_same).and_then(|known| known.addresses.clone());
            is_answered &= target.addresses.is_some();
        }
        let has_addresses = |target: &Target| target.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty());
        match (targets.iter().any(has_addresses), is_answered) {
            (true, _) => Answer::Targets(targets),
            (false, true) => Answer::Nothing,
            (false, false) => Answer::Unanswered,
        }
    }
}

fn spec(Lead { name, host, address, transport, also_by_tcp, weight, .. }: &Lead) -> MemberSpec {
    let backend = Backend { name: name.clone(), address: *address, host: host.clone(), weight: *weight };
    MemberSpec { backend, transport: *transport, also_by_tcp: *also_by_tcp }
}

/// Which members have another name than before: those at the same address, of the same target, one of several where it was the only
/// one, or the other way round.
fn renamed(before: &[Lead], after: &[Lead]) -> Vec<(String, String)> {
    let names = |leads: &[Lead]| leads.iter().map(|lead| Arc::from(lead.name.as_str())).collect::<BTreeSet<Arc<str>>>();
    let (old, new) = (names(before), names(after));
    let from = |lead: &Lead| {
        let is_same = |other: &&Lead| {
            (other.address, other.transport, &other.target) == (lead.address, lead.transport, &lead.target)
        };
        before.iter().find(is_same).filter(|other| !new.contains(other.name.as_str()))
    };
    let news = after.iter().filter(|lead| !old.contains(lead.name.as_str()));
    news.filter_map(|lead| Some((from(lead)?.name.clone(), lead.name.clone()))).collect()
}

#[cfg(test)]
mod tests;
