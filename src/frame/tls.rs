//! TLS 1.2 and 1.3 as a codec (RFC 8446, RFC 5246): ciphertext in, plaintext out, and back.
//!
//! The library's buffered connection looked handier. It reads 4 KiB at a time, into a buffer that each connection
//! keeps, and hands plaintext out by one more copy; the unbuffered one reads as much as has come, and leaves it to us
//! what an idle connection keeps.
//!
//! ```
//! # use bytes::BytesMut;
//! # use viaduct::frame::tls::{Tls, TlsError};
//! # use viaduct::frame::websocket::{Event, Refusal, WebSocket};
//! /// WebSocket over TLS: what TLS opens goes to WebSocket, what WebSocket writes is sealed, its last words too.
//! fn receive(
//!     (tls, socket): (&mut Tls, &mut WebSocket),
//!     bytes: &[u8],
//!     event: &mut impl FnMut(Event<'_>),
//!     wire: &mut BytesMut,
//! ) -> Result<Result<(), Refusal>, TlsError> {
//!     let (mut answer, mut outcome) = (BytesMut::new(), Ok(()));
//!     tls.feed(bytes, |plaintext| outcome = outcome.and(socket.feed(plaintext, &mut *event, &mut answer)), wire)?;
//!     if !answer.is_empty() {
//!         tls.seal(&answer, wire)?;
//!     }
//!     Ok(outcome)
//! }
//! ```

mod client;
mod context;
mod error;
mod fault;
mod files;
mod identity;
mod records;
mod server;

use std::sync::{Arc, LazyLock};
use std::{fmt, mem};

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::UnbufferedServerConnection;
use rustls::version::{TLS12, TLS13};
use rustls::{CommonState, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

pub use client::{ClientFiles, ClientTls, PeerName};
pub use context::{ContextFiles, TlsContext};
pub use error::{Reason, TlsError};
pub use fault::{Fault, FileFault};
pub use files::{Loaded, MAX_CHAIN, MAX_FILE_BYTES, PairFiles};
pub use identity::{Identity, MAX_NAMES};
pub use server::{ClientCertificates, ServerFiles, ServerTls};

use records::Write;

/// The most ciphertext that is kept while a handshake message is incomplete. A client's chain of certificates is the
/// longest.
pub const MAX_HANDSHAKE_BYTES: usize = 32 << 10;

/// The most ciphertext that is kept while a record is incomplete: its head, the longest fragment and what encryption
/// adds (RFC 5246 §6.2.3).
pub const MAX_RECORD_BYTES: usize = 5 + (16 << 10) + 2_048;

/// What the buffer for incomplete records keeps of its memory between two feeds: room for a record with a usual
/// message.
pub const IDLE_BUFFER_BYTES: usize = 2_048;

/// One connection, as its server or as its client.
pub struct Tls {
    side: Side,
    /// Ciphertext that has come and is not used: the beginning of a record or of a handshake message.
    partial: Vec<u8>,
    has_heard: bool,
    is_established: bool,
    has_peer_closed: bool,
    has_closed: bool,
    failure: Option<TlsError>,
}

/// What a feed has brought besides plaintext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The handshake has become complete by this feed. Plaintext of the same feed was handed out before this is known.
    pub is_established: bool,
    /// The peer has closed its direction (close_notify). Ours stays open until [`Tls::close_notify`], unless it
    /// [is over](Tls::is_over).
    /// An end of the stream without it may be an attacker's.
    pub has_peer_closed: bool,
}

/// What the handshake has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The version.
    pub version: Version,
    /// Whether an earlier session was taken up again: without certificates, and with less work.
    pub is_resumed: bool,
    /// Who the peer's certificate says it is; `None` where it has shown none. Chain and dates are verified; of a server
    /// the name that was meant, too.
    pub peer: Option<Identity>,
}

