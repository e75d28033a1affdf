//! Registration, its refreshment and its end (RFC 3665 §2), of a user agent behind address translation; and calls to it
//! by Path (RFC 3327), which reach it only on the flow that it opened.

use crate::agent::Agent;
use crate::mix::Mix;
use crate::network::Network;
use crate::proxy::Location;
use crate::world::{OFFER, proxies};

over_each_mix!(
    a_registration_is_made_refreshed_and_ended_at_one_member,
    a_call_reaches_a_registered_user_agent_behind_translation_and_either_side_may_speak_in_it,
    a_refreshed_registration_follows_a_client_whose_translation_changed,
    a_caller_behind_translation_is_reached_on_the_flow_that_she_called_by,
    two_user_agents_behind_different_translators_call_each_other,
    a_member_that_does_not_record_its_route_still_reaches_callers_and_called_on_their_flows
);

const REGISTRATION: &str = "registration-1@10.1.2.3";
const DORA: &str = "sip:dora@atlanta.example.com";
const SEEN_AT: &str = "203.0.113.9:40123";

/// The proxies, and Dora behind translation: she writes 10.1.2.3 and is seen at 203.0.113.9:40123.
fn dora(mix: Mix) -> (Network, Location) {
    let (mut network, location) = proxies(mix, |_| {});
    hide(&mut network, "dora", DORA, "10.1.2.3", SEEN_AT);
    (network, location)
}

/// A user agent that writes the address `hidden` and is seen at another.
fn hide(network: &mut Network, name: &'static str, aor: &str, hidden: &str, seen_at: &str) {
    let mut agent = Agent::new(name, hidden, &format!("sip:{name}@{hidden}"), aor);
    agent.outbound = Some(network.mix.client_route().to_owned());
    agent.rport = true;
    network.add_behind_nat(name, seen_at, hidden, agent);
}

fn registers(network: &mut Network, expires: &str) {
    let headers = ["Supported: path", &format!("Expires: {expires}")];
    network.acts("dora", |dora| dora.asks("REGISTER", REGISTRATION, "sip:atlanta.example.com", &headers, ""));
}

