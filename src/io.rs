//! How bytes get in and out: one interface, two engines, and the only place that may say `unsafe`.
//!
//! `uring` receives by multishot into provided buffers and sends in batches, all in one system call
//! per turn; `poll` does the same work with epoll, recvmmsg and sendmmsg, for hosts and containers that
//! forbid io_uring. Keeping only one of them looks simpler. Measured, they cost the same, and each is
//! needed: the poll engine runs everywhere, and the ring is where streams and datagrams can share one
//! wait.
//!
//! Sockets of an asynchronous runtime look more convenient than either. They allocate per operation,
//! receive singly and hide control data, so that neither truncation nor the local address is seen.
//!
//! An engine belongs to one thread and is driven by [`Engine::turn`]. It knows sockets and datagrams,
//! not what is in them.

#![allow(unsafe_code, reason = "system calls and memory shared with the kernel")]

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

mod control;
mod doorbell;
mod outbox;
mod poll;
mod region;
mod send_error;
pub mod socket;
mod unavailable;
mod uring;

pub use doorbell::Doorbell;
pub use outbox::{Outbox, Slot, Transmit};
pub use send_error::SendError;
pub use unavailable::{Cause, Unavailable};
pub use uring::probe;

/// Which engine is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The ring where it is to be had, else poll.
    #[default]
    Auto,
    /// The ring or nothing.
    Uring,
    /// Poll, even where the ring is to be had.
    Poll,
}

/// Which engine was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// io_uring.
    Uring,
    /// epoll, recvmmsg and sendmmsg.
    Poll,
}

impl EngineKind {
    /// The word for it in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Poll => "poll",
        }
    }
}

/// Sizes of an engine, fixed while it lives. Values out of range are moved into it.
///
/// Address space for all buffers is taken at once; memory is used only as far as datagrams reach into
/// them, so a generous size per buffer costs nothing until datagrams are that large. The ring counts
/// against `RLIMIT_MEMLOCK`: about 180 KiB with the defaults, most of it 64 bytes per send slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many datagrams may be received before one is handled; a power of two (others are rounded
    /// up) to 32,768. Too few: [`Turn::starved`] counts and the burst waits in the socket. Too many:
    /// they no longer fit the cache, and with 2,048 receiving is a third dearer.
    pub receive_buffers: u16,
    /// The longest datagram received whole, 1 to 65,535 bytes. Longer ones are cut and say so.
    pub receive_buffer_bytes: u32,
    /// How many datagrams may be staged and not yet taken by the kernel, 1 to 16,384. Too few:
    /// [`Outbox::reserve`] gives `None`.
    pub send_slots: u16,
    /// The longest datagram that can be sent, 1 to 65,535 bytes.
    pub send_slot_bytes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { receive_buffers: 512, receive_buffer_bytes: 65_535, send_slots: 1024, send_slot_bytes: 65_535 }
    }
}

