//! The pool as it stands at one moment: its members, how each stands, who owns which part of the key space.
//!
//! Members that know their own standing looked simpler. A standing changes while the member stays the same, and a table that
//! was made for other standings would go unnoticed; so all that changes together is made together.

use super::backend::{BackendIndex, BackendSlot};
use super::key::Key;
use super::past::Earlier;
use super::pool::Pool;
use super::standing::{Part, Standing};
use super::table::Table;

/// A pool as it stands. Immutable: another moment's is another one.
#[derive(Clone, Debug)]
pub struct Roster {
    pool: Pool,
    table: Table,
    /// For each member, in the order of the pool.
    parts: Vec<Part>,
    /// Counted once: a look over the whole table takes longer than anything that asks for it.
    shares: Vec<f64>,
    is_panic: bool,
    earlier: Option<Earlier>,
}

impl Roster {
    /// The pool as it starts: every member is up, gets its share, and is counted at its place. The table takes a few
    /// milliseconds a backend.
    pub fn new(key: &Key, pool: Pool) -> Self {
        let part = |(index, backend): (usize, &super::backend::Backend)| Part {
            slot: BackendSlot(index as u16),
            standing: Standing::Up,
            hold: None,
            weight: f64::from(backend.weight.value()),
            serves: true,
        };
        let parts = pool.backends().iter().enumerate().map(part).collect();
        Self::of(key, pool, parts, false)
    }

    /// The pool with these parts of its members, in its order; members without one are down. `is_panic` says that calls go to
    /// members that are down, because all are.
    pub fn of(key: &Key, pool: Pool, parts: Vec<Part>, is_panic: bool) -> Self {
        let weights: Vec<f64> = parts.iter().map(|part| part.weight).collect();
        let table = Table::with_weights(key, &pool, &weights);
        let shares = table.shares();
        Roster { pool, table, parts, shares, is_panic, earlier: None }
    }

    /// The same, with former owners of its places remembered, or none.
    pub fn with_earlier(self, earlier: Option<Earlier>) -> Self {
        Roster { earlier, ..self }
    }

    /// The members.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Which member owns which part of the key space.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// A member's part; `None` for one that there is not.
    pub fn part(&self, index: BackendIndex) -> Option<&Part> {
        self.parts.get(index.get())
    }

    /// Where that member is counted; slot 0 for one that there is not.
    pub fn slot(&self, index: BackendIndex) -> BackendSlot {
        self.part(index).map(|part| part.slot).unwrap_or_default()
    }

    /// Whether the dialogs that a member has stay with it.
    pub fn serves(&self, index: BackendIndex) -> bool {
        self.part(index).is_some_and(|part| part.serves)
    }

    /// Who may have what was sent to a key's owner before the last change: its former owner, where that is another one and still
    /// serves.
    pub fn earlier_owner(&self, hash: u64) -> Option<BackendIndex> {
        let former = self.earlier.as_ref()?.owner(hash)?;
        (self.serves(former) && self.table.owner(hash) != Some(former)).then_some(former)
    }

    /// Whether former owners are remembered.
    pub fn has_earlier(&self) -> bool {
        self.earlier.is_some()
    }

    /// The part of the key space that a member owns.
    pub fn share(&self, index: BackendIndex) -> f64 {
        self.shares.get(index.get()).copied().unwrap_or(0.0)
    }

    /// Whether calls go to members that are down, because all are.
    pub fn is_panic(&self) -> bool {
        self.is_panic
    }
}
