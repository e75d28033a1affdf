//! Asks for names, none too often: an unknown one at the pace of retransmissions, a known one now and then, so that it is
//! known to be in use and kept fresh.
//!
//! Marking the name in the table looked simpler. The table is shared, and a line that all shards write is what they are kept
//! from; and a decision would change what it rests on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::proxy::names::exchange::Exchange;
use crate::proxy::names::name::Name;

/// A retransmission comes after half a second at the earliest (T1, RFC 3261 §17.1.1.1): until then nothing is gained by
/// asking again.
const UNKNOWN_AGAIN: Duration = Duration::from_millis(400);

/// How often a name in use is said to be. Names are kept for many times as long.
const KNOWN_AGAIN: Duration = Duration::from_secs(20);

/// How many names are remembered as asked for. Names that share a place are asked for more often, which is harmless.
const PLACES: usize = 512;

/// What a shard asks for names by.
#[derive(Debug)]
pub struct Asker {
    exchange: Arc<Exchange>,
    hasher: RandomState,
    asked: Box<[Option<(u64, Instant)>]>,
}

impl Asker {
    /// One that has not asked yet.
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Asker { exchange, hasher: RandomState::new(), asked: vec![None; PLACES].into_boxed_slice() }
    }

    /// Asks for a name, unless it did so lately. `false` where the queue is full. Allocates nothing.
    pub fn ask(&mut self, name: Name, is_unknown: bool) -> bool {
        let again = if is_unknown { UNKNOWN_AGAIN } else { KNOWN_AGAIN };
        let (hash, now) = (self.hasher.hash_one(name.as_str()), Instant::now());
        let place = &mut self.asked[hash as usize % PLACES];
        if place.is_some_and(|(asked, at)| asked == hash && now.duration_since(at) < again) {
            return true;
        }
        let taken = self.exchange.ask(name);
        if taken {
            *place = Some((hash, now));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::names::name::Lookup;

    fn name(host: &str) -> Name {
        Name::new(host.as_bytes(), Lookup::Service).unwrap()
    }

    fn asked_for(exchange: &Exchange) -> usize {
        std::iter::from_fn(|| exchange.take()).count()
    }

    #[test]
    fn a_burst_of_messages_to_one_name_asks_once() {
        let exchange = Arc::new(Exchange::default());
        let mut asker = Asker::new(exchange.clone());
        assert!((0..100).all(|_| asker.ask(name("a.example"), true)));
        assert_eq!(asked_for(&exchange), 1);
    }

    #[test]
    fn an_unknown_name_is_asked_for_again_by_its_retransmission_and_a_known_one_is_not() {
        let exchange = Arc::new(Exchange::default());
        let mut asker = Asker::new(exchange.clone());
        asker.ask(name("a.example"), true);
        std::thread::sleep(UNKNOWN_AGAIN);
        asker.ask(name("a.example"), false);
        assert_eq!(asked_for(&exchange), 1);
        asker.ask(name("a.example"), true);
        assert_eq!(asked_for(&exchange), 1);
    }

    #[test]
    fn a_name_that_found_the_queue_full_is_asked_for_by_the_next_message() {
        let exchange = Arc::new(Exchange::default());
        while exchange.ask(name("other.example")) {}
        let mut asker = Asker::new(exchange.clone());
        assert!(!asker.ask(name("a.example"), true));
        while exchange.take().is_some() {}
        assert!(asker.ask(name("a.example"), true));
        assert_eq!(asked_for(&exchange), 1);
    }
}
