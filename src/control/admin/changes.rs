//! Changes of the pool by the administrator.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Deserializer};

use crate::balance::backend::Weight;
use crate::balance::pool::PoolError;
use crate::control::pool::member::Word;
use crate::control::pool::{LivingPool, MemberSpec};

use super::api::{Api, Peer, Shared};
use super::problem::Problem;
use super::{backends, body};

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// New calls go elsewhere.
    Drain,
    /// It is in use again, where it drained.
    Undrain,
    /// It gets nothing.
    Disable,
    /// It is in use again.
    Enable,
    /// Another weight, or that of its list again.
    Weigh(Option<Weight>),
    /// It leaves.
    Remove,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such backend.
    Unknown,
    /// It was removed, and keeps what it has for a while.
    Leaving,
    /// It is disabled, so it does not drain.
    Disabled,
    /// There is one of that name.
    Exists,
    /// It makes no pool with the others.
    Pool(PoolError),
}

/// Whose list those are that the administrator adds.
pub(super) const SOURCE: &str = "api";

impl Order {
    /// Makes the change.
    pub(super) fn make(self, name: &str, pool: &mut LivingPool, now: Instant) -> Result<(), Refusal> {
        let member = pool.members().find(|member| member.spec.backend.name == name).ok_or(Refusal::Unknown)?;
        if member.leaving.is_some() {
            return Err(Refusal::Leaving);
        }
        let word = member.word;
        let made = match self {
            Order::Undrain if word == Word::Disabled => return Err(Refusal::Disabled),
            Order::Drain => pool.set_word(name, Word::Draining, now),
            Order::Undrain | Order::Enable => pool.set_word(name, Word::Enabled, now),
            Order::Disable => pool.set_word(name, Word::Disabled, now),
            Order::Weigh(weight) => pool.set_weight(name, weight),
            Order::Remove => pool.remove(name, now),
        };
        made.map_err(|_| Refusal::Unknown)
    }

    fn label(&self) -> &'static str {
        match self {
            Order::Drain => "drain",
            Order::Undrain => "undrain",
            Order::Disable => "disable",
            Order::Enable => "enable",
            Order::Weigh(_) => "weight",
            Order::Remove => "remove",
        }
    }
}

/// Adds one that is not there.
pub(super) fn join(spec: MemberSpec, pool: &mut LivingPool, now: Instant) -> Result<(), Refusal> {
    let is_there = pool.members().any(|member| member.leaving.is_none() && member.name() == spec.backend.name);
    if is_there {
        return Err(Refusal::Exists);
    }
    pool.add(&SOURCE.into(), spec, now).map_err(Refusal::Pool)
}

impl Refusal {
    /// As an answer about the backend of that name.
    pub(super) fn problem(self, name: &str) -> Problem {
        match self {
            Refusal::Unknown => Problem::no_backend(name),
            Refusal::Leaving => Problem::conflict(format!("{name} was removed and is leaving"), "one that stays"),
            Refusal::Disabled => Problem::conflict(format!("{name} is disabled, so it does not drain"), "to enable it"),
            Refusal::Exists => {
                Problem::conflict(format!("there is a backend {name}"), "another name, or to change that one")
            }
            Refusal::Pool(error) => error.into(),
        }
    }
}

/// A weight, or `null` for that of the list; it must stand there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightBody {
    #[serde(deserialize_with = "or_null")]
    weight: Option<serde_json::Number>,
}

fn or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<serde_json::Number>, D::Error> {
    Option::deserialize(from)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    backend: String,
}

type Answer = Result<Response, Problem>;
type From = Extension<Peer>;

pub(super) async fn drain(State(api): Shared, Extension(peer): From, Path(name): Path<String>) -> Answer {
    change(&api, peer, name, Order::Drain).await
}

pub(super) async fn undrain(State(api): Shared, Extension(peer): From, Path(name): Path<String>) -> Answer {
    change(&api, peer, name, Order::Undrain).await
}

pub(super) async fn disable(State(api): Shared, Extension(peer): From, Path(name): Path<String>) -> Answer {
    change(&api, peer, name, Order::Disable).await
}

pub(super) async fn enable(State(api): Shared, Extension(peer): From, Path(name): Path<String>) -> Answer {
    change(&api, peer, name, Order::Enable).await
}

pub(super) async fn remove(State(api): Shared, Extension(peer): From, Path(name): Path<String>) -> Answer {
    change(&api, peer, name, Order::Remove).await
}

