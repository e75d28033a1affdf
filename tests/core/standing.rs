//! What becomes of new calls and of dialogs as backends drain, die and come back.

use viaduct::balance::backend::BackendIndex;
use viaduct::balance::roster::Roster;
use viaduct::balance::standing::{Part, Standing};
use viaduct::proxy::snapshot::{OnLostPin, Policy, Snapshot};
use viaduct::proxy::verdict::Verdict;
use viaduct::sip::reply::Status;

use crate::support::{decided, pool, snapshot_of};

const CLIENT: &str = "198.51.100.7:5060";

/// The usual snapshot with the first member standing so, and all others up.
fn with_first(standing: Standing, is_panic: bool, on_lost_pin: OnLostPin) -> Snapshot {
    let base = snapshot_of(pool());
    let policy = Policy { on_lost_pin, ..base.policy().clone() };
    let base = Snapshot::new(base.listeners().to_vec(), pool(), base.keys().clone(), policy);
    let part = |index: u16| {
        let mut part = *base.roster().part(BackendIndex(index)).unwrap();
        if index == 0 {
            let serves = standing != Standing::Down || is_panic;
            part = Part { standing, weight: f64::from(u8::from(standing == Standing::Up || is_panic)), serves, ..part };
        }
        part
    };
    let parts = (0..pool().backends().len() as u16).map(part).collect();
    base.with_roster(Roster::of(&base.keys().table, pool(), parts, is_panic), Vec::new())
}

fn message(method: &str, call: usize, rest: &str) -> String {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK{method}{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n{rest}\r\n"
    )
}

/// Where a request goes, and what is sent.
fn sent(snapshot: &Snapshot, message: &str) -> (Option<BackendIndex>, Verdict, String) {
    let (decision, bytes) = decided(snapshot, message.as_bytes(), CLIENT);
    let backend = match decision.verdict {
        Verdict::Forward { backend, .. } => backend,
        _ => None,
    };
    (backend, decision.verdict, String::from_utf8(bytes).unwrap())
}

/// The Routes of the dialogs that begin at the first member while it is up: with our Record-Route, and its own.
fn dialogs() -> Vec<(usize, [String; 2])> {
    let up = with_first(Standing::Up, false, OnLostPin::Rehash);
    let of_first = |call: &usize| sent(&up, &message("INVITE", *call, "")).0 == Some(BackendIndex(0));
    let route = |call: usize| {
        let (_, _, text) = sent(&up, &message("INVITE", call, ""));
        let value = text.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap();
        let pinned = format!("Route: {value}\r\n");
        (call, [pinned.clone(), format!("{pinned}Route: <sip:10.0.0.11:5060;lr>\r\n")])
    };
    (0..200).filter(of_first).map(route).collect()
}

#[test]
fn a_draining_backend_keeps_its_dialogs_and_gets_no_new_calls() {
    let draining = with_first(Standing::Draining, false, OnLostPin::Refuse);
    for (call, routes) in dialogs() {
        assert_ne!(sent(&draining, &message("INVITE", call, "")).0, Some(BackendIndex(0)));
        for route in routes {
            assert_eq!(sent(&draining, &message("BYE", call, &route)).0, Some(BackendIndex(0)));
        }
    }
}

#[test]
fn a_dead_backends_dialogs_go_to_the_owners_of_their_call_ids_or_are_answered_481_as_is_set() {
    for policy in [OnLostPin::Rehash, OnLostPin::Refuse] {
        let down = with_first(Standing::Down, false, policy);
        for (call, routes) in dialogs() {
            let (owner, ..) = sent(&down, &message("INVITE", call, ""));
            assert!(owner.is_some_and(|owner| owner != BackendIndex(0)));
            for route in routes {
                let (backend, verdict, _) = sent(&down, &message("BYE", call, &route));
                match policy {
                    OnLostPin::Rehash => assert_eq!(backend, owner),
                    OnLostPin::Refuse => {
                        assert!(matches!(verdict, Verdict::Answer { status: Status::NoSuchCall, .. }), "{verdict:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn where_all_are_down_calls_and_dialogs_go_on_as_if_all_were_up() {
    let panic = with_first(Standing::Down, true, OnLostPin::Refuse);
    for (call, routes) in dialogs() {
        assert_eq!(sent(&panic, &message("INVITE", call, "")).0, Some(BackendIndex(0)));
        for route in routes {
            assert_eq!(sent(&panic, &message("BYE", call, &route)).0, Some(BackendIndex(0)));
        }
    }
}
