//! The flows of RFC 3665 and of call transfer, redirection and third-party call control, end to end: honest user agents
//! and proxies, every message checked at every hop, and Viaduct as two instances that take turns in front of a pool of
//! three; over UDP, TCP, TLS and WebSocket in every mix.
//!
//! Real programs as peers looked better, and tests/peers.rs has them. They hide what passes between two of them, run in
//! real time, and cannot be made to change the pool between one message and the next.

#[macro_use]
mod mix;

mod agent;
mod connections;
mod message;
mod network;
mod pair;
mod proxy;
mod reply;

mod world;

mod cancel;
mod long_dialog;
mod outside_dialogs;
mod properties;
mod redirect;
mod registration;
mod stream_properties;
mod third_party;
mod transfer;
mod two_legs;
mod two_proxies;
