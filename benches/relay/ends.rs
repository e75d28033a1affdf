//! The ends of all lines: what comes out of the device, as datagrams or in streams, is given to the agents message by message.

use viaduct::frame::spare::{SpareBuffers, SpareLimits};
use viaduct::frame::stream::{Frame, Framer, Limits};
use viaduct::io::{Accepted, Closed, ConnectionId, Datagram, Handler, Lost, Output, SendError};

use crate::agents::Agents;
use crate::layers::Layers;
use crate::line::Line;
use crate::load::CLIENT;

/// The agents, and their connections.
pub struct Ends {
    /// Who speaks.
    pub agents: Agents,
    /// By the engine's slots.
    connections: Vec<Option<Connection>>,
    /// How many of them clients have begun.
    clients_begun: usize,
    /// Those that are open, in the order opened.
    open_clients: Vec<Line>,
    spare: SpareBuffers,
    /// What layers make of what comes.
    said: Vec<u8>,
}

struct Connection {
    id: ConnectionId,
    is_client: bool,
    framer: Framer,
}

impl Ends {
    /// Without connections.
    pub fn new(agents: Agents) -> Self {
        let spare = SpareBuffers::new(SpareLimits::default());
        Ends { agents, connections: Vec::new(), clients_begun: 0, open_clients: Vec::new(), spare, said: Vec::new() }
    }

    /// How many connections clients have begun that have not ended.
    pub fn clients_begun(&self) -> usize {
        self.clients_begun
    }

    /// The clients' connections that are open.
    pub fn open_clients(&self) -> &[Line] {
        &self.open_clients
    }

    /// Notes a connection that a client begins.
    pub fn begin_client(&mut self, id: ConnectionId, layers: Option<Layers>) {
        self.clients_begun += 1;
        self.agents.set_layers(id, layers);
        self.insert(Connection { id, is_client: true, framer: Framer::default() });
    }

    fn insert(&mut self, connection: Connection) {
        let slot = connection.id.slot();
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, || None);
        }
        self.connections[slot] = Some(connection);
    }
}

impl Handler for Ends {
    fn datagram(&mut self, datagram: Datagram<'_>, out: &mut Output) {
        let line = Line::Datagrams(datagram.socket, datagram.peer);
        self.agents.message(datagram.socket == CLIENT, line, datagram.bytes, out);
    }

    fn sent(&mut self, _tag: u16) {}

    fn send_failed(&mut self, _tag: u16, error: SendError, _lost: Lost<'_>) {
        panic!("the generator could not send: {error:?}");
    }

    fn accepted(&mut self, accepted: Accepted, _out: &mut Output) {
        self.insert(Connection { id: accepted.connection, is_client: false, framer: Framer::default() });
    }

    fn connected(&mut self, id: ConnectionId, _local: std::net::SocketAddr, out: &mut Output) {
        match self.agents.layers(id) {
            Some(_) => self.agents.flush(id, out),
            None => self.open_clients.push(Line::Connection(id)),
        }
    }

    fn received(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) {
        let mut said = std::mem::take(&mut self.said);
        said.clear();
        match self.agents.layers(id) {
            Some(layers) => {
                if layers.feed(bytes, &mut said) {
                    self.open_clients.push(Line::Connection(id));
                }
                self.agents.flush(id, out);
                self.messages(id, &said, out);
            }
            None => self.messages(id, bytes, out),
        }
        self.said = said;
    }

    fn peer_finished(&mut self, id: ConnectionId, out: &mut Output) {
        out.streams.abort(id);
    }

    fn closed(&mut self, id: ConnectionId, _why: Closed, _out: &mut Output) {
        self.agents.set_layers(id, None);
        let Some(mut gone) = self.connections.get_mut(id.slot()).and_then(Option::take) else { return };
        gone.framer.close(&mut self.spare);
        if gone.is_client {
            self.clients_begun -= 1;
            self.open_clients.retain(|line| *line != Line::Connection(id));
        }
    }
}

impl Ends {
    /// Takes what a connection says.
    fn messages(&mut self, id: ConnectionId, bytes: &[u8], out: &mut Output) {
        let Some(Some(connection)) = self.connections.get_mut(id.slot()) else { return };
        let mut input = bytes;
        while let Some(frame) = connection.framer.next(&mut input, Limits::default(), &mut self.spare) {
            match frame {
                Ok(Frame::Message(message)) => {
                    self.agents.message(connection.is_client, Line::Connection(id), message, out);
                }
                Ok(Frame::Keepalive(_)) => {}
                Err(error) => panic!("the device broke the framing: {:?}", error.fault),
            }
        }
    }
}
