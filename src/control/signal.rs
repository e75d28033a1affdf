//! When the operator wants the process to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Returns at SIGTERM or SIGINT, with its name.
pub async fn terminated() -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
