//! Whether a backend is alive, by what becomes of the questions that it is sent: a state machine of time and outcomes, without clock
//! or socket.
//!
//! A fixed rhythm of questions looked simpler. Then a backend that dies right after an answer is found out an interval later than
//! one that dies right before a question, and each failure costs an interval more; here the next question follows an unanswered
//! one at once, so that from death to the verdict it takes `interval × fall` at most.
//!
//! | module | charge |
//! | --- | --- |
//! | [`knock`] | whether a port of UDP is closed |
//! | [`prober`] | asks the pool's members, and says how they are |

pub mod knock;
pub mod prober;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::pool::member::Health;

/// How backends are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePolicy {
    /// How often a backend is asked that is silent otherwise.
    pub interval: Duration,
    /// How long an answer may take, if [`ProbePolicy::patience`] allows for so long.
    pub timeout: Duration,
    /// How many failures in a row make a backend dead, or overloaded.
    pub fall: u32,
    /// How many answers in a row make it alive again.
    pub rise: u32,
    /// The status codes that prove life.
    pub codes: Vec<RangeInclusive<u16>>,
}

impl Default for ProbePolicy {
    fn default() -> Self {
        let codes = vec![200..=499];
        ProbePolicy { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), fall: 3, rise: 2, codes }
    }
}

impl ProbePolicy {
    /// From one question to the next, while all is well: the interval. Where one failure suffices, half of it, or the time to
    /// detect would be longer than one interval.
    pub fn period(&self) -> Duration {
        if self.fall <= 1 { self.interval / 2 } else { self.interval }
    }

    /// How long an answer may take: the time-out, but no longer than keeps the time to detect within `interval × fall`, which is
    /// a period until the next question and then `fall` of these.
    pub fn patience(&self) -> Duration {
        let fall = self.fall.max(1);
        self.timeout.min((self.interval * fall - self.period()) / fall)
    }

    /// What an answer says.
    pub fn finding(&self, status: u16) -> Option<Finding> {
        match status {
            ..200 => None,
            status if self.codes.iter().any(|codes| codes.contains(&status)) => Some(Finding::Alive),
            503 => Some(Finding::Overloaded),
            _ => Some(Finding::Failing),
        }
    }
}

/// What is found by one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An answer that proves life.
    Alive,
    /// An answer that says that it can take no more: 503.
    Overloaded,
    /// An answer that proves nothing, or none in time.
    Failing,
    /// Nobody is there: its address takes no connection, or its port is closed. That needs no second question.
    Absent,
    /// Nothing: the question was not sent.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask, by this number. `is_doubtful` says that the last question was not answered.
    Ask {
        /// The question's number.
        number: u32,
        /// Whether the last one failed.
        is_doubtful: bool,
    },
    /// The time for an answer is over.
    TimedOut,
}

/// One backend that is asked.
#[derive(Clone, Debug)]
pub struct Watch {
    health: Health,
    /// How many findings in a row speak against it, all for better or all for worse.
    streak: u32,
    is_for_better: bool,
    /// When it is asked next.
    next: Instant,
    asked: Option<Asked>,
    numbers: Numbers,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u32,
    at: Instant,
}

/// Numbers of questions: the upper half tells one process's from those of the rest of its fleet.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    process: u16,
    last: u16,
}

impl Numbers {
    /// The numbers of that process.
    pub fn of(process: u16) -> Self {
        Numbers { process, last: 0 }
    }

    /// Whether a number may be one of these.
    pub fn has(&self, number: u32) -> bool {
        (number >> 16) as u16 == self.process
    }

    fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        u32::from(self.process) << 16 | u32::from(self.last)
    }
}

/// By how much at most a period is shortened, so that the members of a fleet do not ask in step: a tenth.
const JITTER_DIVISOR: u64 = 10;

