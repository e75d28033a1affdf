//! The real shard loop over real sockets, on both engines: every message is accounted for, nothing is allocated, full
//! buffers recover, ports are free at once. Where io_uring is not to be had, that half is skipped with a line that
//! says so.

mod accounting;
mod allocations;
mod backend_requests;
mod direct_clients;
mod exhaustion;
mod half_closed;
mod harness;
mod latency;
mod limits;
mod publication;
mod resting;
mod shutdown;
mod streams;
mod teardown;
