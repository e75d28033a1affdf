//! Which names are known, when each is looked up again, and what a failure changes. A function of what happens and of the
//! times it is told: no clock, no socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use crate::proxy::names::name::Name;
use crate::proxy::names::{Answer, Failure, Names};

use super::walk::Found;

/// How many names are known at most: some 3 MiB.
pub(super) const MAX_NAMES: usize = 4096;

/// A time to live is taken for at least this long, so that a server that says 0 is not asked without end.
const MIN_TTL: Duration = Duration::from_secs(1);

/// And for at most this long, so that a change is seen within the hour.
const MAX_TTL: Duration = Duration::from_secs(3600);

/// How long it is known that a name does not exist, where its zone says nothing or more (RFC 2308 §5).
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// How long after a failure of the name servers a name is looked up again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A look-up that has not ended by then has been lost, and is begun anew.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// How long the last answer is used while the name servers fail (RFC 8767 §5 gives one to three days).
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// A name that no message has gone by for this long is forgotten. Shards tell of names in use several times as often.
const UNUSED_AFTER: Duration = Duration::from_secs(300);

/// The names.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: AHashMap<Arc<str>, Entry>,
    changed: bool,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    answer: Option<Answer>,
    /// When it was last known to lead there.
    good_at: Instant,
    asked_at: Instant,
    /// When it is looked up again.
    due_at: Instant,
    /// Whether the last look-up was not answered, though an earlier one was.
    is_stale: bool,
}

/// What a look-up has changed that an operator would want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The name servers have begun to fail; the last answer stays.
    FailsFromNowOn,
    /// They have ceased to.
    AnswersAgain,
    /// The name led somewhere and does not any more.
    IsGone,
}

impl Book {
    /// A message goes by this name. Gives whether another in use was forgotten to make room for it.
    pub(super) fn ask(&mut self, name: Name, now: Instant) -> bool {
        if let Some(entry) = self.entries.get_mut(name.as_str()) {
            entry.asked_at = now;
            return false;
        }
        let crowded_out = self.entries.len() >= MAX_NAMES && self.forget_longest_unused();
        let key = Arc::from(name.as_str());
        let entry = Entry { name, answer: None, good_at: now, asked_at: now, due_at: now, is_stale: false };
        self.entries.insert(key, entry);
        crowded_out
    }

    /// The names to look up, at most so many; those that have waited longest come first. Forgets names that are not in use.
    pub(super) fn due(&mut self, now: Instant, room: usize) -> Vec<Name> {
        let before = self.entries.len();
        self.entries.retain(|_, entry| !entry.is_over(now));
        self.changed |= self.entries.len() != before;
        if room == 0 {
            return Vec::new();
        }
        let mut due: Vec<&mut Entry> = self.entries.values_mut().filter(|entry| entry.due_at <= now).collect();
        due.sort_by_key(|entry| entry.due_at);
        due.truncate(room);
        let under_way = |entry: &mut Entry| {
            entry.due_at = now + LOST_AFTER;
            entry.name.clone()
        };
        due.into_iter().map(under_way).collect()
    }

    /// Takes in what a look-up has found.
    pub(super) fn found(&mut self, name: &Name, found: Found, now: Instant) -> Change {
        // Forgotten meanwhile, to make room.
        let Some(entry) = self.entries.get_mut(name.as_str()) else { return Change::None };
        entry.due_at = now + again_after(&found);
        let had_targets = matches!(entry.answer, Some(Answer::Targets(_)));
        let was_stale = entry.is_stale;
        if found.answer == Answer::Failed(Failure::Unanswered) && had_targets && now < entry.good_at + MAX_STALE {
            entry.is_stale = true;
            return if was_stale { Change::None } else { Change::FailsFromNowOn };
        }
        entry.is_stale = false;
        entry.good_at = now;
        self.changed |= entry.answer.as_ref() != Some(&found.answer);
        let is_gone = had_targets && matches!(found.answer, Answer::Failed(_));
        entry.answer = Some(found.answer);
        match (is_gone, was_stale) {
            (true, _) => Change::IsGone,
            (false, true) => Change::AnswersAgain,
            (false, false) => Change::None,
        }
    }

    /// Whether an answer has changed, come or gone since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The table of all answers.
    pub(super) fn names(&self) -> Names {
        self.entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.answer.clone()?))).collect()
    }

    /// Whether there is no name.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn forget_longest_unused(&mut self) -> bool {
        let longest = self.entries.iter().min_by_key(|(_, entry)| entry.asked_at).map(|(key, _)| key.clone());
        self.changed |= longest.and_then(|key| self.entries.remove(&key)).is_some_and(|entry| entry.answer.is_some());
        true
    }
}

impl Entry {
    /// A name that leads nowhere is not looked up again by itself, only if somebody asks again; one that leads somewhere is
    /// while it is in use.
    fn is_over(&self, now: Instant) -> bool {
        let is_due = self.due_at <= now;
        match self.answer {
            None => false,
            Some(Answer::Failed(_)) => is_due,
            Some(Answer::Targets(_)) => is_due && now.duration_since(self.asked_at) > UNUSED_AFTER,
        }
    }
}

