//! By what Viaduct is told to drain, from wherever in the process.
//!
//! To send the process a signal of its own looked simpler. A signal says nothing of who asked, and a second one means to end at
//! once.

use std::sync::Arc;

use tokio::sync::watch;

/// By what a drain is asked for. Clones are the same one.
#[derive(Clone, Debug)]
pub struct DrainHandle(Arc<watch::Sender<Option<&'static str>>>);

impl Default for DrainHandle {
    fn default() -> Self {
        DrainHandle(Arc::new(watch::Sender::new(None)))
    }
}

impl DrainHandle {
    /// Asks for it; `why` is for the log. `false` where it was asked for before, which changes nothing.
    pub fn ask(&self, why: &'static str) -> bool {
        self.0.send_if_modified(|asked| {
            let is_first = asked.is_none();
            asked.get_or_insert(why);
            is_first
        })
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns once it is asked for, with why.
    pub async fn asked(&self) -> &'static str {
        let mut asked = self.0.subscribe();
        let why = asked.wait_for(Option::is_some).await.map(|why| *why);
        // The sender is held by this handle, so the channel does not close.
        why.ok().flatten().unwrap_or("asked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::block_on;

    #[test]
    fn the_first_who_asks_is_the_one_who_is_named() {
        let handle = DrainHandle::default();
        assert!(!handle.is_asked());
        assert!(handle.clone().ask("first"));
        assert!(!handle.ask("second") && handle.is_asked());
        assert_eq!(block_on(false, async { handle.asked().await }).unwrap(), "first");
    }
}
