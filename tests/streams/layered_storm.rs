//! Good clients over TLS and WebSocket among hostile ones of these: the good are not held up, and of the others nothing stays,
//! neither codecs nor parts of records and frames.

use crate::backend::Backend;
use crate::client::{Client, place_calls};
use crate::layered_hostile::LayeredConduct::{self, *};
use crate::storm::{STORMS, assert_memory_returns, at_once, storms};
use crate::viaduct::{Metrics, Viaduct};
use crate::wire::Way;
use crate::{PATIENCE, on_each_engine, until};

/// Good clients of each way.
const GOOD: usize = 30;

/// How many connections of each kind of hostile clients a storm has.
const OF_EACH: usize = 10;

/// What hostile clients do in each storm.
const IN_EACH_STORM: [LayeredConduct; 19] = [
    DribblesItsHello,
    StopsInItsHello(Way::Tls),
    StopsInItsHello(Way::Wss),
    VanishesInItsHello,
    SpeaksNoTls,
    SendsGarbageRecords,
    StopsInMidRecord,
    StopsInItsUpgrade(Way::Ws),
    StopsInItsUpgrade(Way::Wss),
    AsksForNoSip(Way::Ws),
    AsksForNoSip(Way::Wss),
    BreaksFrames(Way::Ws),
    BreaksFrames(Way::Wss),
    StopsInMidFrame(Way::Ws),
    StopsInMidFrame(Way::Wss),
    NeverReads,
    Resets(Way::Tls),
    Resets(Way::Wss),
    Leaves(Way::Tls),
];

const SETTINGS: [(&str, &str); 4] = [
    ("QUEUE_BYTES", "131072"),
    ("MESSAGE_TIMEOUT_S", "1"),
    ("HANDSHAKE_TIMEOUT_MS", "1500"),
    ("TCP_USER_TIMEOUT_MS", "5000"),
];

#[test]
fn hostile_handshakes_records_and_frames_hold_up_no_other_connection_and_leave_nothing_behind() {
    on_each_engine(|engine| {
        let backends = [Backend::tcp(13), Backend::tcp(14)];
        let urls = backends.each_ref().map(|backend| backend.url.clone());
        let viaduct = Viaduct::start(engine, &urls, &SETTINGS);
        let descriptors = viaduct.descriptors_at_rest();
        let name = |way, number| format!("good-{way:?}-{number}");
        let connect = |way| (0..GOOD).map(move |number| (way, name(way, number)));
        let ways = Way::LAYERED.into_iter().flat_map(connect);
        let mut good: Vec<Client> = ways.map(|(way, name)| Client::connect_by(way, &viaduct, &name)).collect();
        place_calls(&mut good, 1, 1, 10);

        let before = viaduct.resident_bytes();
        let after = storms(&viaduct, &mut good, 0, |number| {
            let viaduct = &viaduct;
            at_once(
                IN_EACH_STORM
                    .into_iter()
                    .map(|conduct| move || conduct.show(viaduct, &format!("{conduct:?}-{number}"), OF_EACH)),
            )
        });
        assert_memory_returns(before, &after);
        place_calls(&mut good, 1, 1, 10);
        drop(good);
        until("all clients' connections end", PATIENCE, || viaduct.client_connections() == 0);
        let metrics = viaduct.metrics_at_rest();
        assert_all_is_counted(&metrics);
        let to_backends = metrics.sum("viaduct_connections", &[("side", "backend")]) as usize;
        until("descriptors are closed", PATIENCE, || viaduct.descriptors() == descriptors + to_backends);
    });
}

/// Every connection has ended for the reason that it had, and every handshake has come to something.
fn assert_all_is_counted(metrics: &Metrics) {
    let each = (OF_EACH * STORMS) as u64;
    let of = |is_it: fn(&LayeredConduct) -> bool| IN_EACH_STORM.iter().filter(|conduct| is_it(conduct)).count() as u64;
    let good = (GOOD * Way::LAYERED.len()) as u64;
    // Of those that vanish at once some are gone when they are accepted.
    let gone = metrics.sum("viaduct_accept_errors_total", &[]);
    let opened = metrics.sum("viaduct_connections_opened_total", &[("side", "client")]);
    assert_eq!(opened, each * IN_EACH_STORM.len() as u64 + good - gone);

    let family = "viaduct_connections_ended_total";
    let ended = |why| metrics.sum(family, &[("side", "client"), ("reason", why)]);
    let seen = metrics.nonzero(family);
    let late = of(|conduct| matches!(conduct, DribblesItsHello | StopsInItsHello(_) | StopsInItsUpgrade(_)));
    assert_eq!(ended("handshake_timeout"), each * late, "{seen:#?}");
    let cut = of(|conduct| matches!(conduct, StopsInMidRecord | StopsInMidFrame(_)));
    assert_eq!(ended("message_timeout"), each * cut, "{seen:#?}");
    let broken = of(|conduct| matches!(conduct, AsksForNoSip(_) | BreaksFrames(_)));
    assert_eq!((ended("tls"), ended("websocket")), (each * 2, each * broken), "{seen:#?}");
    assert_eq!(metrics.sum("viaduct_websocket_refusals_total", &[]), each * broken);
    assert_eq!(ended("queue_full") + ended("timed_out"), each, "{seen:#?}");
    let left = of(|conduct| matches!(conduct, VanishesInItsHello | Resets(_) | Leaves(_)));
    assert_eq!(ended("peer_finished") + ended("reset"), each * left + good - gone, "{seen:#?}");
    assert_handshakes(metrics, each, good, gone);
}

fn assert_handshakes(metrics: &Metrics, each: u64, good: u64, gone: u64) {
    let family = "viaduct_tls_handshakes_total";
    let of = |result| metrics.sum(family, &[("direction", "accepted"), ("result", result)]);
    let is_secure = |conduct: &&LayeredConduct| conduct.way().is_secure();
    let has_no_end =
        |conduct: &&LayeredConduct| matches!(conduct, DribblesItsHello | StopsInItsHello(_) | VanishesInItsHello);
    let secure = IN_EACH_STORM.iter().filter(is_secure).count() as u64;
    let endless = IN_EACH_STORM.iter().filter(has_no_end).count() as u64;
    let seen = metrics.nonzero(family);
    assert_eq!((of("not_tls"), of("abandoned")), (each, each * endless - gone), "{seen:#?}");
    assert_eq!(of("full") + of("resumed"), each * (secure - endless - 1) + good / 3 * 2, "{seen:#?}");
}
