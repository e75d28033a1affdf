//! What becomes of the pool while Viaduct runs: membership, the administrator's word and the backends' health make the standing
//! of each member, and that makes the next snapshot's roster. Driven by events and time alone: no clock, no socket.
//!
//! To let each of them (probes, discovery, the administrator) publish its own changes looked simpler. Two that publish at once
//! would each undo the other's, and nobody could say why a backend gets no calls.
//!
//! | module | charge |
//! | --- | --- |
//! | [`member`] | one member: what is known of it, and how it stands by that |
//! | [`plan`] | all members at one moment, of which a roster is made |
//! | [`rank`] | which members come first, where one entry of a list led to several |
//!
//! Who feeds it: `replace` (a list, a file, a name's addresses), `set_word` and `set_weight` (the administrator), `set_health`,
//! `set_aside` and `let_rest` (probes, responses). A member is known by its backend's name, which is its address where it has no other.

pub mod member;
pub mod plan;
pub mod rank;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::balance::backend::{Backend, BackendSlot, Weight};
use crate::balance::pool::{MAX_BACKENDS, Pool, PoolError};
use crate::balance::slots::Slots;
use crate::balance::standing::Standing;
use crate::sip::Transport;

use member::{Health, Member, Word};
use plan::RosterPlan;
use rank::Rank;

/// What tells one list of members from another: each is replaced by itself.
pub type Source = Arc<str>;

/// A member as a list names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSpec {
    /// Its name, address and weight.
    pub backend: Backend,
    /// By which transport it is reached.
    pub transport: Transport,
    /// Whether it is reached by TCP besides UDP.
    pub also_by_tcp: bool,
}

/// What the operator wants of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPolicy {
    /// Whether calls go to all members where all are down.
    pub panic: bool,
    /// Over how long the weight of a member rises that has come back; zero is at once.
    pub slow_start: Duration,
    /// For how long a member that was removed keeps the calls that it has, and a call that is being set up is looked for where
    /// it may have gone before a change: the longest that a call may ring (Timer C, RFC 3261 §16.6 item 11).
    pub afterlife: Duration,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        PoolPolicy { panic: true, slow_start: Duration::ZERO, afterlife: AFTERLIFE }
    }
}

/// Timer C's least time is three minutes; most proxies have little more.
pub const AFTERLIFE: Duration = Duration::from_secs(200);

/// A change of a member's standing, to be logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingChange {
    /// The member.
    pub name: String,
    /// Where it is counted.
    pub slot: BackendSlot,
    /// How it stood; `None` for one that has come.
    pub from: Option<Standing>,
    /// How it stands; `None` for one that has gone.
    pub to: Option<Standing>,
    /// Why.
    pub why: &'static str,
}

/// The pool as it is known.
#[derive(Clone, Debug)]
pub struct LivingPool {
    policy: PoolPolicy,
    members: BTreeMap<String, Member>,
    slots: Slots,
    planned: Option<RosterPlan>,
    /// Whether the next plan is one though nothing has changed.
    is_stale: bool,
    /// Whom each list names.
    lists: BTreeMap<Source, BTreeSet<String>>,
    /// Who was removed though a list names him.
    dismissed: BTreeSet<String>,
}

/// There is no such member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchMember;

impl fmt::Display for NoSuchMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no member of the pool has this name")
    }
}

impl std::error::Error for NoSuchMember {}

impl LivingPool {
    /// A pool of these members, all taken to be well until somebody says otherwise: a Viaduct that starts carries calls at once.
    pub fn new(policy: PoolPolicy, source: &Source, members: Vec<MemberSpec>, now: Instant) -> Result<Self, PoolError> {
        let mut pool = LivingPool {
            policy,
            members: BTreeMap::new(),
            slots: Slots::default(),
            planned: None,
            is_stale: false,
            lists: BTreeMap::new(),
            dismissed: BTreeSet::new(),
        };
        pool.replace(source, members, now)?;
        pool.members.values_mut().for_each(Member::warm_up);
        Ok(pool)
    }

