//! Third-party call control: a dialer that refers a phone (peer to peer), an application in the pool as controller (RFC
//! 3725), and a third party that joins a call (RFC 3911).

use crate::agent::Answers;
use crate::mix::Mix;
use crate::world::{OFFER, address_of, applications, bind, proxies};

over_each_mix!(
    a_dialer_refers_a_phone_to_somebody_and_the_phone_calls,
    an_application_of_the_pool_moves_a_call_to_somebody_and_back,
    a_third_party_joins_a_call_by_way_of_the_member_that_has_it
);

const HELD: &str = "v=0\r\no=phone 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n";

fn a_dialer_refers_a_phone_to_somebody_and_the_phone_calls(mix: Mix) {
    let (mut network, location) = proxies(mix, |proxy| proxy.outbound = vec![mix.backend_route().to_owned()]);
    bind(&location, "alice@atlanta.example.com", &mix.of_neighbour("sip:alice@192.0.2.101"));
    network.is_called_at_its_address("alice");
    bind(&location, "bob@atlanta.example.com", &mix.of_neighbour("sip:bob@192.0.2.201"));
    network.agent("alice").answers = Answers::Waits;
    let (dialer, phone) = ("3@dialer.foo.com", "101@phone.foo.com");
    let refer_to = "Refer-To: <sip:bob@atlanta.example.com?body=\"c=0.0.0.0\">";
    network.acts("carol", |carol| carol.asks("REFER", dialer, "sip:alice@atlanta.example.com", &[refer_to], ""));
    network.follow(
        "
        F1 | carol > LB | REFER sip:alice@atlanta.example.com | 1 | carol          | LB | -        | 70 | carol1/-
        F1 | LB > P1    | REFER sip:alice@atlanta.example.com | 1 | LB carol       | -  | LB       | 69 | carol1/-
        F2 | P1 > LB    | REFER sip:alice@192.0.2.101         | 1 | P1 LB carol    | LB | P1 LB    | 68 | carol1/-
        F2 | LB > alice | REFER sip:alice@192.0.2.101         | 1 | LB P1 LB carol | -  | LB P1 LB | 67 | carol1/-
        ",
    );
    assert_eq!(network.agent("alice").last().header("Refer-To"), &refer_to[10..]);
    network.acts("alice", |alice| alice.asks("INVITE", phone, "sip:bob@atlanta.example.com", &[], HELD));
    network.follow(
        "
        F3  | alice > LB | INVITE sip:bob@atlanta.example.com | 1 | alice          | LB       | -        | 70 | alice1/-
        F3  | LB > P1    | INVITE sip:bob@atlanta.example.com | 1 | LB alice       | -        | LB       | 69 | alice1/-
        F4  | P1 > LB    | INVITE sip:bob@192.0.2.201         | 1 | P1 LB alice    | LB       | P1 LB    | 68 | alice1/-
        F5  | P1 > LB    | 100 INVITE                         | 1 | LB alice       | -        | -        | -  | alice1/-
        F4  | LB > bob   | INVITE sip:bob@192.0.2.201         | 1 | LB P1 LB alice | -        | LB P1 LB | 67 | alice1/-
        F5  | LB > alice | 100 INVITE                         | 1 | alice          | -        | -        | -  | alice1/-
        F6  | bob > LB   | 180 INVITE                         | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice1/bob1
        F7  | bob > LB   | 200 INVITE                         | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice1/bob1
        F6  | LB > P1    | 180 INVITE                         | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice1/bob1
        F7  | LB > P1    | 200 INVITE                         | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice1/bob1
        F8  | P1 > LB    | 180 INVITE                         | 1 | LB alice       | -        | LB P1 LB | -  | alice1/bob1
        F9  | P1 > LB    | 200 INVITE                         | 1 | LB alice       | -        | LB P1 LB | -  | alice1/bob1
        F8  | LB > alice | 180 INVITE                         | 1 | alice          | -        | LB P1 LB | -  | alice1/bob1
        F9  | LB > alice | 200 INVITE                         | 1 | alice          | -        | LB P1 LB | -  | alice1/bob1
        F10 | alice > LB | ACK sip:bob@192.0.2.201            | 1 | alice          | LB P1 LB | -        | 70 | alice1/bob1
        F10 | LB > P1    | ACK sip:bob@192.0.2.201            | 1 | LB alice       | P1 LB    | -        | 69 | alice1/bob1
        F11 | P1 > LB    | ACK sip:bob@192.0.2.201            | 1 | P1 LB alice    | LB       | -        | 68 | alice1/bob1
        F11 | LB > bob   | ACK sip:bob@192.0.2.201            | 1 | LB P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    network.acts("alice", |alice| alice.answers(dialer, 200, "OK"));
    network.follow(
        "
        F12 | alice > LB | 200 REFER | 1 | LB P1 LB carol | - | LB P1 LB | - | carol1/alice2
        F12 | LB > P1    | 200 REFER | 1 | P1 LB carol    | - | LB P1 LB | - | carol1/alice2
        F13 | P1 > LB    | 200 REFER | 1 | LB carol       | - | LB P1 LB | - | carol1/alice2
        F13 | LB > carol | 200 REFER | 1 | carol          | - | LB P1 LB | - | carol1/alice2
        ",
    );
    network.acts("alice", |alice| alice.asks_within("NOTIFY", dialer, &["Event: refer"], "SIP/2.0 200 OK\r\n"));
    network.follow(
        "
        F14 | alice > LB | NOTIFY sip:carol@192.0.2.102 | 1 | alice          | LB P1 LB | -        | 70 | alice2/carol1
        F14 | LB > P1    | NOTIFY sip:carol@192.0.2.102 | 1 | LB alice       | P1 LB    | LB       | 69 | alice2/carol1
        F15 | P1 > LB    | NOTIFY sip:carol@192.0.2.102 | 1 | P1 LB alice    | LB       | P1 LB    | 68 | alice2/carol1
        F15 | LB > carol | NOTIFY sip:carol@192.0.2.102 | 1 | LB P1 LB alice | -        | LB P1 LB | 67 | alice2/carol1
        F16 | carol > LB | 200 NOTIFY                   | 1 | LB P1 LB alice | -        | -        | -  | alice2/carol1
        F16 | LB > P1    | 200 NOTIFY                   | 1 | P1 LB alice    | -        | -        | -  | alice2/carol1
        F17 | P1 > LB    | 200 NOTIFY                   | 1 | LB alice       | -        | -        | -  | alice2/carol1
        F17 | LB > alice | 200 NOTIFY                   | 1 | alice          | -        | -        | -  | alice2/carol1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("BYE", phone, &[], ""));
    network.follow(
        "
        F18 | alice > LB | BYE sip:bob@192.0.2.201 | 2 | alice          | LB P1 LB | - | 70 | alice1/bob1
        F18 | LB > P1    | BYE sip:bob@192.0.2.201 | 2 | LB alice       | P1 LB    | - | 69 | alice1/bob1
        F19 | P1 > LB    | BYE sip:bob@192.0.2.201 | 2 | P1 LB alice    | LB       | - | 68 | alice1/bob1
        F19 | LB > bob   | BYE sip:bob@192.0.2.201 | 2 | LB P1 LB alice | -        | - | 67 | alice1/bob1
        F20 | bob > LB   | 200 BYE                 | 2 | LB P1 LB alice | -        | - | -  | alice1/bob1
        F20 | LB > P1    | 200 BYE                 | 2 | P1 LB alice    | -        | - | -  | alice1/bob1
        F21 | P1 > LB    | 200 BYE                 | 2 | LB alice       | -        | - | -  | alice1/bob1
        F21 | LB > alice | 200 BYE                 | 2 | alice          | -        | - | -  | alice1/bob1
        ",
    );
}

fn an_application_of_the_pool_moves_a_call_to_somebody_and_back(mix: Mix) {
    let mut network = applications(mix, "app");
    let (call, target) = ("card@atlanta.example.com", "target@app.example.com");
    network.acts("alice", |alice| alice.asks("INVITE", call, "sip:app@atlanta.example.com", &[], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:app@atlanta.example.com | 1 | alice    | LB | -  | 70 | alice1/-
        F1 | LB > app   | INVITE sip:app@atlanta.example.com | 1 | LB alice | -  | LB | 69 | alice1/-
        F2 | app > LB   | 180 INVITE                         | 1 | LB alice | -  | LB | -  | alice1/app1
        F3 | app > LB   | 200 INVITE                         | 1 | LB alice | -  | LB | -  | alice1/app1
        F2 | LB > alice | 180 INVITE                         | 1 | alice    | -  | LB | -  | alice1/app1
        F3 | LB > alice | 200 INVITE                         | 1 | alice    | -  | LB | -  | alice1/app1
        F4 | alice > LB | ACK sip:app@10.0.0.11:5060         | 1 | alice    | LB | -  | 70 | alice1/app1
        F4 | LB > app   | ACK sip:app@10.0.0.11:5060         | 1 | LB alice | -  | -  | 69 | alice1/app1
        ",
    );
    let app = address_of(&network, call);
    network.acts_at(app, |app| app.asks_within("SUBSCRIBE", call, &["Event: kpml"], ""));
    network.follow(
        "
        F5 | app > LB   | SUBSCRIBE sip:alice@192.0.2.101 | 1 | app    | LB | -  | 70 | app1/alice1
        F5 | LB > alice | SUBSCRIBE sip:alice@192.0.2.101 | 1 | LB app | -  | LB | 69 | app1/alice1
        F6 | alice > LB | 200 SUBSCRIBE                   | 1 | LB app | -  | -  | -  | app1/alice1
        F6 | LB > app   | 200 SUBSCRIBE                   | 1 | app    | -  | -  | -  | app1/alice1
        ",
    );
    network.acts_at(app, |app| app.asks("INVITE", target, &mix.of_neighbour("sip:bob@192.0.2.201"), &[], OFFER));
    network.follow(
        "
        F7  | app > LB | INVITE sip:bob@192.0.2.201 | 1 | app    | LB | -  | 70 | app2/-
        F7  | LB > bob | INVITE sip:bob@192.0.2.201 | 1 | LB app | -  | LB | 69 | app2/-
        F8  | bob > LB | 180 INVITE                 | 1 | LB app | -  | LB | -  | app2/bob1
        F9  | bob > LB | 200 INVITE                 | 1 | LB app | -  | LB | -  | app2/bob1
        F8  | LB > app | 180 INVITE                 | 1 | app    | -  | LB | -  | app2/bob1
        F9  | LB > app | 200 INVITE                 | 1 | app    | -  | LB | -  | app2/bob1
        F10 | app > LB | ACK sip:bob@192.0.2.201    | 1 | app    | LB | -  | 70 | app2/bob1
        F10 | LB > bob | ACK sip:bob@192.0.2.201    | 1 | LB app | -  | -  | 69 | app2/bob1
        ",
    );
    network.acts_at(app, |app| app.asks_within("INVITE", call, &[], HELD));
    network.follow(
        "
        F11 | app > LB   | INVITE sip:alice@192.0.2.101 | 2 | app    | LB | -  | 70 | app1/alice1
        F11 | LB > alice | INVITE sip:alice@192.0.2.101 | 2 | LB app | -  | LB | 69 | app1/alice1
        F12 | alice > LB | 200 INVITE                   | 2 | LB app | -  | -  | -  | app1/alice1
        F12 | LB > app   | 200 INVITE                   | 2 | app    | -  | -  | -  | app1/alice1
        F13 | app > LB   | ACK sip:alice@192.0.2.101    | 2 | app    | LB | -  | 70 | app1/alice1
        F13 | LB > alice | ACK sip:alice@192.0.2.101    | 2 | LB app | -  | -  | 69 | app1/alice1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("NOTIFY", call, &["Event: kpml"], "digits=*\r\n"));
    network.follow(
        "
        F14 | alice > LB | NOTIFY sip:app@10.0.0.11:5060 | 2 | alice    | LB | -  | 70 | alice1/app1
        F14 | LB > app   | NOTIFY sip:app@10.0.0.11:5060 | 2 | LB alice | -  | LB | 69 | alice1/app1
        F15 | app > LB   | 200 NOTIFY                    | 2 | LB alice | -  | -  | -  | alice1/app1
        F15 | LB > alice | 200 NOTIFY                    | 2 | alice    | -  | -  | -  | alice1/app1
        ",
    );
    network.acts_at(app, |app| app.asks_within("INVITE", call, &[], OFFER));
    network.follow(
        "
        F16 | app > LB   | INVITE sip:alice@192.0.2.101 | 3 | app    | LB | -  | 70 | app1/alice1
        F16 | LB > alice | INVITE sip:alice@192.0.2.101 | 3 | LB app | -  | LB | 69 | app1/alice1
        F17 | alice > LB | 200 INVITE                   | 3 | LB app | -  | -  | -  | app1/alice1
        F17 | LB > app   | 200 INVITE                   | 3 | app    | -  | -  | -  | app1/alice1
        F18 | app > LB   | ACK sip:alice@192.0.2.101    | 3 | app    | LB | -  | 70 | app1/alice1
        F18 | LB > alice | ACK sip:alice@192.0.2.101    | 3 | LB app | -  | -  | 69 | app1/alice1
        ",
    );
    network.acts_at(app, |app| app.asks_within("BYE", target, &[], ""));
    network.follow(
        "
        F19 | app > LB | BYE sip:bob@192.0.2.201 | 2 | app    | LB | - | 70 | app2/bob1
        F19 | LB > bob | BYE sip:bob@192.0.2.201 | 2 | LB app | -  | - | 69 | app2/bob1
        F20 | bob > LB | 200 BYE                 | 2 | LB app | -  | - | -  | app2/bob1
        F20 | LB > app | 200 BYE                 | 2 | app    | -  | - | -  | app2/bob1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F21 | alice > LB | BYE sip:app@10.0.0.11:5060 | 3 | alice    | LB | - | 70 | alice1/app1
        F21 | LB > app   | BYE sip:app@10.0.0.11:5060 | 3 | LB alice | -  | - | 69 | alice1/app1
        F22 | app > LB   | 200 BYE                    | 3 | LB alice | -  | - | -  | alice1/app1
        F22 | LB > alice | 200 BYE                    | 3 | alice    | -  | - | -  | alice1/app1
        ",
    );
}

fn a_third_party_joins_a_call_by_way_of_the_member_that_has_it(mix: Mix) {
    let (mut network, _) = proxies(mix, |_| {});
    let call = "a-b@atlanta.example.com";
    network.acts("alice", |alice| alice.asks("INVITE", call, "sip:bob@biloxi.example.com", &[], OFFER));
    network.follow(
        "
        F1  | alice > LB | INVITE sip:bob@biloxi.example.com | 1 | alice          | LB       | -        | 70 | alice1/-
        F1  | LB > P1    | INVITE sip:bob@biloxi.example.com | 1 | LB alice       | -        | LB       | 69 | alice1/-
        F2  | P1 > P2    | INVITE sip:bob@biloxi.example.com | 1 | P1 LB alice    | -        | P1 LB    | 68 | alice1/-
        F3  | P1 > LB    | 100 INVITE                        | 1 | LB alice       | -        | -        | -  | alice1/-
        F4  | P2 > bob   | INVITE sip:bob@192.0.2.201        | 1 | P2 P1 LB alice | -        | P2 P1 LB | 67 | alice1/-
        F5  | P2 > P1    | 100 INVITE                        | 1 | P1 LB alice    | -        | -        | -  | alice1/-
        F3  | LB > alice | 100 INVITE                        | 1 | alice          | -        | -        | -  | alice1/-
        F6  | bob > P2   | 180 INVITE                        | 1 | P2 P1 LB alice | -        | P2 P1 LB | -  | alice1/bob1
        F7  | bob > P2   | 200 INVITE                        | 1 | P2 P1 LB alice | -        | P2 P1 LB | -  | alice1/bob1
        F8  | P2 > P1    | 180 INVITE                        | 1 | P1 LB alice    | -        | P2 P1 LB | -  | alice1/bob1
        F9  | P2 > P1    | 200 INVITE                        | 1 | P1 LB alice    | -        | P2 P1 LB | -  | alice1/bob1
        F10 | P1 > LB    | 180 INVITE                        | 1 | LB alice       | -        | P2 P1 LB | -  | alice1/bob1
        F11 | P1 > LB    | 200 INVITE                        | 1 | LB alice       | -        | P2 P1 LB | -  | alice1/bob1
        F10 | LB > alice | 180 INVITE                        | 1 | alice          | -        | P2 P1 LB | -  | alice1/bob1
        F11 | LB > alice | 200 INVITE                        | 1 | alice          | -        | P2 P1 LB | -  | alice1/bob1
        F12 | alice > LB | ACK sip:bob@192.0.2.201           | 1 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F12 | LB > P1    | ACK sip:bob@192.0.2.201           | 1 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F13 | P1 > P2    | ACK sip:bob@192.0.2.201           | 1 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F14 | P2 > bob   | ACK sip:bob@192.0.2.201           | 1 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    let joining = network.viaduct.owned_elsewhere(call);
    let join = format!("Join: {}", network.agent("alice").names(call));
    network.agent("bob").answers = Answers::Rings;
    network.acts("carol", |carol| carol.asks("INVITE", &joining, "sip:bob@biloxi.example.com", &[&join], OFFER));
    network.follow(
        "
        F15 | carol > LB | INVITE sip:bob@biloxi.example.com | 1 | carol          | LB | -        | 70 | carol1/-
        F15 | LB > P1    | INVITE sip:bob@biloxi.example.com | 1 | LB carol       | -  | LB       | 69 | carol1/-
        F16 | P1 > P2    | INVITE sip:bob@biloxi.example.com | 1 | P1 LB carol    | -  | P1 LB    | 68 | carol1/-
        F17 | P1 > LB    | 100 INVITE                        | 1 | LB carol       | -  | -        | -  | carol1/-
        F18 | P2 > bob   | INVITE sip:bob@192.0.2.201        | 1 | P2 P1 LB carol | -  | P2 P1 LB | 67 | carol1/-
        F19 | P2 > P1    | 100 INVITE                        | 1 | P1 LB carol    | -  | -        | -  | carol1/-
        F17 | LB > carol | 100 INVITE                        | 1 | carol          | -  | -        | -  | carol1/-
        F20 | bob > P2   | 180 INVITE                        | 1 | P2 P1 LB carol | -  | P2 P1 LB | -  | carol1/bob2
        F21 | P2 > P1    | 180 INVITE                        | 1 | P1 LB carol    | -  | P2 P1 LB | -  | carol1/bob2
        F22 | P1 > LB    | 180 INVITE                        | 1 | LB carol       | -  | P2 P1 LB | -  | carol1/bob2
        F22 | LB > carol | 180 INVITE                        | 1 | carol          | -  | P2 P1 LB | -  | carol1/bob2
        ",
    );
    assert_eq!(network.viaduct.member_of(&joining), network.viaduct.member_of(call));
    network.agent("bob").contact = "sip:bob@192.0.2.201;isfocus".to_owned();
    network.acts("bob", |bob| bob.asks_within("INVITE", call, &[], OFFER));
    network.follow(
        "
        F23 | bob > P2   | INVITE sip:alice@192.0.2.101 | 1 | bob          | P2 P1 LB | -        | 70 | bob1/alice1
        F24 | P2 > P1    | INVITE sip:alice@192.0.2.101 | 1 | P2 bob       | P1 LB    | P2       | 69 | bob1/alice1
        F25 | P1 > LB    | INVITE sip:alice@192.0.2.101 | 1 | P1 P2 bob    | LB       | P1 P2    | 68 | bob1/alice1
        F25 | LB > alice | INVITE sip:alice@192.0.2.101 | 1 | LB P1 P2 bob | -        | LB P1 P2 | 67 | bob1/alice1
        F26 | alice > LB | 200 INVITE                   | 1 | LB P1 P2 bob | -        | -        | -  | bob1/alice1
        F26 | LB > P1    | 200 INVITE                   | 1 | P1 P2 bob    | -        | -        | -  | bob1/alice1
        F27 | P1 > P2    | 200 INVITE                   | 1 | P2 bob       | -        | -        | -  | bob1/alice1
        F28 | P2 > bob   | 200 INVITE                   | 1 | bob          | -        | -        | -  | bob1/alice1
        F29 | bob > P2   | ACK sip:alice@192.0.2.101    | 1 | bob          | P2 P1 LB | -        | 70 | bob1/alice1
        F30 | P2 > P1    | ACK sip:alice@192.0.2.101    | 1 | P2 bob       | P1 LB    | -        | 69 | bob1/alice1
        F31 | P1 > LB    | ACK sip:alice@192.0.2.101    | 1 | P1 P2 bob    | LB       | -        | 68 | bob1/alice1
        F31 | LB > alice | ACK sip:alice@192.0.2.101    | 1 | LB P1 P2 bob | -        | -        | 67 | bob1/alice1
        ",
    );
    network.acts("bob", |bob| bob.answers(&joining, 200, "OK"));
    network.follow(
        "
        F32 | bob > P2   | 200 INVITE                      | 1 | P2 P1 LB carol | -        | P2 P1 LB | -  | carol1/bob2
        F33 | P2 > P1    | 200 INVITE                      | 1 | P1 LB carol    | -        | P2 P1 LB | -  | carol1/bob2
        F34 | P1 > LB    | 200 INVITE                      | 1 | LB carol       | -        | P2 P1 LB | -  | carol1/bob2
        F34 | LB > carol | 200 INVITE                      | 1 | carol          | -        | P2 P1 LB | -  | carol1/bob2
        F35 | carol > LB | ACK sip:bob@192.0.2.201;isfocus | 1 | carol          | LB P1 P2 | -        | 70 | carol1/bob2
        F35 | LB > P1    | ACK sip:bob@192.0.2.201;isfocus | 1 | LB carol       | P1 P2    | -        | 69 | carol1/bob2
        F36 | P1 > P2    | ACK sip:bob@192.0.2.201;isfocus | 1 | P1 LB carol    | P2       | -        | 68 | carol1/bob2
        F37 | P2 > bob   | ACK sip:bob@192.0.2.201;isfocus | 1 | P2 P1 LB carol | -        | -        | 67 | carol1/bob2
        ",
    );
    network.acts("carol", |carol| carol.asks_within("BYE", &joining, &[], ""));
    network.follow(
        "
        F38 | carol > LB | BYE sip:bob@192.0.2.201;isfocus | 2 | carol          | LB P1 P2 | - | 70 | carol1/bob2
        F38 | LB > P1    | BYE sip:bob@192.0.2.201;isfocus | 2 | LB carol       | P1 P2    | - | 69 | carol1/bob2
        F39 | P1 > P2    | BYE sip:bob@192.0.2.201;isfocus | 2 | P1 LB carol    | P2       | - | 68 | carol1/bob2
        F40 | P2 > bob   | BYE sip:bob@192.0.2.201;isfocus | 2 | P2 P1 LB carol | -        | - | 67 | carol1/bob2
        F41 | bob > P2   | 200 BYE                         | 2 | P2 P1 LB carol | -        | - | -  | carol1/bob2
        F42 | P2 > P1    | 200 BYE                         | 2 | P1 LB carol    | -        | - | -  | carol1/bob2
        F43 | P1 > LB    | 200 BYE                         | 2 | LB carol       | -        | - | -  | carol1/bob2
        F43 | LB > carol | 200 BYE                         | 2 | carol          | -        | - | -  | carol1/bob2
        ",
    );
    network.acts("bob", |bob| bob.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F44 | bob > P2   | BYE sip:alice@192.0.2.101 | 2 | bob          | P2 P1 LB | - | 70 | bob1/alice1
        F45 | P2 > P1    | BYE sip:alice@192.0.2.101 | 2 | P2 bob       | P1 LB    | - | 69 | bob1/alice1
        F46 | P1 > LB    | BYE sip:alice@192.0.2.101 | 2 | P1 P2 bob    | LB       | - | 68 | bob1/alice1
        F46 | LB > alice | BYE sip:alice@192.0.2.101 | 2 | LB P1 P2 bob | -        | - | 67 | bob1/alice1
        F47 | alice > LB | 200 BYE                   | 2 | LB P1 P2 bob | -        | - | -  | bob1/alice1
        F47 | LB > P1    | 200 BYE                   | 2 | P1 P2 bob    | -        | - | -  | bob1/alice1
        F48 | P1 > P2    | 200 BYE                   | 2 | P2 bob       | -        | - | -  | bob1/alice1
        F49 | P2 > bob   | 200 BYE                   | 2 | bob          | -        | - | -  | bob1/alice1
        ",
    );
}
