//! All members at one moment, of which a roster is made: in words first, because making the table takes milliseconds.

use std::time::Instant;

use crate::balance::key::Key;
use crate::balance::past::Past;
use crate::balance::pool::{Pool, PoolError};
use crate::balance::roster::Roster;
use crate::balance::standing::{Part, Standing};
use crate::sip::Transport;

use super::member::Member;
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
}

impl RosterPlan {
    /// The plan of these members, which come by name.
    pub(super) fn of<'a>(members: impl Iterator<Item = &'a Member> + Clone, policy: &PoolPolicy, now: Instant) -> Self {
        let planned = |member: &Member| {
            let part = member.part(policy, now);
            Planned { spec: member.spec.clone(), part, why: member.why() }
        };
        let mut plan = RosterPlan { members: members.clone().map(planned).collect(), is_panic: false };
        if policy.panic && plan.members.iter().all(|planned| planned.part.weight <= 0.0) {
            plan.panic(members);
        }
        plan
    }

    /// Makes the roster, which takes a few milliseconds a member. It remembers the former owners that `past` does, which notes
    /// it.
    pub fn build(&self, key: &Key, past: &mut Past, now: Instant) -> Result<Roster, PoolError> {
        let pool = Pool::new(self.members.iter().map(|planned| planned.spec.backend.clone()).collect())?;
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
            let from = find(earlier, &planned.spec.backend.name).map(|part| part.standing);
            let to = Some(planned.part.standing);
            (from != to).then(|| change(planned, from, to, planned.why))
        });
        let is_gone = |planned: &&Planned| find(self, &planned.spec.backend.name).is_none();
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
