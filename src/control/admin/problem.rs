//! What is wrong with a request, as an answer (RFC 9457): what is wrong, and what would be right.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::balance::pool::PoolError;
use crate::control::steward::Ended;

/// An answer that says why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// What is wrong.
    pub detail: String,
    /// What would be right, where that can be said.
    pub right: Option<String>,
}

impl Problem {
    /// Of that status, with what is wrong and what would be right.
    pub fn new(status: StatusCode, detail: impl ToString, right: impl ToString) -> Self {
        Problem { status, detail: detail.to_string(), right: Some(right.to_string()) }
    }

    /// What is asked for is well-formed and makes no sense.
    pub fn senseless(detail: impl ToString, right: impl ToString) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail, right)
    }

    /// It cannot be read.
    pub fn unreadable(detail: impl ToString, right: impl ToString) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, detail, right)
    }

    /// It does not go with the pool as it is.
    pub fn conflict(detail: impl ToString, right: impl ToString) -> Self {
        Problem::new(StatusCode::CONFLICT, detail, right)
    }

    /// There is no such backend.
    pub fn no_backend(name: &str) -> Self {
        let detail = format!("no backend is named `{name}`");
        Problem::new(StatusCode::NOT_FOUND, detail, "a name that GET /api/pool shows")
    }

    /// Too much is asked for at a time.
    pub fn busy(detail: impl ToString) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail, "the same a little later")
    }
}

impl From<PoolError> for Problem {
    fn from(error: PoolError) -> Self {
        Problem::conflict(error, "each name and each address once, at most 4096")
    }
}

impl From<Ended> for Problem {
    fn from(Ended: Ended) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Problem { status, detail: "the process ends, so nothing is changed any more".to_owned(), right: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, detail, right } = self;
        let title = status.canonical_reason().unwrap_or("Problem");
        let mut body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
        if let Some(right) = right {
            body["right"] = right.into();
        }
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], format!("{body}\n")).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"viaduct\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