impl Watch {
    /// One that is taken to be in that health, and asked first within a period: `draw` says when.
    pub fn new(health: Health, numbers: Numbers, policy: &ProbePolicy, draw: u64, now: Instant) -> Self {
        let next = now + part(policy.period(), draw);
        Watch { health, streak: 0, is_for_better: false, next, asked: None, numbers }
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.health
    }

    /// When something is to be done.
    pub fn due(&self, policy: &ProbePolicy) -> Instant {
        self.asked.map_or(self.next, |asked| asked.at + policy.patience())
    }

    /// What is to be done at that time, if anything. `draw` is a random number.
    pub fn on_time(&mut self, policy: &ProbePolicy, draw: u64, now: Instant) -> Option<Step> {
        if now < self.due(policy) {
            return None;
        }
        if let Some(asked) = self.asked.take() {
            self.find(Finding::Failing, asked.at, policy, draw);
            return Some(Step::TimedOut);
        }
        let number = self.numbers.next();
        self.asked = Some(Asked { number, at: now });
        Some(Step::Ask { number, is_doubtful: self.health == Health::Alive && self.streak > 0 })
    }

    /// Since when an answer to the question of that number is waited for.
    pub fn waits_since(&self, number: u32) -> Option<Instant> {
        self.asked.filter(|asked| asked.number == number).map(|asked| asked.at)
    }

    /// What was found by the question of that number. Where it is not waited for, nothing: it comes too late, or twice.
    pub fn on_finding(&mut self, number: u32, finding: Finding, policy: &ProbePolicy, draw: u64) {
        if let Some(asked) = self.asked.take_if(|asked| asked.number == number) {
            self.find(finding, asked.at, policy, draw);
        }
    }

    /// It is known from elsewhere that nobody is there.
    pub fn on_absence(&mut self, policy: &ProbePolicy, draw: u64, now: Instant) {
        let at = self.asked.take().map_or(now, |asked| asked.at);
        self.find(Finding::Absent, at, policy, draw);
    }

    /// It gave a sign of life at that time, without being asked. One that is alive need not be asked for a while; one that is
    /// not must answer.
    pub fn on_sign_of_life(&mut self, at: Instant, policy: &ProbePolicy, draw: u64) {
        if self.health == Health::Alive {
            (self.streak, self.asked) = (0, None);
            self.next = at + shortened(policy.period(), draw);
        }
    }

    fn find(&mut self, finding: Finding, asked_at: Instant, policy: &ProbePolicy, draw: u64) {
        let found = match finding {
            Finding::Alive => Health::Alive,
            Finding::Overloaded => Health::Overloaded,
            Finding::Failing | Finding::Absent => Health::Dead,
            Finding::Unknown => self.health,
        };
        let is_for_better = rank(found) > rank(self.health);
        if finding == Finding::Unknown {
        } else if found == self.health {
            self.streak = 0;
        } else {
            self.streak = if is_for_better == self.is_for_better { self.streak + 1 } else { 1 };
            let enough = if is_for_better { policy.rise } else { policy.fall };
            if self.streak >= enough || finding == Finding::Absent {
                (self.health, self.streak) = (found, 0);
            }
        }
        self.is_for_better = is_for_better;
        let is_in_doubt = self.health != Health::Dead && (self.streak > 0 || finding == Finding::Unknown);
        let pause = if is_in_doubt { policy.patience() } else { shortened(policy.period(), draw) };
        self.next = asked_at + pause;
    }
}

fn rank(health: Health) -> u8 {
    match health {
        Health::Dead => 0,
        Health::Overloaded => 1,
        Health::Alive => 2,
    }
}

/// A part of a time, by a random number.
fn part(of: Duration, draw: u64) -> Duration {
    let nanos = (u128::from(draw) * of.as_nanos()) >> u64::BITS;
    Duration::from_nanos(nanos as u64)
}

fn shortened(period: Duration, draw: u64) -> Duration {
    period - part(period / JITTER_DIVISOR as u32, draw)
}

#[cfg(test)]
mod tests;
