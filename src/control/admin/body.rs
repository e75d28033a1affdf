//! Bodies of requests, read within limits, and answers as JSON.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The longest body that is read: a list of as many backends as there may be.
pub const BODY_MAX_BYTES: usize = 512 << 10;

/// The bytes of a body.
pub async fn bytes(body: Body) -> Result<Vec<u8>, Problem> {
    let read = to_bytes(body, BODY_MAX_BYTES).await;
    read.map(|bytes| bytes.to_vec()).map_err(|error| match is_too_long(&error) {
        true => {
            let detail = "the body is too long";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail, format!("at most {BODY_MAX_BYTES} bytes"))
        }
        false => Problem::unreadable(format!("the body ended early: {error}"), "a body as long as the head says"),
    })
}

/// What a body of JSON says. `right` is what it may be.
pub async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body, right: &str) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = format!("Content-Type is `{kind}`");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail, format!("application/json, as {right}")));
    }
    let bytes = bytes(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::unreadable(format!("the body is wrong: {error}"), right))
}

/// An answer as JSON.
pub fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let kind = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, kind)], text + "\n").into_response()
        }
        Err(error) => Problem {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            detail: format!("the answer cannot be written: {error}"),
            right: None,
        }
        .into_response(),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
