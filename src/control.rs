//! The control thread: everything slow. It runs on tokio-uring, and where io_uring is forbidden on plain tokio.
//!
//! | module | charge |
//! | --- | --- |
//! | [`admin`] | the HTTP listener: /metrics, /livez, /readyz, the API |
//! | [`certificates`] | reads certificates again when their files change |
//! | [`discovery`] | finds the members of the pool by names |
//! | [`file_watch`] | whether files have changed |
//! | [`drain`] | by what Viaduct is told to drain |
//! | [`observe`] | what is done with what shards tell of single messages |
//! | [`outlier`] | which backends stand out by what real requests meet with there |
//! | [`overload`] | what backends say of their load, and what comes of it |
//! | [`pool`] | what is known of the pool, and how its members stand by that |
//! | [`probe`] | whether backends are alive |
//! | [`reload`] | by what a reload is asked for |
//! | [`resolve`] | names that backends send to: looked up, kept fresh, published to the shards |
//! | [`steward`] | steers the pool and publishes snapshots |
//! | [`signal`] | when the operator wants the process to end, or to read again |
//!
//! tokio-uring for the shards too looked simpler: one runtime for all. It allocates at each receive and send, has neither
//! multishot nor control data, and measured from 1.4 to 2.5 times the cost per datagram; here, where a request a
//! second is much, none of that matters.

pub mod admin;
pub mod certificates;
pub mod discovery;
pub mod drain;
pub mod file_watch;
pub mod observe;
pub mod outlier;
pub mod overload;
pub mod pool;
pub mod probe;
pub mod reload;
pub mod resolve;
pub mod signal;
pub mod steward;

use std::future::Future;

/// Runs a future to its end on this thread: on tokio-uring if `uring` is wanted and to be had, else on plain tokio.
pub fn block_on<F: Future>(uring: bool, future: F) -> std::io::Result<F::Output> {
    if uring {
        match tokio_uring::Runtime::new(&tokio_uring::builder()) {
            Ok(runtime) => return Ok(runtime.block_on(future)),
            Err(error) => tracing::debug!(%error, "the control thread runs without io_uring"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
}
