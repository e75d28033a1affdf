//! Tries whether io_uring can do what the engine asks of it, before anything depends on it.
//!
//! Asking for the kernel's version looks simpler. It says nothing about filters, switches and limits,
//! and distributions carry features back.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use io_uring::types::Fd;
use io_uring::{Probe, cqueue, opcode};

use super::buffers::{Buffers, GROUP};
use super::message;
use super::ring::{Ring, Wait};
use crate::io::{Options, Unavailable};

/// Builds a ring and buffers of the sizes in `options`, receives through them and takes everything
/// down again, in well under a millisecond. Callable from any thread; touches no network.
///
/// `Ok` means that [`Engine::open`](crate::io::Engine::open) with
/// [`Choice::Uring`](crate::io::Choice) will do; opening by itself does not try a receive. The kernel
/// counts a ring against `RLIMIT_MEMLOCK` for some milliseconds after it is closed, so with a limit
/// that only just suffices, opening right after a probe may still fail.
pub fn probe(options: &Options) -> Result<(), Unavailable> {
    let options = options.in_range();
    let mut ring = Ring::open(SOCKETS, &options)?;
    check_operations(&ring)?;
    let bytes = message::prefixed(options.receive_buffer_bytes);
    let mut buffers = Buffers::open(&ring.submitter(), GROUP, options.receive_buffers, bytes)
        .map_err(|error| Unavailable::at("registering receive buffers", error))?;
    let result = receive(&mut ring, options.receive_buffers.min(2).into());
    if !end(&mut ring) {
        buffers.leak();
    }
    result
}

/// The sockets reckoned with: listeners of both families towards both sides.
const SOCKETS: usize = 4;

fn check_operations(ring: &Ring) -> Result<(), Unavailable> {
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| Unavailable::at("asking for the operations of io_uring", error))?;
    let needed = [
        (opcode::RecvMsgMulti::CODE, "looking for IORING_OP_RECVMSG"),
        (opcode::Send::CODE, "looking for IORING_OP_SEND"),
        (opcode::SendMsg::CODE, "looking for IORING_OP_SENDMSG"),
        (opcode::Read::CODE, "looking for IORING_OP_READ"),
        (opcode::RecvMulti::CODE, "looking for IORING_OP_RECV"),
        (opcode::AcceptMulti::CODE, "looking for IORING_OP_ACCEPT"),
        (opcode::Connect::CODE, "looking for IORING_OP_CONNECT"),
        (opcode::AsyncCancel2::CODE, "looking for IORING_OP_ASYNC_CANCEL"),
    ];
    match needed.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, step)) => Err(Unavailable::missing(step)),
        None => Ok(()),
    }
}

/// Receives `datagrams` with one multishot receive. Over a pair of local sockets, since a container may
/// have no network yet.
fn receive(ring: &mut Ring, datagrams: usize) -> Result<(), Unavailable> {
    const STEP: &str = "receiving with multishot recvmsg";
    let failed = |error| Unavailable::at(STEP, error);
    let (near, far) = UnixDatagram::pair().map_err(failed)?;
    let header = message::header();
    let entry = opcode::RecvMsgMulti::new(Fd(near.as_raw_fd()), &raw const header, GROUP).build();
    // SAFETY: the header is read while it is submitted, by the first enter below; the buffers outlive
    // the receive, which the caller cancels before it drops them.
    unsafe { ring.submissions().push(&entry) }.map_err(|_| failed(io::Error::from_raw_os_error(libc::EBUSY)))?;
    for _ in 0..datagrams {
        far.send(b"probe").map_err(failed)?;
        ring.enter(Wait::For(TIMEOUT)).map_err(failed)?;
        let answer = ring.completions().next();
        let Some(answer) = answer else {
            return Err(failed(io::Error::from_raw_os_error(libc::ETIMEDOUT)));
        };
        if answer.result() < 0 {
            return Err(failed(io::Error::from_raw_os_error(-answer.result())));
        }
        if !cqueue::more(answer.flags()) || cqueue::buffer_select(answer.flags()).is_none() {
            return Err(Unavailable::missing(STEP));
        }
    }
    Ok(())
}

/// Ends the receive, if it has not ended. False if the kernel does not confirm that.
fn end(ring: &mut Ring) -> bool {
    if !ring.cancel_all() {
        return true;
    }
    let _ = ring.enter(Wait::For(TIMEOUT));
    ring.completions().any(|entry| !cqueue::more(entry.flags()))
}

/// The datagram is there before the wait begins, so this is only for a kernel that never answers.
const TIMEOUT: Duration = Duration::from_secs(1);
