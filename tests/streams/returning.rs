//! A backend over TCP that dies and comes back: what was under way is answered for or counted, and calls flow again.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Death};
use crate::client::Client;
use crate::on_each_engine;
use crate::viaduct::{Metrics, Viaduct};

const CLIENTS: usize = 20;

/// After how long a client takes a request for lost.
const SILENCE: Duration = Duration::from_secs(2);

/// The longest that a route rests after a failure, and then some.
const REST: Duration = Duration::from_secs(5);

/// How requests fared, by all clients together.
#[derive(Default)]
struct Fates {
    answered: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
    is_over: AtomicBool,
}

#[test]
fn a_backend_that_is_killed_and_comes_back_costs_only_what_is_counted() {
    on_each_engine(|engine| {
        for death in [Death::Finish, Death::Reset] {
            let mut backend = Backend::tcp(20);
            let viaduct = Viaduct::start(engine, std::slice::from_ref(&backend.url), &[]);
            let fates = Fates::default();
            thread::scope(|scope| {
                for number in 0..CLIENTS {
                    let client = Client::connect(viaduct.address, &format!("returning-{number}"));
                    scope.spawn(|| fates.keep_asking(client));
                }
                fates.kill_and_revive(&mut backend, death);
                fates.is_over.store(true, Ordering::Relaxed);
            });
            fates.assert_counted(&viaduct.metrics_at_rest());
        }
    });
}

impl Fates {
    /// Kills the backend while all clients ask, with requests under way, and has it come back.
    fn kill_and_revive(&self, backend: &mut Backend, death: Death) {
        self.wait_for_another(&self.answered);
        backend.mute();
        thread::sleep(Duration::from_millis(100));
        backend.kill(death);
        self.wait_for_another(&self.refused);
        thread::sleep(Duration::from_millis(600));
        backend.revive();
        self.wait_for_another(&self.answered);
    }

    /// Waits until the requests that come have that fate.
    fn wait_for_another(&self, fate: &AtomicU64) {
        let (begun, before) = (Instant::now(), fate.load(Ordering::Relaxed));
        while fate.load(Ordering::Relaxed) < before + 5 * CLIENTS as u64 {
            assert!(begun.elapsed() < REST, "not within {REST:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn keep_asking(&self, mut client: Client) {
        client.set_patience(SILENCE);
        while !self.is_over.load(Ordering::Relaxed) {
            let fate = match client.options() {
                Ok(200) => &self.answered,
                Ok(503) => &self.refused,
                Err(error) if error.kind() == ErrorKind::WouldBlock => &self.lost,
                other => panic!("{}: {other:?}", client.call()),
            };
            fate.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Each request was answered, refused, sent to the backend that died with it, or counted as dropped.
    fn assert_counted(&self, metrics: &Metrics) {
        let [answered, refused, lost] =
            [&self.answered, &self.refused, &self.lost].map(|fate| fate.load(Ordering::Relaxed));
        let sum = |family: &str, side| metrics.sum(family, &[("side", side)]);
        let (received, sent) = ("viaduct_messages_received_total", "viaduct_messages_sent_total");
        assert_eq!(sum(received, "client"), answered + refused + lost);
        assert_eq!(sum(received, "backend"), answered);
        assert_eq!(metrics.sum("viaduct_answers_total", &[("code", "503")]), refused);
        let dropped = metrics.messages("dropped");
        assert_eq!(sum(sent, "backend") + dropped, answered + lost);
        let reasons = metrics.nonzero("viaduct_messages_dropped_total");
        assert!(reasons.iter().all(|line| line.contains("\"send_connection_closed\"")), "{reasons:?}");
        assert!((1..=CLIENTS as u64).contains(&lost), "each client had one request under way: {lost}");
    }
}
