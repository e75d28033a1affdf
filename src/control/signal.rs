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
