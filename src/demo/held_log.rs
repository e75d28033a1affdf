//! Keeps the log out of the screen: log lines are held until there is room for them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The most that is held; what comes after it is lost.
const MAX_BYTES: usize = 64 << 10;

/// A log that waits to be shown.
#[derive(Clone, Debug, Default)]
pub struct HeldLog(Arc<Mutex<Vec<u8>>>);

impl HeldLog {
    /// Writes what is held to the standard error, and holds on anew.
    pub fn release(&self) {
        let held = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Where the standard error is closed, nobody is left to be told.
        let _ = io::stderr().write_all(&held);
    }
}

impl Write for HeldLog {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() + text.len() <= MAX_BYTES {
            held.extend_from_slice(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
