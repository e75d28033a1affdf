//! What a shard counts of the layers between connections and messages: TLS handshakes, WebSocket refusals, heads of the PROXY
//! protocol.
//!
//! One counter of failures looked enough. What an operator does about a certificate that expired, a browser page that is not
//! on the list, and plain SIP on a port for TLS differs.

use crate::frame::tls::Reason;
use crate::frame::websocket::Refusal;

use super::cells::{Cell, ShardCells, bump, value};
use super::connections::Direction;

/// What came of a TLS handshake. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It was made in full.
    Full,
    /// An earlier session was taken up again.
    Resumed,
    /// The connection ended before it was complete.
    Abandoned,
    /// It failed.
    Failed(Reason),
}

impl Handshake {
    /// How many outcomes are counted apart.
    pub const COUNT: usize = 3 + Reason::ALL.len();

    /// Every outcome, in the order of [`Handshake::index`].
    pub fn all() -> impl Iterator<Item = Handshake> {
        let good = [Handshake::Full, Handshake::Resumed, Handshake::Abandoned];
        good.into_iter().chain(Reason::ALL.map(Handshake::Failed))
    }

    /// This outcome's place.
    pub fn index(self) -> usize {
        match self {
            Handshake::Full => 0,
            Handshake::Resumed => 1,
            Handshake::Abandoned => 2,
            Handshake::Failed(reason) => 3 + reason as usize,
        }
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
            Handshake::Abandoned => "abandoned",
            Handshake::Failed(reason) => reason.label(),
        }
    }
}

/// What came of a head of the PROXY protocol. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It names another's address.
    Proxied,
    /// It says that the sender speaks for itself, as its health checks do.
    Sender,
    /// There was none where one had to be, or it was broken.
    Malformed,
}

impl Head {
    /// Every outcome.
    pub const ALL: [Head; 3] = [Head::Proxied, Head::Sender, Head::Malformed];

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Head::Proxied => "proxied",
            Head::Sender => "sender",
            Head::Malformed => "malformed",
        }
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct LayerCells {
    handshakes: [[Cell; Handshake::COUNT]; Direction::ALL.len()],
    refusals: [Cell; Refusal::ALL.len()],
    heads: [Cell; Head::ALL.len()],
}

impl LayerCells {
    /// TLS handshakes of that outcome.
    pub fn handshake_count(&self, direction: Direction, outcome: Handshake) -> u64 {
        value(&self.handshakes[direction.index()], outcome.index())
    }

    /// WebSocket connections refused or ended for that reason.
    pub fn refusal_count(&self, refusal: Refusal) -> u64 {
        value(&self.refusals, refusal as usize)
    }

    /// Heads of the PROXY protocol.
    pub fn head_count(&self, head: Head) -> u64 {
        value(&self.heads, head as usize)
    }
}

impl ShardCells {
    /// Counts a TLS handshake.
    pub fn handshake(&self, direction: Direction, outcome: Handshake) {
        bump(&self.layers().handshakes[direction.index()], outcome.index());
    }

    /// Counts a WebSocket connection refused or ended.
    pub fn web_socket_refused(&self, refusal: Refusal) {
        bump(&self.layers().refusals, refusal as usize);
    }

    /// Counts a head of the PROXY protocol.
    pub fn proxy_protocol_head(&self, head: Head) {
        bump(&self.layers().heads, head as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_the_order_of_the_lists() {
        for (place, outcome) in Handshake::all().enumerate() {
            assert_eq!(outcome.index(), place);
        }
        assert_eq!(Handshake::all().count(), Handshake::COUNT);
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, place);
        }
        for (place, head) in Head::ALL.into_iter().enumerate() {
            assert_eq!(head as usize, place);
        }
    }
}
