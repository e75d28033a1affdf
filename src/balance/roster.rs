//! The pool as it stands at one moment: its members, who owns which part of the key space, and where each is counted.
//!
//! Members that know their own standing looked simpler. A standing changes while the member stays the same, and a table that
//! was made for other standings would go unnoticed; so all that changes together is made together.

use super::backend::{BackendIndex, BackendSlot};
use super::key::Key;
use super::pool::Pool;
use super::table::Table;

/// A pool as it stands. Immutable: another moment's is another one.
#[derive(Clone, Debug)]
pub struct Roster {
    pool: Pool,
    table: Table,
    slots: Vec<BackendSlot>,
    /// Counted once: a look over the whole table takes longer than anything that asks for it.
    shares: Vec<f64>,
}

impl Roster {
    /// The pool as it starts: every member gets its share, and is counted at its place. The table takes a few milliseconds a
    /// backend.
    pub fn new(key: &Key, pool: Pool) -> Self {
        let table = Table::new(key, &pool);
        let slots = (0..pool.backends().len()).map(|index| BackendSlot(index as u16)).collect();
        let shares = table.shares();
        Roster { pool, table, slots, shares }
    }

    /// The members.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Which member owns which part of the key space.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where that member is counted; slot 0 for one that there is not.
    pub fn slot(&self, index: BackendIndex) -> BackendSlot {
        self.slots.get(index.get()).copied().unwrap_or_default()
    }

    /// The part of the key space that a member owns.
    pub fn share(&self, index: BackendIndex) -> f64 {
        self.shares.get(index.get()).copied().unwrap_or(0.0)
    }
}