fn a_registration_is_made_refreshed_and_ended_at_one_member(mix: Mix) {
    let (mut network, location) = dora(mix);
    registers(&mut network, "3600");
    network.follow(
        "
        F1 | dora > LB | REGISTER sip:atlanta.example.com | 1 | dora    | LB | - | 70 | dora1/-
        F1 | LB > P1   | REGISTER sip:atlanta.example.com | 1 | LB dora | -  | - | 69 | dora1/-
        F2 | P1 > LB   | 200 REGISTER                     | 1 | LB dora | -  | - | -  | dora1/registrar
        F2 | LB > dora | 200 REGISTER                     | 1 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    let first = location.borrow()["dora@atlanta.example.com"].clone();
    assert_eq!(first.contact, network.agent("dora").contact_uri(), "Viaduct does not touch the Contact");
    assert_eq!(first.path.len(), 1, "one Path, with the flow");
    registers(&mut network, "3600");
    network.follow(
        "
        F3 | dora > LB | REGISTER sip:atlanta.example.com | 2 | dora    | LB | - | 70 | dora1/-
        F3 | LB > P1   | REGISTER sip:atlanta.example.com | 2 | LB dora | -  | - | 69 | dora1/-
        F4 | P1 > LB   | 200 REGISTER                     | 2 | LB dora | -  | - | -  | dora1/registrar
        F4 | LB > dora | 200 REGISTER                     | 2 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    assert_eq!(location.borrow()["dora@atlanta.example.com"], first, "the same flow has the same Path on any instance");
    registers(&mut network, "0");
    network.follow(
        "
        F5 | dora > LB | REGISTER sip:atlanta.example.com | 3 | dora    | LB | - | 70 | dora1/-
        F5 | LB > P1   | REGISTER sip:atlanta.example.com | 3 | LB dora | -  | - | 69 | dora1/-
        F6 | P1 > LB   | 200 REGISTER                     | 3 | LB dora | -  | - | -  | dora1/registrar
        F6 | LB > dora | 200 REGISTER                     | 3 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    network.acts("bob", |bob| bob.asks("INVITE", "late@biloxi.example.com", DORA, &[], OFFER));
    network.follow(
        "
        F7  | bob > P2 | INVITE sip:dora@atlanta.example.com | 1 | bob       | P2 | -     | 70 | bob1/-
        F8  | P2 > LB  | INVITE sip:dora@atlanta.example.com | 1 | P2 bob    | -  | P2    | 69 | bob1/-
        F9  | P2 > bob | 100 INVITE                          | 1 | bob       | -  | -     | -  | bob1/-
        F8  | LB > P1  | INVITE sip:dora@atlanta.example.com | 1 | LB P2 bob | -  | LB P2 | 68 | bob1/-
        F10 | P1 > LB  | 404 INVITE                          | 1 | LB P2 bob | -  | -     | -  | bob1/nobody
        F10 | LB > P2  | 404 INVITE                          | 1 | P2 bob    | -  | -     | -  | bob1/nobody
        F11 | P2 > LB  | ACK sip:dora@atlanta.example.com    | 1 | P2        | -  | -     | 70 | bob1/nobody
        F12 | P2 > bob | 404 INVITE                          | 1 | bob       | -  | -     | -  | bob1/nobody
        F11 | LB > P1  | ACK sip:dora@atlanta.example.com    | 1 | LB P2     | -  | -     | 69 | bob1/nobody
        F13 | bob > P2 | ACK sip:dora@atlanta.example.com    | 1 | bob       | P2 | -     | 70 | bob1/nobody
        ",
    );
}

fn a_call_reaches_a_registered_user_agent_behind_translation_and_either_side_may_speak_in_it(mix: Mix) {
    let (mut network, _) = dora(mix);
    registers(&mut network, "3600");
    network.follow(
        "
        F1 | dora > LB | REGISTER sip:atlanta.example.com | 1 | dora    | LB | - | 70 | dora1/-
        F1 | LB > P1   | REGISTER sip:atlanta.example.com | 1 | LB dora | -  | - | 69 | dora1/-
        F2 | P1 > LB   | 200 REGISTER                     | 1 | LB dora | -  | - | -  | dora1/registrar
        F2 | LB > dora | 200 REGISTER                     | 1 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    let call = "to-dora@biloxi.example.com";
    network.acts("bob", |bob| bob.asks("INVITE", call, DORA, &[], OFFER));
    network.follow(
        "
        F3  | bob > P2  | INVITE sip:dora@atlanta.example.com | 1 | bob             | P2          | -           | 70 | bob1/-
        F4  | P2 > LB   | INVITE sip:dora@atlanta.example.com | 1 | P2 bob          | -           | P2          | 69 | bob1/-
        F5  | P2 > bob  | 100 INVITE                          | 1 | bob             | -           | -           | -  | bob1/-
        F4  | LB > P1   | INVITE sip:dora@atlanta.example.com | 1 | LB P2 bob       | -           | LB P2       | 68 | bob1/-
        F6  | P1 > LB   | INVITE sip:dora@10.1.2.3            | 1 | P1 LB P2 bob    | LB          | P1 LB P2    | 67 | bob1/-
        F7  | P1 > LB   | 100 INVITE                          | 1 | LB P2 bob       | -           | -           | -  | bob1/-
        F6  | LB > dora | INVITE sip:dora@10.1.2.3            | 1 | LB P1 LB P2 bob | -           | LB P1 LB P2 | 66 | bob1/-
        F7  | LB > P2   | 100 INVITE                          | 1 | P2 bob          | -           | -           | -  | bob1/-
        F8  | dora > LB | 180 INVITE                          | 1 | LB P1 LB P2 bob | -           | LB P1 LB P2 | -  | bob1/dora2
        F9  | dora > LB | 200 INVITE                          | 1 | LB P1 LB P2 bob | -           | LB P1 LB P2 | -  | bob1/dora2
        F8  | LB > P1   | 180 INVITE                          | 1 | P1 LB P2 bob    | -           | LB P1 LB P2 | -  | bob1/dora2
        F9  | LB > P1   | 200 INVITE                          | 1 | P1 LB P2 bob    | -           | LB P1 LB P2 | -  | bob1/dora2
        F10 | P1 > LB   | 180 INVITE                          | 1 | LB P2 bob       | -           | LB P1 LB P2 | -  | bob1/dora2
        F11 | P1 > LB   | 200 INVITE                          | 1 | LB P2 bob       | -           | LB P1 LB P2 | -  | bob1/dora2
        F10 | LB > P2   | 180 INVITE                          | 1 | P2 bob          | -           | LB P1 LB P2 | -  | bob1/dora2
        F11 | LB > P2   | 200 INVITE                          | 1 | P2 bob          | -           | LB P1 LB P2 | -  | bob1/dora2
        F12 | P2 > bob  | 180 INVITE                          | 1 | bob             | -           | LB P1 LB P2 | -  | bob1/dora2
        F13 | P2 > bob  | 200 INVITE                          | 1 | bob             | -           | LB P1 LB P2 | -  | bob1/dora2
        F14 | bob > P2  | ACK sip:dora@10.1.2.3               | 1 | bob             | P2 LB P1 LB | -           | 70 | bob1/dora2
        F15 | P2 > LB   | ACK sip:dora@10.1.2.3               | 1 | P2 bob          | LB P1 LB    | -           | 69 | bob1/dora2
        F15 | LB > P1   | ACK sip:dora@10.1.2.3               | 1 | LB P2 bob       | P1 LB       | -           | 68 | bob1/dora2
        F16 | P1 > LB   | ACK sip:dora@10.1.2.3               | 1 | P1 LB P2 bob    | LB          | -           | 67 | bob1/dora2
        F16 | LB > dora | ACK sip:dora@10.1.2.3               | 1 | LB P1 LB P2 bob | -           | -           | 66 | bob1/dora2
        ",
    );
    network.acts("bob", |bob| bob.asks_within("INFO", call, &[], ""));
    network.follow(
        "
        F17 | bob > P2  | INFO sip:dora@10.1.2.3 | 2 | bob             | P2 LB P1 LB | - | 70 | bob1/dora2
        F18 | P2 > LB   | INFO sip:dora@10.1.2.3 | 2 | P2 bob          | LB P1 LB    | - | 69 | bob1/dora2
        F18 | LB > P1   | INFO sip:dora@10.1.2.3 | 2 | LB P2 bob       | P1 LB       | - | 68 | bob1/dora2
        F19 | P1 > LB   | INFO sip:dora@10.1.2.3 | 2 | P1 LB P2 bob    | LB          | - | 67 | bob1/dora2
        F19 | LB > dora | INFO sip:dora@10.1.2.3 | 2 | LB P1 LB P2 bob | -           | - | 66 | bob1/dora2
        F20 | dora > LB | 200 INFO               | 2 | LB P1 LB P2 bob | -           | - | -  | bob1/dora2
        F20 | LB > P1   | 200 INFO               | 2 | P1 LB P2 bob    | -           | - | -  | bob1/dora2
        F21 | P1 > LB   | 200 INFO               | 2 | LB P2 bob       | -           | - | -  | bob1/dora2
        F21 | LB > P2   | 200 INFO               | 2 | P2 bob          | -           | - | -  | bob1/dora2
        F22 | P2 > bob  | 200 INFO               | 2 | bob             | -           | - | -  | bob1/dora2
        ",
    );
    network.acts("dora", |dora| dora.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F23 | dora > LB | BYE sip:bob@192.0.2.201 | 1 | dora             | LB P1 LB P2 | - | 70 | dora2/bob1
        F23 | LB > P1   | BYE sip:bob@192.0.2.201 | 1 | LB dora          | P1 LB P2    | - | 69 | dora2/bob1
        F24 | P1 > LB   | BYE sip:bob@192.0.2.201 | 1 | P1 LB dora       | LB P2       | - | 68 | dora2/bob1
        F24 | LB > P2   | BYE sip:bob@192.0.2.201 | 1 | LB P1 LB dora    | P2          | - | 67 | dora2/bob1
        F25 | P2 > bob  | BYE sip:bob@192.0.2.201 | 1 | P2 LB P1 LB dora | -           | - | 66 | dora2/bob1
        F26 | bob > P2  | 200 BYE                 | 1 | P2 LB P1 LB dora | -           | - | -  | dora2/bob1
        F27 | P2 > LB   | 200 BYE                 | 1 | LB P1 LB dora    | -           | - | -  | dora2/bob1
        F27 | LB > P1   | 200 BYE                 | 1 | P1 LB dora       | -           | - | -  | dora2/bob1
        F28 | P1 > LB   | 200 BYE                 | 1 | LB dora          | -           | - | -  | dora2/bob1
        F28 | LB > dora | 200 BYE                 | 1 | dora             | -           | - | -  | dora2/bob1
        ",
    );
}

fn a_refreshed_registration_follows_a_client_whose_translation_changed(mix: Mix) {
    let (mut network, location) = dora(mix);
    registers(&mut network, "3600");
    network.follow(
        "
        F1 | dora > LB | REGISTER sip:atlanta.example.com | 1 | dora    | LB | - | 70 | dora1/-
        F1 | LB > P1   | REGISTER sip:atlanta.example.com | 1 | LB dora | -  | - | 69 | dora1/-
        F2 | P1 > LB   | 200 REGISTER                     | 1 | LB dora | -  | - | -  | dora1/registrar
        F2 | LB > dora | 200 REGISTER                     | 1 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    let first = location.borrow()["dora@atlanta.example.com"].path.clone();
    network.rebind(SEEN_AT, "203.0.113.9:50999");
    registers(&mut network, "3600");
    network.follow(
        "
        F3 | dora > LB | REGISTER sip:atlanta.example.com | 2 | dora    | LB | - | 70 | dora1/-
        F3 | LB > P1   | REGISTER sip:atlanta.example.com | 2 | LB dora | -  | - | 69 | dora1/-
        F4 | P1 > LB   | 200 REGISTER                     | 2 | LB dora | -  | - | -  | dora1/registrar
        F4 | LB > dora | 200 REGISTER                     | 2 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    assert_ne!(location.borrow()["dora@atlanta.example.com"].path, first);
    network.acts("bob", |bob| bob.asks("MESSAGE", "m-1@biloxi.example.com", DORA, &[], "Are you there?"));
    network.follow(
        "
        F5  | bob > P2  | MESSAGE sip:dora@atlanta.example.com | 1 | bob             | P2 | - | 70 | bob1/-
        F6  | P2 > LB   | MESSAGE sip:dora@atlanta.example.com | 1 | P2 bob          | -  | - | 69 | bob1/-
        F6  | LB > P1   | MESSAGE sip:dora@atlanta.example.com | 1 | LB P2 bob       | -  | - | 68 | bob1/-
        F7  | P1 > LB   | MESSAGE sip:dora@10.1.2.3            | 1 | P1 LB P2 bob    | LB | - | 67 | bob1/-
        F7  | LB > dora | MESSAGE sip:dora@10.1.2.3            | 1 | LB P1 LB P2 bob | -  | - | 66 | bob1/-
        F8  | dora > LB | 200 MESSAGE                          | 1 | LB P1 LB P2 bob | -  | - | -  | bob1/dora2
        F8  | LB > P1   | 200 MESSAGE                          | 1 | P1 LB P2 bob    | -  | - | -  | bob1/dora2
        F9  | P1 > LB   | 200 MESSAGE                          | 1 | LB P2 bob       | -  | - | -  | bob1/dora2
        F9  | LB > P2   | 200 MESSAGE                          | 1 | P2 bob          | -  | - | -  | bob1/dora2
        F10 | P2 > bob  | 200 MESSAGE                          | 1 | bob             | -  | - | -  | bob1/dora2
        ",
    );
}

fn a_caller_behind_translation_is_reached_on_the_flow_that_she_called_by(mix: Mix) {
    let (mut network, _) = dora(mix);
    let call = "from-dora@10.1.2.3";
    network.acts("dora", |dora| dora.asks("INVITE", call, "sip:bob@biloxi.example.com", &[], OFFER));
    network.follow(
        "
        F1  | dora > LB | INVITE sip:bob@biloxi.example.com | 1 | dora          | LB       | -        | 70 | dora1/-
        F1  | LB > P1   | INVITE sip:bob@biloxi.example.com | 1 | LB dora       | -        | LB       | 69 | dora1/-
        F2  | P1 > P2   | INVITE sip:bob@biloxi.example.com | 1 | P1 LB dora    | -        | P1 LB    | 68 | dora1/-
        F3  | P1 > LB   | 100 INVITE                        | 1 | LB dora       | -        | -        | -  | dora1/-
        F4  | P2 > bob  | INVITE sip:bob@192.0.2.201        | 1 | P2 P1 LB dora | -        | P2 P1 LB | 67 | dora1/-
        F5  | P2 > P1   | 100 INVITE                        | 1 | P1 LB dora    | -        | -        | -  | dora1/-
        F3  | LB > dora | 100 INVITE                        | 1 | dora          | -        | -        | -  | dora1/-
        F6  | bob > P2  | 180 INVITE                        | 1 | P2 P1 LB dora | -        | P2 P1 LB | -  | dora1/bob1
        F7  | bob > P2  | 200 INVITE                        | 1 | P2 P1 LB dora | -        | P2 P1 LB | -  | dora1/bob1
        F8  | P2 > P1   | 180 INVITE                        | 1 | P1 LB dora    | -        | P2 P1 LB | -  | dora1/bob1
        F9  | P2 > P1   | 200 INVITE                        | 1 | P1 LB dora    | -        | P2 P1 LB | -  | dora1/bob1
        F10 | P1 > LB   | 180 INVITE                        | 1 | LB dora       | -        | P2 P1 LB | -  | dora1/bob1
        F11 | P1 > LB   | 200 INVITE                        | 1 | LB dora       | -        | P2 P1 LB | -  | dora1/bob1
        F10 | LB > dora | 180 INVITE                        | 1 | dora          | -        | P2 P1 LB | -  | dora1/bob1
        F11 | LB > dora | 200 INVITE                        | 1 | dora          | -        | P2 P1 LB | -  | dora1/bob1
        F12 | dora > LB | ACK sip:bob@192.0.2.201           | 1 | dora          | LB P1 P2 | -        | 70 | dora1/bob1
        F12 | LB > P1   | ACK sip:bob@192.0.2.201           | 1 | LB dora       | P1 P2    | -        | 69 | dora1/bob1
        F13 | P1 > P2   | ACK sip:bob@192.0.2.201           | 1 | P1 LB dora    | P2       | -        | 68 | dora1/bob1
        F14 | P2 > bob  | ACK sip:bob@192.0.2.201           | 1 | P2 P1 LB dora | -        | -        | 67 | dora1/bob1
        ",
    );
    network.acts("bob", |bob| bob.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F15 | bob > P2  | BYE sip:dora@10.1.2.3 | 1 | bob          | P2 P1 LB | - | 70 | bob1/dora1
        F16 | P2 > P1   | BYE sip:dora@10.1.2.3 | 1 | P2 bob       | P1 LB    | - | 69 | bob1/dora1
        F17 | P1 > LB   | BYE sip:dora@10.1.2.3 | 1 | P1 P2 bob    | LB       | - | 68 | bob1/dora1
        F17 | LB > dora | BYE sip:dora@10.1.2.3 | 1 | LB P1 P2 bob | -        | - | 67 | bob1/dora1
        F18 | dora > LB | 200 BYE               | 1 | LB P1 P2 bob | -        | - | -  | bob1/dora1
        F18 | LB > P1   | 200 BYE               | 1 | P1 P2 bob    | -        | - | -  | bob1/dora1
        F19 | P1 > P2   | 200 BYE               | 1 | P2 bob       | -        | - | -  | bob1/dora1
        F20 | P2 > bob  | 200 BYE               | 1 | bob          | -        | - | -  | bob1/dora1
        ",
    );
}

fn two_user_agents_behind_different_translators_call_each_other(mix: Mix) {
    let (mut network, _) = dora(mix);
    hide(&mut network, "erin", "sip:erin@atlanta.example.com", "10.9.9.9", "198.51.100.7:31000");
    registers(&mut network, "3600");
    network.follow(
        "
        F1 | dora > LB | REGISTER sip:atlanta.example.com | 1 | dora    | LB | - | 70 | dora1/-
        F1 | LB > P1   | REGISTER sip:atlanta.example.com | 1 | LB dora | -  | - | 69 | dora1/-
        F2 | P1 > LB   | 200 REGISTER                     | 1 | LB dora | -  | - | -  | dora1/registrar
        F2 | LB > dora | 200 REGISTER                     | 1 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    let call = "erin-to-dora@10.9.9.9";
    network.acts("erin", |erin| erin.asks("INVITE", call, DORA, &[], OFFER));
    network.follow(
        "
        F3  | erin > LB | INVITE sip:dora@atlanta.example.com | 1 | erin          | LB       | -        | 70 | erin1/-
        F3  | LB > P1   | INVITE sip:dora@atlanta.example.com | 1 | LB erin       | -        | LB       | 69 | erin1/-
        F4  | P1 > LB   | INVITE sip:dora@10.1.2.3            | 1 | P1 LB erin    | LB       | P1 LB    | 68 | erin1/-
        F5  | P1 > LB   | 100 INVITE                          | 1 | LB erin       | -        | -        | -  | erin1/-
        F4  | LB > dora | INVITE sip:dora@10.1.2.3            | 1 | LB P1 LB erin | -        | LB P1 LB | 67 | erin1/-
        F5  | LB > erin | 100 INVITE                          | 1 | erin          | -        | -        | -  | erin1/-
        F6  | dora > LB | 180 INVITE                          | 1 | LB P1 LB erin | -        | LB P1 LB | -  | erin1/dora2
        F7  | dora > LB | 200 INVITE                          | 1 | LB P1 LB erin | -        | LB P1 LB | -  | erin1/dora2
        F6  | LB > P1   | 180 INVITE                          | 1 | P1 LB erin    | -        | LB P1 LB | -  | erin1/dora2
        F7  | LB > P1   | 200 INVITE                          | 1 | P1 LB erin    | -        | LB P1 LB | -  | erin1/dora2
        F8  | P1 > LB   | 180 INVITE                          | 1 | LB erin       | -        | LB P1 LB | -  | erin1/dora2
        F9  | P1 > LB   | 200 INVITE                          | 1 | LB erin       | -        | LB P1 LB | -  | erin1/dora2
        F8  | LB > erin | 180 INVITE                          | 1 | erin          | -        | LB P1 LB | -  | erin1/dora2
        F9  | LB > erin | 200 INVITE                          | 1 | erin          | -        | LB P1 LB | -  | erin1/dora2
        F10 | erin > LB | ACK sip:dora@10.1.2.3               | 1 | erin          | LB P1 LB | -        | 70 | erin1/dora2
        F10 | LB > P1   | ACK sip:dora@10.1.2.3               | 1 | LB erin       | P1 LB    | -        | 69 | erin1/dora2
        F11 | P1 > LB   | ACK sip:dora@10.1.2.3               | 1 | P1 LB erin    | LB       | -        | 68 | erin1/dora2
        F11 | LB > dora | ACK sip:dora@10.1.2.3               | 1 | LB P1 LB erin | -        | -        | 67 | erin1/dora2
        ",
    );
    network.acts("dora", |dora| dora.asks_within("INFO", call, &[], ""));
    network.follow(
        "
        F12 | dora > LB | INFO sip:erin@10.9.9.9 | 1 | dora          | LB P1 LB | - | 70 | dora2/erin1
        F12 | LB > P1   | INFO sip:erin@10.9.9.9 | 1 | LB dora       | P1 LB    | - | 69 | dora2/erin1
        F13 | P1 > LB   | INFO sip:erin@10.9.9.9 | 1 | P1 LB dora    | LB       | - | 68 | dora2/erin1
        F13 | LB > erin | INFO sip:erin@10.9.9.9 | 1 | LB P1 LB dora | -        | - | 67 | dora2/erin1
        F14 | erin > LB | 200 INFO               | 1 | LB P1 LB dora | -        | - | -  | dora2/erin1
        F14 | LB > P1   | 200 INFO               | 1 | P1 LB dora    | -        | - | -  | dora2/erin1
        F15 | P1 > LB   | 200 INFO               | 1 | LB dora       | -        | - | -  | dora2/erin1
        F15 | LB > dora | 200 INFO               | 1 | dora          | -        | - | -  | dora2/erin1
        ",
    );
    network.acts("erin", |erin| erin.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F16 | erin > LB | BYE sip:dora@10.1.2.3 | 2 | erin          | LB P1 LB | - | 70 | erin1/dora2
        F16 | LB > P1   | BYE sip:dora@10.1.2.3 | 2 | LB erin       | P1 LB    | - | 69 | erin1/dora2
        F17 | P1 > LB   | BYE sip:dora@10.1.2.3 | 2 | P1 LB erin    | LB       | - | 68 | erin1/dora2
        F17 | LB > dora | BYE sip:dora@10.1.2.3 | 2 | LB P1 LB erin | -        | - | 67 | erin1/dora2
        F18 | dora > LB | 200 BYE               | 2 | LB P1 LB erin | -        | - | -  | erin1/dora2
        F18 | LB > P1   | 200 BYE               | 2 | P1 LB erin    | -        | - | -  | erin1/dora2
        F19 | P1 > LB   | 200 BYE               | 2 | LB erin       | -        | - | -  | erin1/dora2
        F19 | LB > erin | 200 BYE               | 2 | erin          | -        | - | -  | erin1/dora2
        ",
    );
}

/// The member does not record itself, so that two Record-Routes of Viaduct's stand side by side: one for each time that
/// the INVITE passed. Each side's requests still pass twice, and find the other's flow.
fn a_member_that_does_not_record_its_route_still_reaches_callers_and_called_on_their_flows(mix: Mix) {
    let (mut network, _) = proxies(mix, |proxy| proxy.records_route = false);
    hide(&mut network, "dora", DORA, "10.1.2.3", SEEN_AT);
    hide(&mut network, "erin", "sip:erin@atlanta.example.com", "10.9.9.9", "198.51.100.7:31000");
    registers(&mut network, "3600");
    network.follow(
        "
        F1 | dora > LB | REGISTER sip:atlanta.example.com | 1 | dora    | LB | - | 70 | dora1/-
        F1 | LB > P1   | REGISTER sip:atlanta.example.com | 1 | LB dora | -  | - | 69 | dora1/-
        F2 | P1 > LB   | 200 REGISTER                     | 1 | LB dora | -  | - | -  | dora1/registrar
        F2 | LB > dora | 200 REGISTER                     | 1 | dora    | -  | - | -  | dora1/registrar
        ",
    );
    let call = "unrecorded@10.9.9.9";
    network.acts("erin", |erin| erin.asks("INVITE", call, DORA, &[], OFFER));
    network.follow(
        "
        F3  | erin > LB | INVITE sip:dora@atlanta.example.com | 1 | erin          | LB    | -     | 70 | erin1/-
        F3  | LB > P1   | INVITE sip:dora@atlanta.example.com | 1 | LB erin       | -     | LB    | 69 | erin1/-
        F4  | P1 > LB   | INVITE sip:dora@10.1.2.3            | 1 | P1 LB erin    | LB    | LB    | 68 | erin1/-
        F5  | P1 > LB   | 100 INVITE                          | 1 | LB erin       | -     | -     | -  | erin1/-
        F4  | LB > dora | INVITE sip:dora@10.1.2.3            | 1 | LB P1 LB erin | -     | LB LB | 67 | erin1/-
        F5  | LB > erin | 100 INVITE                          | 1 | erin          | -     | -     | -  | erin1/-
        F6  | dora > LB | 180 INVITE                          | 1 | LB P1 LB erin | -     | LB LB | -  | erin1/dora2
        F7  | dora > LB | 200 INVITE                          | 1 | LB P1 LB erin | -     | LB LB | -  | erin1/dora2
        F6  | LB > P1   | 180 INVITE                          | 1 | P1 LB erin    | -     | LB LB | -  | erin1/dora2
        F7  | LB > P1   | 200 INVITE                          | 1 | P1 LB erin    | -     | LB LB | -  | erin1/dora2
        F8  | P1 > LB   | 180 INVITE                          | 1 | LB erin       | -     | LB LB | -  | erin1/dora2
        F9  | P1 > LB   | 200 INVITE                          | 1 | LB erin       | -     | LB LB | -  | erin1/dora2
        F8  | LB > erin | 180 INVITE                          | 1 | erin          | -     | LB LB | -  | erin1/dora2
        F9  | LB > erin | 200 INVITE                          | 1 | erin          | -     | LB LB | -  | erin1/dora2
        F10 | erin > LB | ACK sip:dora@10.1.2.3               | 1 | erin          | LB LB | -     | 70 | erin1/dora2
        F10 | LB > P1   | ACK sip:dora@10.1.2.3               | 1 | LB erin       | LB    | -     | 69 | erin1/dora2
        F11 | P1 > LB   | ACK sip:dora@10.1.2.3               | 1 | P1 LB erin    | LB    | -     | 68 | erin1/dora2
        F11 | LB > dora | ACK sip:dora@10.1.2.3               | 1 | LB P1 LB erin | -     | -     | 67 | erin1/dora2
        ",
    );
    network.acts("dora", |dora| dora.asks_within("INFO", call, &[], ""));
    network.follow(
        "
        F12 | dora > LB | INFO sip:erin@10.9.9.9 | 1 | dora          | LB LB | - | 70 | dora2/erin1
        F12 | LB > P1   | INFO sip:erin@10.9.9.9 | 1 | LB dora       | LB    | - | 69 | dora2/erin1
        F13 | P1 > LB   | INFO sip:erin@10.9.9.9 | 1 | P1 LB dora    | LB    | - | 68 | dora2/erin1
        F13 | LB > erin | INFO sip:erin@10.9.9.9 | 1 | LB P1 LB dora | -     | - | 67 | dora2/erin1
        F14 | erin > LB | 200 INFO               | 1 | LB P1 LB dora | -     | - | -  | dora2/erin1
        F14 | LB > P1   | 200 INFO               | 1 | P1 LB dora    | -     | - | -  | dora2/erin1
        F15 | P1 > LB   | 200 INFO               | 1 | LB dora       | -     | - | -  | dora2/erin1
        F15 | LB > dora | 200 INFO               | 1 | dora          | -     | - | -  | dora2/erin1
        ",
    );
    network.acts("erin", |erin| erin.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F16 | erin > LB | BYE sip:dora@10.1.2.3 | 2 | erin          | LB LB | - | 70 | erin1/dora2
        F16 | LB > P1   | BYE sip:dora@10.1.2.3 | 2 | LB erin       | LB    | - | 69 | erin1/dora2
        F17 | P1 > LB   | BYE sip:dora@10.1.2.3 | 2 | P1 LB erin    | LB    | - | 68 | erin1/dora2
        F17 | LB > dora | BYE sip:dora@10.1.2.3 | 2 | LB P1 LB erin | -     | - | 67 | erin1/dora2
        F18 | dora > LB | 200 BYE               | 2 | LB P1 LB erin | -     | - | -  | erin1/dora2
        F18 | LB > P1   | 200 BYE               | 2 | P1 LB erin    | -     | - | -  | erin1/dora2
        F19 | P1 > LB   | 200 BYE               | 2 | LB erin       | -     | - | -  | erin1/dora2
        F19 | LB > erin | 200 BYE               | 2 | erin          | -     | - | -  | erin1/dora2
        ",
    );
}
