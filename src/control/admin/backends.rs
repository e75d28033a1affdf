//! The pool as a document: each backend with its standing, its part of the calls, and what is counted of it.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::balance::backend::BackendId;
use crate::balance::standing::Hold;
use crate::control::pool::member::Member;
use crate::control::steward::PoolState;
use crate::metrics::latency::{BOUNDS_US, Total};
use crate::metrics::pool::ProbeOutcome;
use crate::proxy::latency::{MethodClass, Phase};

use super::api::{Api, Shared};
use super::body;
use super::problem::Problem;

/// The pool.
#[derive(Debug, Serialize)]
pub(super) struct PoolDocument {
    /// Whether calls go to backends that are down, because all are.
    is_panic: bool,
    /// The upper bounds of the buckets of response times, in milliseconds.
    bounds_ms: Vec<f64>,
    backends: Vec<BackendDocument>,
}

/// One backend.
#[derive(Debug, Serialize)]
pub(super) struct BackendDocument {
    name: String,
    address: String,
    transport: &'static str,
    source: String,
    standing: &'static str,
    why: &'static str,
    word: &'static str,
    health: &'static str,
    last_probe: Option<LastProbe>,
    /// Why it gets no new calls though it is up.
    held_back: Option<&'static str>,
    /// For how long, where that is known.
    held_back_s: Option<f64>,
    /// How long it keeps the calls that it has, where it was removed.
    leaving_s: Option<f64>,
    weight: u16,
    /// That of its list, where the administrator has set another.
    weight_listed: u16,
    weight_effective: f64,
    share: f64,
    requests: u64,
    /// Over the last five seconds.
    requests_per_s: f64,
    responses: BTreeMap<&'static str, u64>,
    probes: BTreeMap<&'static str, u64>,
    ejections: u64,
    response_times: Vec<ResponseTimes>,
}

#[derive(Debug, Serialize)]
struct LastProbe {
    outcome: &'static str,
    /// In Unix time.
    at_s: f64,
    ago_s: f64,
}

/// How long a backend took, since the start; without those that it had none of.
#[derive(Debug, Serialize)]
struct ResponseTimes {
    phase: &'static str,
    method_class: &'static str,
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    /// How many fell into each bucket alone; one more than there are bounds.
    counts: Vec<u64>,
}

const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

pub(super) async fn show_all(State(api): Shared) -> Response {
    let state = api.pool.state().borrow().clone();
    let document = PoolDocument {
        is_panic: state.snapshot.roster().is_panic(),
        bounds_ms: BOUNDS_US.iter().map(|bound| f64::from(*bound) / 1000.0).collect(),
        backends: state.members.iter().map(|member| document(&api, &state, member)).collect(),
    };
    body::answer(StatusCode::OK, &document)
}

pub(super) async fn show(State(api): Shared, Path(name): Path<String>) -> Result<Response, Problem> {
    one(&api, &name).map(|document| body::answer(StatusCode::OK, &document))
}

/// One backend as it is.
pub(super) fn one(api: &Api, name: &str) -> Result<BackendDocument, Problem> {
    let state = api.pool.state().borrow().clone();
    let member = state.members.iter().find(|member| member.spec.backend.name == name);
    member.map(|member| document(api, &state, member)).ok_or_else(|| Problem::no_backend(name))
}

fn document(api: &Api, state: &PoolState, member: &Member) -> BackendDocument {
    let (now, slot, backend) = (Instant::now(), member.slot, &member.spec.backend);
    let index = state.snapshot.pool().by_id(BackendId::of_name(&backend.name));
    let roster = state.snapshot.roster();
    let part = index.and_then(|index| roster.part(index));
    let total = |count: &dyn Fn(&crate::metrics::backends::BackendCells) -> u64| -> u64 {
        api.shards.iter().map(|cells| count(cells.backends())).sum()
    };
    let left = |until: Instant| until.saturating_duration_since(now).as_secs_f64();
    let responses = CLASSES.into_iter().enumerate();
    let (requests, hold) = (api.requests(slot), member.hold(now));
    let standing = part.map_or(member.standing(), |part| part.standing);
    BackendDocument {
        name: backend.name.clone(),
        address: backend.address.to_string(),
        transport: member.spec.transport.label(),
        source: member.source.to_string(),
        standing: standing.label(),
        why: hold.map_or(member.why(), because),
        word: member.word.label(),
        health: member.health.label(),
        last_probe: api.pool_cells.last_probe(slot).map(last_probe),
        held_back: hold.map(Hold::label),
        held_back_s: hold.and_then(|hold| until(member, hold)).map(left),
        leaving_s: member.leaving.map(left),
        weight: member.weight().value(),
        weight_listed: backend.weight.value(),
        weight_effective: part.map_or(0.0, |part| part.weight),
        share: index.map_or(0.0, |index| roster.share(index)),
        requests,
        requests_per_s: api.rates.requests_per_s(slot, requests, now),
        responses: responses.map(|(at, class)| (class, total(&|cells| cells.response_count(slot, at)))).collect(),
        probes: ProbeOutcome::ALL.map(|outcome| (outcome.label(), api.pool_cells.probe_count(slot, outcome))).into(),
        ejections: api.pool_cells.ejection_count(slot),
        response_times: response_times(api, member),
    }
}

fn because(hold: Hold) -> &'static str {
    match hold {
        Hold::Overloaded => "it takes no new calls",
        Hold::RetryAfter => "it asked for a rest by Retry-After",
        Hold::Outlier => "it stood out, and gets no new calls for a while",
    }
}

fn until(member: &Member, hold: Hold) -> Option<Instant> {
    match hold {
        Hold::Overloaded => None,
        Hold::RetryAfter => member.rests_until,
        Hold::Outlier => member.aside_until,
    }
}

fn last_probe((outcome, at_ms): (ProbeOutcome, u64)) -> LastProbe {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let ago_s = now_ms.saturating_sub(at_ms) as f64 / 1000.0;
    LastProbe { outcome: outcome.label(), at_s: at_ms as f64 / 1000.0, ago_s }
}

fn response_times(api: &Api, member: &Member) -> Vec<ResponseTimes> {
    let kinds = Phase::ALL.into_iter().flat_map(|phase| MethodClass::ALL.map(|class| (phase, class)));
    let times = |(phase, class): (Phase, MethodClass)| {
        let mut total = Total::default();
        api.shards.iter().for_each(|cells| cells.backends().add_latency(member.slot, phase, class, &mut total));
        let within_ms = |part| total.quantile_us(part).map(|us| us / 1000.0);
        Some(ResponseTimes {
            phase: phase.label(),
            method_class: class.label(),
            count: total.count(),
            p50_ms: within_ms(0.5)?,
            p90_ms: within_ms(0.9)?,
            p99_ms: within_ms(0.99)?,
            counts: total.counts().to_vec(),
        })
    };
    kinds.filter_map(times).collect()
}
