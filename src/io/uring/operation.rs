//! What a completion belongs to: the operation's kind and index, packed into its user data.
//!
//! A table of operations looks more general. Receivers, send slots, listeners and the doorbell each have their
//! fixed place, and a connection has a name; so there is nothing to look up or leak.

use crate::io::ConnectionId;

/// An operation that the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The multishot receive of a UDP socket, by the socket's index.
    Receive(u16),
    /// The send of a slot. It completes only if it failed.
    Send(u16),
    /// The read of the doorbell's eventfd.
    Doorbell,
    /// An operation for streams.
    Stream(StreamOperation),
}

/// An operation for streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamOperation {
    /// The multishot accept of a listener, by the listener's index.
    Accept(u16),
    /// The multishot receive of a connection.
    Receive(ConnectionId),
    /// The send of a connection.
    Send(ConnectionId),
    /// The opening of a connection.
    Connect(ConnectionId),
    /// The request to give up all operations of a connection.
    Cancel,
}

impl Operation {
    /// Packs it into user data.
    pub(crate) fn user_data(self) -> u64 {
        match self {
            Self::Receive(socket) => RECEIVE << KIND_SHIFT | u64::from(socket),
            Self::Send(slot) => SEND << KIND_SHIFT | u64::from(slot),
            Self::Doorbell => DOORBELL << KIND_SHIFT,
            Self::Stream(operation) => operation.user_data(),
        }
    }

    /// Reads it from user data. `None` for what this engine never wrote.
    pub(crate) fn of(user_data: u64) -> Option<Self> {
        let index = user_data as u16;
        match user_data >> KIND_SHIFT {
            RECEIVE => Some(Self::Receive(index)),
            SEND => Some(Self::Send(index)),
            DOORBELL => Some(Self::Doorbell),
            _ => StreamOperation::of(user_data).map(Self::Stream),
        }
    }
}

impl StreamOperation {
    fn user_data(self) -> u64 {
        match self {
            Self::Accept(listener) => ACCEPT << STREAM_KIND_SHIFT | u64::from(listener),
            Self::Receive(id) => STREAM_RECEIVE << STREAM_KIND_SHIFT | place(id),
            Self::Send(id) => STREAM_SEND << STREAM_KIND_SHIFT | place(id),
            Self::Connect(id) => CONNECT << STREAM_KIND_SHIFT | place(id),
            Self::Cancel => CANCEL << STREAM_KIND_SHIFT,
        }
    }

    fn of(user_data: u64) -> Option<Self> {
        let slot = (user_data >> SLOT_SHIFT) as u32 & SLOT_MAX;
        let id = ConnectionId { slot, generation: user_data as u32 };
        match user_data >> STREAM_KIND_SHIFT {
            ACCEPT => Some(Self::Accept(user_data as u16)),
            STREAM_RECEIVE => Some(Self::Receive(id)),
            STREAM_SEND => Some(Self::Send(id)),
            CONNECT => Some(Self::Connect(id)),
            CANCEL => Some(Self::Cancel),
            _ => None,
        }
    }
}

const KIND_SHIFT: u32 = 16;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const DOORBELL: u64 = 3;

/// Above the slot, which has 24 bits, and the generation, which has 32.
const STREAM_KIND_SHIFT: u32 = 56;
const SLOT_SHIFT: u32 = 32;
const SLOT_MAX: u32 = (1 << 24) - 1;
const ACCEPT: u64 = 1;
const STREAM_RECEIVE: u64 = 2;
const STREAM_SEND: u64 = 3;
const CONNECT: u64 = 4;
const CANCEL: u64 = 5;

fn place(id: ConnectionId) -> u64 {
    u64::from(id.slot & SLOT_MAX) << SLOT_SHIFT | u64::from(id.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_reads_back_as_written() {
        let id = ConnectionId { slot: SLOT_MAX, generation: u32::MAX };
        let first = ConnectionId { slot: 0, generation: 0 };
        for operation in [Operation::Receive(0), Operation::Receive(u16::MAX), Operation::Send(7), Operation::Doorbell]
            .into_iter()
            .chain([StreamOperation::Accept(3), StreamOperation::Cancel].map(Operation::Stream))
            .chain([id, first].map(StreamOperation::Receive).map(Operation::Stream))
            .chain([id, first].map(StreamOperation::Send).map(Operation::Stream))
            .chain([id, first].map(StreamOperation::Connect).map(Operation::Stream))
        {
            assert_eq!(Operation::of(operation.user_data()), Some(operation));
        }
        assert_eq!(Operation::of(0), None);
        assert_eq!(Operation::of(u64::MAX), None);
    }
}
