//! What of RFC 3261 a stateless load balancer must read and write, over bytes that are never copied.
//!
//! | module | section |
//! | --- | --- |
//! | [`scan`] | §7, §7.3.1, §25.1: one pass over the head that notes where the headers stand that routing needs |
//! | [`seek`] | §7.3: headers that are looked for in few messages |
//! | [`extent`] | §18.3: how far a message on a stream reaches |
//! | [`start_line`] | §7.1, §7.2: request line, status line |
//! | [`header`] | §7.3.3, §20: the names that are noted, their compact forms, and the small values (CSeq, tags, numbers) |
//! | [`via`] | §20.42, §18.2, RFC 3581: Via values, `received` and `rport` |
//! | [`overload`] | RFC 7339: what peers say of their load in a Via of ours |
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
pub mod overload;
pub mod reply;
pub mod route;
pub mod scan;
pub mod seek;
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
    /// TLS over TCP, RFC 3261 §26.2.
    Tls,
    /// WebSocket, RFC 7118.
    Ws,
    /// WebSocket over TLS, RFC 7118.
    Wss,
}

impl Transport {
    /// Every transport, in the order of [`Transport::index`].
    pub const ALL: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

    /// This transport's place in [`Transport::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label and in a listener's address: `udp`.
    pub fn label(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// As in a Via's sent-protocol: `UDP`.
    pub fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The parameter of a URI that leads to it, empty for UDP, which is what a URI means that names none (RFC 3263 §4.1).
    /// WebSocket is `ws` with TLS and without (RFC 7118 §4.2). TLS is `tls`, which RFC 3261 §26.2.2 calls deprecated and all
    /// the field writes: what it asks for instead, a `sips` URI, would ask TLS of every hop of the dialog.
    pub fn uri_parameter(self) -> &'static str {
        match self {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
            Transport::Ws | Transport::Wss => ";transport=ws",
        }
    }

    /// The port where none is written (RFC 3261 §18.2.2, §19.1.2; RFC 7118 §5.2.2).
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }

    /// Whether messages travel by a connection, so that its end is noticed and nobody sends them again (§18.3).
    pub fn is_stream(self) -> bool {
        self != Transport::Udp
    }

    /// Whether TLS is between the connection and the messages.
    pub fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Whether messages are those of WebSocket. Only its clients open connections (RFC 7118 §5).
    pub fn is_web_socket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }
}
