//! What is shown of certificates: when they end, and whether changed files could be read. One writer: the task that watches.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwap;

use crate::frame::tls::TlsContext;

use super::cells::Cell;

/// The certificates in use, and the counts.
#[derive(Debug, Default)]
pub struct Certificates {
    /// What connections begin with.
    pub context: Arc<ArcSwap<TlsContext>>,
    /// Changed files that were read and taken.
    pub reloaded: Cell,
    /// Changed files that could not be used, so that the earlier ones are still in use.
    pub refused: Cell,
}

impl Certificates {
    /// Those of a context.
    pub fn new(context: Arc<ArcSwap<TlsContext>>) -> Self {
        Certificates { context, ..Certificates::default() }
    }

    /// Each certificate's file and the moment it ends, in seconds of Unix time. A file that is used twice stands there once.
    pub fn ends(&self) -> Vec<(String, f64)> {
        let context = self.context.load();
        let end = |at: std::time::SystemTime| at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let mut ends: Vec<_> =
            context.certificates().map(|loaded| (loaded.file.display().to_string(), end(loaded.not_after))).collect();
        ends.sort_by(|(one, _), (other, _)| one.cmp(other));
        ends.dedup_by(|(one, _), (other, _)| one == other);
        ends
    }
}
