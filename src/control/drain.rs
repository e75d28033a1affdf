//! By what Viaduct is told to drain, from wherever in the process.
//!
//! To send the process a signal of its own looked simpler. A signal says nothing of who asked, and a second one means to end at
//! once.

use std::sync::Arc;

use tokio::sync::watch;

/// Why Viaduct drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// By a signal of this name.
    Signal(&'static str),
    /// By the administrator.
    Administrator,
    /// Another process has taken over its sockets and listeners: only its connections are left.
    HandedOver,
}

/// By what a drain is asked for. Clones are the same one.
#[derive(Clone, Debug)]
pub struct DrainHandle(Arc<watch::Sender<Option<Cause>>>);

impl Default for DrainHandle {
    fn default() -> Self {
        DrainHandle(Arc::new(watch::Sender::new(None)))
    }
}

impl DrainHandle {
    /// Asks for it. `false` where it was asked for before, which changes nothing.
    pub fn ask(&self, cause: Cause) -> bool {
        self.0.send_if_modified(|asked| {
            let is_first = asked.is_none();
            asked.get_or_insert(cause);
            is_first
        })
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Returns once it is asked for, with why.
    pub async fn asked(&self) -> Cause {
        let mut asked = self.0.subscribe();
        let cause = asked.wait_for(Option::is_some).await.map(|cause| *cause);
        // The sender is held by this handle, so the channel does not close.
        cause.ok().flatten().unwrap_or(Cause::Administrator)
    }
}

impl Cause {
    /// For the log.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Signal(name) => name,
            Cause::Administrator => "the administrator",
            Cause::HandedOver => "another process has taken over",
        }
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
        assert!(handle.clone().ask(Cause::HandedOver));
        assert!(!handle.ask(Cause::Administrator) && handle.is_asked());
        assert_eq!(block_on(false, async { handle.asked().await }).unwrap(), Cause::HandedOver);
    }
}
