//! The connections between Viaduct and the nodes that do not speak UDP.
//!
//! They are one process's, and both instances send on all of them, as its shards do: what one shard decides for another's
//! connection goes through that one's mailbox. A fleet behind one address looked like the harder test. There a connection
//! is one member's, and no token moves it to another: what is for its far end must come to that member, which is the
//! operator's to arrange (an address of its own for each member), and a member that does not have it answers 430.

use std::collections::HashMap;
use std::net::SocketAddr;

use viaduct::proxy::inbound::ConnectionRef;
use viaduct::proxy::verdict::NextHop;
use viaduct::sip::Transport;

use crate::message::{Message, parameter};

/// The number of the process.
const PROCESS: u32 = 0x5eed;

/// One connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// What Viaduct calls it.
    pub name: ConnectionRef,
    /// Who is at its far end.
    pub node: SocketAddr,
    /// The address of its far end, as Viaduct sees it.
    pub peer: SocketAddr,
    /// What is spoken on it.
    pub transport: Transport,
}

/// All that are open.
#[derive(Default)]
pub struct Connections {
    open: Vec<Connection>,
    opened: u64,
    /// The connection that a request of Viaduct's went by, by its branch: its responses come by the same (§18.2.2).
    asked_on: HashMap<String, Connection>,
}

impl Connections {
    /// The connection by which a node sends its requests: the last one that it or Viaduct opened. Who opens one sends from
    /// a port that nobody can connect to, and a translator shows its client at one of its own.
    pub fn of_requests(&mut self, node: SocketAddr, transport: Transport, is_translated: bool) -> Connection {
        let found = self.open.iter().rev().find(|connection| connection.node == node).copied();
        let port = if is_translated { node.port() } else { 49_152 + self.opened as u16 };
        found.unwrap_or_else(|| self.open(node, SocketAddr::new(node.ip(), port), transport))
    }

    /// The connection by which a node sends a response.
    pub fn of_response(&self, response: &Message) -> Connection {
        self.asked_on[&branch_of(response)]
    }

    /// The connection by which a message of Viaduct's goes; `node_at` tells who listens at an address.
    pub fn of_hop(
        &mut self,
        hop: &NextHop,
        message: &Message,
        transport: Transport,
        node_at: impl Fn(SocketAddr) -> SocketAddr,
    ) -> Connection {
        let named = hop.connection.map(|name| self.open.iter().find(|connection| connection.name == name).copied());
        let address = match named {
            Some(_) => hop.reconnect,
            None => Some(hop.to),
        };
        let open = || address.expect("the connection is there, or may be replaced");
        let connection = named.flatten().unwrap_or_else(|| self.opened_to(open(), transport, node_at));
        if message.status().is_none() {
            self.asked_on.insert(branch_of(message), connection);
        }
        connection
    }

    /// Ends those of a node that has moved.
    pub fn close(&mut self, node: SocketAddr) {
        self.open.retain(|connection| connection.node != node);
    }

    /// The one that Viaduct has opened to that address, or opens.
    fn opened_to(
        &mut self,
        address: SocketAddr,
        transport: Transport,
        node_at: impl Fn(SocketAddr) -> SocketAddr,
    ) -> Connection {
        let is_it = |connection: &&Connection| (connection.peer, connection.transport) == (address, transport);
        let found = self.open.iter().find(is_it).copied();
        assert!(!transport.is_web_socket() || found.is_some(), "nobody can connect to a WebSocket client at {address}");
        found.unwrap_or_else(|| self.open(node_at(address), address, transport))
    }

    fn open(&mut self, node: SocketAddr, peer: SocketAddr, transport: Transport) -> Connection {
        self.opened += 1;
        let name = ConnectionRef { process: PROCESS, number: self.opened };
        let connection = Connection { name, node, peer, transport };
        self.open.push(connection);
        connection
    }
}

fn branch_of(message: &Message) -> String {
    parameter(&message.values("Via")[0], "branch").expect("a branch of Viaduct's")
}
