//! How shards ask for names and get the table: a bounded queue one way, a table swapped whole the other way.
//!
//! A lock around one map looked simpler. A shard would wait for whoever fills it, in the middle of a message.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use crossbeam::queue::ArrayQueue;
use tokio::sync::Notify;

use super::Names;
use super::name::Name;

/// How many names can wait to be taken in. They are taken in within milliseconds.
const QUEUE_NAMES: usize = 512;

/// What the shards and the one who resolves names share.
#[derive(Debug)]
pub struct Exchange {
    table: Arc<ArcSwap<Names>>,
    asked: ArrayQueue<Name>,
    bell: Notify,
}

/// A shard's view of the table.
#[derive(Clone, Debug)]
pub struct Reader(Cache<Arc<ArcSwap<Names>>, Arc<Names>>);

impl Default for Exchange {
    fn default() -> Self {
        let table = Arc::new(ArcSwap::from_pointee(Names::default()));
        Exchange { table, asked: ArrayQueue::new(QUEUE_NAMES), bell: Notify::new() }
    }
}

impl Exchange {
    /// A view of the table. Make it on the thread that uses it: the first look of a thread allocates.
    pub fn reader(&self) -> Reader {
        let mut reader = Reader(Cache::new(self.table.clone()));
        reader.table();
        reader
    }

    /// Asks for a name, and wakes the one who resolves. `false` where the queue is full: whoever sent the message will send
    /// it again. Allocates nothing and never waits.
    pub fn ask(&self, name: Name) -> bool {
        let taken = self.asked.push(name).is_ok();
        self.bell.notify_one();
        taken
    }

    /// The next name that was asked for.
    pub fn take(&self) -> Option<Name> {
        self.asked.pop()
    }

    /// Waits until a name was asked for since the last call.
    pub async fn asked(&self) {
        self.bell.notified().await;
    }

    /// The table as it stands, for whoever is not in a hurry.
    pub fn current(&self) -> Arc<Names> {
        self.table.load_full()
    }

    /// Puts a table into the place of the old one, which it gives back: keep it until nobody else holds it, so that no
    /// shard has to free it.
    pub fn publish(&self, names: Arc<Names>) -> Arc<Names> {
        self.table.swap(names)
    }
}

impl Reader {
    /// The table as it stands. One relaxed load of a line that is written only when a name's answer changes.
    pub fn table(&mut self) -> &Names {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::names::name::Lookup;
    use crate::proxy::names::{Answer, Failure};

    fn name(number: usize) -> Name {
        Name::new(format!("host{number}.example").as_bytes(), Lookup::Service).unwrap()
    }

    #[test]
    fn names_come_out_as_they_were_asked_for_up_to_the_bound() {
        let exchange = Exchange::default();
        assert!((0..QUEUE_NAMES).all(|number| exchange.ask(name(number))));
        assert!(!exchange.ask(name(QUEUE_NAMES)));
        assert_eq!(exchange.take(), Some(name(0)));
        assert!(exchange.ask(name(7)));
    }

    #[test]
    fn a_reader_sees_what_is_published_and_the_publisher_can_tell_who_still_holds_the_old_one() {
        let exchange = Exchange::default();
        let mut reader = exchange.reader();
        assert!(reader.table().is_empty());
        let known = [(Arc::from(name(1).as_str()), Answer::Failed(Failure::NotFound))];
        let old = exchange.publish(Arc::new(known.into_iter().collect()));
        assert_eq!(Arc::strong_count(&old), 2);
        assert_eq!(reader.table().get(&name(1)), Some(&Answer::Failed(Failure::NotFound)));
        assert_eq!(Arc::strong_count(&old), 1);
    }
}
