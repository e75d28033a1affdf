//! The codecs of streams: what is cut anywhere means the same, what is wrong is named, what is idle costs little.

mod certificates;
mod hello;
mod link;
mod memory;
mod proxy_protocol;
mod reload;
mod tls;
mod tls_refusals;
mod websocket;
mod websocket_opening;
mod witness;
mod wss;
