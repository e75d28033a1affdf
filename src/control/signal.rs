//! When the operator wants the process to end, or to read again what may have changed.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Each SIGTERM and SIGINT from its making on. Until there is one, either ends the process at once, as the kernel has it.
#[derive(Debug)]
pub struct Terminations {
    terminate: Signal,
    interrupt: Signal,
}

impl Terminations {
    /// From here on.
    pub fn new() -> io::Result<Self> {
        Ok(Terminations { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Whether there was one since the last that was taken, which this takes.
    pub async fn was_told(&mut self) -> bool {
        // Signals are looked for while nobody runs.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            _ = self.next() => true,
            () = std::future::ready(()) => false,
        }
    }

    /// Returns at the next one, with its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Each SIGHUP from here on. Until it is called, one ends the process, as the kernel has it.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;
    use crate::control::block_on;

    #[test]
    fn one_that_has_come_is_told_of_once_and_not_waited_for() {
        block_on(false, async {
            let mut terminations = Terminations::new().unwrap();
            assert!(!terminations.was_told().await);
            kill_process(getpid(), Signal::INT).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            assert!(terminations.was_told().await && !terminations.was_told().await);
        })
        .unwrap();
    }
}
