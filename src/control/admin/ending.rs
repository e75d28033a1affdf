//! Viaduct itself is told to drain, and then to end: what SIGTERM does, for who has no shell there.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::control::drain::Cause;

use super::api::{Peer, Shared};
use super::body;

#[derive(Serialize)]
struct Draining {
    is_draining: bool,
}

/// Answers at once; /readyz says 503 from then on. Told again, nothing changes: only a signal ends it sooner.
pub(super) async fn drain(State(api): Shared, Extension(Peer(peer)): Extension<Peer>) -> Response {
    if api.drain.ask(Cause::Administrator) {
        tracing::info!(%peer, "the administrator has Viaduct drain");
    }
    body::answer(StatusCode::ACCEPTED, &Draining { is_draining: true })
}
