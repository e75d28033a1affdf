//! A peer that opens connections and closes them at once is left alone for a while, as one that cannot be reached.

use viaduct::sip::Transport;

use crate::harness::on_each_engine;
use crate::streams::{Scene, request};

#[test]
fn a_backend_that_closes_its_connections_at_once_is_answered_for_with_503_and_left_alone_for_a_while() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        let mut client = scene.client(0);
        client.send(&request("OPTIONS", "one", ""));
        let listener = scene.backend_tcp.take().unwrap();
        listener.set_nonblocking(false).unwrap();
        scene.settle();
        drop(listener.accept().unwrap());
        listener.set_nonblocking(true).unwrap();
        scene.settle();
        client.send(&request("OPTIONS", "two", ""));
        let answer = scene.message(&mut client);
        assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("two@a.example"), "{answer}");
        assert!(listener.accept().is_err(), "nobody connects again so soon");
        std::thread::sleep(std::time::Duration::from_millis(300));
        scene.backend_tcp = Some(listener);
        client.send(&request("OPTIONS", "three", ""));
        let mut backend = scene.backend_connection();
        assert!(scene.message(&mut backend).contains("three@a.example"));
        scene.assert_sum(3);
    });
}
