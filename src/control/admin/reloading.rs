//! Settings that are read again because the administrator asks for it.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::control::reload::Report;

use super::api::{Peer, Shared};
use super::body;
use super::problem::Problem;

/// What a reload has changed.
#[derive(Debug, Serialize)]
struct Changed {
    changed: Vec<String>,
    config_digest: String,
}

pub(super) async fn reload(State(api): Shared, Extension(Peer(peer)): Extension<Peer>) -> Result<Response, Problem> {
    let Some(reload) = &api.reload else {
        return Err(Problem::conflict(
            "settings are not read from anywhere here",
            "a Viaduct that was started as such",
        ));
    };
    tracing::info!(%peer, "the administrator has settings read again");
    match reload.now().await {
        Ok(Report { changed, digest }) => Ok(body::answer(StatusCode::OK, &Changed { changed, config_digest: digest })),
        Err(refused) => Err(Problem::conflict(refused, "settings that can be used; all is as it was")),
    }
}
