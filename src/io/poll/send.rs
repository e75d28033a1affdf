//! Sends staged datagrams by sendmmsg, socket by socket, and learns the fate of each.

use std::os::fd::RawFd;
use std::{io, mem};

use crate::io::{Handler, Outbox, SendError};

/// Memory to sort and send one flush.
#[derive(Debug)]
pub(super) struct Queue {
    /// Slots as staged.
    staged: Vec<u16>,
    /// The same, grouped by socket.
    grouped: Vec<u16>,
    /// Where each socket's group begins; one more for sockets that do not exist, and the end.
    starts: Vec<usize>,
    headers: Vec<libc::mmsghdr>,
}

impl Queue {
    /// Makes room for all slots of an outbox.
    pub(super) fn new(slots: u16, sockets: usize) -> Self {
        let slots = usize::from(slots);
        // SAFETY: a message header of zeroes is valid: null pointers with zero lengths.
        let header: libc::mmsghdr = unsafe { mem::zeroed() };
        Self {
            staged: Vec::with_capacity(slots),
            grouped: vec![0; slots],
            starts: vec![0; sockets + 2],
            headers: vec![header; slots.min(DATAGRAMS_MAX)],
        }
    }

    /// Sends everything staged, without waiting. Each slot is released and its outcome reported once;
    /// one that fails holds up none of the others.
    pub(super) fn flush(
        &mut self,
        outbox: &mut Outbox,
        descriptor: impl Fn(usize) -> Option<RawFd>,
        handler: &mut impl Handler,
    ) {
        outbox.take_staged(&mut self.staged);
        self.group(outbox);
        for socket in 0..self.starts.len() - 1 {
            let group = self.starts[socket]..self.starts[socket + 1];
            let mut rest = &self.grouped[group];
            while !rest.is_empty() {
                let (done, failure) = match descriptor(socket) {
                    Some(descriptor) => send(descriptor, rest, outbox, &mut self.headers),
                    None => (0, Some(SendError::Other)),
                };
                let (sent, unsent) = rest.split_at(done);
                sent.iter().for_each(|&slot| outbox.report(slot, None, handler));
                rest = unsent;
                if let (Some(error), Some((&slot, others))) = (failure, unsent.split_first()) {
                    outbox.report(slot, Some(error), handler);
                    rest = others;
                }
            }
        }
        self.staged.clear();
    }

    /// A counting sort, which keeps the order within each group.
    fn group(&mut self, outbox: &Outbox) {
        self.starts.fill(0);
        let last = self.starts.len() - 2;
        let place = |slot: u16| outbox.socket(slot).min(last);
        for &slot in &self.staged {
            self.starts[place(slot) + 1] += 1;
        }
        for index in 1..self.starts.len() {
            self.starts[index] += self.starts[index - 1];
        }
        for &slot in &self.staged {
            let start = &mut self.starts[place(slot)];
            self.grouped[*start] = slot;
            *start += 1;
        }
        // Each start has moved to the end of its group, which is the start of the next.
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }
}

/// Datagrams per call. More gain nothing measurable.
const DATAGRAMS_MAX: usize = 64;

/// Sends a first part of `slots`: how many went, or, with none gone, why the first did not.
fn send(
    socket: RawFd,
    slots: &[u16],
    outbox: &mut Outbox,
    headers: &mut [libc::mmsghdr],
) -> (usize, Option<SendError>) {
    let count = slots.len().min(headers.len());
    for (header, &slot) in headers.iter_mut().zip(slots) {
        // SAFETY: the header is that of a slot in use, which nothing else reads or writes meanwhile.
        header.msg_hdr = unsafe { *outbox.wire(slot).header };
    }
    // SAFETY: `count` headers are set, and each points to the memory of a slot in use.
    let result = unsafe {
        libc::sendmmsg(socket, headers.as_mut_ptr(), count as u32, (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _)
    };
    match usize::try_from(result) {
        Ok(0) => (0, Some(SendError::Other)),
        Ok(sent) => (sent.min(count), None),
        Err(_) => match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => (0, None),
            errno => (0, Some(SendError::from_errno(errno.unwrap_or(0)))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Transmit;

    #[test]
    fn grouping_keeps_the_order_within_a_socket_and_puts_unknown_sockets_last() {
        let mut outbox = Outbox::new(8, 16).unwrap();
        for (tag, socket) in [1, 0, 9, 1, 0, 0].into_iter().enumerate() {
            outbox.reserve().unwrap().send(0, transmit(tag, socket));
        }
        let mut queue = Queue::new(8, 2);
        outbox.take_staged(&mut queue.staged);
        queue.group(&outbox);
        assert_eq!(queue.starts, [0, 3, 5, 6]);
        let tags: Vec<_> = queue.grouped[..6].iter().map(|&slot| outbox.release(slot).0).collect();
        assert_eq!(tags, [1, 4, 5, 0, 3, 2]);
    }

    fn transmit(tag: usize, socket: usize) -> Transmit {
        Transmit { socket, to: "127.0.0.1:5060".parse().unwrap(), from: None, tag: tag as u16 }
    }
}
