//! All members at one moment, of which a roster is made: in words first, because making the table takes milliseconds.

use std::net::SocketAddr;
use std::time::Instant;

use crate::balance::backend::BackendIndex;
use crate::balance::key::Key;
use crate::balance::past::Past;
use crate::balance::pool::{Pool, PoolError};
use crate::balance::roster::Roster;
use crate::balance::standing::{Part, Standing};
use crate::sip::Transport;

use super::member::Member;
use super::rank::{Rank, hold_back};
use super::{MemberSpec, PoolPolicy, StandingChange};

/// All members at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RosterPlan {
    /// By name, which is the order of a pool.
    members: Vec<Planned>,
    /// Whether calls go to members that are down, because all are.
    pub is_panic: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Planned {
    spec: MemberSpec,
    part: Part,
    why: &'static str,
    rank: Option<Rank>,
    former: Vec<String>,
}

impl RosterPlan {
    /// The plan of these members, which come by name.
    pub(super) fn of<'a>(members: impl Iterator<Item = &'a Member> + Clone, policy: &PoolPolicy, now: Instant) -> Self {
        let planned = |member: &Member| {
            let part = member.part(policy, now);
            let (spec, rank, former) = (member.spec.clone(), member.rank.clone(), member.former.clone());
            Planned { spec, part, why: member.why(), rank, former }
        };
        let mut plan = RosterPlan { members: members.clone().map(planned).collect(), is_panic: false };
        if policy.panic && plan.members.iter().all(|planned| planned.part.weight <= 0.0) {
            plan.panic(members);
        }
        hold_back(plan.members.iter_mut().map(|planned| (planned.rank.as_ref(), &mut planned.part.weight)));
        plan
    }

    /// Makes the roster, which takes a few milliseconds a member. It remembers the former owners that `past` does, which notes
    /// it.
    pub fn build(&self, key: &Key, past: &mut Past, now: Instant) -> Result<Roster, PoolError> {
        let mut pool = Pool::new(self.members.iter().map(|planned| planned.spec.backend.clone()).collect())?;
        for (index, planned) in self.members.iter().enumerate() {
            let index = BackendIndex(index as u16);
            pool = planned.former.iter().fold(pool, |pool, name| pool.with_former_name(name, index));
        }
        let parts = self.members.iter().map(|planned| planned.part).collect();
        let roster = Roster::of(key, pool, parts, self.is_panic);
        past.note(&roster, now);
        let earlier = past.earlier(&roster, now);
        Ok(roster.with_earlier(earlier))
    }

    /// The members' transports, in the order of the pool.
    pub fn transports(&self) -> Vec<Transport> {
        self.members.iter().map(|planned| planned.spec.transport).collect()
    }

    /// Where those members are that are reached by TCP besides UDP.
    pub fn also_by_tcp(&self) -> impl Iterator<Item = SocketAddr> {
        let specs = self.members.iter().map(|planned| &planned.spec);
        specs.filter(|spec| spec.also_by_tcp).map(|spec| spec.backend.address)
    }

    /// Each member's part, by its name.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.members.iter().map(|planned| (planned.spec.backend.name.as_str(), &planned.part))
    }

    /// Whose standing has changed since an earlier plan.
    pub(super) fn changes_since(&self, earlier: Option<&RosterPlan>) -> Vec<StandingChange> {
        let Some(earlier) = earlier else { return Vec::new() };
        let find = |plan: &RosterPlan, name: &str| {
            let place = plan.members.binary_search_by(|planned| planned.spec.backend.name.as_str().cmp(name)).ok()?;
            plan.members.get(place).map(|planned| planned.part)
        };
        let change = |planned: &Planned, from: Option<Standing>, to: Option<Standing>, why| StandingChange {
            name: planned.spec.backend.name.clone(),
            slot: planned.part.slot,
            from,
            to,
            why,
        };
        let changed = self.members.iter().filter_map(|planned| {
            let names = std::iter::once(&planned.spec.backend.name).chain(&planned.former);
            let from = names.into_iter().find_map(|name| find(earlier, name)).map(|part| part.standing);
            let to = Some(planned.part.standing);
            (from != to).then(|| change(planned, from, to, planned.why))
        });
        let is_renamed = |name: &String| self.members.iter().any(|planned| planned.former.contains(name));
        let is_gone = |planned: &&Planned| {
            let name = &planned.spec.backend.name;
            find(self, name).is_none() && !is_renamed(name)
        };
        let gone = earlier.members.iter().filter(is_gone);
        let gone = gone.map(|planned| change(planned, Some(planned.part.standing), None, "its time is over"));
        changed.chain(gone).collect()
    }

    /// Gives calls to all that the administrator lets have any.
    fn panic<'a>(&mut self, members: impl Iterator<Item = &'a Member>) {
        for (planned, member) in self.members.iter_mut().zip(members) {
            let weight = member.weight_in_panic();
            if weight > 0.0 {
                (planned.part.weight, planned.part.serves, self.is_panic) = (weight, true, true);
            }
        }
    }
}
