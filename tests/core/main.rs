//! The pure core, without sockets: golden messages, properties, disruption, torture.

mod decide;
mod disruption;
mod stateless;
mod support;
mod torture;
