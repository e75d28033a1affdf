//! Viaduct: a stateless SIP load balancer on io_uring.

pub mod balance;
pub mod proxy;
pub mod sip;
