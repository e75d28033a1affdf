//! How bytes of a stream become messages, and what a keepalive is. Codecs are pure: bytes in, frames out; no socket.
//!
//! | module | charge |
//! | --- | --- |
//! | [`stream`] | RFC 3261 §18.3: messages in a stream, by Content-Length |
//! | [`spare`] | buffers for messages that are split over receives, shared by a shard's connections |
//! | [`keepalive`] | RFC 5626 §4.4.1: line ends that keep a connection open |
//! | [`stun`] | RFC 5626 §4.4.2: binding requests that keep a UDP flow open |
//! | [`tls`] | RFC 3261 §26.2, RFC 5922: TLS records, in and out |
//! | [`websocket`] | RFC 7118: SIP messages in WebSocket messages |
//! | [`proxy_protocol`] | who is on the other side of a load balancer before us |
//!
//! Codecs stack: TLS feeds WebSocket. No clock but the one that certificates are held against during a TLS handshake.
//!
//! A reader that waits for the bytes it needs (`AsyncRead` and a decoder over it) looked better, as framing would read from top to
//! bottom. It must own a buffer while it waits, and a hundred thousand idle connections would each hold one.

pub mod keepalive;
pub mod proxy_protocol;
pub mod spare;
pub mod stream;
pub mod stun;
pub mod tls;
pub mod websocket;
