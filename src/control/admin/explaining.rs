//! What would be done with a message, by what is in force.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::explain::{self, Asked, MAX_MESSAGE_BYTES};

use super::api::Shared;
use super::body;
use super::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    source: SocketAddr,
    listener: Option<u8>,
    local: Option<IpAddr>,
}

#[derive(Serialize)]
struct ExplanationDocument {
    outcome: &'static str,
    backend: Option<String>,
    lines: Vec<Line>,
    sent: Option<String>,
}

#[derive(Serialize)]
struct Line {
    word: &'static str,
    text: String,
}

pub(super) async fn explain(
    State(api): Shared,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let right = "?source=ADDRESS:PORT, and perhaps &listener=NUMBER and &local=ADDRESS";
    let Query(Parameters { source, listener, local }) =
        parameters.map_err(|rejection| Problem::unreadable(rejection.body_text(), right))?;
    let message = body::bytes(body).await?;
    if message.len() > MAX_MESSAGE_BYTES {
        let right = format!("one SIP message of at most {MAX_MESSAGE_BYTES} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "no datagram is as long", right));
    }
    let (snapshot, names) = (api.pool.state().borrow().snapshot.clone(), api.names.current());
    let told = explain::explain(&snapshot, &names, &Asked { source, listener, local }, &message);
    let explanation = told.map_err(|refused| Problem::senseless(&refused, &refused.right))?;
    if wants_text(&headers) {
        return Ok(explanation.to_string().into_response());
    }
    let lines = explanation.lines.into_iter().map(|(word, text)| Line { word, text }).collect();
    let sent = Some(explanation.sent).filter(|sent| !sent.is_empty());
    let document = ExplanationDocument { outcome: explanation.outcome, backend: explanation.backend, lines, sent };
    Ok(body::answer(StatusCode::OK, &document))
}

/// Whether who asks wants text: it is JSON unless text is named, and JSON is not named before it.
fn wants_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match (accept.find("text/plain"), accept.find("application/json")) {
        (Some(text), Some(json)) => text < json,
        (text, _) => text.is_some(),
    }
}
