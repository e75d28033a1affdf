//! What is asked and set of descriptors. The process may have as many as it may: each connection takes one.
//!
//! Asking operators to raise the limit looked cleaner. The limit in force is 1,024 nearly everywhere, for the sake of programs
//! that use select(2), while the one up to which a process may raise it is far higher.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit on open files (`RLIMIT_NOFILE`) as far as the process may, for its whole life, and gives it; `u64::MAX`
/// where there is none. Errors are those of setrlimit(2).
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// How many datagrams a socket has dropped since it was opened, modulo 2^32; 0 where the kernel does not tell (socket(7),
/// `SO_MEMINFO`). One that another process has had may have dropped some before.
pub(super) fn drops_so_far(socket: BorrowedFd<'_>) -> u32 {
    let mut counts = [0u32; MEMINFO_COUNTS];
    let mut length = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the array has the length given and outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            counts.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { counts[MEMINFO_DROPS] } else { 0 }
}

/// `SK_MEMINFO_VARS` and `SK_MEMINFO_DROPS` of linux/sock_diag.h.
const MEMINFO_COUNTS: usize = 9;
const MEMINFO_DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_in_force_becomes_the_highest_that_is_allowed() {
        let limit = raise_descriptor_limit().unwrap();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((current, limit), (maximum, maximum.unwrap_or(u64::MAX)));
        assert_eq!(raise_descriptor_limit().unwrap(), limit);
    }
}
