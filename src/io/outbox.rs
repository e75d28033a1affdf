//! Send slots: where outgoing datagrams are written, and where they stay until the kernel took them.
//!
//! Gathering a datagram from pieces of the received one looks cheaper, as nothing is copied. Measured,
//! the kernel's walk over the pieces costs more than the copy, and the pieces would pin receive
//! buffers until the send is done.

use std::net::{IpAddr, SocketAddr};
use std::{io, mem, ptr, slice};

use super::control::{Name, Source, address};
use super::region::{Region, stride};
use super::{Handler, Lost, SendError};

/// Where a datagram goes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Which socket it leaves by: its index in the order given to [`Engine::open`](super::Engine).
    /// One that does not exist makes the send fail.
    pub socket: usize,
    /// Its destination, of the same address family as the socket.
    pub to: SocketAddr,
    /// The source address it leaves from. `None`, or one of another family than `to`: the kernel
    /// chooses. Costs a few per cent more than leaving it to the kernel, so give it only on a socket
    /// bound to the wildcard address.
    pub from: Option<IpAddr>,
    /// The caller's own mark, given back with the outcome.
    pub tag: u16,
}

/// A fixed number of send slots. Nothing is allocated after it is made.
#[derive(Debug)]
pub struct Outbox {
    payloads: Region,
    /// Bytes between the starts of two slots.
    stride: usize,
    /// Bytes that a slot can hold.
    capacity: usize,
    envelopes: Vec<Envelope>,
    /// Last in, first out: the slot used last is the one most likely in the cache.
    free: Vec<u16>,
    staged: Vec<u16>,
}

/// All but the payload of a staged datagram. The kernel reads it during a send, so it lives here.
#[derive(Debug)]
struct Envelope {
    name: Name,
    source: Source,
    payload: libc::iovec,
    header: libc::msghdr,
    socket: usize,
    tag: u16,
    failure: Option<SendError>,
}

impl Outbox {
    /// Makes `slots` slots of `capacity` bytes each; memory is used only as far as it is written.
    pub(crate) fn new(slots: u16, capacity: u32) -> io::Result<Self> {
        let capacity = capacity as usize;
        let stride = stride(capacity);
        Ok(Self {
            payloads: Region::zeroed(stride * usize::from(slots))?,
            stride,
            capacity,
            envelopes: (0..slots).map(|_| Envelope::empty()).collect(),
            free: (0..slots).rev().collect(),
            staged: Vec::with_capacity(usize::from(slots)),
        })
    }

    /// Takes a free slot to write a datagram in. `None`: all slots hold datagrams that the kernel has
    /// not taken yet, and the caller drops (and counts) its datagram.
    pub fn reserve(&mut self) -> Option<Slot<'_>> {
        let index = self.free.pop()?;
        Some(Slot { outbox: self, index, staged: false })
    }

    /// How many slots are free.
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Whether datagrams wait to be handed to the kernel.
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Moves the staged slots, in order, to the end of `taken`.
    pub(crate) fn take_staged(&mut self, taken: &mut Vec<u16>) {
        taken.append(&mut self.staged);
    }

    /// The socket that a staged slot leaves by.
    pub(crate) fn socket(&self, index: u16) -> usize {
        self.envelopes[usize::from(index)].socket
    }

    /// Makes the pointers of a staged slot valid and gives out what a send needs. They hold until the
    /// slot is released.
    pub(crate) fn wire(&mut self, index: u16) -> Wire {
        let envelope = &mut self.envelopes[usize::from(index)];
        envelope.address();
        Wire {
            socket: envelope.socket,
            has_source: envelope.source.length > 0,
            payload: envelope.payload,
            name: ptr::from_ref(&envelope.name.bytes).cast(),
            name_length: envelope.name.length,
            header: ptr::from_ref(&envelope.header),
        }
    }

    /// Notes that the kernel refused a slot. The slot stays in use until it is released.
    pub(crate) fn fail(&mut self, index: u16, error: SendError) {
        if let Some(envelope) = self.envelopes.get_mut(usize::from(index)) {
            envelope.failure = Some(error);
        }
    }

    /// Frees a slot and says whose it was and how it fared.
    pub(crate) fn release(&mut self, index: u16) -> (u16, Option<SendError>) {
        let envelope = &mut self.envelopes[usize::from(index)];
        self.free.push(index);
        (envelope.tag, envelope.failure.take())
    }

    /// Frees a slot and reports how it fared; as failed by `unsettled`, if that is given, where nothing else is known.
    pub(crate) fn report(&mut self, index: u16, unsettled: Option<SendError>, handler: &mut impl Handler) {
        let (tag, failure) = self.release(index);
        match failure.or(unsettled) {
            None => handler.sent(tag),
            Some(error) => handler.send_failed(tag, error, self.lost(index)),
        }
    }

    /// What a slot was to send. It is there until the slot is used again.
    fn lost(&self, index: u16) -> Lost<'_> {
        let envelope = &self.envelopes[usize::from(index)];
        let start = self.payloads.at(usize::from(index) * self.stride);
        // SAFETY: the length is one that fits the slot, whose memory is mapped and initialised; the kernel is done with it, and
        // nobody writes there while the outbox is borrowed.
        let bytes = unsafe { slice::from_raw_parts(start, envelope.payload.iov_len) };
        Lost { bytes, to: address(&envelope.name.bytes[..envelope.name.length as usize]) }
    }

    /// Keeps the payload memory mapped for ever.
    pub(crate) fn leak(&mut self) {
        self.payloads.leak();
        mem::forget(mem::take(&mut self.envelopes));
    }
}

