//! Requests from backends to host names, through the real program and a name server of the test's own: RFC 3263 from the
//! question to the datagram.

mod dns;
mod scene;

use std::time::Duration;

use dns::{a, aaaa, naptr, srv};
use scene::{Agent, Scene, eventually};

/// T1 (RFC 3261 §17.1.1.1): when UDP sends a request again for the first time.
const T1: Duration = Duration::from_millis(500);

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_request_to_a_name_is_delivered_by_its_first_retransmission_on_either_engine() {
    for (network, engine) in [(1, "auto"), (2, "poll")] {
        let scene = Scene::start(network, &[("VIADUCT_IO", engine)]);
        let callee = scene.agent(10);
        scene.dns.set(
            "voice.example",
            60,
            vec![naptr(10, "SIP+D2T", "tcp.example"), naptr(20, "SIP+D2U", "udp.example")],
        );
        scene.dns.set("udp.example", 60, vec![srv(1, 1, callee.port(), "phone.example")]);
        scene.dns.set("phone.example", 60, vec![a(callee.ip())]);
        scene.invite("sip:carol@Voice.example", "call-1");
        assert_eq!(callee.next(T1), None, "nothing is held back for a name");
        scene.invite("sip:carol@Voice.example", "call-1");
        let delivered = callee.next(SECOND).expect("the retransmission is delivered");
        assert!(delivered.starts_with("INVITE sip:carol@Voice.example SIP/2.0\r\n"), "{delivered}");
        assert_eq!(scene.metric("viaduct_messages_dropped_total{reason=\"name_being_resolved\"}"), 1.0);
        assert_eq!(scene.metric("viaduct_name_lookups_total{outcome=\"resolved\"}"), 1.0);
        assert_eq!(scene.metric("viaduct_names"), 1.0);
        scene.invite("sip:carol@voice.example", "call-2");
        assert!(callee.next(SECOND).is_some(), "the name is known by then");
    }
}

#[test]
fn a_port_asks_for_addresses_alone_and_a_name_without_services_is_reached_at_5060() {
    let scene = Scene::start(3, &[]);
    let (at_port, at_5060) = (scene.agent(10), scene.agent_at(11, 5060));
    scene.dns.set("phone.example", 60, vec![a(at_port.ip())]);
    scene.dns.set("plain.example", 60, vec![a(at_5060.ip())]);
    scene.deliver(&format!("sip:carol@phone.example:{}", at_port.port()), &at_port);
    assert_eq!(scene.dns.asked("_sip._udp.phone.example") + scene.dns.asked_naptr("phone.example"), 0);
    scene.deliver("sip:carol@plain.example;transport=udp", &at_5060);
    assert_eq!((scene.dns.asked("_sip._udp.plain.example"), scene.dns.asked_naptr("plain.example")), (1, 0));
    scene.deliver("sip:carol@plain.example", &at_5060);
    assert_eq!(scene.dns.asked_naptr("plain.example"), 1);
}

#[test]
fn a_change_is_followed_when_the_answers_time_is_over_and_no_request_is_dropped_meanwhile() {
    let scene = Scene::start(4, &[]);
    let (before, after) = (scene.agent(10), scene.agent(11));
    scene.dns.set("_sip._udp.moving.example", 1, vec![srv(1, 1, before.port(), "old.example")]);
    scene.dns.set("old.example", 1, vec![a(before.ip())]);
    scene.dns.set("new.example", 1, vec![a(after.ip())]);
    scene.deliver("sip:carol@moving.example", &before);
    scene.dns.set("_sip._udp.moving.example", 1, vec![srv(1, 1, after.port(), "new.example")]);
    eventually("the new address is used", || {
        scene.invite("sip:carol@moving.example", "moved");
        after.next(SECOND / 5).is_some()
    });
    assert_eq!(scene.metric("viaduct_messages_dropped_total{reason=\"name_being_resolved\"}"), 1.0);
}

#[test]
fn the_last_good_answer_stays_in_use_while_the_name_server_fails() {
    let scene = Scene::start(5, &[]);
    let before = scene.agent(10);
    let after = scene.agent_at(11, before.port());
    let uri = format!("sip:carol@phone.example:{}", before.port());
    scene.dns.set("phone.example", 1, vec![a(before.ip())]);
    scene.deliver(&uri, &before);
    scene.dns.fail(true);
    eventually("the name server's failure is met", || {
        scene.metric("viaduct_name_lookups_total{outcome=\"unanswered\"}") >= 1.0
    });
    std::thread::sleep(2 * SECOND);
    scene.invite(&uri, "in-the-outage");
    assert!(before.next(SECOND).is_some(), "the last good answer is used");
    scene.dns.set("phone.example", 1, vec![a(after.ip())]);
    scene.dns.fail(false);
    eventually("the new address is used", || {
        scene.invite(&uri, "after-the-outage");
        after.next(SECOND / 5).is_some()
    });
}

