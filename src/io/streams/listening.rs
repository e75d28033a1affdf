//! What engines do with listeners: take in connections, and wait where there is no room for them.
//!
//! Accepting again at once after an error looks right, as most errors are one connection's. Where descriptors have run
//! out, the connection stays in the queue and the next attempt fails in the same way: the shard would do nothing else.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::Accepted;
use super::lifecycle::reset_on_close;
use crate::io::{Handler, Output, Turn};

/// A time in which nothing is accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pause {
    until: Option<Instant>,
}

impl Pause {
    /// Accepts nothing for a while.
    pub(crate) fn begin(&mut self) {
        self.until = Some(Instant::now() + PAUSE);
    }

    /// Whether it lasts. Reads the clock only if it does or has just ended.
    pub(crate) fn lasts(&mut self) -> bool {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            self.until = None;
        }
        self.until.is_some()
    }

    /// How long to wait at most: no longer than it lasts.
    pub(crate) fn limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        let Some(until) = self.until else { return timeout };
        let rest = until.saturating_duration_since(Instant::now());
        Some(timeout.map_or(rest, |timeout| timeout.min(rest)))
    }
}

/// Long enough to cost nothing, short enough that a client does not notice.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether an error of accept(2) concerns one connection alone, so that the next may be accepted at once.
pub(crate) fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::ECONNABORTED | libc::EINTR | libc::EAGAIN | libc::ECANCELED | libc::EPROTO | libc::EPERM)
}

/// Takes in a connection that was accepted, or resets it where the table is full.
pub(crate) fn admit(
    descriptor: OwnedFd,
    listener: usize,
    handler: &mut impl Handler,
    output: &mut Output,
    turn: &mut Turn,
) {
    let Some((peer, local)) = ends(&descriptor) else {
        turn.accept_errors += 1;
        return;
    };
    match output.streams.take_in(descriptor) {
        Ok(connection) => {
            turn.accepted += 1;
            handler.accepted(Accepted { connection, listener, peer, local }, output);
        }
        Err(refused) => {
            turn.accepts_refused += 1;
            let _ = reset_on_close(&refused);
        }
    }
}

/// Both addresses of a connection; `None` if it has already gone.
fn ends(descriptor: &OwnedFd) -> Option<(SocketAddr, SocketAddr)> {
    let socket = SockRef::from(descriptor);
    Some((socket.peer_addr().ok()?.as_socket()?, socket.local_addr().ok()?.as_socket()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_shortens_waits_and_ends() {
        let mut pause = Pause::default();
        assert!(!pause.lasts());
        assert_eq!(pause.limit(None), None);
        pause.begin();
        assert!(pause.lasts());
        assert!(pause.limit(None).unwrap() <= PAUSE);
        assert_eq!(pause.limit(Some(Duration::ZERO)), Some(Duration::ZERO));
        pause.until = Some(Instant::now());
        assert!(!pause.lasts());
    }
}
