//! What the API works with, and its routes: which there are, and which only an administrator may use.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use tokio::sync::Semaphore;

use crate::balance::backend::BackendSlot;
use crate::control::drain::DrainHandle;
use crate::control::pool::MemberSpec;
use crate::control::reload::Reload;
use crate::control::steward::PoolHandle;
use crate::metrics::admin::{Action, ActionOutcome, AdminCells};
use crate::metrics::cells::ShardCells;
use crate::metrics::pool::PoolCells;
use crate::metrics::reload::ReloadCells;
use crate::proxy::names::exchange::Exchange;

use super::guard::Guard;
use super::log::{self, LogFilter};
use super::problem::Problem;
use super::rates::Rates;
use super::{backends, changes, ending, explaining, openapi, preview, reloading, status};

/// Reads a list of backends, which may take seconds, or says what is wrong with it.
pub type Admit = dyn Fn(&str) -> Result<Vec<MemberSpec>, Problem> + Send + Sync;

/// How handlers get at the API.
pub(super) type Shared = State<Arc<Api>>;

/// What the API works with.
pub struct Api {
    /// By what the pool is changed and watched.
    pub pool: PoolHandle,
    /// What each shard counts.
    pub shards: Vec<Arc<ShardCells>>,
    /// What is counted of the pool.
    pub pool_cells: Arc<PoolCells>,
    /// What the backends were sent in the last seconds.
    pub rates: Rates,
    /// What is counted of the API itself.
    pub cells: Arc<AdminCells>,
    /// Who may change anything.
    pub guard: Guard,
    /// How a backend's entry is read.
    pub admit: Arc<Admit>,
    /// The names that are known.
    pub names: Arc<Exchange>,
    /// What is logged.
    pub log: Arc<LogFilter>,
    /// By what Viaduct is told to drain.
    pub drain: DrainHandle,
    /// By what settings are read again; `None` where they are not read from anywhere.
    pub reload: Option<Reload>,
    /// How often they were, and the digest of those in force.
    pub reloads: Arc<ReloadCells>,
    /// When the process started.
    pub started: (Instant, SystemTime),
    /// In which second from then somebody was last told in the log to be unauthorised: once in each is enough, as anybody may try.
    pub unauthorised_told_s: AtomicU64,
    /// Whoever holds it makes a table to look at; one does at a time.
    pub previews: Semaphore,
}

impl Api {
    /// How many requests the backend in a slot was sent since the start.
    pub(super) fn requests(&self, slot: BackendSlot) -> u64 {
        self.shards.iter().map(|cells| cells.backends().request_count(slot)).sum()
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("guard", &self.guard).field("log", &self.log).finish_non_exhaustive()
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A route of the API.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What an administrator does by it; `None` where anybody may use it.
    pub(super) action: Option<Action>,
    handlers: MethodRouter<Arc<Api>>,
}

/// Every route. What a running Viaduct would do with a message is for administrators alone: an explanation has signatures in
/// it, of pins, flows and ways back, and whoever gets any that he likes can send through Viaduct wherever he likes.
pub(super) fn routes() -> Vec<Route> {
    let open = |path, handlers| Route { method: Method::GET, path, action: None, handlers };
    let change = |method, path, action, handlers| Route { method, path, action: Some(action), handlers };
    vec![
        open("/api/pool", get(backends::show_all)),
        open("/api/backends/{name}", get(backends::show)),
        open("/api/status", get(status::show)),
        open("/api/log", get(log::show)),
        open("/api/openapi.json", get(openapi::show)),
        change(Method::POST, "/api/backends", Action::Add, post(changes::add)),
        change(Method::DELETE, "/api/backends/{name}", Action::Remove, delete(changes::remove)),
        change(Method::PUT, "/api/backends/{name}/weight", Action::Weight, put(changes::weigh)),
        change(Method::POST, "/api/backends/{name}/drain", Action::Drain, post(changes::drain)),
        change(Method::POST, "/api/backends/{name}/undrain", Action::Undrain, post(changes::undrain)),
        change(Method::POST, "/api/backends/{name}/disable", Action::Disable, post(changes::disable)),
        change(Method::POST, "/api/backends/{name}/enable", Action::Enable, post(changes::enable)),
        change(Method::POST, "/api/drain", Action::DrainViaduct, post(ending::drain)),
        change(Method::PUT, "/api/log", Action::Log, put(log::set)),
        change(Method::POST, "/api/reload", Action::Reload, post(reloading::reload)),
        change(Method::POST, "/api/explain", Action::Explain, post(explaining::explain)),
        change(Method::POST, "/api/preview", Action::Preview, post(preview::preview)),
    ]
}

/// The routes as a router.
pub(super) fn router(api: Arc<Api>) -> Router {
    let mut router = Router::new();
    for Route { method, path, action, handlers } in routes() {
        debug_assert!(action.is_some() || method == Method::GET, "{path} changes something for anybody");
        let guarded = match action {
            Some(action) => handlers.route_layer(from_fn_with_state((api.clone(), action), guarded)),
            None => handlers,
        };
        router = router.route(path, guarded);
    }
    router.fallback(no_such_path).method_not_allowed_fallback(no_such_method).with_state(api)
}

/// Lets administrators through alone, and counts what comes of what they ask for.
async fn guarded(
    State((api, action)): State<(Arc<Api>, Action)>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(problem) = api.guard.check(peer, request.headers()) {
        api.cells.action(action, ActionOutcome::Unauthorised);
        // Not 0, which is before any.
        let second = api.started.0.elapsed().as_secs() + 1;
        if api.unauthorised_told_s.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(%peer, action = action.label(), problem.detail, "not authorised on the admin listener");
        }
        return problem.into_response();
    }
    let response = next.run(request).await;
    let is_made = response.status().is_success();
    api.cells.action(action, if is_made { ActionOutcome::Made } else { ActionOutcome::Refused });
    response
}

async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path", "a path of /api/openapi.json")
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail, "a method of the header Allow")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::openapi::DOCUMENT;

    #[test]
    fn the_description_names_every_route_and_no_other_and_who_may_use_it() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                let is_open = operation["security"].as_array().unwrap().is_empty();
                described.push((method.to_uppercase(), path.clone(), is_open));
            }
        }
        let route = |route: Route| (route.method.to_string(), route.path.to_owned(), route.action.is_none());
        let mut there: Vec<_> = routes().into_iter().map(route).collect();
        described.sort();
        there.sort();
        assert_eq!(described, there);
    }

    #[test]
    fn whatever_is_no_mere_look_is_for_administrators() {
        assert!(routes().iter().all(|route| (route.method == Method::GET) == route.action.is_none()));
    }
}
