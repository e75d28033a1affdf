//! TLS, WebSocket and the PROXY protocol, through the real process and with other libraries' clients: what they bring is
//! carried, what is wrong is refused and counted, and certificates change under open connections.

mod certificates;
mod client;
mod half_closed;
mod origins;
mod peer;
mod refusals;
mod reload;
mod running;
mod transports;
