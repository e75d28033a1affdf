//! One member of the pool: what is known of it, and how it stands by that.

use std::time::Instant;

use crate::balance::backend::{BackendSlot, Weight};
use crate::balance::standing::{Hold, Part, Standing};

use super::rank::Rank;
use super::{MemberSpec, PoolPolicy, Source};

/// The administrator's word about a member. It stands apart from what probes say: neither undoes the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Word {
    /// It is in use.
    #[default]
    Enabled,
    /// New calls go elsewhere; it keeps those that it has.
    Draining,
    /// It gets nothing.
    Disabled,
}

impl Word {
    /// As a word.
    pub fn label(self) -> &'static str {
        match self {
            Word::Enabled => "enabled",
            Word::Draining => "draining",
            Word::Disabled => "disabled",
        }
    }
}

/// How well a member is, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It answers, or nobody has asked.
    #[default]
    Alive,
    /// It answers that it can take no more.
    Overloaded,
    /// It does not answer.
    Dead,
}

impl Health {
    /// As a word.
    pub fn label(self) -> &'static str {
        match self {
            Health::Alive => "alive",
            Health::Overloaded => "overloaded",
            Health::Dead => "dead",
        }
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// As its list names it.
    pub spec: MemberSpec,
    /// Whose list that is.
    pub source: Source,
    /// Where it is counted.
    pub slot: BackendSlot,
    /// The administrator's word.
    pub word: Word,
    /// The administrator's weight, where there is one.
    pub weight_set: Option<Weight>,
    /// How well it is.
    pub health: Health,
    /// Until when it gets no new calls, since it stands out.
    pub aside_until: Option<Instant>,
    /// Until when it gets none, since it has asked for that itself.
    pub rests_until: Option<Instant>,
    /// Where it was removed, when it is gone.
    pub leaving: Option<Instant>,
    /// Its place among those that one entry of a list has led to, where it is one of several.
    pub rank: Option<Rank>,
    /// Names that it had before, the last one first: what was pinned to them is its.
    pub former: Vec<String>,
    /// Since when it is in use again, or at all; its weight rises from then.
    risen: Option<Instant>,
}

/// How many former names are remembered: one that goes to and fro between two has one.
const FORMER_MAX: usize = 4;

/// In how many steps a weight rises: each is a snapshot, and moves calls.
const STEPS: u32 = 8;

impl Member {
    /// One that has just come.
    pub(super) fn new(source: Source, spec: MemberSpec, slot: BackendSlot, now: Instant) -> Self {
        Member {
            spec,
            source,
            slot,
            word: Word::default(),
            weight_set: None,
            health: Health::default(),
            aside_until: None,
            rests_until: None,
            leaving: None,
            rank: None,
            former: Vec::new(),
            risen: Some(now),
        }
    }

    /// What it is known by.
    pub fn name(&self) -> String {
        self.spec.backend.name.clone()
    }

    /// The weight that it is to have, by its list or the administrator.
    pub fn weight(&self) -> Weight {
        self.weight_set.unwrap_or(self.spec.backend.weight)
    }

    /// Whether it is one of those that new calls go to, set aside or not.
    pub fn gets_calls(&self) -> bool {
        self.standing() == Standing::Up && self.weight().value() > 0
    }

    /// Why it gets no new calls at that moment though it is up.
    pub fn hold(&self, now: Instant) -> Option<Hold> {
        let lasts = |until: Option<Instant>| until.is_some_and(|until| now < until);
        match self.standing() {
            Standing::Up if self.health == Health::Overloaded => Some(Hold::Overloaded),
            Standing::Up if lasts(self.rests_until) => Some(Hold::RetryAfter),
            Standing::Up if lasts(self.aside_until) => Some(Hold::Outlier),
            _ => None,
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        match (self.word, self.health) {
            (Word::Disabled, _) | (_, Health::Dead) => Standing::Down,
            (Word::Draining, _) => Standing::Draining,
            (Word::Enabled, _) if self.leaving.is_some() => Standing::Draining,
            (Word::Enabled, _) => Standing::Up,
        }
    }

    /// Why it stands so.
    pub fn why(&self) -> &'static str {
        match (self.word, self.health) {
            (Word::Disabled, _) => "it is disabled",
            (_, Health::Dead) => "it does not answer",
            (Word::Draining, _) => "it is to drain",
            _ if self.leaving.is_some() => "it was removed",
            _ => "it is in use",
        }
    }

    /// Its part at that moment, when not all are down.
    pub(super) fn part(&self, policy: &PoolPolicy, now: Instant) -> Part {
        let (standing, hold) = (self.standing(), self.hold(now));
        let weight = match standing {
            Standing::Up if hold.is_none() => f64::from(self.weight().value()) * self.warmth(policy, now),
            _ => 0.0,
        };
        Part { slot: self.slot, standing, hold, weight, serves: standing != Standing::Down }
    }

    /// Its weight where all are down: whatever the probes say, but not against the administrator's word.
    pub(super) fn weight_in_panic(&self) -> f64 {
        let may = self.word == Word::Enabled && self.leaving.is_none();
        if may { f64::from(self.weight().value()) } else { 0.0 }
    }

    /// When its part changes by itself.
    pub(super) fn due(&self, policy: &PoolPolicy, now: Instant) -> Option<Instant> {
        let ends = |until: Option<Instant>| until.filter(|until| now < *until);
        let (aside, rests) = (ends(self.aside_until), ends(self.rests_until));
        [aside, rests, self.leaving, self.next_step(policy, now)].into_iter().flatten().min()
    }

    pub(super) fn set_word(&mut self, word: Word, now: Instant) {
        if self.word == Word::Disabled && word != Word::Disabled {
            self.risen = Some(now);
        }
        self.word = word;
    }

    pub(super) fn set_health(&mut self, health: Health, now: Instant) {
        if self.health == Health::Dead && health != Health::Dead {
            self.risen = Some(now);
        }
        self.health = health;
    }

    /// Gives it its whole weight at once.
    pub(super) fn warm_up(&mut self) {
        self.risen = None;
    }

    /// It is known by another name from here on.
    pub(super) fn rename(&mut self, to: &str) {
        let from = std::mem::replace(&mut self.spec.backend.name, to.to_owned());
        self.former.retain(|name| name != to && *name != from);
        self.former.insert(0, from);
        self.former.truncate(FORMER_MAX);
    }

    /// A list names it again.
    pub(super) fn renew(&mut self, source: &Source, spec: MemberSpec) {
        if self.spec.transport != spec.transport {
            self.health = Health::default();
        }
        (self.spec, self.source, self.leaving) = (spec, source.clone(), None);
    }

    /// How much of its weight it has, in steps.
    fn warmth(&self, policy: &PoolPolicy, now: Instant) -> f64 {
        let Some(risen) = self.risen.filter(|_| !policy.slow_start.is_zero()) else { return 1.0 };
        let step = policy.slow_start / STEPS;
        let steps = now.saturating_duration_since(risen).as_nanos() / step.as_nanos().max(1);
        f64::from((steps.min(STEPS.into()) as u32 + 1).min(STEPS)) / f64::from(STEPS)
    }

    fn next_step(&self, policy: &PoolPolicy, now: Instant) -> Option<Instant> {
        let risen = self.risen.filter(|_| !policy.slow_start.is_zero())?;
        let steps = (1..STEPS).map(|step| risen + policy.slow_start / STEPS * step);
        steps.into_iter().find(|step| now < *step)
    }
}
