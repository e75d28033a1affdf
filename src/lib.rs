//! Viaduct: a stateless SIP load balancer on io_uring.

pub mod balance;
pub mod io;
pub mod metrics;
pub mod proxy;
pub mod shard;
pub mod sip;
