//! A client that has finished sending, as its layers have it, still gets the responses to what it sent.

use std::time::{Duration, Instant};

use crate::client::{Client, Way};
use crate::peer::{Backend, response};
use crate::running::{PATIENCE, Running, on_each_engine};

/// Longer than Viaduct takes to notice an end.
const A_WHILE: Duration = Duration::from_millis(200);

#[test]
fn a_client_that_has_finished_sending_gets_its_response_on_every_connection_and_is_then_let_go() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), "", &[]);
        for way in Way::ALL {
            let mut client = Client::open(&viaduct, way);
            client.send(&client.request("OPTIONS", &way.label(), ""));
            let (request, from) = backend.message();
            client.finish();
            std::thread::sleep(A_WHILE);
            backend.send(&response(&request), from);
            assert!(client.message().starts_with("SIP/2.0 200 OK"), "{way:?}");
            let begun = Instant::now();
            assert!(client.is_closed(), "{way:?}");
            assert!(begun.elapsed() < Duration::from_secs(2), "{way:?}: no response is due any more");
        }
        viaduct.reaches("viaduct_connections_ended_total", &["\"peer_finished\""], 4.0);
        assert_eq!(viaduct.metric("viaduct_connections{", &["accepted"]), 0.0);
        assert_eq!(viaduct.metric("viaduct_messages_dropped_total", &[]), 0.0);
    });
}

#[test]
fn a_client_that_no_response_is_due_to_is_let_go_at_once() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), "", &[]);
    for way in Way::ALL {
        let mut client = Client::open(&viaduct, way);
        client.send(&client.request("OPTIONS", &way.label(), ""));
        backend.answer();
        client.message();
        let begun = Instant::now();
        client.finish();
        assert!(client.is_closed(), "{way:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{way:?}");
    }
    viaduct.reaches("viaduct_connections_ended_total", &["\"peer_finished\""], 4.0);
}

#[test]
fn a_stream_that_ends_without_a_word_of_its_layers_or_in_tls_1_2_ends_both_ways() {
    let backend = Backend::new();
    let viaduct = Running::start("auto", &backend.setting(), "", &[]);
    for (way, is_cut) in [(Way::Tls, false), (Way::Tls, true), (Way::Ws, true), (Way::Wss, true)] {
        let tls = if is_cut { viaduct.authority.client(None) } else { viaduct.authority.earlier_client() };
        let mut client = Client::open_with(&viaduct, way, b"", tls).unwrap();
        client.send(&client.request("OPTIONS", &way.label(), ""));
        backend.message();
        let begun = Instant::now();
        if is_cut {
            client.cut()
        } else {
            client.finish()
        }
        client.is_closed();
        assert!(begun.elapsed() < PATIENCE / 4, "{way:?}");
    }
    viaduct.reaches("viaduct_connections_ended_total", &["\"peer_finished\""], 4.0);
}

#[test]
fn clients_are_told_in_the_manner_of_their_connection_that_viaduct_ends() {
    on_each_engine(|engine| {
        let backend = Backend::new();
        let viaduct = Running::start(engine, &backend.setting(), "", &[("VIADUCT_GRACE_S", "0")]);
        let mut clients = Way::ALL.map(|way| Client::open(&viaduct, way));
        for client in &mut clients {
            client.send(&client.request("OPTIONS", &client.way.label(), ""));
            backend.answer();
            client.message();
        }
        viaduct.tell_to_end();
        for client in &mut clients {
            assert!(client.is_closed(), "{:?}", client.way);
        }
    });
}
