//! How bytes of a stream become messages, and what a keepalive is. Codecs are pure: bytes in, frames out; no socket, no clock.
//!
//! | module | charge |
//! | --- | --- |
//! | [`stream`] | RFC 3261 §18.3: messages in a stream, by Content-Length |
//! | [`spare`] | buffers for messages that are split over receives, shared by a shard's connections |
//! | [`keepalive`] | RFC 5626 §4.4.1: line ends that keep a connection open |
//! | [`stun`] | RFC 5626 §4.4.2: binding requests that keep a UDP flow open |
//!
//! A reader that waits for the bytes it needs (`AsyncRead` and a decoder over it) looked better, as framing would read from top to
//! bottom. It must own a buffer while it waits, and a hundred thousand idle connections would each hold one.

pub mod keepalive;
pub mod spare;
pub mod stream;
pub mod stun;
