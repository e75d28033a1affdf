//! Why an engine cannot be had, in words that an operator can act on.

use std::{fmt, fs, io};

/// An engine that cannot be had: what failed, on which kernel, the usual cause and the remedy. Its
/// text is one paragraph.
#[derive(Debug)]
pub struct Unavailable {
    step: &'static str,
    error: io::Error,
    cause: Cause,
    kernel: String,
}

/// The usual cause of what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The system call filter of the container, or a security module, forbids it.
    Forbidden,
    /// `kernel.io_uring_disabled` is 1 (members of a group only) or 2 (no one).
    SwitchedOff,
    /// The kernel lacks a feature that is relied on, all of them in Linux since 6.1.
    KernelTooOld,
    /// The limit on locked memory (`RLIMIT_MEMLOCK`) is too low, or memory is short.
    LockedMemory,
    /// The limit on open files (`RLIMIT_NOFILE`) is reached.
    Descriptors,
    /// None of the usual ones.
    Unusual,
}

impl Unavailable {
    /// The usual cause, for those who want to decide by it.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Looks for the cause of an error that came up at `step` ("creating the ring").
    pub(crate) fn at(step: &'static str, error: io::Error) -> Self {
        let switch = fs::read_to_string(SWITCH).ok();
        let cause = diagnose(error.raw_os_error(), switch.as_deref());
        Self::new(step, error, cause)
    }

    /// A feature that the kernel should have and does not.
    pub(crate) fn missing(feature: &'static str) -> Self {
        let error = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        Self::new(feature, error, Cause::KernelTooOld)
    }

    fn new(step: &'static str, error: io::Error, cause: Cause) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease");
        let kernel = kernel.map_or_else(|_| "unknown".into(), |text| text.trim().to_owned());
        Self { step, error, cause, kernel }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} failed on Linux {}: {}. {}", self.step, self.kernel, self.error, self.cause.advice())
    }
}

impl std::error::Error for Unavailable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Cause {
    /// The cause and its remedy as sentences.
    fn advice(self) -> &'static str {
        match self {
            Self::Forbidden => {
                "Something forbids io_uring, usually the seccomp filter of the container (Docker since \
                 25, containerd since 2.0). Allow the system calls io_uring_setup, io_uring_enter and \
                 io_uring_register (425 to 427) by a profile: --security-opt seccomp=FILE, or in \
                 Kubernetes seccompProfile of type Localhost."
            }
            Self::SwitchedOff => {
                "io_uring is switched off on this host. Set the sysctl kernel.io_uring_disabled to 0, \
                 or to 1 with this user's group in kernel.io_uring_group."
            }
            Self::KernelTooOld => "The kernel is too old: Linux 6.1 or later is needed.",
            Self::LockedMemory => {
                "The limit on locked memory is too low or memory is short. Raise RLIMIT_MEMLOCK to 8 \
                 MiB or more (ulimit -l, LimitMEMLOCK of systemd, --ulimit memlock of Docker), or \
                 lower the number of receive buffers and send slots."
            }
            Self::Descriptors => "Too many files are open. Raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE of systemd).",
            Self::Unusual => "This is not one of the usual causes; the kernel log may say more.",
        }
    }
}

const SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";

/// Names the usual cause of an error number, given the text of the sysctl. An absent sysctl (Linux
/// before 6.6) means that there is no switch.
fn diagnose(errno: Option<i32>, switch: Option<&str>) -> Cause {
    match errno {
        Some(libc::EPERM) if !matches!(switch.map(str::trim), None | Some("0")) => Cause::SwitchedOff,
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Cause::Forbidden,
        Some(libc::EINVAL | libc::EOPNOTSUPP) => Cause::KernelTooOld,
        Some(libc::ENOMEM) => Cause::LockedMemory,
        Some(libc::EMFILE | libc::ENFILE) => Cause::Descriptors,
        _ => Cause::Unusual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_switch_if_it_is_set_and_the_filter_otherwise() {
        for (switch, cause) in [
            (Some("2\n"), Cause::SwitchedOff),
            (Some("1\n"), Cause::SwitchedOff),
            (Some("0\n"), Cause::Forbidden),
            (None, Cause::Forbidden),
        ] {
            assert_eq!(diagnose(Some(libc::EPERM), switch), cause);
        }
    }

    #[test]
    fn each_usual_error_number_has_its_cause() {
        for (errno, cause) in [
            (libc::ENOSYS, Cause::Forbidden),
            (libc::EINVAL, Cause::KernelTooOld),
            (libc::ENOMEM, Cause::LockedMemory),
            (libc::EMFILE, Cause::Descriptors),
            (libc::EIO, Cause::Unusual),
        ] {
            assert_eq!(diagnose(Some(errno), Some("0\n")), cause);
        }
    }

    #[test]
    fn the_text_names_step_kernel_error_and_remedy_in_one_paragraph() {
        let error = io::Error::from_raw_os_error(libc::ENOMEM);
        let text = Unavailable::at("creating the ring", error).to_string();
        assert!(text.starts_with("creating the ring failed on Linux "));
        assert!(text.contains("os error 12") && text.contains("RLIMIT_MEMLOCK"));
        assert!(!text.contains('\n') && !text.contains("  "));
    }
}
