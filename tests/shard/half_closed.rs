//! A peer that has finished sending still gets the responses to what it sent, for a while.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use viaduct::metrics::connections::{Direction, Ended};
use viaduct::proxy::inbound::Side;
use viaduct::shard::policy::ConnectionPolicy;
use viaduct::sip::Transport;

use crate::harness::on_each_engine;
use crate::streams::{Scene, request, response};

const HELD: Duration = Duration::from_millis(700);

#[test]
fn a_client_that_has_finished_sending_gets_its_responses_and_is_then_let_go() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        let begun = Instant::now();
        client.send(&(request("OPTIONS", "one", "") + &request("OPTIONS", "two", "")));
        client.stream.shutdown(Shutdown::Write).unwrap();
        for _ in 0..2 {
            let (forwarded, from) = scene.datagram();
            scene.settle();
            scene.backend_udp.send_to(response(&forwarded).as_bytes(), from).unwrap();
            assert!(scene.message(&mut client).starts_with("SIP/2.0 200 OK"));
        }
        assert!(scene.is_closed(&mut client));
        assert!(begun.elapsed() < ConnectionPolicy::default().half_closed, "no response is due any more");
        scene.assert_sum(4);
        assert_eq!((scene.connections(), peer_finished(&scene)), (0, 1));
    });
}

#[test]
fn a_client_that_has_finished_sending_and_is_never_answered_is_let_go_after_a_while() {
    on_each_engine(|choice| {
        let mut scene = Scene::with(choice, 1, Transport::Udp, held());
        let mut client = scene.client(0);
        client.send(&request("INVITE", "one", ""));
        client.stream.shutdown(Shutdown::Write).unwrap();
        let begun = Instant::now();
        assert!(scene.is_closed(&mut client));
        assert!(begun.elapsed() >= HELD);
        scene.settle();
        assert_eq!((scene.connections(), peer_finished(&scene)), (0, 1));
    });
}

#[test]
fn a_client_that_no_response_is_due_to_or_that_finishes_within_a_message_is_let_go_at_once() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let (mut silent, mut answered, mut cut) = (scene.client(0), scene.client(0), scene.client(0));
        answered.send(&request("INFO", "one", "").replace("Max-Forwards: 70", "Max-Forwards: 0"));
        assert!(scene.message(&mut answered).starts_with("SIP/2.0 483 "));
        cut.send(&(request("OPTIONS", "two", "") + "OPTIONS sip:b@b.example SIP/2.0\r\nVia:"));
        scene.datagram();
        for client in [&mut silent, &mut answered, &mut cut] {
            client.stream.shutdown(Shutdown::Write).unwrap();
            let begun = Instant::now();
            assert!(scene.is_closed(client));
            assert!(begun.elapsed() < Duration::from_secs(2));
        }
        scene.settle();
        assert_eq!(peer_finished(&scene), 3);
        scene.assert_sum(3);
    });
}

#[test]
fn a_client_that_has_finished_sending_gets_no_request_and_however_it_goes_its_end_is_counted_as_its_own() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        client.send(&request("INVITE", "one", "Contact: <sip:alice@10.1.1.1;transport=tcp>\r\n"));
        let (forwarded, from) = scene.datagram();
        client.stream.shutdown(Shutdown::Write).unwrap();
        scene.settle();
        let routes: Vec<&str> = forwarded.lines().filter(|line| line.starts_with("Record-Route: ")).collect();
        let bye = format!(
            "BYE sip:alice@10.1.1.1;transport=tcp SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKb\r\n{}\r\n\
             From: <sip:b@b.example>;tag=2\r\nTo: <sip:a@a.example>;tag=1\r\nCall-ID: one@a.example\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
            scene.backend_udp.local_addr().unwrap(),
            routes.join("\r\n").replace("Record-Route", "Route"),
        );
        scene.backend_udp.send_to(bye.as_bytes(), scene.udp[0]).unwrap();
        assert!(scene.datagram().0.starts_with("SIP/2.0 430 "));
        drop(client);
        for ringing in ["180 Ringing", "200 OK"] {
            let response = response(&forwarded).replace("200 OK", ringing);
            scene.backend_udp.send_to(response.as_bytes(), from).unwrap();
            scene.settle();
        }
        assert_eq!((scene.connections(), peer_finished(&scene)), (0, 1));
        scene.assert_sum(4);
    });
}

#[test]
fn a_backend_that_finishes_sending_is_connected_to_anew() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        let mut client = scene.client(0);
        for id in ["one", "two"] {
            client.send(&request("OPTIONS", id, ""));
            let mut backend = scene.backend_connection();
            let forwarded = scene.message(&mut backend);
            backend.send(&response(&forwarded));
            assert!(scene.message(&mut client).starts_with("SIP/2.0 200 OK"));
            backend.stream.shutdown(Shutdown::Write).unwrap();
            scene.settle();
        }
        scene.assert_sum(4);
    });
}

fn held() -> ConnectionPolicy {
    ConnectionPolicy { half_closed: HELD, ..ConnectionPolicy::default() }
}

fn peer_finished(scene: &Scene) -> u64 {
    let of_clients = (Side::Client, Transport::Tcp, Direction::Accepted, Ended::PeerFinished);
    let (side, transport, direction, why) = of_clients;
    scene.cells.iter().map(|cells| cells.connections().ended_count(side, transport, direction, why)).sum()
}