#[test]
fn a_name_that_does_not_exist_is_answered_500_and_an_ack_to_it_is_not() {
    let scene = Scene::start(6, &[]);
    let callee = scene.agent(10);
    let uri = format!("sip:carol@nobody.example:{}", callee.port());
    eventually("it is answered", || {
        scene.invite(&uri, "to-nobody");
        let answer = scene.backend.next(SECOND / 5).unwrap_or_default();
        answer.starts_with("SIP/2.0 500 Server Internal Error - Next Hop Has No Address In DNS\r\n")
    });
    scene.send("ACK", &uri, "to-nobody");
    assert_eq!(scene.backend.next(SECOND / 2), None);
    scene.dns.set("nobody.example", 60, vec![a(callee.ip())]);
    eventually("a name that comes to be is found", || {
        scene.invite(&uri, "to-somebody");
        callee.next(SECOND / 5).is_some()
    });
}

#[test]
fn a_name_about_which_nobody_answers_is_answered_500() {
    let silent = std::net::UdpSocket::bind("127.7.7.54:0").unwrap();
    let scene = Scene::start(7, &[("VIADUCT_RESOLVERS", &silent.local_addr().unwrap().to_string())]);
    eventually("it is answered", || {
        scene.invite("sip:carol@phone.example", "unanswered");
        let answer = scene.backend.next(SECOND).unwrap_or_default();
        answer.starts_with("SIP/2.0 500 Server Internal Error - DNS Does Not Answer About The Next Hop\r\n")
    });
}

#[test]
fn calls_share_service_records_by_priority_and_weight_and_a_cancel_follows_its_invite() {
    let scene = Scene::start(8, &[]);
    let [heavy, light, spare] = [10, 11, 12].map(|host| scene.agent(host));
    let record = |priority, weight, agent: &Agent, name| srv(priority, weight, agent.port(), name);
    let records =
        vec![record(2, 9, &spare, "c.example"), record(1, 1, &light, "b.example"), record(1, 3, &heavy, "a.example")];
    scene.dns.set("_sip._udp.farm.example", 60, records);
    for (name, agent) in [("a.example", &heavy), ("b.example", &light), ("c.example", &spare)] {
        scene.dns.set(name, 60, vec![a(agent.ip())]);
    }
    eventually("the name is known", || {
        scene.invite("sip:carol@farm.example", "first");
        heavy.next(SECOND / 10).or_else(|| light.next(SECOND / 10)).is_some()
    });
    heavy.drain();
    light.drain();
    let mut at_heavy = 0;
    for call in 0..200 {
        let call = format!("call-{call}");
        scene.invite("sip:carol@farm.example", &call);
        scene.send("CANCEL", "sip:carol@farm.example", &call);
        let (there, here) = scene.meet(&heavy, &light);
        assert!(there == 0 && here == 2 || there == 2 && here == 0, "{call}: a CANCEL went elsewhere than its INVITE");
        at_heavy += there / 2;
    }
    assert!((120..=180).contains(&at_heavy), "{at_heavy} of 200 at three quarters of the weight");
    assert_eq!(spare.drain(), 0);
}

#[test]
fn a_name_leads_only_to_addresses_of_a_family_that_a_listener_has() {
    let with = Scene::start(10, &[("VIADUCT_LISTEN", "udp://{},udp://[::1]:0")]);
    let without = Scene::start(11, &[]);
    let callee = Agent::open("[::1]:0".parse().unwrap());
    let uri = format!("sip:carol@six.example:{}", callee.port());
    for scene in [&with, &without] {
        scene.dns.set("six.example", 60, vec![aaaa("::1")]);
    }
    with.deliver(&uri, &callee);
    without.invite(&uri, "call-1");
    std::thread::sleep(T1);
    without.invite(&uri, "call-1");
    assert!(without.backend.next(SECOND).unwrap_or_default().starts_with("SIP/2.0 500 "));
}

#[test]
fn a_name_is_never_looked_up_for_a_client() {
    let scene = Scene::start(9, &[]);
    let client = scene.agent(77);
    client.send(scene.address, &scene::request("INVITE", "sip:carol@secret.example", client.address, "of-a-client"));
    assert!(scene.backend.next(SECOND).is_some(), "it goes to the pool");
    std::thread::sleep(SECOND / 2);
    assert_eq!(scene.dns.asked("secret.example"), 0);
    assert_eq!(scene.metric("viaduct_names"), 0.0);
}