pub(super) async fn weigh(
    State(api): Shared,
    Extension(peer): From,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let WeightBody { weight } = body::json(&headers, body, r#"{"weight": 10}"#).await?;
    change(&api, peer, name, Order::Weigh(weight.map(|number| self::weight(&number)).transpose()?)).await
}

/// A weight from a number.
pub(super) fn weight(number: &serde_json::Number) -> Result<Weight, Problem> {
    let whole = number.as_f64().filter(|value| value.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(value));
    let weight = whole.and_then(|value| Weight::new(value as u32));
    weight.ok_or_else(|| Problem::senseless(format!("the weight is {number}"), "a whole number from 0 to 1000"))
}

pub(super) async fn add(State(api): Shared, Extension(Peer(peer)): From, headers: HeaderMap, body: Body) -> Answer {
    let right = r#"{"backend": "name=udp://10.0.0.14:5060;weight=1"}"#;
    let AddBody { backend } = body::json(&headers, body, right).await?;
    let mut specs = admit(&api, backend).await?;
    let (Some(spec), true) = (specs.pop(), specs.is_empty()) else {
        return Err(Problem::senseless("it is not one backend at one address", right));
    };
    let (name, weight) = (spec.backend.name.clone(), spec.backend.weight);
    let (address, transport) = (spec.backend.address, spec.transport.label());
    let joined = api.pool.change(move |pool, now| join(spec, pool, now)).await?;
    joined.map_err(|refusal| refusal.problem(&name))?;
    tracing::info!(%peer, name, transport, %address, %weight, "the administrator has added a backend");
    let mut response = body::answer(StatusCode::CREATED, &backends::one(&api, &name)?);
    if let Ok(location) = HeaderValue::from_str(&format!("/api/backends/{}", super::percent_encoded(&name))) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Reads a list of backends on a thread that may wait for a name server.
pub(super) async fn admit(api: &Arc<Api>, list: String) -> Result<Vec<MemberSpec>, Problem> {
    let admit = api.admit.clone();
    let read = tokio::task::spawn_blocking(move || admit(&list)).await;
    read.unwrap_or_else(|_| Err(Problem::busy("the list could not be read")))
}

async fn change(api: &Arc<Api>, Peer(peer): Peer, name: String, order: Order) -> Answer {
    let (action, of) = (order.label(), name.clone());
    let weight = if let Order::Weigh(Some(weight)) = &order { Some(weight.value()) } else { None };
    let made = api.pool.change(move |pool, now| order.make(&of, pool, now)).await?;
    made.map_err(|refusal| refusal.problem(&name))?;
    tracing::info!(%peer, name, action, weight, "the administrator has changed a backend");
    Ok(body::answer(StatusCode::OK, &backends::one(api, &name)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::Backend;
    use crate::control::pool::PoolPolicy;
    use crate::sip::Transport;

    fn spec(name: &str, port: u16) -> MemberSpec {
        let address = ([10, 0, 0, 1], port).into();
        let backend = Backend { name: name.to_owned(), address, host: "10.0.0.1".to_owned(), weight: Weight::DEFAULT };
        MemberSpec { backend, transport: Transport::Udp, also_by_tcp: false }
    }

    fn pool(now: Instant) -> LivingPool {
        LivingPool::new(PoolPolicy::default(), &"list".into(), vec![spec("a", 1), spec("b", 2)], now).unwrap()
    }

    #[test]
    fn a_removed_backend_takes_no_further_change_and_may_be_added_again() {
        let now = Instant::now();
        let mut pool = pool(now);
        assert_eq!(Order::Remove.make("a", &mut pool, now), Ok(()));
        assert_eq!(Order::Drain.make("a", &mut pool, now), Err(Refusal::Leaving));
        assert_eq!(Order::Remove.make("a", &mut pool, now), Err(Refusal::Leaving));
        assert_eq!(join(spec("a", 1), &mut pool, now), Ok(()));
        assert_eq!(Order::Drain.make("a", &mut pool, now), Ok(()));
        assert_eq!(join(spec("a", 3), &mut pool, now), Err(Refusal::Exists));
        assert!(matches!(join(spec("c", 2), &mut pool, now), Err(Refusal::Pool(PoolError::AddressTwice(_)))));
        assert_eq!(Order::Drain.make("z", &mut pool, now), Err(Refusal::Unknown));
    }

    #[test]
    fn a_disabled_backend_is_enabled_and_not_undrained() {
        let now = Instant::now();
        let mut pool = pool(now);
        Order::Disable.make("a", &mut pool, now).unwrap();
        assert_eq!(Order::Undrain.make("a", &mut pool, now), Err(Refusal::Disabled));
        Order::Drain.make("a", &mut pool, now).unwrap();
        Order::Undrain.make("a", &mut pool, now).unwrap();
        assert!(pool.members().all(|member| member.word == Word::Enabled));
    }

    #[test]
    fn a_weight_is_a_whole_number_however_it_is_written() {
        let of = |text: &str| weight(&serde_json::from_str(text).unwrap()).map(Weight::value).ok();
        assert_eq!([of("0"), of("7.0"), of("1e3")], [Some(0), Some(7), Some(1000)]);
        assert_eq!([of("1001"), of("-1"), of("1.5"), of("1e99"), of("18446744073709551615")], [None; 5]);
    }
}
