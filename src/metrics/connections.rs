//! What a shard counts of connections, and of what streams bring besides messages.
//!
//! A gauge that is set to the size of the connection table looked simpler. It says nothing of connections that come and go
//! between two scrapes, which is how a peer that reconnects without end looks; what opened and what ended say both.

use crate::frame::stream::Fault;
use crate::proxy::inbound::Side;
use crate::sip::Transport;

use super::cells::{Cell, ShardCells, bump, value};

/// Who opened a connection. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The peer.
    Accepted,
    /// Viaduct.
    Connected,
}

impl Direction {
    /// Both, in the order of [`Direction::index`].
    pub const ALL: [Direction; 2] = [Direction::Accepted, Direction::Connected];

    /// This direction's place in [`Direction::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Direction::Accepted => "accepted",
            Direction::Connected => "connected",
        }
    }
}

/// Why a connection ended. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The peer closed it in good order.
    PeerFinished,
    /// The peer reset it, or had gone when something was sent.
    Reset,
    /// The peer no longer acknowledged what was sent, or answered no keepalive probe.
    TimedOut,
    /// It brought nothing for too long.
    Idle,
    /// It could not be opened.
    ConnectFailed,
    /// It was not open in time.
    ConnectTimeout,
    /// Its handshakes were not complete in time.
    HandshakeTimeout,
    /// As many connections were in their handshakes as may be, in all or of its network.
    HandshakesFull,
    /// TLS failed, in the handshake or later.
    Tls,
    /// What the client sent is not WebSocket as SIP uses it.
    WebSocket,
    /// The head of the PROXY protocol that had to come did not.
    ProxyProtocol,
    /// A message that had begun was not complete in time.
    MessageTimeout,
    /// Where the next message begins could not be told.
    Framing,
    /// So much of what is not complete was kept that no more may be.
    NoBuffer,
    /// The peer read too slowly for what was to be sent.
    QueueFull,
    /// Viaduct ends.
    Stopped,
    /// Any other error of the network or the kernel.
    Failed,
}

impl Ended {
    /// Every reason, in the order of [`Ended::index`].
    pub const ALL: [Ended; 17] = [
        Ended::PeerFinished,
        Ended::Reset,
        Ended::TimedOut,
        Ended::Idle,
        Ended::ConnectFailed,
        Ended::ConnectTimeout,
        Ended::HandshakeTimeout,
        Ended::HandshakesFull,
        Ended::Tls,
        Ended::WebSocket,
        Ended::ProxyProtocol,
        Ended::MessageTimeout,
        Ended::Framing,
        Ended::NoBuffer,
        Ended::QueueFull,
        Ended::Stopped,
        Ended::Failed,
    ];

    /// This reason's place in [`Ended::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Ended::PeerFinished => "peer_finished",
            Ended::Reset => "reset",
            Ended::TimedOut => "timed_out",
            Ended::Idle => "idle",
            Ended::ConnectFailed => "connect_failed",
            Ended::ConnectTimeout => "connect_timeout",
            Ended::HandshakeTimeout => "handshake_timeout",
            Ended::HandshakesFull => "handshakes_full",
            Ended::Tls => "tls",
            Ended::WebSocket => "websocket",
            Ended::ProxyProtocol => "proxy_protocol",
            Ended::MessageTimeout => "message_timeout",
            Ended::Framing => "framing",
            Ended::NoBuffer => "no_buffer",
            Ended::QueueFull => "queue_full",
            Ended::Stopped => "stopped",
            Ended::Failed => "failed",
        }
    }
}

/// Why a connection was reset as soon as it was known whose it is. It counts neither as opened nor as ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Its network has as many as it may.
    Network,
    /// Clients have all that are not kept free for backends.
    Reserved,
}

impl Refused {
    /// Every reason, in the order of [`Refused::index`].
    pub const ALL: [Refused; 2] = [Refused::Network, Refused::Reserved];

    /// This reason's place in [`Refused::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Refused::Network => "network",
            Refused::Reserved => "reserved",
        }
    }
}

const KINDS: usize = Side::ALL.len() * Transport::ALL.len() * Direction::ALL.len();

/// The counts.
#[derive(Debug)]
pub struct ConnectionCells {
    opened: [Cell; KINDS],
    ended: [Cell; KINDS * Ended::ALL.len()],
    framing_faults: [Cell; Fault::ALL.len()],
    refused: [Cell; Refused::ALL.len()],
    /// Pings that were answered with a pong (RFC 5626 §4.4.1).
    pub pings_answered: Cell,
    /// Messages posted to the shard that has their connection.
    pub handed_over: Cell,
}

impl Default for ConnectionCells {
    fn default() -> Self {
        ConnectionCells {
            opened: Default::default(),
            ended: std::array::from_fn(|_| Cell::default()),
            framing_faults: Default::default(),
            refused: Default::default(),
            pings_answered: Cell::default(),
            handed_over: Cell::default(),
        }
    }
}

impl ConnectionCells {
    /// Connections opened, those included that could not be.
    pub fn opened_count(&self, side: Side, transport: Transport, direction: Direction) -> u64 {
        value(&self.opened, kind(side, transport, direction))
    }

