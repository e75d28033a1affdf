//! Why one datagram, or one piece of a stream, was not sent.

use std::fmt;

/// What became of a datagram, or a tagged piece of a stream, that did not go out. A datagram's concerns it alone: the
/// socket and everything else staged on it go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendError {
    /// The send buffer of the socket, or the queue of the device, was full. The datagram is dropped
    /// rather than waited for; many of these call for a larger send buffer.
    WouldBlock,
    /// There is no way to the destination, or its host said so.
    Unreachable,
    /// A firewall, a security module, or the missing permission to broadcast stands against it.
    NotPermitted,
    /// Longer than the protocol, or the path with fragmentation forbidden, can carry.
    TooLong,
    /// Anything else: an address that is not ours to send from, a socket that does not exist.
    Other,
    /// The connection ended before the kernel had taken the whole piece. Only with streams.
    ConnectionClosed,
}

impl SendError {
    /// All of them, in the order of [`SendError::index`].
    pub const ALL: [Self; 6] =
        [Self::WouldBlock, Self::Unreachable, Self::NotPermitted, Self::TooLong, Self::Other, Self::ConnectionClosed];

    /// The position in [`SendError::ALL`], for a table of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The word for it in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WouldBlock => "would_block",
            Self::Unreachable => "unreachable",
            Self::NotPermitted => "not_permitted",
            Self::TooLong => "too_long",
            Self::Other => "other",
            Self::ConnectionClosed => "connection_closed",
        }
    }

    /// Sorts an error number of send(2), udp(7) or ip(7).
    pub(crate) fn from_errno(errno: i32) -> Self {
        match errno {
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM => Self::WouldBlock,
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ECONNREFUSED => Self::Unreachable,
            libc::EHOSTDOWN | libc::ENETDOWN | libc::ENONET => Self::Unreachable,
            libc::EPERM | libc::EACCES => Self::NotPermitted,
            libc::EMSGSIZE => Self::TooLong,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

impl std::error::Error for SendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_position_in_all_and_labels_differ() {
        for (index, error) in SendError::ALL.into_iter().enumerate() {
            assert_eq!(error.index(), index);
        }
        let labels: std::collections::BTreeSet<_> = SendError::ALL.into_iter().map(SendError::label).collect();
        assert_eq!(labels.len(), SendError::ALL.len());
    }

    #[test]
    fn error_numbers_are_sorted_by_whom_they_concern() {
        for (errno, error) in [
            (libc::EAGAIN, SendError::WouldBlock),
            (libc::ECONNREFUSED, SendError::Unreachable),
            (libc::ENETUNREACH, SendError::Unreachable),
            (libc::EPERM, SendError::NotPermitted),
            (libc::EMSGSIZE, SendError::TooLong),
            (libc::EBADF, SendError::Other),
        ] {
            assert_eq!(SendError::from_errno(errno), error);
        }
    }
}
