//! What would come of a change of the pool: which part of new calls would move, from whom to whom, and whose dialogs.
//!
//! The change is made to a copy of the pool, and the copy's table is compared with the one in force place by place. To reckon it from
//! the weights looked cheaper; the auctions' outcome is what calls meet with, and it differs by chance from any reckoning.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::balance::backend::BackendIndex;
use crate::balance::past::Past;
use crate::balance::roster::Roster;
use crate::balance::table::PLACES;
use crate::control::pool::{LivingPool, MemberSpec};
use crate::proxy::snapshot::{OnLostPin, Snapshot};

use super::api::{Api, Shared};
use super::changes::{self, Order};
use super::problem::Problem;
use super::{PREVIEWED_SOURCE, body};

/// What is proposed: a whole list, or single changes one after another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal {
    /// A list in the place of VIADUCT_BACKENDS.
    backends: Option<String>,
    #[serde(default)]
    changes: Vec<ChangeBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    action: ActionWord,
    /// Of whom; not for `add`.
    name: Option<String>,
    /// For `weight` alone; without, that of the list.
    weight: Option<serde_json::Number>,
    /// For `add` alone.
    backend: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ActionWord {
    Drain,
    Undrain,
    Disable,
    Enable,
    Weight,
    Add,
    Remove,
}

enum Step {
    List(Vec<MemberSpec>),
    Join(MemberSpec),
    Change(String, Order),
}