    /// Connections ended for that reason.
    pub fn ended_count(&self, side: Side, transport: Transport, direction: Direction, why: Ended) -> u64 {
        value(&self.ended, kind(side, transport, direction) * Ended::ALL.len() + why.index())
    }

    /// Connections that there are. What is counted meanwhile may be missed, but never makes it less than none.
    pub fn open_count(&self, side: Side, transport: Transport, direction: Direction) -> u64 {
        let ended: u64 = Ended::ALL.into_iter().map(|why| self.ended_count(side, transport, direction, why)).sum();
        self.opened_count(side, transport, direction).saturating_sub(ended)
    }

    /// Streams that ended by that fault of framing.
    pub fn framing_fault_count(&self, fault: Fault) -> u64 {
        value(&self.framing_faults, fault.index())
    }

    /// Connections refused for that reason.
    pub fn refused_count(&self, why: Refused) -> u64 {
        value(&self.refused, why.index())
    }
}

impl ShardCells {
    /// Connections that there are, of all kinds.
    pub fn connections_open(&self) -> u64 {
        let opened: u64 = self.connections().opened.iter().map(Cell::get).sum();
        let ended: u64 = self.connections().ended.iter().map(Cell::get).sum();
        opened.saturating_sub(ended)
    }

    /// Connections that peers opened and that are open.
    pub fn accepted_open(&self) -> u64 {
        let places = Side::ALL.into_iter().flat_map(|side| Transport::ALL.map(|transport| (side, transport)));
        let open = |(side, transport)| self.connections().open_count(side, transport, Direction::Accepted);
        places.map(open).sum()
    }

    /// Counts a connection that is open. Each is also counted once, later, by [`ShardCells::connection_ended`], with the same
    /// side, transport and direction; one that could not be opened is counted by both when that is known, so that what is
    /// open is always the one less the other.
    pub fn connection_opened(&self, side: Side, transport: Transport, direction: Direction) {
        bump(&self.connections().opened, kind(side, transport, direction));
    }

    /// Counts a connection that has ended, or could not be opened. Counted as opened before.
    pub fn connection_ended(&self, side: Side, transport: Transport, direction: Direction, why: Ended) {
        bump(&self.connections().ended, kind(side, transport, direction) * Ended::ALL.len() + why.index());
    }

    /// Counts a stream in which no further message could be found.
    pub fn framing_fault(&self, fault: Fault) {
        bump(&self.connections().framing_faults, fault.index());
    }

    /// Counts a connection that was refused.
    pub fn connection_refused(&self, why: Refused) {
        bump(&self.connections().refused, why.index());
    }

    /// Counts a ping that was answered with a pong.
    pub fn ping_answered(&self) {
        self.connections().pings_answered.add(1);
    }

    /// Counts a message posted to the shard that has its connection.
    pub fn handed_over(&self) {
        self.connections().handed_over.add(1);
    }
}

fn kind(side: Side, transport: Transport, direction: Direction) -> usize {
    (side.index() * Transport::ALL.len() + transport.index()) * Direction::ALL.len() + direction.index()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::EngineKind;

    fn all_kinds() -> impl Iterator<Item = (Side, Transport, Direction)> {
        let sides = Side::ALL.into_iter().flat_map(|side| Transport::ALL.map(|transport| (side, transport)));
        sides.flat_map(|(side, transport)| Direction::ALL.map(|direction| (side, transport, direction)))
    }

    #[test]
    fn every_kind_and_reason_is_counted_apart() {
        let cells = ShardCells::new(EngineKind::Poll, false, 0);
        for (side, transport, direction) in all_kinds() {
            for why in Ended::ALL {
                cells.connection_opened(side, transport, direction);
                cells.connection_ended(side, transport, direction, why);
            }
            cells.connection_opened(side, transport, direction);
        }
        for (side, transport, direction) in all_kinds() {
            let connections = cells.connections();
            assert_eq!(connections.opened_count(side, transport, direction), Ended::ALL.len() as u64 + 1);
            assert_eq!(connections.open_count(side, transport, direction), 1);
            assert_eq!(cells.connections_open(), KINDS as u64);
            for why in Ended::ALL {
                assert_eq!(connections.ended_count(side, transport, direction, why), 1, "{}", why.label());
            }
        }
    }

    #[test]
    fn places_follow_the_order_of_the_lists() {
        for (place, why) in Ended::ALL.into_iter().enumerate() {
            assert_eq!(why.index(), place);
        }
        for (place, direction) in Direction::ALL.into_iter().enumerate() {
            assert_eq!(direction.index(), place);
        }
    }

    #[test]
    fn what_ended_before_it_was_seen_to_open_makes_no_number_below_none() {
        let cells = ShardCells::new(EngineKind::Poll, false, 0);
        cells.connection_ended(Side::Client, Transport::Tcp, Direction::Accepted, Ended::Reset);
        assert_eq!(cells.connections().open_count(Side::Client, Transport::Tcp, Direction::Accepted), 0);
    }
}
