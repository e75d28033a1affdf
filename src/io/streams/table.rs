//! The connections of an engine, and what a handler may do with them.
//!
//! A map from names to connections looks simpler. A slot is an index, found without a hash; its generation tells whether
//! it is still the same connection's.

use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::connection::{Connection, Phase, Target};
use super::queue::Pool;
use super::{Closed, ConnectionId, NotQueued, StreamOptions, TableFull};

/// The streams of one engine: connections are opened, filled and closed by it. What is done here takes effect in the
/// engine's next turn, before it waits.
#[derive(Debug)]
pub struct Streams {
    pub(super) options: StreamOptions,
    /// Grows with the connections, to `connections_max`, and keeps its size.
    pub(super) connections: Vec<Connection>,
    pub(super) vacant: Vec<u32>,
    pub(super) pool: Pool,
    /// How many bytes wait on all connections.
    pub(super) queued_bytes: usize,
    /// Slots that the engine has something to do with, in the order this arose; each once.
    pub(super) listed: Vec<u32>,
    /// The memory of a list that is not in use.
    pub(super) spare: Vec<u32>,
}

impl Streams {
    pub(crate) fn new(options: &StreamOptions) -> Self {
        Self {
            options: *options,
            connections: Vec::new(),
            vacant: Vec::new(),
            pool: Pool::default(),
            queued_bytes: 0,
            listed: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Opens a connection to `to`, from the address `from` where one is given. Returns at once; the outcome comes as
    /// [`Handler::connected`](super::super::Handler::connected), or as `closed` with [`Closed::ConnectFailed`].
    /// Meanwhile things may be queued on it. There is no time-out but the kernel's (about two minutes): whoever wants
    /// another calls [`Streams::abort`].
    pub fn connect(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Result<ConnectionId, TableFull> {
        let id = self.occupy(Phase::Connecting).ok_or(TableFull)?;
        self.connections[id.slot as usize].target = Some(Box::new(Target::new(to, from)));
        self.list(id.slot);
        Ok(id)
    }

    /// Takes room for `bytes_max` bytes behind what is queued on a connection. All that is queued within a turn
    /// leaves by one send.
    pub fn reserve(&mut self, connection: ConnectionId, bytes_max: usize) -> Result<StreamSlot<'_>, NotQueued> {
        let entry = self.get(connection).ok_or(NotQueued::Gone)?;
        if entry.closing || entry.phase == Phase::Ended {
            return Err(NotQueued::Closing);
        }
        if entry.queue.bytes().saturating_add(bytes_max) > self.options.queue_bytes_max as usize {
            return Err(NotQueued::QueueFull);
        }
        self.connections[connection.slot as usize].queue.room(bytes_max, &mut self.pool);
        Ok(StreamSlot { streams: self, slot: connection.slot, bytes_max })
    }

    /// Closes a connection in good order: what is queued is sent, the peer is told that this was all, and when it
    /// has finished too, `closed` comes. What it sends meanwhile is still given to `received`. It may take for ever:
    /// whoever does not want to wait calls [`Streams::abort`]. Does nothing with a connection that has gone.
    pub fn close(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.get_mut(connection).filter(|entry| !entry.closing && entry.phase != Phase::Ended) {
            entry.closing = true;
            self.list(connection.slot);
        }
    }

    /// Resets a connection: what is queued, or sent and not acknowledged, is lost. `closed` comes with
    /// [`Closed::Aborted`], and nothing before it. Does nothing with a connection that has ended or gone.
    pub fn abort(&mut self, connection: ConnectionId) {
        if self.get(connection).is_some() {
            self.end(connection.slot, Closed::Aborted);
        }
    }

    /// How many bytes wait on a connection and have not been taken by the kernel; 0 for one that has gone.
    pub fn queued_bytes(&self, connection: ConnectionId) -> usize {
        self.get(connection).map_or(0, |entry| entry.queue.bytes())
    }

    /// The same of all connections together.
    pub fn queued_bytes_of_all(&self) -> usize {
        self.queued_bytes
    }

    /// How many connections there may be.
    pub fn connections_max(&self) -> usize {
        self.options.connections_max as usize
    }

    /// How many connections there are, with those that are being opened or closed.
    pub fn len(&self) -> usize {
        self.connections.len() - self.vacant.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many send buffers connections hold. One that has nothing to send holds none.
    pub fn buffers_held(&self) -> usize {
        self.pool.lent()
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(id.slot as usize).filter(|entry| entry.is(id))
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(id.slot as usize).filter(|entry| entry.is(id))
    }

    /// Takes a free slot.
    pub(super) fn occupy(&mut self, phase: Phase) -> Option<ConnectionId> {
        let slot = self.vacant.pop().or_else(|| self.grow())?;
        let entry = &mut self.connections[slot as usize];
        entry.phase = phase;
        Some(ConnectionId { slot, generation: entry.generation })
    }

    /// Frees a slot whose descriptor is closed and whose queue is empty. Its generation is over.
    pub(super) fn vacate(&mut self, slot: u32) {
        let entry = &mut self.connections[slot as usize];
        let generation = entry.generation.wrapping_add(1);
        *entry = Connection { generation, listed: entry.listed, ..Connection::vacant() };
        self.vacant.push(slot);
    }

    /// Keeps all that the kernel might still read, for ever.
    pub(crate) fn leak(&mut self) {
        mem::forget(mem::take(&mut self.connections));
    }

    fn grow(&mut self) -> Option<u32> {
        let slot = u32::try_from(self.connections.len()).ok().filter(|slot| *slot < self.options.connections_max)?;
        self.connections.push(Connection::vacant());
        Some(slot)
    }
}

/// Room at the end of a connection's send queue. Dropped unsent, it leaves the queue as it was.
#[derive(Debug)]
pub struct StreamSlot<'a> {
    streams: &'a mut Streams,
    slot: u32,
    bytes_max: usize,
}

impl StreamSlot<'_> {
    /// The memory to write to, of the length asked for. It holds anything.
    pub fn buffer(&mut self) -> &mut [u8] {
        let Streams { connections, pool, .. } = &mut *self.streams;
        connections[self.slot as usize].queue.room(self.bytes_max, pool)
    }

    /// Queues the first `len` bytes of the buffer, at most its length, behind what is queued. With a tag, the outcome
    /// is reported to the [`Handler`](super::super::Handler) once: `sent` when the kernel has taken the last of them,
    /// `send_failed` where the connection ends before.
    pub fn send(self, len: usize, tag: Option<u16>) {
        let queue = &mut self.streams.connections[self.slot as usize].queue;
        let before = queue.bytes();
        queue.append(len.min(self.bytes_max), tag);
        self.streams.queued_bytes += queue.bytes() - before;
        self.streams.list(self.slot);
    }
}

impl Drop for StreamSlot<'_> {
    fn drop(&mut self) {
        let Streams { connections, pool, .. } = &mut *self.streams;
        connections[self.slot as usize].queue.tidy(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_an_earlier_generation_reaches_nothing() {
        let mut streams = Streams::new(&StreamOptions { connections_max: 1, ..StreamOptions::default() });
        let to = "127.0.0.1:5060".parse().unwrap();
        let first = streams.connect(to, None).unwrap();
        assert_eq!(streams.connect(to, None), Err(TableFull));
        streams.vacate(first.slot);
        assert!(streams.is_empty());
        let second = streams.connect(to, None).unwrap();
        assert_eq!(second.slot, first.slot);
        assert_eq!(streams.reserve(first, 1).err(), Some(NotQueued::Gone));
        streams.abort(first);
        streams.close(first);
        assert!(streams.reserve(second, 1).is_ok());
    }

    #[test]
    fn a_queue_takes_no_more_than_its_limit_and_room_that_is_not_used_is_given_back() {
        let mut streams = Streams::new(&StreamOptions { queue_bytes_max: 100, ..StreamOptions::default() });
        let id = streams.connect("127.0.0.1:5060".parse().unwrap(), None).unwrap();
        assert_eq!(streams.reserve(id, 101).err(), Some(NotQueued::QueueFull));
        drop(streams.reserve(id, 100).unwrap());
        assert_eq!((streams.queued_bytes(id), streams.buffers_held()), (0, 0));
        streams.reserve(id, 100).unwrap().send(60, None);
        streams.reserve(id, 40).unwrap().send(1000, None);
        assert_eq!((streams.queued_bytes(id), streams.queued_bytes_of_all()), (100, 100));
        assert_eq!(streams.reserve(id, 1).err(), Some(NotQueued::QueueFull));
        streams.close(id);
        assert_eq!(streams.reserve(id, 0).err(), Some(NotQueued::Closing));
    }
}
