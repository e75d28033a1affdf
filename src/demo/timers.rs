//! When something is due for which call. A timer is never taken back: what it finds tells whether it still counts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// T1 (RFC 3261 §17.1.1.1): the round trip that retransmissions allow for.
pub const T1: Duration = Duration::from_millis(500);

/// T2 (RFC 3261 §17.1.2.1): the longest pause between retransmissions of a BYE or a 2xx.
pub const T2: Duration = Duration::from_secs(4);

/// 64 T1: when a transaction is given up (timers B, F and H, RFC 3261 §17).
pub const GIVE_UP: Duration = Duration::from_secs(32);

/// What is due, soonest first, by Call-ID.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Rc<str>)>>,
}

impl Timers {
    /// Notes that something is due for that call.
    pub fn set(&mut self, due: Instant, call_id: Rc<str>) {
        self.heap.push(Reverse((due, call_id)));
    }

    /// The next call for which something is due.
    pub fn pop(&mut self, now: Instant) -> Option<Rc<str>> {
        let Reverse((due, _)) = self.heap.peek()?;
        if *due > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, call_id))| call_id)
    }
}

/// Retransmissions of one message: after T1, then after double the pause each time, until given up.
#[derive(Clone, Copy, Debug)]
pub struct Retransmission {
    next: Instant,
    pause: Duration,
    longest_pause: Duration,
    give_up: Instant,
}

/// What a retransmission timer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Wait,
    /// Send it again.
    Again,
    /// Nobody answers.
    GiveUp,
}

impl Retransmission {
    /// Of a message first sent at `now`. The pause grows up to `longest_pause`; for an INVITE without bound (timer A).
    pub fn new(now: Instant, longest_pause: Duration) -> Self {
        Retransmission { next: now + T1, pause: T1, longest_pause, give_up: now + GIVE_UP }
    }

    /// When to look next.
    pub fn at(&self) -> Instant {
        self.next.min(self.give_up)
    }

    /// What is due.
    pub fn look(&mut self, now: Instant) -> Due {
        if now >= self.give_up {
            return Due::GiveUp;
        }
        if now < self.next {
            return Due::Wait;
        }
        self.pause = (self.pause * 2).min(self.longest_pause);
        self.next = now + self.pause;
        Due::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_sent_seven_times_in_the_32_seconds_until_it_is_given_up() {
        let began = Instant::now();
        let mut timer = Retransmission::new(began, GIVE_UP);
        let mut sent_ms = vec![0];
        while timer.look(timer.at()) == Due::Again {
            sent_ms.push((timer.next - timer.pause - began).as_millis());
        }
        assert_eq!(sent_ms, [0, 500, 1500, 3500, 7500, 15500, 31500]);
    }

    #[test]
    fn a_bye_is_sent_eleven_times_because_its_pause_stops_growing() {
        let mut timer = Retransmission::new(Instant::now(), T2);
        let mut sent = 1;
        while timer.look(timer.at()) == Due::Again {
            sent += 1;
        }
        assert_eq!(sent, 11);
    }

    #[test]
    fn timers_come_in_the_order_in_which_they_are_due() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(now + T2, "late".into());
        timers.set(now + T1, "soon".into());
        assert_eq!(timers.pop(now), None);
        assert_eq!(timers.pop(now + T2).as_deref(), Some("soon"));
        assert_eq!(timers.pop(now + T2).as_deref(), Some("late"));
        assert_eq!(timers.pop(now + T2), None);
    }
}