/// A good answer is looked up again before its time is over, so that no message meets a name without one.
fn again_after(found: &Found) -> Duration {
    match found.answer {
        Answer::Targets(_) => found.ttl.clamp(MIN_TTL, MAX_TTL) * 3 / 4,
        Answer::Failed(Failure::Unanswered) => RETRY_AFTER,
        Answer::Failed(_) => found.ttl.clamp(MIN_TTL, MAX_NEGATIVE_TTL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::names::name::Lookup;
    use crate::proxy::names::targets::{Target, Targets};

    const SECOND: Duration = Duration::from_secs(1);

    fn name(number: usize) -> Name {
        Name::new(format!("host{number}.example").as_bytes(), Lookup::Service).unwrap()
    }

    fn at(address: &str, ttl: Duration) -> Found {
        let target = Target { priority: 0, weight: 0, addresses: vec![address.parse().unwrap()] };
        Found { answer: Answer::Targets(Arc::new(Targets::new(&[target]).unwrap())), ttl }
    }

    fn failed(failure: Failure) -> Found {
        Found { answer: Answer::Failed(failure), ttl: 10 * SECOND }
    }

    /// A book with name 0, found at `now`.
    fn book_with(found: Found, now: Instant) -> Book {
        let mut book = Book::default();
        book.ask(name(0), now);
        assert_eq!(book.due(now, 9), [name(0)]);
        book.found(&name(0), found, now);
        assert!(book.take_changed());
        book
    }

    #[test]
    fn a_name_is_looked_up_once_however_often_it_is_asked_for() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.ask(name(0), now);
        book.ask(name(0), now);
        assert_eq!(book.due(now, 9), [name(0)]);
        book.ask(name(0), now);
        assert!(book.due(now, 9).is_empty());
        assert_eq!(book.due(now + LOST_AFTER, 9), [name(0)], "its look-up was lost");
    }

    #[test]
    fn a_name_in_use_is_looked_up_again_before_its_time_is_over() {
        let now = Instant::now();
        let mut book = book_with(at("10.0.0.1:5060", 100 * SECOND), now);
        assert!(book.due(now + 74 * SECOND, 9).is_empty());
        assert_eq!(book.due(now + 75 * SECOND, 9), [name(0)]);
        book.found(&name(0), at("10.0.0.1:5060", 100 * SECOND), now + 76 * SECOND);
        assert!(!book.take_changed(), "the same answer is not published again");
        book.due(now + 200 * SECOND, 9);
        book.found(&name(0), at("10.0.0.2:5060", 100 * SECOND), now + 200 * SECOND);
        assert!(book.take_changed());
    }

    #[test]
    fn a_time_to_live_has_a_floor_and_a_ceiling() {
        let now = Instant::now();
        let mut book = book_with(at("10.0.0.1:5060", Duration::ZERO), now);
        assert!(book.due(now + MIN_TTL / 2, 9).is_empty());
        assert_eq!(book.due(now + MIN_TTL, 9), [name(0)]);
        let mut book = book_with(at("10.0.0.1:5060", 900_000 * SECOND), now);
        book.ask(name(0), now + MAX_TTL);
        assert_eq!(book.due(now + MAX_TTL, 9), [name(0)]);
    }

    #[test]
    fn a_name_out_of_use_is_forgotten() {
        let now = Instant::now();
        let mut book = book_with(at("10.0.0.1:5060", 10 * SECOND), now);
        assert!(book.due(now + UNUSED_AFTER + SECOND, 9).is_empty());
        assert!(book.is_empty() && book.take_changed());
    }

    #[test]
    fn the_last_good_answer_stays_while_the_name_servers_fail_and_both_changes_are_told() {
        let now = Instant::now();
        let mut book = book_with(at("10.0.0.1:5060", SECOND), now);
        let later = now + 20 * SECOND;
        assert_eq!(book.found(&name(0), failed(Failure::Unanswered), later), Change::FailsFromNowOn);
        assert_eq!(book.found(&name(0), failed(Failure::Unanswered), later), Change::None);
        assert!(matches!(book.names().get(&name(0)), Some(Answer::Targets(_))));
        assert_eq!(book.found(&name(0), at("10.0.0.2:5060", SECOND), later), Change::AnswersAgain);
        assert_eq!(book.found(&name(0), failed(Failure::NotFound), later), Change::IsGone);
        assert_eq!(book.names().get(&name(0)), Some(&Answer::Failed(Failure::NotFound)));
    }

    #[test]
    fn an_answer_does_not_stay_for_ever() {
        let now = Instant::now();
        let mut book = book_with(at("10.0.0.1:5060", SECOND), now);
        assert_eq!(book.found(&name(0), failed(Failure::Unanswered), now + MAX_STALE), Change::IsGone);
    }

    #[test]
    fn a_failure_is_known_for_a_while_and_looked_up_again_only_if_asked_for() {
        let now = Instant::now();
        let mut book = book_with(failed(Failure::NotFound), now);
        assert!(book.due(now + 9 * SECOND, 9).is_empty() && !book.is_empty());
        assert!(book.due(now + 10 * SECOND, 9).is_empty() && book.is_empty());
        assert!(book.take_changed());
    }

    #[test]
    fn where_there_is_no_room_the_longest_unused_goes() {
        let (mut book, now) = (Book::default(), Instant::now());
        for number in 0..MAX_NAMES {
            assert!(!book.ask(name(number), now + number as u32 * Duration::from_millis(1)));
        }
        book.ask(name(0), now + 100 * SECOND);
        assert!(book.ask(name(MAX_NAMES), now + 101 * SECOND));
        let due = book.due(now + 101 * SECOND, usize::MAX);
        assert_eq!(due.len(), MAX_NAMES);
        assert!(due.contains(&name(0)) && !due.contains(&name(1)));
    }

    #[test]
    fn look_ups_under_way_are_bounded_and_the_longest_due_come_first() {
        let (mut book, now) = (Book::default(), Instant::now());
        for number in 0..10 {
            book.ask(name(number), now + number as u32 * SECOND);
        }
        assert_eq!(book.due(now + 20 * SECOND, 2), [name(0), name(1)]);
        assert_eq!(book.due(now + 20 * SECOND, 1), [name(2)]);
        assert!(book.due(now + 20 * SECOND, 0).is_empty());
    }
}
