//! A client whose connection is gone and whose Contact is a name is connected to anew, where nothing stood between.

use std::net::TcpListener;
use std::sync::Arc;

use viaduct::metrics::cells::Dropped;
use viaduct::proxy::names::name::{Lookup, Name};
use viaduct::proxy::names::targets::{Target, Targets};
use viaduct::proxy::names::{Answer, Names};
use viaduct::proxy::verdict::DropReason;
use viaduct::sip::Transport;

use crate::harness::on_each_engine;
use crate::streams::{Peer, Scene, request};

#[test]
fn a_backends_request_to_it_waits_for_its_name_and_then_reaches_it_from_any_shard() {
    on_each_engine(|choice| {
        for shard in [0, 1] {
            let mut scene = Scene::open(choice, 2, Transport::Udp);
            let trunk = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = scene.client(0);
            client.send(&request("INVITE", "one", "Contact: <sip:trunk@trunk.example;transport=tcp>\r\n"));
            let (forwarded, _) = scene.datagram();
            client.reset();
            scene.settle();
            let bye = bye(&forwarded, &scene.backend_udp.local_addr().unwrap().to_string());
            scene.backend_udp.send_to(bye.as_bytes(), scene.udp[shard]).unwrap();
            scene.settle();
            assert_eq!(scene.dropped(Dropped::Decided(DropReason::NameBeingResolved)), 1);
            let name = Name::new(b"trunk.example", Lookup::Tcp).unwrap();
            assert_eq!(scene.exchange.take().as_ref(), Some(&name));
            let target = Target { priority: 0, weight: 0, addresses: vec![trunk.local_addr().unwrap()] };
            let answer = Answer::Targets(Arc::new(Targets::new(&[target]).unwrap()));
            let table: Names = [(Arc::from(name.as_str()), answer)].into_iter().collect();
            scene.exchange.publish(Arc::new(table));
            // Sent again, as over UDP it is.
            scene.backend_udp.send_to(bye.as_bytes(), scene.udp[shard]).unwrap();
            scene.settle();
            let mut trunk = Peer::new(trunk.accept().unwrap().0);
            assert!(scene.message(&mut trunk).starts_with("BYE sip:trunk@trunk.example;transport=tcp SIP/2.0\r\n"));
            scene.assert_sum(3);
        }
    });
}

fn bye(forwarded: &str, backend: &str) -> String {
    let routes: Vec<&str> = forwarded.lines().filter(|line| line.starts_with("Record-Route: ")).collect();
    format!(
        "BYE sip:trunk@trunk.example;transport=tcp SIP/2.0\r\nVia: SIP/2.0/UDP {backend};branch=z9hG4bKb\r\n{}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:b@b.example>;tag=2\r\nTo: <sip:a@a.example>;tag=1\r\nCall-ID: one@a.example\r\n\
         CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        routes.join("\r\n").replace("Record-Route", "Route"),
    )
}
