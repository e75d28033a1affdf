//! The HTTP listener for operators and Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::metrics::collector::Metrics;

/// What the listener shows.
#[derive(Debug)]
pub struct Admin {
    /// The metrics page.
    pub metrics: Metrics,
    /// Whether this copy is to get traffic.
    pub ready: AtomicBool,
}

/// Serves until `stop` is told or dropped.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, stop: oneshot::Receiver<()>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(admin);
    let stopped = async {
        let _ = stop.await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
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