/// What would come of it.
#[derive(Debug, PartialEq, Serialize)]
struct PreviewDocument {
    /// The part of all new calls that would go to another backend.
    moved: f64,
    /// From whom to whom, the largest first.
    moves: Vec<Move>,
    /// The part of those moves that are too many to be named.
    moved_unnamed: f64,
    backends: Vec<Shares>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Move {
    /// `null`: nobody.
    from: Option<String>,
    to: Option<String>,
    share: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Shares {
    name: String,
    share_before: f64,
    share_after: f64,
    /// `none`: it has none that are pinned; `stay`, `stay_for_a_while`: until it is gone, then as the next ones; `rehashed`,
    /// `refused`: by VIADUCT_LOST_PIN.
    dialogs: &'static str,
}

/// More changes than these are a list.
const CHANGES_MAX: usize = 256;

/// The most moves that are named.
const MOVES_MAX: usize = 1000;

const RIGHT: &str = r#"{"backends": "LIST"} or {"changes": [{"action": "drain", "name": "NAME"}]}"#;

pub(super) async fn preview(State(api): Shared, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let proposal: Proposal = body::json(&headers, body, RIGHT).await?;
    let steps = steps(&api, proposal).await?;
    let Ok(_permit) = api.previews.try_acquire() else {
        return Err(Problem::busy("another preview is being made"));
    };
    let mut pool = api.pool.change(|pool, _| pool.settled()).await?;
    let snapshot = api.pool.state().borrow().snapshot.clone();
    let made = tokio::task::spawn_blocking(move || document(&snapshot, &mut pool, steps)).await;
    let document = made.unwrap_or_else(|_| Err(Problem::busy("the preview was not made")))?;
    Ok(body::answer(StatusCode::OK, &document))
}

async fn steps(api: &Arc<Api>, proposal: Proposal) -> Result<Vec<Step>, Problem> {
    let Proposal { backends, changes } = proposal;
    if backends.is_some() != changes.is_empty() || changes.len() > CHANGES_MAX {
        let detail = format!("it is neither a list nor 1 to {CHANGES_MAX} changes");
        return Err(Problem::senseless(detail, RIGHT));
    }
    let mut steps = Vec::new();
    if let Some(list) = backends {
        steps.push(Step::List(changes::admit(api, list).await?));
    }
    for change in changes {
        steps.push(step(api, change).await?);
    }
    Ok(steps)
}

async fn step(api: &Arc<Api>, change: ChangeBody) -> Result<Step, Problem> {
    let ChangeBody { action, name, weight, backend } = change;
    let is_fit = match action {
        ActionWord::Add => name.is_none() && weight.is_none() && backend.is_some(),
        ActionWord::Weight => name.is_some() && backend.is_none(),
        _ => name.is_some() && weight.is_none() && backend.is_none(),
    };
    if !is_fit {
        let right = "`name` for all but add, `backend` for add alone, `weight` for weight alone";
        return Err(Problem::senseless("a change names too little or too much", right));
    }
    let weight = weight.as_ref().map(changes::weight).transpose()?;
    let order = match action {
        ActionWord::Add => {
            let specs = changes::admit(api, backend.unwrap_or_default()).await?;
            let [spec] = <[MemberSpec; 1]>::try_from(specs)
                .map_err(|_| Problem::senseless("it is not one backend at one address", "name=udp://10.0.0.14:5060"))?;
            return Ok(Step::Join(spec));
        }
        ActionWord::Drain => Order::Drain,
        ActionWord::Undrain => Order::Undrain,
        ActionWord::Disable => Order::Disable,
        ActionWord::Enable => Order::Enable,
        ActionWord::Weight => Order::Weigh(weight),
        ActionWord::Remove => Order::Remove,
    };
    Ok(Step::Change(name.unwrap_or_default(), order))
}

/// Makes the changes to the copy and compares. Takes a few milliseconds a backend.
fn document(now_in_force: &Snapshot, pool: &mut LivingPool, steps: Vec<Step>) -> Result<PreviewDocument, Problem> {
    let now = Instant::now();
    for step in steps {
        match step {
            Step::List(list) => pool.replace(&PREVIEWED_SOURCE.into(), list, now)?,
            Step::Join(spec) => {
                let name = spec.backend.name.clone();
                changes::join(spec, pool, now).map_err(|refusal| refusal.problem(&name))?;
            }
            Step::Change(name, order) => order.make(&name, pool, now).map_err(|refusal| refusal.problem(&name))?,
        }
    }
    let Some((plan, _)) = pool.plan(now) else { return Err(Problem::busy("the preview was not made")) };
    let mut past = Past::new(pool.policy().afterlife, now);
    let after = plan.build(&now_in_force.keys().table, &mut past, now)?;
    Ok(compared(now_in_force, &after, pool))
}

fn compared(snapshot: &Snapshot, after: &Roster, pool: &LivingPool) -> PreviewDocument {
    let before = snapshot.roster();
    let (moved, moves, moved_unnamed) = moves(before, after);
    let leaving = |name: &str| pool.members().any(|m| m.spec.backend.name == name && m.leaving.is_some());
    let lost = match snapshot.policy().on_lost_pin {
        OnLostPin::Rehash => "rehashed",
        OnLostPin::Refuse => "refused",
    };
    let mut names: Vec<&str> = [before, after].iter().flat_map(|roster| named(roster)).collect();
    names.sort_unstable();
    names.dedup();
    let shares = names.into_iter().map(|name| {
        let (was, will_be) = (index(before, name), index(after, name));
        let share = |roster: &Roster, index: Option<BackendIndex>| index.map_or(0.0, |index| roster.share(index));
        let served = was.is_some_and(|index| before.serves(index));
        let dialogs = match will_be.filter(|index| after.serves(*index)) {
            _ if !served => "none",
            Some(_) if leaving(name) => "stay_for_a_while",
            Some(_) => "stay",
            None => lost,
        };
        Shares { name: name.to_owned(), share_before: share(before, was), share_after: share(after, will_be), dialogs }
    });
    PreviewDocument { moved, moves, moved_unnamed, backends: shares.collect() }
}

/// Which part of the key space changes hands, and between whom.
fn moves(before: &Roster, after: &Roster) -> (f64, Vec<Move>, f64) {
    let name = |roster: &Roster, index: BackendIndex| roster.pool().get(index).map(|backend| backend.name.clone());
    // From each place of the pool before to its place after, so that a place in the table is compared by numbers.
    let stays: Vec<_> = named(before).map(|name| index(after, name)).collect();
    let mut counts: HashMap<(Option<BackendIndex>, Option<BackendIndex>), u32> = HashMap::new();
    for (from, to) in before.table().owners().zip(after.table().owners()) {
        let is_same = match from {
            Some(from) => to.is_some() && stays.get(from.get()).copied().flatten() == to,
            None => to.is_none(),
        };
        if !is_same {
            *counts.entry((from, to)).or_default() += 1;
        }
    }
    let share = |places: u32| f64::from(places) / PLACES as f64;
    let moved = share(counts.values().sum());
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_unstable_by_key(|(pair, places)| (std::cmp::Reverse(*places), *pair));
    let unnamed = share(sorted.iter().skip(MOVES_MAX).map(|(_, places)| places).sum());
    let named = sorted.into_iter().take(MOVES_MAX).map(|((from, to), places)| Move {
        from: from.and_then(|index| name(before, index)),
        to: to.and_then(|index| name(after, index)),
        share: share(places),
    });
    (moved, named.collect(), unnamed)
}

fn named(roster: &Roster) -> impl Iterator<Item = &str> {
    roster.pool().backends().iter().map(|backend| backend.name.as_str())
}

fn index(roster: &Roster, name: &str) -> Option<BackendIndex> {
    let backends = roster.pool().backends();
    let place = backends.binary_search_by(|backend| backend.name.as_str().cmp(name)).ok()?;
    Some(BackendIndex(place as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::backend::{Backend, Weight};
    use crate::balance::pool::Pool;
    use crate::control::pool::PoolPolicy;
    use crate::proxy::keys::Keys;
    use crate::proxy::snapshot::Policy;
    use crate::sip::Transport;

    fn spec(name: &str, port: u16) -> MemberSpec {
        let address = ([10, 0, 0, 1], port).into();
        let backend = Backend { name: name.to_owned(), address, host: "10.0.0.1".to_owned(), weight: Weight::DEFAULT };
        MemberSpec { backend, transport: Transport::Udp, also_by_tcp: false }
    }

    fn previewed(steps: Vec<Step>) -> PreviewDocument {
        let specs = vec![spec("a", 1), spec("b", 2), spec("c", 3)];
        let pool = Pool::new(specs.iter().map(|spec| spec.backend.clone()).collect()).unwrap();
        let keys = Keys::derive(b"a secret for tests only").unwrap();
        let snapshot = Snapshot::new(Vec::new(), pool, keys, Policy::default());
        let source = PREVIEWED_SOURCE.into();
        let mut living = LivingPool::new(PoolPolicy::default(), &source, specs, Instant::now()).unwrap();
        document(&snapshot, &mut living, steps).unwrap()
    }

    fn dialogs(document: &PreviewDocument) -> Vec<(&str, &str)> {
        document.backends.iter().map(|shares| (shares.name.as_str(), shares.dialogs)).collect()
    }

    #[test]
    fn nothing_moves_where_nothing_changes() {
        let list = vec![spec("c", 3), spec("b", 2), spec("a", 1)];
        let document = previewed(vec![Step::List(list)]);
        assert_eq!((document.moved, document.moves.len()), (0.0, 0));
        assert_eq!(dialogs(&document), [("a", "stay"), ("b", "stay"), ("c", "stay")]);
    }

    #[test]
    fn a_drain_moves_that_backends_part_alone_and_none_of_its_dialogs() {
        let document = previewed(vec![Step::Change("b".to_owned(), Order::Drain)]);
        assert!((document.moved - 1.0 / 3.0).abs() < 0.01);
        assert!(document.moves.iter().all(|moves| moves.from.as_deref() == Some("b") && moves.share > 0.1));
        assert_eq!(dialogs(&document), [("a", "stay"), ("b", "stay"), ("c", "stay")]);
        assert_eq!(document.backends[1].share_after, 0.0);
    }

    #[test]
    fn one_that_is_disabled_loses_its_dialogs_and_one_that_is_removed_keeps_them_for_a_while() {
        let disabled = previewed(vec![Step::Change("a".to_owned(), Order::Disable)]);
        assert_eq!(dialogs(&disabled)[0], ("a", "rehashed"));
        let list = previewed(vec![Step::List(vec![spec("b", 2), spec("c", 3), spec("aa", 4)])]);
        assert_eq!(dialogs(&list), [("a", "stay_for_a_while"), ("aa", "none"), ("b", "stay"), ("c", "stay")]);
        assert!(list.moves.iter().any(|moves| moves.to.as_deref() == Some("aa")));
        let places: f64 = list.moves.iter().map(|moves| moves.share).sum();
        assert!((places - list.moved).abs() < 1e-9);
    }
}
