//! The library's steps, taken one after the other: records read where they lie, and written where they are to go.
//!
//! To write each step out for either side of a connection looked simpler. The two differ in a type alone.

use bytes::BytesMut;
use rustls::Error;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};

use super::{Reason, TlsError};

/// What both sides of a connection can do.
pub(super) trait Connection {
    /// What the library keeps of a side.
    type Data;

    /// Whether the library has something for the peer; the next step is then to write it, whatever has come.
    fn has_to_send(&self) -> bool;

    /// The next step, given all that has come and is not used.
    fn step<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn has_to_send(&self) -> bool {
        self.wants_write()
    }

    fn step<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn has_to_send(&self) -> bool {
        self.wants_write()
    }

    fn step<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// What reading has led to.
#[derive(Default)]
pub(super) struct Turn {
    /// How much of what has come is used, in bytes.
    pub(super) consumed: usize,
    /// The peer has closed its direction.
    pub(super) has_peer_closed: bool,
}

/// Reads all complete records. Each step uses up bytes or a message to be sent, or is one of the last; so there is an
/// end.
pub(super) fn read<C: Connection>(
    connection: &mut C,
    incoming: &mut [u8],
    plaintext: &mut dyn FnMut(&[u8]),
    wire: &mut BytesMut,
) -> Result<Turn, TlsError> {
    let mut turn = Turn::default();
    loop {
        let UnbufferedStatus { mut discard, state } = connection.step(&mut incoming[turn.consumed..]);
        let mut is_last = false;
        match state? {
            ConnectionState::ReadTraffic(mut records) => {
                while let Some(record) = records.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plaintext(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(message) => encode(message, wire)?,
            ConnectionState::TransmitTlsData(written) => written.done(),
            ConnectionState::PeerClosed => turn.has_peer_closed = true,
            _ => is_last = true,
        }
        turn.consumed += discard;
        if is_last {
            return Ok(turn);
        }
    }
}

/// What is to be written.
#[derive(Clone, Copy)]
pub(super) enum Write<'p> {
    /// Plaintext, to be encrypted.
    Data(&'p [u8]),
    /// That nothing more will come.
    Close,
}

/// Writes, after what else is waiting to be sent. `incoming` must be what is not used, because the library counts on
/// its place.
pub(super) fn write<C: Connection>(
    connection: &mut C,
    incoming: &mut [u8],
    what: Write<'_>,
    wire: &mut BytesMut,
) -> Result<(), TlsError> {
    for _ in 0..MAX_STEPS {
        match connection.step(incoming).state? {
            ConnectionState::WriteTraffic(traffic) => return encrypt(traffic, what, wire),
            ConnectionState::EncodeTlsData(message) => encode(message, wire)?,
            ConnectionState::TransmitTlsData(written) => written.done(),
            ConnectionState::PeerClosed => {}
            _ => break,
        }
    }
    Err(Reason::NotOpen.into())
}

/// Writes the alert of a connection that has failed. Without one there is no step: the library would read the broken
/// record again.
pub(super) fn write_alerts<C: Connection>(connection: &mut C, incoming: &mut [u8], wire: &mut BytesMut) {
    for _ in 0..MAX_STEPS {
        if !connection.has_to_send() {
            return;
        }
        if let Ok(ConnectionState::EncodeTlsData(message)) = connection.step(incoming).state {
            // What cannot be encoded is not sent; the connection ends without it.
            let _ = encode(message, wire);
        }
    }
}

/// More messages than these do not wait: a key update, a ticket, an alert.
const MAX_STEPS: usize = 16;

/// What encryption adds to a record at most: head, nonce, tag, and the content's type in TLS 1.3; and room for an
/// alert.
const RECORD_OVERHEAD_BYTES: usize = 64;
const FRAGMENT_BYTES: usize = 16 << 10;

fn encrypt<D>(mut traffic: WriteTraffic<'_, D>, what: Write<'_>, wire: &mut BytesMut) -> Result<(), TlsError> {
    let length = if let Write::Data(plaintext) = what { plaintext.len() } else { 0 };
    let room = length + RECORD_OVERHEAD_BYTES * (length / FRAGMENT_BYTES + 1);
    append(wire, room, |outgoing| {
        let written = match what {
            Write::Data(plaintext) => traffic.encrypt(plaintext, outgoing),
            Write::Close => traffic.queue_close_notify(outgoing),
        };
        written.map_err(|error| match error {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Short::Of(required_size),
            EncryptError::EncryptExhausted => Short::Never,
        })
    })
}

fn encode<D>(mut message: EncodeTlsData<'_, D>, wire: &mut BytesMut) -> Result<(), TlsError> {
    append(wire, 0, |outgoing| {
        message.encode(outgoing).map_err(|error| match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Short::Of(required_size),
            EncodeError::AlreadyEncoded => Short::Never,
        })
    })
}

/// Why nothing was written.
enum Short {
    /// So many bytes are needed.
    Of(usize),
    /// Nothing can be written.
    Never,
}

/// Writes behind what `wire` has; where the room is too small, once more into as much as is needed.
fn append(
    wire: &mut BytesMut,
    room: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Short>,
) -> Result<(), TlsError> {
    let start = wire.len();
    wire.resize(start + room, 0);
    let mut outcome = fill(&mut wire[start..]);
    if let Err(Short::Of(needed)) = outcome {
        wire.resize(start + needed, 0);
        outcome = fill(&mut wire[start..]);
    }
    wire.truncate(start + outcome.as_ref().map_or(0, |written| *written));
    outcome.map(drop).map_err(|_| Error::EncryptError.into())
}