/// The versions that are spoken (RFC 8996 rules out earlier ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Tls {
    /// Takes what has arrived; hands out what it says, a record at a time, and writes what the peer must be told.
    ///
    /// After an error the connection is over: `wire` has the alert, and each further feed returns the same error. What
    /// comes after the peer's close is not looked at.
    pub fn feed(
        &mut self,
        ciphertext: &[u8],
        mut plaintext: impl FnMut(&[u8]),
        wire: &mut BytesMut,
    ) -> Result<Progress, TlsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.has_peer_closed {
            return Ok(Progress::default());
        }
        let outcome = self.take(ciphertext, &mut plaintext, wire);
        outcome.inspect_err(|failure| self.fail(failure.clone(), wire))
    }

    /// Encrypts `plaintext` for the peer. Refused before the handshake is complete and after
    /// [`close_notify`](Self::close_notify).
    pub fn seal(&mut self, plaintext: &[u8], wire: &mut BytesMut) -> Result<(), TlsError> {
        if !self.may_write() {
            return Err(Reason::NotOpen.into());
        }
        self.write(Write::Data(plaintext), wire)
    }

    /// Tells the peer that nothing more will come. Before the handshake is complete there is nobody to tell: nothing is
    /// written.
    pub fn close_notify(&mut self, wire: &mut BytesMut) {
        if self.may_write() {
            // Where it cannot be said any more, since the keys are used up, the end of the stream has to say it.
            let _ = self.write(Write::Close, wire);
            self.has_closed = true;
        }
    }

    /// What the handshake has led to; `None` until it is complete.
    pub fn session(&self) -> Option<Session> {
        let state = self.side.state();
        let version = match state.protocol_version().filter(|_| self.is_established)? {
            ProtocolVersion::TLSv1_3 => Version::Tls13,
            _ => Version::Tls12,
        };
        let certificate = state.peer_certificates().and_then(<[_]>::first);
        let peer = certificate.map(|certificate| Identity::of(certificate).unwrap_or_default());
        Some(Session { version, is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed), peer })
    }

    /// Whether the handshake is complete, though the connection may have failed since.
    pub fn is_established(&self) -> bool {
        self.is_established
    }

    /// Whether the peer has closed its direction.
    pub fn has_peer_closed(&self) -> bool {
        self.has_peer_closed
    }

    /// Whether the peer's close ends both directions: in TLS 1.2 it does (RFC 5246 §7.2.1), while TLS 1.3 leaves ours open (RFC
    /// 8446 §6.1).
    pub fn is_over(&self) -> bool {
        self.has_peer_closed && self.side.state().protocol_version() != Some(ProtocolVersion::TLSv1_3)
    }

    /// How much incomplete ciphertext is kept, in bytes.
    pub fn kept_bytes(&self) -> usize {
        self.partial.len()
    }

    fn server(connection: UnbufferedServerConnection) -> Self {
        Self::new(Side::Server(Box::new(connection)))
    }

    fn client(connection: UnbufferedClientConnection) -> Self {
        Self::new(Side::Client(Box::new(connection)))
    }

    fn new(side: Side) -> Self {
        Tls {
            side,
            partial: Vec::new(),
            has_heard: false,
            is_established: false,
            has_peer_closed: false,
            has_closed: false,
            failure: None,
        }
    }

    fn may_write(&self) -> bool {
        self.is_established && !self.has_closed && self.failure.is_none()
    }

    fn take(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut dyn FnMut(&[u8]),
        wire: &mut BytesMut,
    ) -> Result<Progress, TlsError> {
        if let (false, Some(first)) = (self.has_heard, ciphertext.first()) {
            self.has_heard = true;
            if !self.side.may_begin_with(*first) {
                return Err(Reason::NotTls.into());
            }
        }
        self.partial.extend_from_slice(ciphertext);
        let turn = match &mut self.side {
            Side::Server(connection) => records::read(&mut **connection, &mut self.partial, plaintext, wire),
            Side::Client(connection) => records::read(&mut **connection, &mut self.partial, plaintext, wire),
        };
        // Also where the end of the handshake came together with what breaks the connection.
        let was_established = mem::replace(&mut self.is_established, !self.side.state().is_handshaking());
        let turn = turn?;
        self.discard(turn.consumed);
        self.has_peer_closed = turn.has_peer_closed;
        match self.partial.len() > self.limit_bytes() && !self.has_peer_closed {
            true => Err(Reason::TooLarge.into()),
            false => Ok(Progress {
                is_established: self.is_established && !was_established,
                has_peer_closed: self.has_peer_closed,
            }),
        }
    }

    fn limit_bytes(&self) -> usize {
        if self.is_established { MAX_RECORD_BYTES } else { MAX_HANDSHAKE_BYTES }
    }

    /// Lets go of what is used, and of memory that an idle connection needs no more.
    fn discard(&mut self, consumed: usize) {
        self.partial.drain(..consumed);
        self.partial.shrink_to(IDLE_BUFFER_BYTES);
    }

    /// Ends the connection; the peer is told why, unless it does not speak TLS.
    fn fail(&mut self, failure: TlsError, wire: &mut BytesMut) {
        if failure.reason() != Reason::NotTls {
            match &mut self.side {
                Side::Server(connection) => records::write_alerts(&mut **connection, &mut self.partial, wire),
                Side::Client(connection) => records::write_alerts(&mut **connection, &mut self.partial, wire),
            }
        }
        self.partial = Vec::new();
        self.failure = Some(failure);
    }

    fn write(&mut self, what: Write<'_>, wire: &mut BytesMut) -> Result<(), TlsError> {
        match &mut self.side {
            Side::Server(connection) => records::write(&mut **connection, &mut self.partial, what, wire),
            Side::Client(connection) => records::write(&mut **connection, &mut self.partial, what, wire),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("session", &self.session()).field("failure", &self.failure).finish_non_exhaustive()
    }
}

/// Which end of the connection we are.
enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

impl Side {
    fn state(&self) -> &CommonState {
        match self {
            Self::Server(connection) => connection,
            Self::Client(connection) => connection,
        }
    }

    /// A client begins with a handshake record; a server may begin with an alert.
    fn may_begin_with(&self, byte: u8) -> bool {
        const ALERT: u8 = 21;
        const HANDSHAKE: u8 = 22;
        byte == HANDSHAKE || byte == ALERT && matches!(self, Self::Client(_))
    }
}

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The cryptography: ring, which builds with a C compiler alone. The library's default needs more tools.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}
