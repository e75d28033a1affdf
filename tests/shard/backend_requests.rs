//! What is counted as a request to a backend is one that has left for it.

use viaduct::balance::backend::BackendSlot;
use viaduct::sip::Transport;

use crate::harness::on_each_engine;
use crate::streams::{Scene, request};

#[test]
fn a_request_that_waited_in_vain_for_a_connection_is_not_counted_as_the_backends() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Tcp);
        let address = scene.backend_tcp.take().unwrap().local_addr().unwrap();
        let mut client = scene.client(0);
        for id in ["one", "two"] {
            client.send(&request("OPTIONS", id, ""));
            assert!(scene.message(&mut client).starts_with("SIP/2.0 503 "));
        }
        assert_eq!(requests(&scene), 0);
        std::thread::sleep(std::time::Duration::from_millis(300));
        scene.backend_tcp = Some(std::net::TcpListener::bind(address).unwrap());
        scene.backend_tcp.as_ref().unwrap().set_nonblocking(true).unwrap();
        for id in ["three", "four"] {
            client.send(&request("OPTIONS", id, ""));
        }
        let mut backend = scene.backend_connection();
        for _ in 0..2 {
            scene.message(&mut backend);
        }
        assert_eq!(requests(&scene), 2);
        scene.assert_sum(4);
    });
}

#[test]
fn a_request_by_a_datagram_is_counted_when_it_leaves() {
    on_each_engine(|choice| {
        let mut scene = Scene::open(choice, 1, Transport::Udp);
        let mut client = scene.client(0);
        client.send(&request("OPTIONS", "one", ""));
        scene.datagram();
        assert_eq!(requests(&scene), 1);
    });
}

fn requests(scene: &Scene) -> u64 {
    scene.cells.iter().map(|cells| cells.backends().request_count(BackendSlot(0))).sum()
}
