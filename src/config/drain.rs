//! What an operator can set of how Viaduct ends: what goes on meanwhile, for how long, and what others are told.

use std::time::Duration;

use clap::{Args, value_parser};

use crate::proxy::drain::{DrainNewRequests, DrainOptions, DrainPolicy};

use super::words;

/// The settings of draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct DrainSettings {
    /// For how many seconds, up to 3600, messages and connections may go on after SIGTERM or POST /api/drain, while no more connections
    /// are accepted and /readyz says 503. It ends sooner once all of those connections are closed and nothing was forwarded for
    /// VIADUCT_DRAIN_IDLE_MS. Give whatever supervises the process a longer time
    #[arg(long, env = "VIADUCT_GRACE_S", global = true, default_value_t = 20, value_parser = value_parser!(u32).range(0..=3_600), value_name = "SECONDS")]
    pub grace_s: u32,

    /// For how many milliseconds, up to 3600000, nothing must have been forwarded while Viaduct drains for it to end before
    /// VIADUCT_GRACE_S. The default is longer than a client waits before it sends a request again. Where routers learn from
    /// /readyz that this copy is to end, set it to longer than that takes them, or it may end before
    #[arg(long, env = "VIADUCT_DRAIN_IDLE_MS", global = true, default_value_t = 600, value_parser = value_parser!(u32).range(0..=3_600_000), value_name = "MILLISECONDS")]
    pub drain_idle_ms: u32,

    /// What becomes of OPTIONS for Viaduct itself while it drains: answered 503 with Retry-After, or not at all (silence), for
    /// neighbours that turn away from nothing else
    #[arg(long, env = "VIADUCT_DRAIN_OPTIONS", global = true, default_value = "503", value_parser = words::drain_options(), value_name = "WORD")]
    pub drain_options: DrainOptions,

    /// What becomes of clients' requests that begin something while Viaduct drains, as INVITE and REGISTER outside of dialogs: they
    /// are forwarded as ever, or answered 503 with Retry-After. Dialogs, ACK, CANCEL, responses, backends' requests and emergency calls go on
    #[arg(long, env = "VIADUCT_DRAIN_NEW_REQUESTS", global = true, default_value = "forward", value_parser = words::drain_new_requests(), value_name = "WORD")]
    pub drain_new_requests: DrainNewRequests,

    /// The seconds, from 1 to 3600, in the Retry-After of these answers: about as long as a restart takes
    #[arg(long, env = "VIADUCT_DRAIN_RETRY_AFTER_S", global = true, default_value_t = 10, value_parser = value_parser!(u16).range(1..=3_600), value_name = "SECONDS")]
    pub drain_retry_after_s: u16,
}

impl DrainSettings {
    /// For how long messages and connections may go on.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s.into())
    }

    /// For how long nothing must have been forwarded to end before that.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.drain_idle_ms.into())
    }

    /// What others are told meanwhile.
    pub fn policy(&self) -> DrainPolicy {
        DrainPolicy {
            options: self.drain_options,
            new_requests: self.drain_new_requests,
            retry_after_s: self.drain_retry_after_s,
        }
    }
}
