//! A call with two legs, by a back-to-back user agent in the pool (as FreeSWITCH is one): the second leg goes out
//! through Viaduct, and the called side hangs up.

use crate::agent::{Agent, Answers};
use crate::mix::Mix;
use crate::network::Network;
use crate::world::{MEMBERS, OFFER, address_of, applications, backends};

over_each_mix!(
    a_call_with_two_legs_ends_when_the_called_side_hangs_up,
    the_second_leg_comes_back_to_its_b2bua_though_another_owns_its_call_id,
    the_second_leg_reaches_a_user_agent_behind_translation_by_its_path_and_is_cancelled_there
);

const CALLER: &str = "leg-a@atlanta.example.com";
const CALLEE: &str = "leg-b@b2bua.example.com";

/// Alice's call at the B2BUA, and the B2BUA's to Bob. Gives the B2BUA's address.
fn call(mix: Mix) -> (Network, &'static str) {
    let mut network = applications(mix, "b2bua");
    network.acts("alice", |alice| alice.asks("INVITE", CALLER, "sip:bob@atlanta.example.com", &[], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:bob@atlanta.example.com | 1 | alice    | LB | -  | 70 | alice1/-
        F1 | LB > b2bua | INVITE sip:bob@atlanta.example.com | 1 | LB alice | -  | LB | 69 | alice1/-
        F2 | b2bua > LB | 180 INVITE                         | 1 | LB alice | -  | LB | -  | alice1/b2bua1
        F3 | b2bua > LB | 200 INVITE                         | 1 | LB alice | -  | LB | -  | alice1/b2bua1
        F2 | LB > alice | 180 INVITE                         | 1 | alice    | -  | LB | -  | alice1/b2bua1
        F3 | LB > alice | 200 INVITE                         | 1 | alice    | -  | LB | -  | alice1/b2bua1
        F4 | alice > LB | ACK sip:b2bua@10.0.0.13:5060       | 1 | alice    | LB | -  | 70 | alice1/b2bua1
        F4 | LB > b2bua | ACK sip:b2bua@10.0.0.13:5060       | 1 | LB alice | -  | -  | 69 | alice1/b2bua1
        ",
    );
    let b2bua = address_of(&network, CALLER);
    network.acts_at(b2bua, |b2bua| b2bua.asks("INVITE", CALLEE, &mix.of_neighbour("sip:bob@192.0.2.201"), &[], OFFER));
    network.follow(
        "
        F5 | b2bua > LB | INVITE sip:bob@192.0.2.201 | 1 | b2bua    | LB | -  | 70 | b2bua2/-
        F5 | LB > bob   | INVITE sip:bob@192.0.2.201 | 1 | LB b2bua | -  | LB | 69 | b2bua2/-
        F6 | bob > LB   | 180 INVITE                 | 1 | LB b2bua | -  | LB | -  | b2bua2/bob1
        F7 | bob > LB   | 200 INVITE                 | 1 | LB b2bua | -  | LB | -  | b2bua2/bob1
        F6 | LB > b2bua | 180 INVITE                 | 1 | b2bua    | -  | LB | -  | b2bua2/bob1
        F7 | LB > b2bua | 200 INVITE                 | 1 | b2bua    | -  | LB | -  | b2bua2/bob1
        F8 | b2bua > LB | ACK sip:bob@192.0.2.201    | 1 | b2bua    | LB | -  | 70 | b2bua2/bob1
        F8 | LB > bob   | ACK sip:bob@192.0.2.201    | 1 | LB b2bua | -  | -  | 69 | b2bua2/bob1
        ",
    );
    (network, b2bua)
}

fn a_call_with_two_legs_ends_when_the_called_side_hangs_up(mix: Mix) {
    let (mut network, b2bua) = call(mix);
    network.acts("bob", |bob| bob.asks_within("BYE", CALLEE, &[], ""));
    network.follow(
        "
        F9  | bob > LB   | BYE sip:b2bua@10.0.0.13:5060 | 1 | bob    | LB | - | 70 | bob1/b2bua2
        F9  | LB > b2bua | BYE sip:b2bua@10.0.0.13:5060 | 1 | LB bob | -  | - | 69 | bob1/b2bua2
        F10 | b2bua > LB | 200 BYE                      | 1 | LB bob | -  | - | -  | bob1/b2bua2
        F10 | LB > bob   | 200 BYE                      | 1 | bob    | -  | - | -  | bob1/b2bua2
        ",
    );
    network.acts_at(b2bua, |b2bua| b2bua.asks_within("BYE", CALLER, &[], ""));
    network.follow(
        "
        F11 | b2bua > LB | BYE sip:alice@192.0.2.101 | 1 | b2bua    | LB | - | 70 | b2bua1/alice1
        F11 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB b2bua | -  | - | 69 | b2bua1/alice1
        F12 | alice > LB | 200 BYE                   | 1 | LB b2bua | -  | - | -  | b2bua1/alice1
        F12 | LB > b2bua | 200 BYE                   | 1 | b2bua    | -  | - | -  | b2bua1/alice1
        ",
    );
}

fn the_second_leg_comes_back_to_its_b2bua_though_another_owns_its_call_id(mix: Mix) {
    let (mut network, b2bua) = call(mix);
    let own = network.viaduct.member_of(CALLER).to_owned();
    let mut pool = backends(&MEMBERS);
    pool.extend(backends(&[("d", "10.0.0.14:5060"), ("e", "10.0.0.15:5060")]));
    let is_idle = |name: &str| name == own;
    pool.iter_mut().filter(|backend| is_idle(&backend.name)).for_each(|backend| {
        backend.weight = viaduct::balance::backend::Weight::new(0).expect("a weight");
    });
    network.viaduct.resize(&pool);
    assert_ne!(network.viaduct.owner_of(CALLEE), own);
    network.acts("bob", |bob| bob.asks_within("BYE", CALLEE, &[], ""));
    network.follow(
        "
        F9  | bob > LB   | BYE sip:b2bua@10.0.0.13:5060 | 1 | bob    | LB | - | 70 | bob1/b2bua2
        F9  | LB > b2bua | BYE sip:b2bua@10.0.0.13:5060 | 1 | LB bob | -  | - | 69 | bob1/b2bua2
        F10 | b2bua > LB | 200 BYE                      | 1 | LB bob | -  | - | -  | bob1/b2bua2
        F10 | LB > bob   | 200 BYE                      | 1 | bob    | -  | - | -  | bob1/b2bua2
        ",
    );
    network.acts_at(b2bua, |b2bua| b2bua.asks_within("BYE", CALLER, &[], ""));
    network.follow(
        "
        F11 | b2bua > LB | BYE sip:alice@192.0.2.101 | 1 | b2bua    | LB | - | 70 | b2bua1/alice1
        F11 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB b2bua | -  | - | 69 | b2bua1/alice1
        F12 | alice > LB | 200 BYE                   | 1 | LB b2bua | -  | - | -  | b2bua1/alice1
        F12 | LB > b2bua | 200 BYE                   | 1 | b2bua    | -  | - | -  | b2bua1/alice1
        ",
    );
    assert_eq!(network.viaduct.member_of(CALLEE), own);
}

/// The registration's Path is all that the B2BUA knows of the way; its CANCEL takes it too, and the called side's
/// requests come back to it.
fn the_second_leg_reaches_a_user_agent_behind_translation_by_its_path_and_is_cancelled_there(mix: Mix) {
    let mut network = applications(mix, "b2bua");
    let mut dora = Agent::new("dora", "10.1.2.3", "sip:dora@10.1.2.3", "sip:dora@atlanta.example.com");
    dora.outbound = Some(mix.client_route().to_owned());
    dora.rport = true;
    dora.answers = Answers::Rings;
    network.add_behind_nat("dora", "203.0.113.9:40123", "10.1.2.3", dora);
    network.acts("dora", |dora| {
        dora.asks("REGISTER", "r-1", "sip:atlanta.example.com", &["Supported: path", "Expires: 3600"], "")
    });
    network.follow(
        "
        F1 | dora > LB  | REGISTER sip:atlanta.example.com | 1 | dora    | LB | - | 70 | dora1/-
        F1 | LB > b2bua | REGISTER sip:atlanta.example.com | 1 | LB dora | -  | - | 69 | dora1/-
        F2 | b2bua > LB | 200 REGISTER                     | 1 | LB dora | -  | - | -  | dora1/b2bua1
        F2 | LB > dora  | 200 REGISTER                     | 1 | dora    | -  | - | -  | dora1/b2bua1
        ",
    );
    let registrar = address_of(&network, "r-1");
    let path = network.agent_at(registrar).last().header("Path").to_owned();
    network.acts_at(registrar, |b2bua| {
        b2bua.outbound = Some(path.clone());
        b2bua.asks("INVITE", CALLEE, "sip:dora@10.1.2.3", &[], OFFER)
    });
    network.follow(
        "
        F3 | b2bua > LB | INVITE sip:dora@10.1.2.3 | 1 | b2bua    | LB | -  | 70 | b2bua2/-
        F3 | LB > dora  | INVITE sip:dora@10.1.2.3 | 1 | LB b2bua | -  | LB | 69 | b2bua2/-
        F4 | dora > LB  | 180 INVITE               | 1 | LB b2bua | -  | LB | -  | b2bua2/dora2
        F4 | LB > b2bua | 180 INVITE               | 1 | b2bua    | -  | LB | -  | b2bua2/dora2
        ",
    );
    network.acts_at(registrar, |b2bua| b2bua.cancels(CALLEE));
    network.follow(
        "
        F5 | b2bua > LB | CANCEL sip:dora@10.1.2.3 | 1 | b2bua    | LB | - | 70 | b2bua2/-
        F5 | LB > dora  | CANCEL sip:dora@10.1.2.3 | 1 | LB b2bua | -  | - | 69 | b2bua2/-
        F6 | dora > LB  | 200 CANCEL               | 1 | LB b2bua | -  | - | -  | b2bua2/dora2
        F7 | dora > LB  | 487 INVITE               | 1 | LB b2bua | -  | - | -  | b2bua2/dora2
        F6 | LB > b2bua | 200 CANCEL               | 1 | b2bua    | -  | - | -  | b2bua2/dora2
        F7 | LB > b2bua | 487 INVITE               | 1 | b2bua    | -  | - | -  | b2bua2/dora2
        F8 | b2bua > LB | ACK sip:dora@10.1.2.3    | 1 | b2bua    | LB | - | 70 | b2bua2/dora2
        F8 | LB > dora  | ACK sip:dora@10.1.2.3    | 1 | LB b2bua | -  | - | 69 | b2bua2/dora2
        ",
    );
    network.agent("dora").answers = Answers::AtOnce;
    network.acts_at(registrar, |b2bua| b2bua.asks("INVITE", "again", "sip:dora@10.1.2.3", &[], OFFER));
    network.follow(
        "
        F9  | b2bua > LB | INVITE sip:dora@10.1.2.3 | 1 | b2bua    | LB | -  | 70 | b2bua3/-
        F9  | LB > dora  | INVITE sip:dora@10.1.2.3 | 1 | LB b2bua | -  | LB | 69 | b2bua3/-
        F10 | dora > LB  | 180 INVITE               | 1 | LB b2bua | -  | LB | -  | b2bua3/dora3
        F11 | dora > LB  | 200 INVITE               | 1 | LB b2bua | -  | LB | -  | b2bua3/dora3
        F10 | LB > b2bua | 180 INVITE               | 1 | b2bua    | -  | LB | -  | b2bua3/dora3
        F11 | LB > b2bua | 200 INVITE               | 1 | b2bua    | -  | LB | -  | b2bua3/dora3
        F12 | b2bua > LB | ACK sip:dora@10.1.2.3    | 1 | b2bua    | LB | -  | 70 | b2bua3/dora3
        F12 | LB > dora  | ACK sip:dora@10.1.2.3    | 1 | LB b2bua | -  | -  | 69 | b2bua3/dora3
        ",
    );
    network.acts("dora", |dora| dora.asks_within("BYE", "again", &[], ""));
    network.follow(
        "
        F13 | dora > LB  | BYE sip:b2bua@10.0.0.11:5060 | 1 | dora    | LB | - | 70 | dora3/b2bua3
        F13 | LB > b2bua | BYE sip:b2bua@10.0.0.11:5060 | 1 | LB dora | -  | - | 69 | dora3/b2bua3
        F14 | b2bua > LB | 200 BYE                      | 1 | LB dora | -  | - | -  | dora3/b2bua3
        F14 | LB > dora  | 200 BYE                      | 1 | dora    | -  | - | -  | dora3/b2bua3
        ",
    );
}
