//! Lets the process have as many descriptors as it may: each connection takes one.
//!
//! Asking operators to raise the limit looked cleaner. The limit in force is 1,024 nearly everywhere, for the sake of programs
//! that use select(2), while the one up to which a process may raise it is far higher.

use std::io;

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
