//! The sizes of an engine.
//!
//! Sizes that follow the load look more convenient. What grows under load is what fails under load; fixed sizes are all
//! granted, or refused, at the start.

use super::{RingSetup, StreamOptions};

/// Sizes of an engine, fixed while it lives. Values out of range are moved into it.
///
/// Address space for all buffers is taken at once; memory is used only as far as datagrams reach into
/// them, so a generous size per buffer costs nothing until datagrams are that large. The ring counts
/// against `RLIMIT_MEMLOCK`: about 180 KiB with the defaults, most of it 64 bytes per send slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many datagrams may be received before one is handled; a power of two (others are rounded
    /// up) to 32,768. Too few: [`Turn::starved`](super::Turn) counts and the burst waits in the socket. Too many:
    /// they no longer fit the cache, and with 2,048 receiving is a third dearer.
    pub receive_buffers: u16,
    /// The longest datagram received whole, 1 to 65,535 bytes. Longer ones are cut and say so.
    pub receive_buffer_bytes: u32,
    /// How many datagrams may be staged and not yet taken by the kernel, 1 to 16,384. Too few:
    /// [`Outbox::reserve`](super::Outbox::reserve) gives `None`.
    pub send_slots: u16,
    /// The longest datagram that can be sent, 1 to 65,535 bytes.
    pub send_slot_bytes: u32,
    /// The same for streams.
    pub streams: StreamOptions,
    /// Not a size, and not a setting: there to be measured.
    pub ring: RingSetup,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_buffers: 512,
            receive_buffer_bytes: 65_535,
            send_slots: 1024,
            send_slot_bytes: 65_535,
            streams: StreamOptions::default(),
            ring: RingSetup::default(),
        }
    }
}

impl Options {
    /// The same, with each value moved into its range.
    pub(crate) fn in_range(&self) -> Self {
        let buffers = self.receive_buffers.clamp(1, BUFFERS_MAX);
        Self {
            receive_buffers: buffers.next_power_of_two(),
            receive_buffer_bytes: self.receive_buffer_bytes.clamp(1, DATAGRAM_BYTES_MAX),
            send_slots: self.send_slots.clamp(1, SLOTS_MAX),
            send_slot_bytes: self.send_slot_bytes.clamp(1, DATAGRAM_BYTES_MAX),
            streams: self.streams.in_range(),
            ring: self.ring,
        }
    }
}

/// The kernel refuses larger buffer rings.
const BUFFERS_MAX: u16 = 32_768;

/// With this many, submission and completion queue stay within what the kernel grants (32,768 and
/// 65,536 entries).
const SLOTS_MAX: u16 = 16_384;

/// The length field of UDP has 16 bits.
const DATAGRAM_BYTES_MAX: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_out_of_range_are_moved_into_it() {
        let none = Options {
            receive_buffers: 0,
            receive_buffer_bytes: 0,
            send_slots: 0,
            send_slot_bytes: 0,
            ..Options::default()
        };
        let least = none.in_range();
        assert_eq!((least.receive_buffers, least.send_slots), (1, 1));
        let all = Options {
            receive_buffers: u16::MAX,
            receive_buffer_bytes: u32::MAX,
            send_slots: u16::MAX,
            send_slot_bytes: u32::MAX,
            ..Options::default()
        };
        let most = all.in_range();
        assert_eq!((most.receive_buffers, most.send_slots), (32_768, 16_384));
        assert_eq!(most.receive_buffer_bytes, 65_535);
        assert_eq!(Options::default().in_range(), Options::default());
    }
}
