//! A socket's multishot receive: armed once, it fills a buffer for each datagram until it ends.
//!
//! A receive for each datagram looked simpler, as none ever has to be armed again. Each would be a submission more, and a
//! datagram that finds none waits for the next turn.

use std::net::UdpSocket;
use std::os::fd::AsFd;

use io_uring::opcode;
use io_uring::squeue::Entry;

use super::buffers::GROUP;
use super::files::File;
use super::operation::Operation;
use crate::io::Turn;
use crate::io::descriptors::drops_so_far;

/// What is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receiver {
    pub(super) armed: bool,
    /// Whether it has been armed before, so that arming it is arming it again.
    pub(super) begun: bool,
    /// The socket's drop counter as last seen.
    pub(super) drops: u32,
}

impl Receiver {
    pub(super) fn of(socket: &UdpSocket) -> Self {
        Self { armed: false, begun: false, drops: drops_so_far(socket.as_fd()) }
    }
}

/// The one of a socket. The header outlives it.
pub(super) fn receive(socket: u16, file: File, header: &libc::msghdr) -> Entry {
    opcode::RecvMsgMulti::new(file.number, header, GROUP)
        .build()
        .flags(file.flags)
        .user_data(Operation::Receive(socket).user_data())
}

/// Counts why it filled no buffer. That it was cancelled is no failure.
pub(super) fn count_failure(result: i32, turn: &mut Turn) {
    if result == -libc::ENOBUFS {
        turn.starved += 1;
    } else if result < 0 && result != -libc::ECANCELED {
        turn.receive_errors += 1;
    }
}
