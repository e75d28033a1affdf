//! Good connections among hostile ones: the good are not held up, and of the others nothing stays.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::backend::Backend;
use crate::client::{Client, keep_calling, place_calls};
use crate::hostile::{Conduct, see_end};
use crate::viaduct::{Metrics, Viaduct};
use crate::{PATIENCE, on_each_engine, until};

const GOOD: usize = 100;

/// How many connections of each kind of hostile clients a storm has.
const OF_EACH: usize = 20;

/// How many storms there are.
pub const STORMS: usize = 3;

/// What hostile clients do in each storm. Silence takes long: those that are silent are so through all storms.
const IN_EACH_STORM: [Conduct; 8] = [
    Conduct::Vanishes,
    Conduct::Resets,
    Conduct::Leaves,
    Conduct::FinishesSending,
    Conduct::StopsInMidMessage,
    Conduct::NeverReads,
    Conduct::TalksNonsense,
    Conduct::ReadsSlowly,
];

/// How many connections that read slowly come before the storms, so that buffers are kept already, as many as will be
/// needed.
const FIRST: usize = 100;

/// No call takes longer. Other tests share the processor; a connection that held up the others would do so until a
/// time-out ends it, or for ever.
const SLOWEST: Duration = Duration::from_secs(2);

/// By how much resident memory may grow from one storm to the next like it: what an allocator has left over.
const GROWTH_BYTES: u64 = 4 << 20;

/// By how much it may grow from before the storms: buffers for parts of messages are kept for the next ones.
const KEPT_BYTES: u64 = 16 << 20;

const SETTINGS: [(&str, &str); 5] = [
    ("QUEUE_BYTES", "131072"),
    ("MESSAGE_TIMEOUT_S", "1"),
    ("CONNECTION_IDLE_S", "10"),
    ("TCP_USER_TIMEOUT_MS", "5000"),
    ("TCP_KEEPALIVE_S", "1"),
];

#[test]
fn hostile_connections_hold_up_no_other_and_leave_nothing_behind() {
    on_each_engine(|engine| {
        let backends = [Backend::tcp(11), Backend::tcp(12)];
        let urls = backends.each_ref().map(|backend| backend.url.clone());
        let viaduct = Viaduct::start(engine, &urls, &SETTINGS);
        let descriptors = viaduct.descriptors_at_rest();
        let connect = |number| Client::connect(viaduct.address, &format!("good-{number}"));
        let mut good: Vec<Client> = (0..GOOD).map(connect).collect();
        place_calls(&mut good, 1, 1, 10);

        Conduct::ReadsSlowly.show(viaduct.address, "first", FIRST);

        let silent = Conduct::IsSilent.show(viaduct.address, "silent", OF_EACH);
        let before = viaduct.resident_bytes();
        let after = storms(&viaduct, &mut good, OF_EACH, |number| {
            let to = viaduct.address;
            at_once(
                IN_EACH_STORM
                    .into_iter()
                    .map(|conduct| move || conduct.show(to, &format!("{conduct:?}-{number}"), OF_EACH)),
            )
        });
        assert_memory_returns(before, &after);
        until("silent connections end", 2 * PATIENCE, || {
            place_calls(&mut good, 1, 1, 10);
            viaduct.client_connections() == GOOD as u64
        });
        drop((silent, good));
        until("all clients' connections end", PATIENCE, || viaduct.client_connections() == 0);
        let metrics = viaduct.metrics_at_rest();
        assert_all_is_counted(&metrics);
        let to_backends = metrics.sum("viaduct_connections", &[("side", "backend")]) as usize;
        until("descriptors are closed", PATIENCE, || viaduct.descriptors() == descriptors + to_backends);
    });
}

/// Has all of these hostile clients do what they do, at the same time; gives the connections that are still open.
pub fn at_once(shows: impl Iterator<Item = impl FnOnce() -> Vec<TcpStream> + Send>) -> Vec<TcpStream> {
    thread::scope(|scope| {
        let shows: Vec<_> = shows.map(|show| scope.spawn(show)).collect();
        shows.into_iter().flat_map(|show| show.join().unwrap()).collect()
    })
}

/// Lets the storms pass while the good clients call, and so many others are silent; gives the resident memory after each.
/// `show` is the storm of a number.
pub fn storms(
    viaduct: &Viaduct,
    good: &mut [Client],
    silent: usize,
    show: impl Fn(usize) -> Vec<TcpStream> + Sync,
) -> Vec<u64> {
    let (is_over, stay) = (AtomicBool::new(false), (good.len() + silent) as u64);
    let half = good.len() / 2;
    thread::scope(|scope| {
        let call = |good| scope.spawn(|| keep_calling(good, || is_over.load(Ordering::Relaxed)));
        let calling: Vec<_> = good.chunks_mut(half).map(call).collect();
        let storms = scope.spawn(|| (1..=STORMS).map(|number| storm(viaduct, stay, number, &show)).collect());
        let resident_bytes = storms.join();
        is_over.store(true, Ordering::Relaxed);
        for calling in calling {
            let (calls, slowest) = calling.join().unwrap();
            assert!(calls > 100 && slowest < SLOWEST, "{calls} calls, the slowest in {slowest:?}");
        }
        resident_bytes.unwrap()
    })
}

/// One storm, to its end; gives the resident memory then. In the last one nobody closes what the program has to end.
fn storm(viaduct: &Viaduct, stay: u64, number: usize, show: impl Fn(usize) -> Vec<TcpStream>) -> u64 {
    let open = show(number);
    if number < STORMS {
        open.iter().for_each(see_end);
    }
    let held = Some(open).filter(|_| number == STORMS);
    until("the storm passes", PATIENCE, || viaduct.client_connections() == stay);
    drop(held);
    viaduct.resident_bytes()
}

/// Asserts that what the storms took was given back.
pub fn assert_memory_returns(before: u64, after: &[u64]) {
    assert!(after.windows(2).skip(1).all(|pair| pair[1] <= pair[0] + GROWTH_BYTES), "it grows: {before}, {after:?}");
    assert!(after.iter().all(|bytes| *bytes <= before + KEPT_BYTES), "too much is kept: {before}, {after:?}");
}

/// Every connection has ended for the reason that it had, and messages are lost only as they must be.
fn assert_all_is_counted(metrics: &Metrics) {
    let each = (OF_EACH * STORMS) as u64;
    let all = each * IN_EACH_STORM.len() as u64 + (OF_EACH + FIRST + GOOD) as u64;
    // Of those that vanish at once some are gone when they are accepted.
    let gone = metrics.sum("viaduct_accept_errors_total", &[]);
    assert_eq!(metrics.sum("viaduct_connections_opened_total", &[("side", "client")]), all - gone);
    let family = "viaduct_connections_ended_total";
    let ended = |why| metrics.sum(family, &[("side", "client"), ("reason", why)]);
    let seen = metrics.nonzero(family);
    assert_eq!((ended("message_timeout"), ended("framing"), ended("idle")), (each, each, OF_EACH as u64), "{seen:#?}");
    assert_eq!(ended("queue_full") + ended("timed_out"), each, "{seen:#?}");
    assert_eq!(ended("peer_finished") + ended("reset"), each * 5 + (FIRST + GOOD) as u64 - gone, "{seen:#?}");
    let dropped = metrics.nonzero("viaduct_messages_dropped_total");
    let expected = ["connection_gone", "send_connection_closed", "queue_full", "framing"];
    let is_expected = |line: &&str| expected.iter().any(|reason| line.contains(&format!("\"{reason}\"")));
    assert!(dropped.iter().all(is_expected), "{dropped:#?}");
}
