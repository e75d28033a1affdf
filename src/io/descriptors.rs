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
    option::<MEMINFO_COUNTS>(socket, libc::SO_MEMINFO).map_or(0, |counts| counts[MEMINFO_DROPS])
}

/// `SK_MEMINFO_VARS` and `SK_MEMINFO_DROPS` of linux/sock_diag.h.
const MEMINFO_COUNTS: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// The user of the process at the other end of a Unix socket, when that was connected or began to listen (unix(7), `SO_PEERCRED`).
/// Libraries give the process too, and an error where it has no number here: in the container beside this one.
pub(super) fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    option::<CREDENTIALS>(socket, libc::SO_PEERCRED).map(|credentials| credentials[CREDENTIALS_USER])
}

/// Process, user and group of `struct ucred`.
const CREDENTIALS: usize = 3;
const CREDENTIALS_USER: usize = 1;

/// An option of sockets that is so many numbers of 32 bits.
fn option<const COUNT: usize>(socket: BorrowedFd<'_>, name: i32) -> io::Result<[u32; COUNT]> {
    let mut numbers = [0; COUNT];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the array has the length given and outlives the call.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, numbers.as_mut_ptr().cast(), &raw mut length)
    };
    match result {
        0 => Ok(numbers),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn whose_the_other_end_is_is_known() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer_user(one.as_fd()).unwrap(), rustix::process::geteuid().as_raw());
    }

    #[test]
    fn the_limit_in_force_becomes_the_highest_that_is_allowed() {
        let limit = raise_descriptor_limit().unwrap();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((current, limit), (maximum, maximum.unwrap_or(u64::MAX)));
        assert_eq!(raise_descriptor_limit().unwrap(), limit);
    }
}
