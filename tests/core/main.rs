//! The pure core, without sockets: golden messages, properties, disruption, torture.

mod bounce;
mod congestion;
mod decide;
mod direct_clients;
mod disruption;
mod drain;
mod epochs;
mod latency;
mod names;
mod overload;
mod probes;
mod rotation;
mod secure_uris;
mod standing;
mod stateless;
mod support;
mod torture;
mod unframed;
mod way_back;
