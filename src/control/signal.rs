//! When the operator wants the process to end, or to read again what may have changed.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns at SIGTERM or SIGINT, with its name.
pub async fn terminated() -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

/// Each SIGHUP from here on. Until it is called, one ends the process, as the kernel has it.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
