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
//! An engine belongs to one thread and is driven by [`Engine::turn`]. It knows sockets, datagrams and
//! connections, not what is in them.

#![allow(unsafe_code, reason = "system calls and memory shared with the kernel")]

use std::io;
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::time::Duration;

use socket2::SockRef;

pub mod channel;
mod control;
mod descriptors;
mod doorbell;
mod handler;
mod options;
mod outbox;
mod poll;
mod region;
mod send_error;
pub mod socket;
mod streams;
mod unavailable;
mod uring;

pub use descriptors::raise_descriptor_limit;
pub use doorbell::Doorbell;
pub use handler::{Datagram, Handler, Lost, Output, Turn};
pub use options::Options;
pub use outbox::{Outbox, Slot, Transmit};
pub use send_error::SendError;
pub use streams::{Accepted, Closed, ConnectionId, NotQueued, StreamOptions, StreamSlot, Streams, TableFull};
pub use unavailable::{Cause, Unavailable};
pub use uring::{RingSetup, probe};

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

/// What an engine takes over.
#[derive(Debug, Default)]
pub struct Sockets {
    /// As made by [`socket::open_udp`].
    pub datagrams: Vec<UdpSocket>,
    /// As made by [`socket::open_tcp`].
    pub listeners: Vec<TcpListener>,
}

/// A set of UDP sockets, listeners and TCP connections driven by one thread.
///
/// It cannot be sent to another thread: the ring accepts system calls only from the one that made it.
#[derive(Debug)]
pub struct Engine {
    /// Before the sockets, since it is to be gone when they close.
    kind: Kind,
    sockets: Sockets,
    /// Nothing is to be taken from the sockets.
    is_released: bool,
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
        sockets: Sockets,
        options: &Options,
        doorbell: &Doorbell,
    ) -> Result<Opened, Unavailable> {
        let mut opened = Self::open_released(choice, sockets, options, doorbell)?;
        opened.engine.take_up().map_err(|error| Unavailable::at("watching sockets", error))?;
        Ok(opened)
    }

    /// The same with sockets that another engine, perhaps another process's, still has: they are left alone until
    /// [`Engine::take_up`].
    pub fn open_released(
        choice: Choice,
        sockets: Sockets,
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

    /// Takes nothing more from the sockets: neither datagrams nor connections. They stay as they are, so that another engine,
    /// perhaps another process's, can take them up, and datagrams still leave by them. Connections go on. What has been
    /// taken is handled by the turns that follow, until [`Engine::is_released`].
    pub fn release(&mut self) {
        self.is_released = true;
        match &mut self.kind {
            Kind::Uring(engine) => engine.release(),
            Kind::Poll(engine) => engine.release(),
        }
    }

    /// Whether nothing that was taken from released sockets is left to be handled, and nothing more will be taken.
    pub fn is_released(&self) -> bool {
        let is_done = match &self.kind {
            Kind::Uring(engine) => engine.has_let_go(),
            Kind::Poll(_) => true,
        };
        self.is_released && is_done
    }

    /// Takes datagrams and connections from the sockets, from the next turn on. No other engine may meanwhile. A listener that
    /// was stopped listens again. Errors are shortages of kernel memory.
    pub fn take_up(&mut self) -> io::Result<()> {
        self.is_released = false;
        for listener in &self.sockets.listeners {
            // Both are the socket's, not the descriptor's, so who had it before may have had it otherwise.
            listener.set_nonblocking(matches!(self.kind, Kind::Poll(_)))?;
            socket::listen_on(listener)?;
        }
        match &mut self.kind {
            Kind::Uring(engine) => {
                engine.take_up();
                Ok(())
            }
            Kind::Poll(engine) => engine.take_up(),
        }
    }

    /// Hands what is staged to the kernel, waits up to `timeout` (`None`: until something happens)
    /// for datagrams, streams or the doorbell, and handles what there is, within a bound. It waits only
    /// if nothing is left to do; a turn that hit its bound makes the next one not wait.
    ///
    /// Allocates nothing for datagrams, and nothing for connections but where there are more of them, or
    /// more is queued on them, than ever before. May return early and empty-handed, as on a signal. An error means that the
    /// engine itself is broken; the network and its peers cannot cause one.
    pub fn turn(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> io::Result<Turn> {
        match &mut self.kind {
            Kind::Uring(engine) => engine.turn(handler, timeout),
            Kind::Poll(engine) => engine.turn(handler, timeout),
        }
    }

    /// Where to stage what answers nothing received. It goes out at the start of the next turn.
    pub fn output(&mut self) -> &mut Output {
        match &mut self.kind {
            Kind::Uring(engine) => engine.output(),
            Kind::Poll(engine) => engine.output(),
        }
    }

    /// The UDP sockets, in the order given to [`Engine::open`].
    pub fn sockets(&self) -> &[UdpSocket] {
        &self.sockets.datagrams
    }

    /// The listeners, in the order given to [`Engine::open`].
    pub fn listeners(&self) -> &[TcpListener] {
        &self.sockets.listeners
    }

    /// Accepts no more connections: those that are not yet accepted are reset, later ones refused. Everything else
    /// goes on. The sockets stay until the engine is closed. Listeners that were released are another's, and stay as they are.
    pub fn stop_accepting(&mut self) {
        if self.is_released {
            return;
        }
        match &mut self.kind {
            Kind::Uring(engine) => engine.stop_accepting(),
            Kind::Poll(engine) => engine.stop_accepting(),
        }
        for listener in &self.sockets.listeners {
            // Linux ends listening by this; a listener that is not listening any more is none of our trouble.
            let _ = SockRef::from(listener).shutdown(Shutdown::Read);
        }
    }

    /// Hands what is staged to the kernel, reports every outcome and the end of every connection, and closes those. What has
    /// arrived and was not handled is lost. No turn may follow.
    pub fn finish(&mut self, handler: &mut impl Handler) {
        match &mut self.kind {
            Kind::Uring(engine) => engine.finish(handler),
            Kind::Poll(engine) => engine.finish(handler),
        }
    }

    /// Hands what is staged to the kernel, without reporting the outcomes, and closes connections and
    /// sockets. Their ports are free when it returns. Dropping the engine does the same.
    pub fn close(self) {}
}

impl Opened {
    fn new(kind: Kind, sockets: Sockets, fallback: Option<Unavailable>) -> Self {
        Self {
            kind: match kind {
                Kind::Uring(_) => EngineKind::Uring,
                Kind::Poll(_) => EngineKind::Poll,
            },
            engine: Engine { kind, sockets, is_released: true },
            fallback,
        }
    }
}
