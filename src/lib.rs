//! Viaduct: a stateless SIP load balancer on io_uring.
//!
//! One idea holds it together: *a stateless load balancer is one pure function; a shard is a loop that feeds it.* The
//! function is [`proxy::decide`]; the loop is [`shard::Shard::turn`]. ARCHITECTURE.md has the reasons.
//!
//! | module | question | may import |
//! | --- | --- | --- |
//! | [`sip`] | what does the protocol say? | nothing |
//! | [`balance`] | which backend? | nothing |
//! | [`frame`] | how do bytes of a stream become messages? | `sip` |
//! | [`io`] | how do bytes get in and out? | nothing |
//! | [`hep`] | how is Homer told of a message? | nothing |
//! | [`proxy`] | what do we do with this message? | `sip`, `balance` |
//! | [`metrics`] | what can I see? | `proxy`, `sip`, `balance`, `io` |
//! | [`observe`] | what do shards tell of single messages? | `metrics`, `sip`, `balance` |
//! | [`shard`] | what runs on a core? | `io`, `frame`, `proxy`, `sip`, `metrics`, `observe` |
//! | [`config`] | what can I set? | `sip`, `balance`, `io`, `proxy` (their value types) |
//! | [`explain`] | why does this message go there? | `proxy`, `balance`, `sip` |
//! | [`control`] | what changes while running, and who asks? | `explain`, `metrics`, `observe`, `hep`, `proxy`, `balance`, `sip` |
//! | [`run`] | how does it all start and end? | everything above |
//! | [`check`] | will these settings work? | everything above |
//! | [`ctl`] | how do I ask and change one that runs? | `config`, `control` |
//! | [`demo`] | what does it look like at work? | everything above |
//!
//! `tests/architecture.rs` holds these arrows.

pub mod balance;
pub mod check;
pub mod config;
pub mod control;
pub mod ctl;
pub mod demo;
pub mod explain;
pub mod frame;
pub mod hep;
pub mod io;
pub mod metrics;
pub mod observe;
pub mod proxy;
pub mod run;
pub mod shard;
pub mod sip;
