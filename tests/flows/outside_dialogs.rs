//! MESSAGE (RFC 3428) and OPTIONS (RFC 3261 §11), to Viaduct, to a member of the pool, and through both.

use crate::mix::Mix;
use crate::world::proxies;

over_each_mix!(
    a_message_passes_both_ways,
    an_options_for_viaduct_is_answered_by_viaduct,
    an_options_for_a_member_of_the_pool_goes_to_that_one_whoever_owns_its_call_id,
    an_options_for_a_user_agent_passes_through
);

fn a_message_passes_both_ways(mix: Mix) {
    let (mut network, location) = proxies(mix, |_| {});
    crate::world::bind(&location, "alice@atlanta.example.com", &mix.of_neighbour("sip:alice@192.0.2.101"));
    network.is_called_at_its_address("alice");
    let there = "m-1@atlanta.example.com";
    network
        .acts("alice", |alice| alice.asks("MESSAGE", there, "sip:bob@biloxi.example.com", &[], "Watson, come here."));
    network.follow(
        "
        F1 | alice > LB | MESSAGE sip:bob@biloxi.example.com | 1 | alice          | LB | - | 70 | alice1/-
        F1 | LB > P1    | MESSAGE sip:bob@biloxi.example.com | 1 | LB alice       | -  | - | 69 | alice1/-
        F2 | P1 > P2    | MESSAGE sip:bob@biloxi.example.com | 1 | P1 LB alice    | -  | - | 68 | alice1/-
        F3 | P2 > bob   | MESSAGE sip:bob@192.0.2.201        | 1 | P2 P1 LB alice | -  | - | 67 | alice1/-
        F4 | bob > P2   | 200 MESSAGE                        | 1 | P2 P1 LB alice | -  | - | -  | alice1/bob1
        F5 | P2 > P1    | 200 MESSAGE                        | 1 | P1 LB alice    | -  | - | -  | alice1/bob1
        F6 | P1 > LB    | 200 MESSAGE                        | 1 | LB alice       | -  | - | -  | alice1/bob1
        F6 | LB > alice | 200 MESSAGE                        | 1 | alice          | -  | - | -  | alice1/bob1
        ",
    );
    assert_eq!(network.agent("bob").last().body, "Watson, come here.");
    let back = "m-2@biloxi.example.com";
    network.acts("bob", |bob| bob.asks("MESSAGE", back, "sip:alice@atlanta.example.com", &[], "I come."));
    network.follow(
        "
        F7  | bob > P2   | MESSAGE sip:alice@atlanta.example.com | 1 | bob          | P2 | - | 70 | bob2/-
        F8  | P2 > LB    | MESSAGE sip:alice@atlanta.example.com | 1 | P2 bob       | -  | - | 69 | bob2/-
        F8  | LB > P1    | MESSAGE sip:alice@atlanta.example.com | 1 | LB P2 bob    | -  | - | 68 | bob2/-
        F9  | P1 > alice | MESSAGE sip:alice@192.0.2.101         | 1 | P1 LB P2 bob | -  | - | 67 | bob2/-
        F10 | alice > P1 | 200 MESSAGE                           | 1 | P1 LB P2 bob | -  | - | -  | bob2/alice2
        F11 | P1 > LB    | 200 MESSAGE                           | 1 | LB P2 bob    | -  | - | -  | bob2/alice2
        F11 | LB > P2    | 200 MESSAGE                           | 1 | P2 bob       | -  | - | -  | bob2/alice2
        F12 | P2 > bob   | 200 MESSAGE                           | 1 | bob          | -  | - | -  | bob2/alice2
        ",
    );
}

fn an_options_for_viaduct_is_answered_by_viaduct(mix: Mix) {
    let (mut network, _) = proxies(mix, |_| {});
    network.acts("alice", |alice| alice.asks("OPTIONS", "o-1", "sip:ss1.atlanta.example.com", &[], ""));
    network.follow(
        "
        F1 | alice > LB | OPTIONS sip:ss1.atlanta.example.com | 1 | alice | LB | - | 70 | alice1/-
        F2 | LB > alice | 200 OPTIONS                         | 1 | alice | -  | - | -  | alice1/LB
        ",
    );
    network.acts("bob", |bob| {
        bob.outbound = None;
        bob.asks("OPTIONS", "o-2", &mix.of_neighbour("sip:192.0.2.111"), &[], "")
    });
    network.follow(
        "
        F3 | bob > LB | OPTIONS sip:192.0.2.111 | 1 | bob | - | - | 70 | bob1/-
        F4 | LB > bob | 200 OPTIONS             | 1 | bob | - | - | -  | bob1/LB
        ",
    );
}

fn an_options_for_a_member_of_the_pool_goes_to_that_one_whoever_owns_its_call_id(mix: Mix) {
    let (mut network, _) = proxies(mix, |_| {});
    let of_another = |id: &String| network.viaduct.owner_of(id) != "b";
    let call_id = &(0..).map(|n| format!("o-{n}")).find(of_another).expect("a Call-ID");
    network.acts("alice", |alice| {
        alice.outbound = Some(format!("{}, <sip:10.0.0.12;lr>", mix.client_route()));
        alice.asks("OPTIONS", call_id, "sip:proxy-b.atlanta.example.com", &[], "")
    });
    network.follow(
        "
        F1 | alice > LB | OPTIONS sip:proxy-b.atlanta.example.com | 1 | alice    | LB P1 | - | 70 | alice1/-
        F1 | LB > P1    | OPTIONS sip:proxy-b.atlanta.example.com | 1 | LB alice | P1    | - | 69 | alice1/-
        F2 | P1 > LB    | 200 OPTIONS                             | 1 | LB alice | -     | - | -  | alice1/p
        F2 | LB > alice | 200 OPTIONS                             | 1 | alice    | -     | - | -  | alice1/p
        ",
    );
    assert_eq!(network.viaduct.member_of(call_id), "b");
}

fn an_options_for_a_user_agent_passes_through(mix: Mix) {
    let (mut network, _) = proxies(mix, |_| {});
    network.acts("alice", |alice| alice.asks("OPTIONS", "o-3", "sip:bob@biloxi.example.com", &[], ""));
    network.follow(
        "
        F1 | alice > LB | OPTIONS sip:bob@biloxi.example.com | 1 | alice          | LB | - | 70 | alice1/-
        F1 | LB > P1    | OPTIONS sip:bob@biloxi.example.com | 1 | LB alice       | -  | - | 69 | alice1/-
        F2 | P1 > P2    | OPTIONS sip:bob@biloxi.example.com | 1 | P1 LB alice    | -  | - | 68 | alice1/-
        F3 | P2 > bob   | OPTIONS sip:bob@192.0.2.201        | 1 | P2 P1 LB alice | -  | - | 67 | alice1/-
        F4 | bob > P2   | 200 OPTIONS                        | 1 | P2 P1 LB alice | -  | - | -  | alice1/bob1
        F5 | P2 > P1    | 200 OPTIONS                        | 1 | P1 LB alice    | -  | - | -  | alice1/bob1
        F6 | P1 > LB    | 200 OPTIONS                        | 1 | LB alice       | -  | - | -  | alice1/bob1
        F6 | LB > alice | 200 OPTIONS                        | 1 | alice          | -  | - | -  | alice1/bob1
        ",
    );
}
