//! What is logged, and how that is changed while Viaduct runs.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::api::Shared;
use super::body;
use super::problem::Problem;

/// Puts another filter in force, or says what is wrong with it.
type Change = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// The log's filter.
pub struct LogFilter {
    current: Mutex<String>,
    change: Box<Change>,
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogFilter({})", self.current())
    }
}

/// A filter, as VIADUCT_LOG has it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// One level, or a list of module=level.
    pub level: String,
}

/// The longest filter, in bytes.
const LEVEL_MAX_BYTES: usize = 1024;

impl LogFilter {
    /// The one in force, and by what another is put in its place.
    pub fn new(current: &str, change: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        LogFilter { current: Mutex::new(current.to_owned()), change: Box::new(change) }
    }

    /// The one in force.
    pub fn current(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another in force; an error changes nothing.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.change)(filter)?;
        *current = filter.to_owned();
        Ok(())
    }
}

pub(super) async fn show(State(api): Shared) -> Response {
    body::answer(StatusCode::OK, &Level { level: api.log.current() })
}

pub(super) async fn set(State(api): Shared, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let right = r#"{"level": "info"}"#;
    let Level { level } = body::json(&headers, body, right).await?;
    let words = "off, error, warn, info, debug or trace, or a list of module=level";
    if level.len() > LEVEL_MAX_BYTES {
        return Err(Problem::senseless(format!("the filter has {} bytes", level.len()), words));
    }
    let before = api.log.current();
    api.log.set(&level).map_err(|error| Problem::senseless(error, words))?;
    tracing::info!(before, level, "the log's filter has changed");
    Ok(body::answer(StatusCode::OK, &Level { level }))
}
