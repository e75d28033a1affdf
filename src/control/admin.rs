//! The HTTP listener for operators and Prometheus: metrics, health, the API and the status page.
//!
//! | module | charge |
//! | --- | --- |
//! | [`api`] | what the API works with, and its routes |
//! | [`guard`] | who may change anything |
//! | `backends`, `status`, [`rates`] | what is shown |
//! | `changes`, `preview`, `explaining`, `reloading`, [`log`], `ending` | what an administrator does |
//! | `page` | the status page |
//! | [`openapi`] | the description of the API |
//! | [`body`], [`problem`] | bodies within limits, and what is wrong with them |
//! | `listener` | connections, within limits |
//!
//! A port of its own for changes looked safer. Two ports are two things to open, and what needs guarding is the change: it needs a
//! token wherever it comes from, or, where none is set, to come from this machine.

pub mod api;
mod backends;
pub mod body;
mod changes;
mod ending;
mod explaining;
pub mod guard;
mod listener;
pub mod log;
pub mod openapi;
mod page;
mod preview;
pub mod problem;
pub mod rates;
mod reloading;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::metrics::admin::AdminCells;
use crate::metrics::collector::Metrics;

use api::Api;
use problem::Problem;

/// What the listener shows besides the API.
#[derive(Debug)]
pub struct Admin {
    /// The metrics page.
    pub metrics: Metrics,
    /// Whether this copy is to get traffic.
    pub ready: AtomicBool,
}

/// How many requests to the API are under way at most.
const REQUESTS_MAX: usize = 32;

/// How long one may take: the table of the largest pool takes less.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Whose list a previewed one stands for: the settings'.
const PREVIEWED_SOURCE: &str = "VIADUCT_BACKENDS";

/// What every answer says to browsers: nothing is to be kept, guessed, framed, or shown to other sites.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Serves until `stop` is told or dropped.
pub async fn serve(
    listener: TcpListener,
    admin: Arc<Admin>,
    api: Arc<Api>,
    stop: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let cells = api.cells.clone();
    tokio::select! {
        served = listener::serve(listener, router(admin, api.clone()), cells, stop) => served,
        () = rates::note_each_second(&api) => Ok(()),
    }
}

fn router(admin: Arc<Admin>, api: Arc<Api>) -> Router {
    let limits = Arc::new(Limits { room: Semaphore::new(REQUESTS_MAX), cells: api.cells.clone() });
    let limited = Router::new()
        .route("/", get(page::show))
        .merge(api::router(api))
        .layer(from_fn_with_state(limits, within_limits));
    // What orchestrators and Prometheus ask for is cheap, and must be answered however many ask for more.
    let always = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(admin);
    always.merge(limited).layer(from_fn(with_headers))
}

struct Limits {
    room: Semaphore,
    cells: Arc<AdminCells>,
}

/// Turns away what is too much at a time or takes too long.
async fn within_limits(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = limits.room.try_acquire() else {
        limits.cells.turned_away.add(1);
        return Problem::busy(format!("{REQUESTS_MAX} requests are under way already")).into_response();
    };
    let answered = timeout(REQUEST_TIMEOUT, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let seconds = REQUEST_TIMEOUT.as_secs();
        Problem::busy(format!("it took longer than {seconds} s; a change may have been made all the same"))
            .into_response()
    })
}

async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, &'static str) {
    if admin.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// A name as a segment of a path: all that is not unreserved stands as %XX (RFC 3986 §2.3).
pub fn percent_encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}
