//! Call transfer: by BYE with Also, by REFER (RFC 3515, RFC 5589 §6.1), and attended, with Replaces (RFC 3891). The
//! second call has a Call-ID of its own; with Replaces it goes to the member that has the replaced dialog.

use crate::mix::Mix;
use crate::network::Network;
use crate::world::{OFFER, bind, proxies};

over_each_mix!(
    a_bye_with_also_ends_one_call_and_begins_another,
    a_refer_moves_a_held_call_to_a_third_party,
    an_attended_transfer_reaches_the_member_that_has_the_replaced_dialog
);

const FIRST: &str = "1@atlanta.example.com";
const SECOND: &str = "2@atlanta.example.com";
const CAROL: &str = "sip:carol@atlanta.example.com";
const HOLD: &str = "v=0\r\no=bob 2 2 IN IP4 192.0.2.201\r\ns=-\r\nt=0 0\r\nm=audio 3456 RTP/AVP 0\r\na=sendonly\r\n";

/// Alice and Bob in a call. The replicas of Proxy 1 reach Carol through Viaduct, at her own address.
fn call(mix: Mix) -> Network {
    let (mut network, location) = proxies(mix, |proxy| proxy.outbound = vec![mix.backend_route().to_owned()]);
    bind(&location, "carol@atlanta.example.com", &mix.of_neighbour("sip:carol@192.0.2.102"));
    network.is_called_at_its_address("carol");
    bind(&location, "bob@atlanta.example.com", &mix.of_neighbour("sip:bob@192.0.2.201"));
    network.acts("alice", |alice| alice.asks("INVITE", FIRST, "sip:bob@atlanta.example.com", &[], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:bob@atlanta.example.com | 1 | alice          | LB       | -        | 70 | alice1/-
        F1 | LB > P1    | INVITE sip:bob@atlanta.example.com | 1 | LB alice       | -        | LB       | 69 | alice1/-
        F2 | P1 > LB    | INVITE sip:bob@192.0.2.201         | 1 | P1 LB alice    | LB       | P1 LB    | 68 | alice1/-
        F3 | P1 > LB    | 100 INVITE                         | 1 | LB alice       | -        | -        | -  | alice1/-
        F2 | LB > bob   | INVITE sip:bob@192.0.2.201         | 1 | LB P1 LB alice | -        | LB P1 LB | 67 | alice1/-
        F3 | LB > alice | 100 INVITE                         | 1 | alice          | -        | -        | -  | alice1/-
        F4 | bob > LB   | 180 INVITE                         | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice1/bob1
        F5 | bob > LB   | 200 INVITE                         | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice1/bob1
        F4 | LB > P1    | 180 INVITE                         | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice1/bob1
        F5 | LB > P1    | 200 INVITE                         | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice1/bob1
        F6 | P1 > LB    | 180 INVITE                         | 1 | LB alice       | -        | LB P1 LB | -  | alice1/bob1
        F7 | P1 > LB    | 200 INVITE                         | 1 | LB alice       | -        | LB P1 LB | -  | alice1/bob1
        F6 | LB > alice | 180 INVITE                         | 1 | alice          | -        | LB P1 LB | -  | alice1/bob1
        F7 | LB > alice | 200 INVITE                         | 1 | alice          | -        | LB P1 LB | -  | alice1/bob1
        F8 | alice > LB | ACK sip:bob@192.0.2.201            | 1 | alice          | LB P1 LB | -        | 70 | alice1/bob1
        F8 | LB > P1    | ACK sip:bob@192.0.2.201            | 1 | LB alice       | P1 LB    | -        | 69 | alice1/bob1
        F9 | P1 > LB    | ACK sip:bob@192.0.2.201            | 1 | P1 LB alice    | LB       | -        | 68 | alice1/bob1
        F9 | LB > bob   | ACK sip:bob@192.0.2.201            | 1 | LB P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    network
}

fn a_bye_with_also_ends_one_call_and_begins_another(mix: Mix) {
    let mut network = call(mix);
    network.acts("bob", |bob| bob.asks_within("BYE", FIRST, &["Also: <sip:carol@atlanta.example.com>"], ""));
    network.follow(
        "
        F10 | bob > LB   | BYE sip:alice@192.0.2.101 | 1 | bob          | LB P1 LB | - | 70 | bob1/alice1
        F10 | LB > P1    | BYE sip:alice@192.0.2.101 | 1 | LB bob       | P1 LB    | - | 69 | bob1/alice1
        F11 | P1 > LB    | BYE sip:alice@192.0.2.101 | 1 | P1 LB bob    | LB       | - | 68 | bob1/alice1
        F11 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB P1 LB bob | -        | - | 67 | bob1/alice1
        F12 | alice > LB | 200 BYE                   | 1 | LB P1 LB bob | -        | - | -  | bob1/alice1
        F12 | LB > P1    | 200 BYE                   | 1 | P1 LB bob    | -        | - | -  | bob1/alice1
        F13 | P1 > LB    | 200 BYE                   | 1 | LB bob       | -        | - | -  | bob1/alice1
        F13 | LB > bob   | 200 BYE                   | 1 | bob          | -        | - | -  | bob1/alice1
        ",
    );
    assert_eq!(network.agent("alice").last().header("Also"), "<sip:carol@atlanta.example.com>");
    network.acts("alice", |alice| {
        alice.asks("INVITE", SECOND, CAROL, &["Requested-By: <sip:bob@biloxi.example.com>"], OFFER)
    });
    network.follow(
        "
        F14 | alice > LB | INVITE sip:carol@atlanta.example.com | 1 | alice          | LB       | -        | 70 | alice2/-
        F14 | LB > P1    | INVITE sip:carol@atlanta.example.com | 1 | LB alice       | -        | LB       | 69 | alice2/-
        F15 | P1 > LB    | INVITE sip:carol@192.0.2.102         | 1 | P1 LB alice    | LB       | P1 LB    | 68 | alice2/-
        F16 | P1 > LB    | 100 INVITE                           | 1 | LB alice       | -        | -        | -  | alice2/-
        F15 | LB > carol | INVITE sip:carol@192.0.2.102         | 1 | LB P1 LB alice | -        | LB P1 LB | 67 | alice2/-
        F16 | LB > alice | 100 INVITE                           | 1 | alice          | -        | -        | -  | alice2/-
        F17 | carol > LB | 180 INVITE                           | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice2/carol1
        F18 | carol > LB | 200 INVITE                           | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice2/carol1
        F17 | LB > P1    | 180 INVITE                           | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice2/carol1
        F18 | LB > P1    | 200 INVITE                           | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice2/carol1
        F19 | P1 > LB    | 180 INVITE                           | 1 | LB alice       | -        | LB P1 LB | -  | alice2/carol1
        F20 | P1 > LB    | 200 INVITE                           | 1 | LB alice       | -        | LB P1 LB | -  | alice2/carol1
        F19 | LB > alice | 180 INVITE                           | 1 | alice          | -        | LB P1 LB | -  | alice2/carol1
        F20 | LB > alice | 200 INVITE                           | 1 | alice          | -        | LB P1 LB | -  | alice2/carol1
        F21 | alice > LB | ACK sip:carol@192.0.2.102            | 1 | alice          | LB P1 LB | -        | 70 | alice2/carol1
        F21 | LB > P1    | ACK sip:carol@192.0.2.102            | 1 | LB alice       | P1 LB    | -        | 69 | alice2/carol1
        F22 | P1 > LB    | ACK sip:carol@192.0.2.102            | 1 | P1 LB alice    | LB       | -        | 68 | alice2/carol1
        F22 | LB > carol | ACK sip:carol@192.0.2.102            | 1 | LB P1 LB alice | -        | -        | 67 | alice2/carol1
        ",
    );
}

fn a_refer_moves_a_held_call_to_a_third_party(mix: Mix) {
    let mut network = call(mix);
    network.acts("bob", |bob| bob.asks_within("INVITE", FIRST, &[], HOLD));
    network.follow(
        "
        F10 | bob > LB   | INVITE sip:alice@192.0.2.101 | 1 | bob          | LB P1 LB | -        | 70 | bob1/alice1
        F10 | LB > P1    | INVITE sip:alice@192.0.2.101 | 1 | LB bob       | P1 LB    | LB       | 69 | bob1/alice1
        F11 | P1 > LB    | INVITE sip:alice@192.0.2.101 | 1 | P1 LB bob    | LB       | P1 LB    | 68 | bob1/alice1
        F11 | LB > alice | INVITE sip:alice@192.0.2.101 | 1 | LB P1 LB bob | -        | LB P1 LB | 67 | bob1/alice1
        F12 | alice > LB | 200 INVITE                   | 1 | LB P1 LB bob | -        | -        | -  | bob1/alice1
        F12 | LB > P1    | 200 INVITE                   | 1 | P1 LB bob    | -        | -        | -  | bob1/alice1
        F13 | P1 > LB    | 200 INVITE                   | 1 | LB bob       | -        | -        | -  | bob1/alice1
        F13 | LB > bob   | 200 INVITE                   | 1 | bob          | -        | -        | -  | bob1/alice1
        F14 | bob > LB   | ACK sip:alice@192.0.2.101    | 1 | bob          | LB P1 LB | -        | 70 | bob1/alice1
        F14 | LB > P1    | ACK sip:alice@192.0.2.101    | 1 | LB bob       | P1 LB    | -        | 69 | bob1/alice1
        F15 | P1 > LB    | ACK sip:alice@192.0.2.101    | 1 | P1 LB bob    | LB       | -        | 68 | bob1/alice1
        F15 | LB > alice | ACK sip:alice@192.0.2.101    | 1 | LB P1 LB bob | -        | -        | 67 | bob1/alice1
        ",
    );
    network.acts("bob", |bob| bob.asks_within("REFER", FIRST, &["Refer-To: <sip:carol@atlanta.example.com>"], ""));
    network.follow(
        "
        F16 | bob > LB   | REFER sip:alice@192.0.2.101 | 2 | bob          | LB P1 LB | -        | 70 | bob1/alice1
        F16 | LB > P1    | REFER sip:alice@192.0.2.101 | 2 | LB bob       | P1 LB    | LB       | 69 | bob1/alice1
        F17 | P1 > LB    | REFER sip:alice@192.0.2.101 | 2 | P1 LB bob    | LB       | P1 LB    | 68 | bob1/alice1
        F17 | LB > alice | REFER sip:alice@192.0.2.101 | 2 | LB P1 LB bob | -        | LB P1 LB | 67 | bob1/alice1
        F18 | alice > LB | 202 REFER                   | 2 | LB P1 LB bob | -        | -        | -  | bob1/alice1
        F18 | LB > P1    | 202 REFER                   | 2 | P1 LB bob    | -        | -        | -  | bob1/alice1
        F19 | P1 > LB    | 202 REFER                   | 2 | LB bob       | -        | -        | -  | bob1/alice1
        F19 | LB > bob   | 202 REFER                   | 2 | bob          | -        | -        | -  | bob1/alice1
        ",
    );
    notifies(&mut network, "SIP/2.0 100 Trying\r\n");
    network.follow(
        "
        F20 | alice > LB | NOTIFY sip:bob@192.0.2.201 | 2 | alice          | LB P1 LB | -        | 70 | alice1/bob1
        F20 | LB > P1    | NOTIFY sip:bob@192.0.2.201 | 2 | LB alice       | P1 LB    | LB       | 69 | alice1/bob1
        F21 | P1 > LB    | NOTIFY sip:bob@192.0.2.201 | 2 | P1 LB alice    | LB       | P1 LB    | 68 | alice1/bob1
        F21 | LB > bob   | NOTIFY sip:bob@192.0.2.201 | 2 | LB P1 LB alice | -        | LB P1 LB | 67 | alice1/bob1
        F22 | bob > LB   | 200 NOTIFY                 | 2 | LB P1 LB alice | -        | -        | -  | alice1/bob1
        F22 | LB > P1    | 200 NOTIFY                 | 2 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F23 | P1 > LB    | 200 NOTIFY                 | 2 | LB alice       | -        | -        | -  | alice1/bob1
        F23 | LB > alice | 200 NOTIFY                 | 2 | alice          | -        | -        | -  | alice1/bob1
        ",
    );
    network.acts("alice", |alice| alice.asks("INVITE", SECOND, CAROL, &[], OFFER));
    network.follow(
        "
        F24 | alice > LB | INVITE sip:carol@atlanta.example.com | 1 | alice          | LB       | -        | 70 | alice2/-
        F24 | LB > P1    | INVITE sip:carol@atlanta.example.com | 1 | LB alice       | -        | LB       | 69 | alice2/-
        F25 | P1 > LB    | INVITE sip:carol@192.0.2.102         | 1 | P1 LB alice    | LB       | P1 LB    | 68 | alice2/-
        F26 | P1 > LB    | 100 INVITE                           | 1 | LB alice       | -        | -        | -  | alice2/-
        F25 | LB > carol | INVITE sip:carol@192.0.2.102         | 1 | LB P1 LB alice | -        | LB P1 LB | 67 | alice2/-
        F26 | LB > alice | 100 INVITE                           | 1 | alice          | -        | -        | -  | alice2/-
        F27 | carol > LB | 180 INVITE                           | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice2/carol1
        F28 | carol > LB | 200 INVITE                           | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice2/carol1
        F27 | LB > P1    | 180 INVITE                           | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice2/carol1
        F28 | LB > P1    | 200 INVITE                           | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice2/carol1
        F29 | P1 > LB    | 180 INVITE                           | 1 | LB alice       | -        | LB P1 LB | -  | alice2/carol1
        F30 | P1 > LB    | 200 INVITE                           | 1 | LB alice       | -        | LB P1 LB | -  | alice2/carol1
        F29 | LB > alice | 180 INVITE                           | 1 | alice          | -        | LB P1 LB | -  | alice2/carol1
        F30 | LB > alice | 200 INVITE                           | 1 | alice          | -        | LB P1 LB | -  | alice2/carol1
        F31 | alice > LB | ACK sip:carol@192.0.2.102            | 1 | alice          | LB P1 LB | -        | 70 | alice2/carol1
        F31 | LB > P1    | ACK sip:carol@192.0.2.102            | 1 | LB alice       | P1 LB    | -        | 69 | alice2/carol1
        F32 | P1 > LB    | ACK sip:carol@192.0.2.102            | 1 | P1 LB alice    | LB       | -        | 68 | alice2/carol1
        F32 | LB > carol | ACK sip:carol@192.0.2.102            | 1 | LB P1 LB alice | -        | -        | 67 | alice2/carol1
        ",
    );
    notifies(&mut network, "SIP/2.0 200 OK\r\n");
    network.follow(
        "
        F33 | alice > LB | NOTIFY sip:bob@192.0.2.201 | 3 | alice          | LB P1 LB | -        | 70 | alice1/bob1
        F33 | LB > P1    | NOTIFY sip:bob@192.0.2.201 | 3 | LB alice       | P1 LB    | LB       | 69 | alice1/bob1
        F34 | P1 > LB    | NOTIFY sip:bob@192.0.2.201 | 3 | P1 LB alice    | LB       | P1 LB    | 68 | alice1/bob1
        F34 | LB > bob   | NOTIFY sip:bob@192.0.2.201 | 3 | LB P1 LB alice | -        | LB P1 LB | 67 | alice1/bob1
        F35 | bob > LB   | 200 NOTIFY                 | 3 | LB P1 LB alice | -        | -        | -  | alice1/bob1
        F35 | LB > P1    | 200 NOTIFY                 | 3 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F36 | P1 > LB    | 200 NOTIFY                 | 3 | LB alice       | -        | -        | -  | alice1/bob1
        F36 | LB > alice | 200 NOTIFY                 | 3 | alice          | -        | -        | -  | alice1/bob1
        ",
    );
    assert_eq!(network.agent("bob").last().body, "SIP/2.0 200 OK\r\n");
    network.acts("bob", |bob| bob.asks_within("BYE", FIRST, &[], ""));
    network.follow(
        "
        F37 | bob > LB   | BYE sip:alice@192.0.2.101 | 3 | bob          | LB P1 LB | - | 70 | bob1/alice1
        F37 | LB > P1    | BYE sip:alice@192.0.2.101 | 3 | LB bob       | P1 LB    | - | 69 | bob1/alice1
        F38 | P1 > LB    | BYE sip:alice@192.0.2.101 | 3 | P1 LB bob    | LB       | - | 68 | bob1/alice1
        F38 | LB > alice | BYE sip:alice@192.0.2.101 | 3 | LB P1 LB bob | -        | - | 67 | bob1/alice1
        F39 | alice > LB | 200 BYE                   | 3 | LB P1 LB bob | -        | - | -  | bob1/alice1
        F39 | LB > P1    | 200 BYE                   | 3 | P1 LB bob    | -        | - | -  | bob1/alice1
        F40 | P1 > LB    | 200 BYE                   | 3 | LB bob       | -        | - | -  | bob1/alice1
        F40 | LB > bob   | 200 BYE                   | 3 | bob          | -        | - | -  | bob1/alice1
        ",
    );
    network.acts("carol", |carol| carol.asks_within("BYE", SECOND, &[], ""));
    network.follow(
        "
        F41 | carol > LB | BYE sip:alice@192.0.2.101 | 1 | carol          | LB P1 LB | - | 70 | carol1/alice2
        F41 | LB > P1    | BYE sip:alice@192.0.2.101 | 1 | LB carol       | P1 LB    | - | 69 | carol1/alice2
        F42 | P1 > LB    | BYE sip:alice@192.0.2.101 | 1 | P1 LB carol    | LB       | - | 68 | carol1/alice2
        F42 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB P1 LB carol | -        | - | 67 | carol1/alice2
        F43 | alice > LB | 200 BYE                   | 1 | LB P1 LB carol | -        | - | -  | carol1/alice2
        F43 | LB > P1    | 200 BYE                   | 1 | P1 LB carol    | -        | - | -  | carol1/alice2
        F44 | P1 > LB    | 200 BYE                   | 1 | LB carol       | -        | - | -  | carol1/alice2
        F44 | LB > carol | 200 BYE                   | 1 | carol          | -        | - | -  | carol1/alice2
        ",
    );
}

fn notifies(network: &mut Network, fragment: &str) {
    network.acts("alice", |alice| alice.asks_within("NOTIFY", FIRST, &["Event: refer"], fragment));
}

fn an_attended_transfer_reaches_the_member_that_has_the_replaced_dialog(mix: Mix) {
    let mut network = call(mix);
    network.agent("bob").outbound = Some(mix.neighbour_route().to_owned());
    network.acts("bob", |bob| bob.asks("INVITE", SECOND, CAROL, &[], OFFER));
    network.follow(
        "
        F10 | bob > LB   | INVITE sip:carol@atlanta.example.com | 1 | bob          | LB       | -        | 70 | bob2/-
        F10 | LB > P1    | INVITE sip:carol@atlanta.example.com | 1 | LB bob       | -        | LB       | 69 | bob2/-
        F11 | P1 > LB    | INVITE sip:carol@192.0.2.102         | 1 | P1 LB bob    | LB       | P1 LB    | 68 | bob2/-
        F12 | P1 > LB    | 100 INVITE                           | 1 | LB bob       | -        | -        | -  | bob2/-
        F11 | LB > carol | INVITE sip:carol@192.0.2.102         | 1 | LB P1 LB bob | -        | LB P1 LB | 67 | bob2/-
        F12 | LB > bob   | 100 INVITE                           | 1 | bob          | -        | -        | -  | bob2/-
        F13 | carol > LB | 180 INVITE                           | 1 | LB P1 LB bob | -        | LB P1 LB | -  | bob2/carol1
        F14 | carol > LB | 200 INVITE                           | 1 | LB P1 LB bob | -        | LB P1 LB | -  | bob2/carol1
        F13 | LB > P1    | 180 INVITE                           | 1 | P1 LB bob    | -        | LB P1 LB | -  | bob2/carol1
        F14 | LB > P1    | 200 INVITE                           | 1 | P1 LB bob    | -        | LB P1 LB | -  | bob2/carol1
        F15 | P1 > LB    | 180 INVITE                           | 1 | LB bob       | -        | LB P1 LB | -  | bob2/carol1
        F16 | P1 > LB    | 200 INVITE                           | 1 | LB bob       | -        | LB P1 LB | -  | bob2/carol1
        F15 | LB > bob   | 180 INVITE                           | 1 | bob          | -        | LB P1 LB | -  | bob2/carol1
        F16 | LB > bob   | 200 INVITE                           | 1 | bob          | -        | LB P1 LB | -  | bob2/carol1
        F17 | bob > LB   | ACK sip:carol@192.0.2.102            | 1 | bob          | LB P1 LB | -        | 70 | bob2/carol1
        F17 | LB > P1    | ACK sip:carol@192.0.2.102            | 1 | LB bob       | P1 LB    | -        | 69 | bob2/carol1
        F18 | P1 > LB    | ACK sip:carol@192.0.2.102            | 1 | P1 LB bob    | LB       | -        | 68 | bob2/carol1
        F18 | LB > carol | ACK sip:carol@192.0.2.102            | 1 | LB P1 LB bob | -        | -        | 67 | bob2/carol1
        ",
    );
    let replaced = network.agent("bob").names(SECOND);
    let refer_to = format!("Refer-To: <{CAROL}?Replaces={}>", replaced.replace(';', "%3B").replace('=', "%3D"));
    network.acts("bob", |bob| bob.asks_within("REFER", FIRST, &[&refer_to], ""));
    network.follow(
        "
        F19 | bob > LB   | REFER sip:alice@192.0.2.101 | 1 | bob          | LB P1 LB | -        | 70 | bob1/alice1
        F19 | LB > P1    | REFER sip:alice@192.0.2.101 | 1 | LB bob       | P1 LB    | LB       | 69 | bob1/alice1
        F20 | P1 > LB    | REFER sip:alice@192.0.2.101 | 1 | P1 LB bob    | LB       | P1 LB    | 68 | bob1/alice1
        F20 | LB > alice | REFER sip:alice@192.0.2.101 | 1 | LB P1 LB bob | -        | LB P1 LB | 67 | bob1/alice1
        F21 | alice > LB | 202 REFER                   | 1 | LB P1 LB bob | -        | -        | -  | bob1/alice1
        F21 | LB > P1    | 202 REFER                   | 1 | P1 LB bob    | -        | -        | -  | bob1/alice1
        F22 | P1 > LB    | 202 REFER                   | 1 | LB bob       | -        | -        | -  | bob1/alice1
        F22 | LB > bob   | 202 REFER                   | 1 | bob          | -        | -        | -  | bob1/alice1
        ",
    );
    let third = network.viaduct.owned_elsewhere(SECOND);
    network.acts("alice", |alice| alice.asks("INVITE", &third, CAROL, &[&format!("Replaces: {replaced}")], OFFER));
    network.follow(
        "
        F23 | alice > LB | INVITE sip:carol@atlanta.example.com | 1 | alice          | LB       | -        | 70 | alice2/-
        F23 | LB > P1    | INVITE sip:carol@atlanta.example.com | 1 | LB alice       | -        | LB       | 69 | alice2/-
        F24 | P1 > LB    | INVITE sip:carol@192.0.2.102         | 1 | P1 LB alice    | LB       | P1 LB    | 68 | alice2/-
        F25 | P1 > LB    | 100 INVITE                           | 1 | LB alice       | -        | -        | -  | alice2/-
        F24 | LB > carol | INVITE sip:carol@192.0.2.102         | 1 | LB P1 LB alice | -        | LB P1 LB | 67 | alice2/-
        F25 | LB > alice | 100 INVITE                           | 1 | alice          | -        | -        | -  | alice2/-
        F26 | carol > LB | 180 INVITE                           | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice2/carol2
        F27 | carol > LB | 200 INVITE                           | 1 | LB P1 LB alice | -        | LB P1 LB | -  | alice2/carol2
        F26 | LB > P1    | 180 INVITE                           | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice2/carol2
        F27 | LB > P1    | 200 INVITE                           | 1 | P1 LB alice    | -        | LB P1 LB | -  | alice2/carol2
        F28 | P1 > LB    | 180 INVITE                           | 1 | LB alice       | -        | LB P1 LB | -  | alice2/carol2
        F29 | P1 > LB    | 200 INVITE                           | 1 | LB alice       | -        | LB P1 LB | -  | alice2/carol2
        F28 | LB > alice | 180 INVITE                           | 1 | alice          | -        | LB P1 LB | -  | alice2/carol2
        F29 | LB > alice | 200 INVITE                           | 1 | alice          | -        | LB P1 LB | -  | alice2/carol2
        F30 | alice > LB | ACK sip:carol@192.0.2.102            | 1 | alice          | LB P1 LB | -        | 70 | alice2/carol2
        F30 | LB > P1    | ACK sip:carol@192.0.2.102            | 1 | LB alice       | P1 LB    | -        | 69 | alice2/carol2
        F31 | P1 > LB    | ACK sip:carol@192.0.2.102            | 1 | P1 LB alice    | LB       | -        | 68 | alice2/carol2
        F31 | LB > carol | ACK sip:carol@192.0.2.102            | 1 | LB P1 LB alice | -        | -        | 67 | alice2/carol2
        ",
    );
    assert_eq!(network.viaduct.member_of(&third), network.viaduct.member_of(SECOND));
    assert_ne!(network.viaduct.member_of(&third), network.viaduct.owner_of(&third));
    network.acts("carol", |carol| carol.asks_within("BYE", SECOND, &[], ""));
    network.follow(
        "
        F32 | carol > LB | BYE sip:bob@192.0.2.201 | 1 | carol          | LB P1 LB | - | 70 | carol1/bob2
        F32 | LB > P1    | BYE sip:bob@192.0.2.201 | 1 | LB carol       | P1 LB    | - | 69 | carol1/bob2
        F33 | P1 > LB    | BYE sip:bob@192.0.2.201 | 1 | P1 LB carol    | LB       | - | 68 | carol1/bob2
        F33 | LB > bob   | BYE sip:bob@192.0.2.201 | 1 | LB P1 LB carol | -        | - | 67 | carol1/bob2
        F34 | bob > LB   | 200 BYE                 | 1 | LB P1 LB carol | -        | - | -  | carol1/bob2
        F34 | LB > P1    | 200 BYE                 | 1 | P1 LB carol    | -        | - | -  | carol1/bob2
        F35 | P1 > LB    | 200 BYE                 | 1 | LB carol       | -        | - | -  | carol1/bob2
        F35 | LB > carol | 200 BYE                 | 1 | carol          | -        | - | -  | carol1/bob2
        ",
    );
    notifies(&mut network, "SIP/2.0 200 OK\r\n");
    network.follow(
        "
        F36 | alice > LB | NOTIFY sip:bob@192.0.2.201 | 2 | alice          | LB P1 LB | -        | 70 | alice1/bob1
        F36 | LB > P1    | NOTIFY sip:bob@192.0.2.201 | 2 | LB alice       | P1 LB    | LB       | 69 | alice1/bob1
        F37 | P1 > LB    | NOTIFY sip:bob@192.0.2.201 | 2 | P1 LB alice    | LB       | P1 LB    | 68 | alice1/bob1
        F37 | LB > bob   | NOTIFY sip:bob@192.0.2.201 | 2 | LB P1 LB alice | -        | LB P1 LB | 67 | alice1/bob1
        F38 | bob > LB   | 200 NOTIFY                 | 2 | LB P1 LB alice | -        | -        | -  | alice1/bob1
        F38 | LB > P1    | 200 NOTIFY                 | 2 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F39 | P1 > LB    | 200 NOTIFY                 | 2 | LB alice       | -        | -        | -  | alice1/bob1
        F39 | LB > alice | 200 NOTIFY                 | 2 | alice          | -        | -        | -  | alice1/bob1
        ",
    );
    network.acts("bob", |bob| bob.asks_within("BYE", FIRST, &[], ""));
    network.follow(
        "
        F40 | bob > LB   | BYE sip:alice@192.0.2.101 | 2 | bob          | LB P1 LB | - | 70 | bob1/alice1
        F40 | LB > P1    | BYE sip:alice@192.0.2.101 | 2 | LB bob       | P1 LB    | - | 69 | bob1/alice1
        F41 | P1 > LB    | BYE sip:alice@192.0.2.101 | 2 | P1 LB bob    | LB       | - | 68 | bob1/alice1
        F41 | LB > alice | BYE sip:alice@192.0.2.101 | 2 | LB P1 LB bob | -        | - | 67 | bob1/alice1
        F42 | alice > LB | 200 BYE                   | 2 | LB P1 LB bob | -        | - | -  | bob1/alice1
        F42 | LB > P1    | 200 BYE                   | 2 | P1 LB bob    | -        | - | -  | bob1/alice1
        F43 | P1 > LB    | 200 BYE                   | 2 | LB bob       | -        | - | -  | bob1/alice1
        F43 | LB > bob   | 200 BYE                   | 2 | bob          | -        | - | -  | bob1/alice1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("BYE", &third, &[], ""));
    network.follow(
        "
        F44 | alice > LB | BYE sip:carol@192.0.2.102 | 2 | alice          | LB P1 LB | - | 70 | alice2/carol2
        F44 | LB > P1    | BYE sip:carol@192.0.2.102 | 2 | LB alice       | P1 LB    | - | 69 | alice2/carol2
        F45 | P1 > LB    | BYE sip:carol@192.0.2.102 | 2 | P1 LB alice    | LB       | - | 68 | alice2/carol2
        F45 | LB > carol | BYE sip:carol@192.0.2.102 | 2 | LB P1 LB alice | -        | - | 67 | alice2/carol2
        F46 | carol > LB | 200 BYE                   | 2 | LB P1 LB alice | -        | - | -  | alice2/carol2
        F46 | LB > P1    | 200 BYE                   | 2 | P1 LB alice    | -        | - | -  | alice2/carol2
        F47 | P1 > LB    | 200 BYE                   | 2 | LB alice       | -        | - | -  | alice2/carol2
        F47 | LB > alice | 200 BYE                   | 2 | alice          | -        | - | -  | alice2/carol2
        ",
    );
}
