//! What of RFC 3261 a stateless load balancer must read and write, over bytes that are never copied.
//!
//! | module | section |
//! | --- | --- |
//! | [`scan`] | §7, §7.3.1, §25.1: one pass over the head that notes where the headers stand that routing needs |
//! | [`extent`] | §18.3: how far a message on a stream reaches |
//! | [`start_line`] | §7.1, §7.2: request line, status line |
//! | [`header`] | §7.3.3, §20: the names that are noted, their compact forms, and the small values (CSeq, tags, numbers) |
//! | [`via`] | §20.42, §18.2, RFC 3581: Via values, `received` and `rport` |
//! | [`uri`] | §19.1: the parts of a URI that routing reads |
//! | [`route`] | §20.34: Route values, one by one, wherever commas and lines divide them |
//! | [`draft`] | the outgoing message as pieces of the incoming one and of a little text of our own |
//! | [`text`] | numbers and addresses in writing |
//! | [`reply`] | §8.2.6, §8.2.7: what a stateless UAS answers |
//!
//! A full parse into owned, typed headers looked better, because it reads better. It loses on two facts: a proxy must
//! forward what it does not use byte for byte (§16.6 item 1), which a parser that prints again does not, and most
//! of a message is of no concern to routing, so parsing it is most of the cost.

pub mod draft;
pub mod extent;
pub mod header;
pub mod reply;
pub mod route;
pub mod scan;
pub mod start_line;
pub mod text;
pub mod uri;
pub mod via;

mod cursor;
mod line_ends;
mod span;

pub use span::Span;

/// How a message travels. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP, RFC 3261 §18.
    Udp,
    /// TCP, RFC 3261 §18.
    Tcp,
}

impl Transport {
    /// Every transport, in the order of [`Transport::index`].
    pub const ALL: [Transport; 2] = [Transport::Udp, Transport::Tcp];

    /// This transport's place in [`Transport::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label and in a listener's address: `udp`.
    pub fn label(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }

    /// As in a Via's sent-protocol: `UDP`.
    pub fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The port where none is written (RFC 3261 §18.2.2, §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
        }
    }

    /// Whether messages follow each other on a connection, each as long as its Content-Length says (§18.3).
    pub fn is_stream(self) -> bool {
        match self {
            Transport::Udp => false,
            Transport::Tcp => true,
        }
    }
}