/// A reserved slot. Dropped unsent, it is free again.
#[derive(Debug)]
pub struct Slot<'a> {
    outbox: &'a mut Outbox,
    index: u16,
    staged: bool,
}

impl Slot<'_> {
    /// The memory to write the datagram into, of `send_slot_bytes`. It holds what was last written
    /// there.
    pub fn buffer(&mut self) -> &mut [u8] {
        let start = self.start();
        // SAFETY: the range lies within the mapping; no other slot shares it; the kernel has no
        // business with it while the slot is reserved; the borrow of the slot makes it unique.
        unsafe { slice::from_raw_parts_mut(start, self.outbox.capacity) }
    }

    /// Stages the first `len` bytes of the buffer. They reach the kernel at the latest at the start
    /// of the next turn, before it waits; datagrams of one socket leave in the order staged. The
    /// outcome is reported to the [`Handler`] once. A `len` beyond the buffer fails
    /// as [`SendError::Other`].
    pub fn send(mut self, len: usize, transmit: Transmit) {
        let start = self.start();
        let fits = len <= self.outbox.capacity;
        let envelope = &mut self.outbox.envelopes[usize::from(self.index)];
        envelope.set(&transmit);
        envelope.payload = libc::iovec { iov_base: start.cast(), iov_len: if fits { len } else { 0 } };
        if !fits {
            envelope.socket = NO_SOCKET;
        }
        self.staged = true;
        self.outbox.staged.push(self.index);
    }

    fn start(&self) -> *mut u8 {
        let offset = usize::from(self.index) * self.outbox.stride;
        self.outbox.payloads.at(offset)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.staged {
            self.outbox.free.push(self.index);
        }
    }
}

/// A socket index that no engine has, so that both engines refuse it. The kernel's table of files is
/// far shorter.
const NO_SOCKET: usize = u32::MAX as usize;

/// What a send hands to the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) socket: usize,
    /// Whether the header carries control data, which the short form of sending cannot.
    pub(crate) has_source: bool,
    pub(crate) payload: libc::iovec,
    pub(crate) name: *const libc::sockaddr,
    pub(crate) name_length: u32,
    pub(crate) header: *const libc::msghdr,
}

impl Envelope {
    fn empty() -> Self {
        Self {
            name: Name::default(),
            source: Source::default(),
            payload: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
            // SAFETY: a message header of zeroes is valid: null pointers with zero lengths.
            header: unsafe { mem::zeroed() },
            socket: NO_SOCKET,
            tag: 0,
            failure: None,
        }
    }

    fn set(&mut self, transmit: &Transmit) {
        self.name.set(transmit.to);
        match transmit.from {
            Some(from) if from.is_ipv4() == transmit.to.is_ipv4() => self.source.set(from),
            _ => self.source.length = 0,
        }
        self.socket = transmit.socket.min(NO_SOCKET);
        self.tag = transmit.tag;
        self.failure = None;
    }

    /// Points the header at the other fields.
    fn address(&mut self) {
        self.header.msg_name = ptr::from_mut(&mut self.name.bytes).cast();
        self.header.msg_namelen = self.name.length;
        self.header.msg_iov = ptr::from_mut(&mut self.payload);
        self.header.msg_iovlen = 1;
        self.header.msg_controllen = self.source.length as _;
        self.header.msg_control = match self.source.length {
            0 => ptr::null_mut(),
            _ => ptr::from_mut(&mut self.source.bytes).cast(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_dropped_unsent_is_free_again() {
        let mut outbox = Outbox::new(1, 100).unwrap();
        drop(outbox.reserve().unwrap());
        assert_eq!(outbox.available(), 1);
        assert!(!outbox.has_staged());
    }

    #[test]
    fn slots_do_not_share_memory_and_come_out_in_the_order_staged() {
        let mut outbox = Outbox::new(3, 100).unwrap();
        for tag in 0..3 {
            let mut slot = outbox.reserve().unwrap();
            slot.buffer().fill(tag as u8);
            slot.send(100, transmit(tag));
        }
        assert!(outbox.reserve().is_none());
        let mut taken = Vec::new();
        outbox.take_staged(&mut taken);
        outbox.fail(taken[1], SendError::TooLong);
        let fates: Vec<_> = taken.iter().map(|&slot| outbox.release(slot)).collect();
        assert_eq!(fates, [(0, None), (1, Some(SendError::TooLong)), (2, None)]);
        assert_eq!(outbox.reserve().unwrap().buffer()[0], 2);
    }

    #[test]
    fn a_length_beyond_the_buffer_sends_nothing_and_names_no_socket() {
        let mut outbox = Outbox::new(1, 100).unwrap();
        outbox.reserve().unwrap().send(101, transmit(9));
        let wire = outbox.wire(0);
        assert_eq!((wire.socket, wire.payload.iov_len), (NO_SOCKET, 0));
    }

    fn transmit(tag: u16) -> Transmit {
        Transmit { socket: 0, to: "127.0.0.1:5060".parse().unwrap(), from: None, tag }
    }
}
