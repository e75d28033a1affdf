//! RFC 3665 §3.2: session establishment through two proxies, with a challenge, ended by the called side. The hop from
//! Viaduct to Proxy 1 has the number of the hop to Viaduct: together they are the flow's hop to Proxy 1.

use crate::agent::Answers;
use crate::mix::Mix;
use crate::world::{OFFER, address_of, proxies};

over_each_mix!(
    a_challenged_call_through_two_proxies_ends_when_the_called_side_hangs_up,
    a_pool_that_sends_through_viaduct_too_has_it_twice_on_the_way
);

const CALL: &str = "3848276298220188511@atlanta.example.com";
const BOB: &str = "sip:bob@biloxi.example.com";

/// Credentials over several lines, as the flow has them.
const CREDENTIALS: &str = "Proxy-Authorization: Digest username=\"alice\",\r\n realm=\"atlanta.example.com\",\r\n \
                           nonce=\"wf84f1ceczx41ae6cbe5aea9c8e88d359\", opaque=\"\",\r\n \
                           uri=\"sip:bob@biloxi.example.com\",\r\n response=\"42ce3cef44b22f50c6a6071bc8\"";

fn a_challenged_call_through_two_proxies_ends_when_the_called_side_hangs_up(mix: Mix) {
    let (mut network, _) = proxies(mix, |proxy| proxy.challenges = true);
    network.agent("bob").answers = Answers::Rings;
    network.acts("alice", |alice| alice.asks("INVITE", CALL, BOB, &[], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:bob@biloxi.example.com | 1 | alice    | LB | -  | 70 | alice1/-
        F1 | LB > P1    | INVITE sip:bob@biloxi.example.com | 1 | LB alice | -  | LB | 69 | alice1/-
        F2 | P1 > LB    | 407 INVITE                        | 1 | LB alice | -  | -  | -  | alice1/challenge
        F2 | LB > alice | 407 INVITE                        | 1 | alice    | -  | -  | -  | alice1/challenge
        F3 | alice > LB | ACK sip:bob@biloxi.example.com    | 1 | alice    | LB | -  | 70 | alice1/challenge
        F3 | LB > P1    | ACK sip:bob@biloxi.example.com    | 1 | LB alice | -  | -  | 69 | alice1/challenge
        ",
    );
    network.acts("alice", |alice| alice.asks("INVITE", CALL, BOB, &[CREDENTIALS], OFFER));
    network.follow(
        "
        F4  | alice > LB | INVITE sip:bob@biloxi.example.com | 2 | alice          | LB | -        | 70 | alice1/-
        F4  | LB > P1    | INVITE sip:bob@biloxi.example.com | 2 | LB alice       | -  | LB       | 69 | alice1/-
        F5  | P1 > P2    | INVITE sip:bob@biloxi.example.com | 2 | P1 LB alice    | -  | P1 LB    | 68 | alice1/-
        F6  | P1 > LB    | 100 INVITE                        | 2 | LB alice       | -  | -        | -  | alice1/-
        F7  | P2 > bob   | INVITE sip:bob@192.0.2.201        | 2 | P2 P1 LB alice | -  | P2 P1 LB | 67 | alice1/-
        F8  | P2 > P1    | 100 INVITE                        | 2 | P1 LB alice    | -  | -        | -  | alice1/-
        F6  | LB > alice | 100 INVITE                        | 2 | alice          | -  | -        | -  | alice1/-
        F9  | bob > P2   | 180 INVITE                        | 2 | P2 P1 LB alice | -  | P2 P1 LB | -  | alice1/bob1
        F10 | P2 > P1    | 180 INVITE                        | 2 | P1 LB alice    | -  | P2 P1 LB | -  | alice1/bob1
        F11 | P1 > LB    | 180 INVITE                        | 2 | LB alice       | -  | P2 P1 LB | -  | alice1/bob1
        F11 | LB > alice | 180 INVITE                        | 2 | alice          | -  | P2 P1 LB | -  | alice1/bob1
        ",
    );
    assert_eq!(network.agent("bob").last().body, OFFER);
    assert!(
        network.agent("bob").last().lines.iter().any(|line| line == CREDENTIALS),
        "the credentials keep their folds"
    );
    network.acts("bob", |bob| bob.answers(CALL, 200, "OK"));
    network.follow(
        "
        F12 | bob > P2   | 200 INVITE              | 2 | P2 P1 LB alice | -        | P2 P1 LB | -  | alice1/bob1
        F13 | P2 > P1    | 200 INVITE              | 2 | P1 LB alice    | -        | P2 P1 LB | -  | alice1/bob1
        F14 | P1 > LB    | 200 INVITE              | 2 | LB alice       | -        | P2 P1 LB | -  | alice1/bob1
        F14 | LB > alice | 200 INVITE              | 2 | alice          | -        | P2 P1 LB | -  | alice1/bob1
        F15 | alice > LB | ACK sip:bob@192.0.2.201 | 2 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F15 | LB > P1    | ACK sip:bob@192.0.2.201 | 2 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F16 | P1 > P2    | ACK sip:bob@192.0.2.201 | 2 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F17 | P2 > bob   | ACK sip:bob@192.0.2.201 | 2 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    network.acts("bob", |bob| bob.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F18 | bob > P2   | BYE sip:alice@192.0.2.101 | 1 | bob          | P2 P1 LB | - | 70 | bob1/alice1
        F19 | P2 > P1    | BYE sip:alice@192.0.2.101 | 1 | P2 bob       | P1 LB    | - | 69 | bob1/alice1
        F20 | P1 > LB    | BYE sip:alice@192.0.2.101 | 1 | P1 P2 bob    | LB       | - | 68 | bob1/alice1
        F20 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB P1 P2 bob | -        | - | 67 | bob1/alice1
        F21 | alice > LB | 200 BYE                   | 1 | LB P1 P2 bob | -        | - | -  | bob1/alice1
        F21 | LB > P1    | 200 BYE                   | 1 | P1 P2 bob    | -        | - | -  | bob1/alice1
        F22 | P1 > P2    | 200 BYE                   | 1 | P2 bob       | -        | - | -  | bob1/alice1
        F23 | P2 > bob   | 200 BYE                   | 1 | bob          | -        | - | -  | bob1/alice1
        ",
    );
}

fn a_pool_that_sends_through_viaduct_too_has_it_twice_on_the_way(mix: Mix) {
    let (mut network, _) = proxies(mix, |proxy| {
        proxy.outbound = vec![mix.backend_route().to_owned(), format!("<{};lr>", mix.of_neighbour("sip:192.0.2.222"))]
    });
    network.acts("alice", |alice| alice.asks("INVITE", CALL, BOB, &[], OFFER));
    network.follow(
        "
        F1  | alice > LB | INVITE sip:bob@biloxi.example.com | 1 | alice             | LB          | -           | 70 | alice1/-
        F1  | LB > P1    | INVITE sip:bob@biloxi.example.com | 1 | LB alice          | -           | LB          | 69 | alice1/-
        F2  | P1 > LB    | INVITE sip:bob@biloxi.example.com | 1 | P1 LB alice       | LB P2       | P1 LB       | 68 | alice1/-
        F3  | P1 > LB    | 100 INVITE                        | 1 | LB alice          | -           | -           | -  | alice1/-
        F2  | LB > P2    | INVITE sip:bob@biloxi.example.com | 1 | LB P1 LB alice    | P2          | LB P1 LB    | 67 | alice1/-
        F3  | LB > alice | 100 INVITE                        | 1 | alice             | -           | -           | -  | alice1/-
        F4  | P2 > bob   | INVITE sip:bob@192.0.2.201        | 1 | P2 LB P1 LB alice | -           | P2 LB P1 LB | 66 | alice1/-
        F5  | P2 > LB    | 100 INVITE                        | 1 | LB P1 LB alice    | -           | -           | -  | alice1/-
        F6  | bob > P2   | 180 INVITE                        | 1 | P2 LB P1 LB alice | -           | P2 LB P1 LB | -  | alice1/bob1
        F7  | bob > P2   | 200 INVITE                        | 1 | P2 LB P1 LB alice | -           | P2 LB P1 LB | -  | alice1/bob1
        F5  | LB > P1    | 100 INVITE                        | 1 | P1 LB alice       | -           | -           | -  | alice1/-
        F8  | P2 > LB    | 180 INVITE                        | 1 | LB P1 LB alice    | -           | P2 LB P1 LB | -  | alice1/bob1
        F9  | P2 > LB    | 200 INVITE                        | 1 | LB P1 LB alice    | -           | P2 LB P1 LB | -  | alice1/bob1
        F8  | LB > P1    | 180 INVITE                        | 1 | P1 LB alice       | -           | P2 LB P1 LB | -  | alice1/bob1
        F9  | LB > P1    | 200 INVITE                        | 1 | P1 LB alice       | -           | P2 LB P1 LB | -  | alice1/bob1
        F10 | P1 > LB    | 180 INVITE                        | 1 | LB alice          | -           | P2 LB P1 LB | -  | alice1/bob1
        F11 | P1 > LB    | 200 INVITE                        | 1 | LB alice          | -           | P2 LB P1 LB | -  | alice1/bob1
        F10 | LB > alice | 180 INVITE                        | 1 | alice             | -           | P2 LB P1 LB | -  | alice1/bob1
        F11 | LB > alice | 200 INVITE                        | 1 | alice             | -           | P2 LB P1 LB | -  | alice1/bob1
        F12 | alice > LB | ACK sip:bob@192.0.2.201           | 1 | alice             | LB P1 LB P2 | -           | 70 | alice1/bob1
        F12 | LB > P1    | ACK sip:bob@192.0.2.201           | 1 | LB alice          | P1 LB P2    | -           | 69 | alice1/bob1
        F13 | P1 > LB    | ACK sip:bob@192.0.2.201           | 1 | P1 LB alice       | LB P2       | -           | 68 | alice1/bob1
        F13 | LB > P2    | ACK sip:bob@192.0.2.201           | 1 | LB P1 LB alice    | P2          | -           | 67 | alice1/bob1
        F14 | P2 > bob   | ACK sip:bob@192.0.2.201           | 1 | P2 LB P1 LB alice | -           | -           | 66 | alice1/bob1
        ",
    );
    network.acts("bob", |bob| bob.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F15 | bob > P2   | BYE sip:alice@192.0.2.101 | 1 | bob             | P2 LB P1 LB | - | 70 | bob1/alice1
        F16 | P2 > LB    | BYE sip:alice@192.0.2.101 | 1 | P2 bob          | LB P1 LB    | - | 69 | bob1/alice1
        F16 | LB > P1    | BYE sip:alice@192.0.2.101 | 1 | LB P2 bob       | P1 LB       | - | 68 | bob1/alice1
        F17 | P1 > LB    | BYE sip:alice@192.0.2.101 | 1 | P1 LB P2 bob    | LB          | - | 67 | bob1/alice1
        F17 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB P1 LB P2 bob | -           | - | 66 | bob1/alice1
        F18 | alice > LB | 200 BYE                   | 1 | LB P1 LB P2 bob | -           | - | -  | bob1/alice1
        F18 | LB > P1    | 200 BYE                   | 1 | P1 LB P2 bob    | -           | - | -  | bob1/alice1
        F19 | P1 > LB    | 200 BYE                   | 1 | LB P2 bob       | -           | - | -  | bob1/alice1
        F19 | LB > P2    | 200 BYE                   | 1 | P2 bob          | -           | - | -  | bob1/alice1
        F20 | P2 > bob   | 200 BYE                   | 1 | bob             | -           | - | -  | bob1/alice1
        ",
    );
    assert!(address_of(&network, CALL).starts_with("10.0.0."));
}
