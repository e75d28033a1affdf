//! What a completion belongs to: the operation's kind and index, packed into its user data.
//!
//! A table of operations looks more general. Receivers, send slots and the doorbell each have their
//! fixed place, so the index is enough and there is nothing to look up or leak.

/// An operation that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The multishot receive of a socket, by the socket's index.
    Receive(u16),
    /// The send of a slot. It completes only if it failed.
    Send(u16),
    /// The read of the doorbell's eventfd.
    Doorbell,
}

impl Operation {
    /// Packs it into user data.
    pub(crate) fn user_data(self) -> u64 {
        match self {
            Self::Receive(socket) => RECEIVE << KIND_SHIFT | u64::from(socket),
            Self::Send(slot) => SEND << KIND_SHIFT | u64::from(slot),
            Self::Doorbell => DOORBELL << KIND_SHIFT,
        }
    }

    /// Reads it from user data. `None` for what this engine never wrote.
    pub(crate) fn of(user_data: u64) -> Option<Self> {
        let index = user_data as u16;
        match user_data >> KIND_SHIFT {
            RECEIVE => Some(Self::Receive(index)),
            SEND => Some(Self::Send(index)),
            DOORBELL => Some(Self::Doorbell),
            _ => None,
        }
    }
}

const KIND_SHIFT: u32 = 16;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const DOORBELL: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_reads_back_as_written() {
        for operation in [Operation::Receive(0), Operation::Receive(u16::MAX), Operation::Send(7), Operation::Doorbell]
        {
            assert_eq!(Operation::of(operation.user_data()), Some(operation));
        }
        assert_eq!(Operation::of(0), None);
        assert_eq!(Operation::of(u64::MAX), None);
    }
}