impl Options {
    /// The same, with each value moved into its range.
    fn in_range(&self) -> Self {
        let buffers = self.receive_buffers.clamp(1, BUFFERS_MAX);
        Self {
            receive_buffers: buffers.next_power_of_two(),
            receive_buffer_bytes: self.receive_buffer_bytes.clamp(1, DATAGRAM_BYTES_MAX),
            send_slots: self.send_slots.clamp(1, SLOTS_MAX),
            send_slot_bytes: self.send_slot_bytes.clamp(1, DATAGRAM_BYTES_MAX),
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

/// A received datagram. It lies in a buffer of the engine, which takes it back after the call.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Which socket it came by: its index in the order given to [`Engine::open`].
    pub socket: usize,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it was sent to, where the socket tells ([`socket::open_udp`] makes it).
    pub local: Option<IpAddr>,
    /// Its payload, which may be empty.
    pub bytes: &'a [u8],
    /// Whether it was longer than a receive buffer, so that `bytes` is only its beginning.
    pub truncated: bool,
}

/// What is done with datagrams, and with the outcomes of sends.
///
/// Every datagram staged is reported once, by `sent` or `send_failed`, unless the engine is closed
/// before: at the latest when the turn after the one that staged it ends, which may be some time after
/// it went out if that turn waits. Datagrams of one socket come in the order they arrived.
pub trait Handler {
    /// A datagram arrived. What is staged in the outbox here goes out in this turn or at the start of
    /// the next.
    fn datagram(&mut self, datagram: Datagram<'_>, outbox: &mut Outbox);

    /// The kernel took the datagram with this tag.
    fn sent(&mut self, tag: u16);

    /// The kernel refused the datagram with this tag. It concerns no other datagram.
    fn send_failed(&mut self, tag: u16, error: SendError);
}

/// What happened in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Completions taken from the ring; with poll, descriptors found ready. Datagrams over turns is
    /// the batching achieved.
    pub completions: u32,
    /// Datagrams handed to the handler.
    pub datagrams: u32,
    /// How often the receive buffers ran dry (`ENOBUFS`). Nothing is lost by it, but the burst waits
    /// in the socket: raise `receive_buffers` if it goes on. Always zero with poll.
    pub starved: u32,
    /// How often a multishot receive had ended and was armed again: after each starvation, each error
    /// and each empty datagram. Always zero with poll.
    pub rearmed: u32,
    /// Errors of receiving, such as an ICMP error on a connected socket, and datagrams whose sender
    /// could not be read. None of them stops the socket.
    pub receive_errors: u32,
    /// Datagrams that the kernel dropped since the last turn because a socket's receive buffer was
    /// full. Known only when a later datagram has been received on that socket.
    pub kernel_drops: u64,
    /// Whether the doorbell was rung.
    pub rung: bool,
}

/// An engine and how it came to be chosen.
#[derive(Debug)]
pub struct Opened {
    /// The engine, ready for its first turn.
    pub engine: Engine,
    /// Which one it is.
    pub kind: EngineKind,
    /// With [`Choice::Auto`], why it is not the ring. Worth a loud line in the log.
    pub fallback: Option<Unavailable>,
}

/// A set of UDP sockets driven by one thread.
///
/// It cannot be sent to another thread: the ring accepts system calls only from the one that made it.
#[derive(Debug)]
pub struct Engine {
    /// Before the sockets, since it is to be gone when they close.
    kind: Kind,
    sockets: Vec<UdpSocket>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one engine per thread, made once and never moved in the packet path")]
enum Kind {
    Uring(uring::Uring),
    Poll(poll::Poll),
}

impl Engine {
    /// Takes over `sockets`, which all belong to this engine until it is closed. Must be called on the
    /// thread that will drive it. The doorbell must not serve another engine.
    pub fn open(
        choice: Choice,
        sockets: Vec<UdpSocket>,
        options: &Options,
        doorbell: &Doorbell,
    ) -> Result<Opened, Unavailable> {
        let options = options.in_range();
        let fallback = match choice {
            Choice::Poll => None,
            Choice::Auto | Choice::Uring => match uring::Uring::open(&sockets, &options, doorbell) {
                Ok(engine) => return Ok(Opened::new(Kind::Uring(engine), sockets, None)),
                Err(unavailable) if choice == Choice::Uring => return Err(unavailable),
                Err(unavailable) => Some(unavailable),
            },
        };
        let engine = poll::Poll::open(&sockets, &options, doorbell)
            .map_err(|error| Unavailable::at("opening the poll engine", error))?;
        Ok(Opened::new(Kind::Poll(engine), sockets, fallback))
    }

    /// Hands staged datagrams to the kernel, waits up to `timeout` (`None`: until something happens)
    /// for datagrams or the doorbell, and handles what there is, within a bound. It waits only if
    /// nothing is left to do; a turn that hit its bound makes the next one not wait.
    ///
    /// Allocates nothing. May return early and empty-handed, as on a signal. An error means that the
    /// engine itself is broken; the network and its peers cannot cause one.
    pub fn turn(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> io::Result<Turn> {
        match &mut self.kind {
            Kind::Uring(engine) => engine.turn(handler, timeout),
            Kind::Poll(engine) => engine.turn(handler, timeout),
        }
    }

    /// The outbox, to stage datagrams that answer none. They go out at the start of the next turn.
    pub fn outbox(&mut self) -> &mut Outbox {
        match &mut self.kind {
            Kind::Uring(engine) => engine.outbox(),
            Kind::Poll(engine) => engine.outbox(),
        }
    }

    /// The sockets, in the order given to [`Engine::open`].
    pub fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Hands what is staged to the kernel, without reporting the outcomes, and closes the sockets.
    /// Their ports are free when it returns. Dropping the engine does the same.
    pub fn close(self) {}
}

impl Opened {
    fn new(kind: Kind, sockets: Vec<UdpSocket>, fallback: Option<Unavailable>) -> Self {
        Self {
            kind: match kind {
                Kind::Uring(_) => EngineKind::Uring,
                Kind::Poll(_) => EngineKind::Poll,
            },
            engine: Engine { kind, sockets },
            fallback,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_out_of_range_are_moved_into_it() {
        let none = Options { receive_buffers: 0, receive_buffer_bytes: 0, send_slots: 0, send_slot_bytes: 0 };
        let least = none.in_range();
        assert_eq!((least.receive_buffers, least.send_slots), (1, 1));
        let all = Options {
            receive_buffers: u16::MAX,
            receive_buffer_bytes: u32::MAX,
            send_slots: u16::MAX,
            send_slot_bytes: u32::MAX,
        };
        let most = all.in_range();
        assert_eq!((most.receive_buffers, most.send_slots), (32_768, 16_384));
        assert_eq!(most.receive_buffer_bytes, 65_535);
        assert_eq!(Options::default().in_range(), Options::default());
    }
}