    /// Puts another list into the place of a source's. Members that stay keep health, word and figures, also where their address
    /// has changed, or where they were another source's; one that goes drains for the afterlife. Who was removed does not come back
    /// as long as a list names him. All or nothing: an error changes nothing.
    pub fn replace(&mut self, source: &Source, mut list: Vec<MemberSpec>, now: Instant) -> Result<(), PoolError> {
        let names: BTreeSet<String> = list.iter().map(|spec| spec.backend.name.clone()).collect();
        let is_others = |member: &&Member| member.source != *source && !names.contains(&member.spec.backend.name);
        let of_others = self.members.values().filter(is_others).filter(|member| member.leaving.is_none());
        list.retain(|spec| !self.dismissed.contains(&spec.backend.name));
        let others = of_others.map(|member| member.spec.clone()).collect();
        self.check(others, &list)?;
        let of_source = self.members.values().filter(|member| member.source == *source).map(Member::name);
        let gone: Vec<String> = of_source.filter(|name| !names.contains(name)).collect();
        gone.iter().for_each(|name| self.let_go(name, now));
        self.lists.insert(source.clone(), names);
        let LivingPool { lists, dismissed, .. } = self;
        dismissed.retain(|name| lists.values().any(|names| names.contains(name)));
        list.into_iter().for_each(|spec| self.take_in(source, spec, now));
        Ok(())
    }

    /// Has a member be known by another name: it keeps figures, health and word, and what is pinned to its former name. Does nothing
    /// where there is no such member, or another of that name.
    pub fn rename(&mut self, from: &str, to: &str) {
        if self.members.contains_key(to) {
            return;
        }
        if let Some(mut member) = self.members.remove(from) {
            self.slots.rename(from, to);
            member.rename(to);
            self.members.insert(to.to_owned(), member);
        }
    }

    /// Gives the members of a source their ranks, by their names; those not named have none.
    pub fn set_ranks(&mut self, source: &Source, mut ranks: BTreeMap<String, Rank>) {
        for (name, member) in self.members.iter_mut().filter(|(_, member)| member.source == *source) {
            member.rank = ranks.remove(name);
        }
    }

    /// Adds a member, or puts this one into the place of the one of its name.
    pub fn add(&mut self, source: &Source, spec: MemberSpec, now: Instant) -> Result<(), PoolError> {
        let staying = self.members.values().filter(|member| member.leaving.is_none());
        let others = staying.filter(|member| member.spec.backend.name != spec.backend.name);
        self.check(others.map(|member| member.spec.clone()).collect(), std::slice::from_ref(&spec))?;
        self.dismissed.remove(&spec.backend.name);
        self.take_in(source, spec, now);
        Ok(())
    }

    /// Removes a member: it drains for the afterlife, and is gone then, also where a list names it.
    pub fn remove(&mut self, name: &str, now: Instant) -> Result<(), NoSuchMember> {
        self.member(name)?;
        if self.lists.values().any(|names| names.contains(name)) {
            self.dismissed.insert(name.to_owned());
        }
        self.let_go(name, now);
        Ok(())
    }

    /// The administrator's word about a member.
    pub fn set_word(&mut self, name: &str, word: Word, now: Instant) -> Result<(), NoSuchMember> {
        self.member(name)?.set_word(word, now);
        Ok(())
    }

    /// The administrator's weight for a member, or that of its list again.
    pub fn set_weight(&mut self, name: &str, weight: Option<Weight>) -> Result<(), NoSuchMember> {
        self.member(name)?.weight_set = weight;
        Ok(())
    }

    /// How well a member is, by probes, also one that is leaving. One that comes back from death starts slowly.
    pub fn set_health(&mut self, name: &str, health: Health, now: Instant) -> Result<(), NoSuchMember> {
        self.members.get_mut(name).ok_or(NoSuchMember)?.set_health(health, now);
        Ok(())
    }

    /// Has a member get no new calls until then; in the past, that it gets them again. What it has, stays.
    pub fn set_aside(&mut self, name: &str, until: Instant) -> Result<(), NoSuchMember> {
        self.member(name)?.aside_until = Some(until);
        Ok(())
    }

    /// Has a member get no new calls until then, since it has asked for that: apart from being set aside, and neither undoes the
    /// other.
    pub fn let_rest(&mut self, name: &str, until: Instant) -> Result<(), NoSuchMember> {
        self.member(name)?.rests_until = Some(until);
        Ok(())
    }

    /// What the operator wants from now on.
    pub fn set_policy(&mut self, policy: PoolPolicy) {
        self.policy = policy;
    }

    /// Has the next plan be one though the pool stands as before, because what rosters are made by has changed.
    pub fn plan_anew(&mut self) {
        self.is_stale = true;
    }

    /// What the operator wants.
    pub fn policy(&self) -> &PoolPolicy {
        &self.policy
    }

    /// When something changes by itself, if anything will.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        self.members.values().filter_map(|member| member.due(&self.policy, now)).min()
    }

    /// The plan of the roster that the pool begins with.
    pub fn first_plan(&mut self, now: Instant) -> RosterPlan {
        let plan = RosterPlan::of(self.members.values(), &self.policy, now);
        self.planned = Some(plan.clone());
        plan
    }

    /// The plan of another roster, and what has changed by it, where the pool stands differently than in the last plan.
    pub fn plan(&mut self, now: Instant) -> Option<(RosterPlan, Vec<StandingChange>)> {
        self.bury(now);
        let plan = RosterPlan::of(self.members.values(), &self.policy, now);
        if !std::mem::take(&mut self.is_stale) && self.planned.as_ref() == Some(&plan) {
            return None;
        }
        let changes = plan.changes_since(self.planned.as_ref());
        self.planned = Some(plan.clone());
        Some((plan, changes))
    }

    /// The members, by name, those that are leaving too.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// A copy in which all weights have risen, to see what a change comes to in the end. It has no plan yet.
    pub fn settled(&self) -> Self {
        let mut pool = LivingPool { planned: None, ..self.clone() };
        pool.policy.slow_start = Duration::ZERO;
        pool
    }

    /// How many slots there must be room for.
    pub fn slots_used(&self) -> usize {
        self.slots.used()
    }

    fn member(&mut self, name: &str) -> Result<&mut Member, NoSuchMember> {
        self.members.get_mut(name).filter(|member| member.leaving.is_none()).ok_or(NoSuchMember)
    }

    /// Whether these make a pool together.
    fn check(&self, others: Vec<MemberSpec>, list: &[MemberSpec]) -> Result<(), PoolError> {
        Pool::new(others.iter().chain(list).map(|spec| spec.backend.clone()).collect()).map(drop)
    }

    /// Takes in one that makes a pool with those that stay. One that leaves makes way for it.
    fn take_in(&mut self, source: &Source, spec: MemberSpec, now: Instant) {
        if let Some(member) = self.members.get_mut(&spec.backend.name) {
            member.renew(source, spec);
            return self.make_way();
        }
        let name = spec.backend.name.clone();
        if self.members.len() >= MAX_BACKENDS {
            self.forget_one_leaving();
        }
        // The pool has been checked to have room for those that stay.
        let Some(slot) = self.slots.take(&name) else { return };
        self.members.insert(name, Member::new(source.clone(), spec, slot, now));
        self.make_way();
    }

    fn let_go(&mut self, name: &str, now: Instant) {
        if let Some(member) = self.members.get_mut(name) {
            member.leaving.get_or_insert(now + self.policy.afterlife);
        }
    }

    /// Forgets those whose time is over.
    fn bury(&mut self, now: Instant) {
        let is_over = |member: &Member| member.leaving.is_some_and(|until| until <= now);
        self.forget(is_over);
    }

    /// Forgets those that leave and have the address, or the id, of one that stays.
    fn make_way(&mut self) {
        while self.members.values().any(|member| member.leaving.is_some()) {
            let all = self.members.values().map(|member| member.spec.backend.clone()).collect();
            let Err(error) = Pool::new(all) else { return };
            let is_in_the_way = |member: &Member| match &error {
                PoolError::AddressTwice(address) => member.spec.backend.address == *address,
                PoolError::IdTwice(a, b) => [a, b].contains(&&member.spec.backend.name),
                PoolError::NameTwice(_) | PoolError::TooMany(_) => true,
            };
            self.forget(|member| member.leaving.is_some() && is_in_the_way(member));
        }
    }

    fn forget_one_leaving(&mut self) {
        let leaving = self.members.values().filter_map(|member| Some((member.leaving?, member.name())));
        if let Some((_, first)) = leaving.min() {
            self.forget(|member| member.spec.backend.name == first);
        }
    }

    fn forget(&mut self, is_gone: impl Fn(&Member) -> bool) {
        let LivingPool { members, slots, .. } = self;
        members.retain(|name, member| {
            let is_gone = is_gone(member);
            if is_gone {
                slots.give_back(name);
            }
            !is_gone
        });
    }
}

#[cfg(test)]
mod tests;
