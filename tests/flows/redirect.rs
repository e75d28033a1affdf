//! Redirection (RFC 3665 §3.6): 302 with Contact, ACK, and a second INVITE to the address given; by today's rules, and
//! in the dress of RFC 2543 as the call-flow drafts had it.

use crate::agent::{Agent, Answers};
use crate::mix::Mix;
use crate::network::Element;
use crate::world::{OFFER, bind, proxies};

over_each_mix!(
    a_redirected_call_is_placed_anew_at_the_address_given,
    a_caller_in_the_dress_of_rfc_2543_is_redirected_and_calls_again
);

fn a_redirected_call_is_placed_anew_at_the_address_given(mix: Mix) {
    let redirect = ("bob@atlanta.example.com", "<sip:bob@biloxi.example.com>");
    let (mut network, _) = proxies(mix, |proxy| proxy.redirects = vec![redirect]);
    network.agent("bob").answers = Answers::Rings;
    let call = "jack@client.atlanta.example.com";
    network.acts("alice", |alice| alice.asks("INVITE", call, "sip:bob@atlanta.example.com", &[], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:bob@atlanta.example.com | 1 | alice    | LB | -  | 70 | alice1/-
        F1 | LB > P1    | INVITE sip:bob@atlanta.example.com | 1 | LB alice | -  | LB | 69 | alice1/-
        F2 | P1 > LB    | 302 INVITE                         | 1 | LB alice | -  | -  | -  | alice1/moved
        F2 | LB > alice | 302 INVITE                         | 1 | alice    | -  | -  | -  | alice1/moved
        F3 | alice > LB | ACK sip:bob@atlanta.example.com    | 1 | alice    | LB | -  | 70 | alice1/moved
        F3 | LB > P1    | ACK sip:bob@atlanta.example.com    | 1 | LB alice | -  | -  | 69 | alice1/moved
        ",
    );
    network.acts("alice", |alice| alice.asks("INVITE", call, "sip:bob@biloxi.example.com", &[], OFFER));
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
    network.acts("bob", |bob| bob.answers(call, 200, "OK"));
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
    let video = format!("{OFFER}m=video 51372 RTP/AVP 31\r\n");
    network.acts("bob", |bob| bob.asks_within("INVITE", call, &[], &video));
    network.follow(
        "
        F18 | bob > P2   | INVITE sip:alice@192.0.2.101 | 1 | bob          | P2 P1 LB | -        | 70 | bob1/alice1
        F19 | P2 > P1    | INVITE sip:alice@192.0.2.101 | 1 | P2 bob       | P1 LB    | P2       | 69 | bob1/alice1
        F20 | P1 > LB    | INVITE sip:alice@192.0.2.101 | 1 | P1 P2 bob    | LB       | P1 P2    | 68 | bob1/alice1
        F20 | LB > alice | INVITE sip:alice@192.0.2.101 | 1 | LB P1 P2 bob | -        | LB P1 P2 | 67 | bob1/alice1
        F21 | alice > LB | 200 INVITE                   | 1 | LB P1 P2 bob | -        | -        | -  | bob1/alice1
        F21 | LB > P1    | 200 INVITE                   | 1 | P1 P2 bob    | -        | -        | -  | bob1/alice1
        F22 | P1 > P2    | 200 INVITE                   | 1 | P2 bob       | -        | -        | -  | bob1/alice1
        F23 | P2 > bob   | 200 INVITE                   | 1 | bob          | -        | -        | -  | bob1/alice1
        F24 | bob > P2   | ACK sip:alice@192.0.2.101    | 1 | bob          | P2 P1 LB | -        | 70 | bob1/alice1
        F25 | P2 > P1    | ACK sip:alice@192.0.2.101    | 1 | P2 bob       | P1 LB    | -        | 69 | bob1/alice1
        F26 | P1 > LB    | ACK sip:alice@192.0.2.101    | 1 | P1 P2 bob    | LB       | -        | 68 | bob1/alice1
        F26 | LB > alice | ACK sip:alice@192.0.2.101    | 1 | LB P1 P2 bob | -        | -        | 67 | bob1/alice1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F27 | alice > LB | BYE sip:bob@192.0.2.201 | 3 | alice          | LB P1 P2 | - | 70 | alice1/bob1
        F27 | LB > P1    | BYE sip:bob@192.0.2.201 | 3 | LB alice       | P1 P2    | - | 69 | alice1/bob1
        F28 | P1 > P2    | BYE sip:bob@192.0.2.201 | 3 | P1 LB alice    | P2       | - | 68 | alice1/bob1
        F29 | P2 > bob   | BYE sip:bob@192.0.2.201 | 3 | P2 P1 LB alice | -        | - | 67 | alice1/bob1
        F30 | bob > P2   | 200 BYE                 | 3 | P2 P1 LB alice | -        | - | -  | alice1/bob1
        F31 | P2 > P1    | 200 BYE                 | 3 | P1 LB alice    | -        | - | -  | alice1/bob1
        F32 | P1 > LB    | 200 BYE                 | 3 | LB alice       | -        | - | -  | alice1/bob1
        F32 | LB > alice | 200 BYE                 | 3 | alice          | -        | - | -  | alice1/bob1
        ",
    );
}

/// A Via without a branch, `Call-Id`, no tag in From, no Max-Forwards, `Content-Length:132`, and the ACK for the 302
/// with all of the INVITE's CSeq, method and all, as the drafts wrote it.
fn a_caller_in_the_dress_of_rfc_2543_is_redirected_and_calls_again(mix: Mix) {
    let (mut network, location) =
        proxies(mix, |proxy| proxy.redirects = vec![("UserB@redirect.wcom.com", "sip:UserB@ss2.wcom.com")]);
    bind(&location, "UserB@ss2.wcom.com", &mix.of_neighbour("sip:bob@192.0.2.201"));
    for host in ["redirect.wcom.com", "ss2.wcom.com"] {
        network.names_viaduct(host);
    }
    let mut big_guy = Agent::new("userA", "here.com", "sip:UserA@here.com", "sip:UserA@here.com");
    big_guy.is_old = true;
    network.add("userA", "192.0.2.55:5060", &["here.com"], Element::Agent(big_guy));
    let call = "12345600@here.com";
    let body = &OFFER[..132];
    network.acts("userA", |user| user.asks("INVITE", call, &mix.of_client("sip:UserB@redirect.wcom.com"), &[], body));
    network.follow(
        "
        F1 | userA > LB | INVITE sip:UserB@redirect.wcom.com | 1 | userA    | - | -  | -  | -/-
        F1 | LB > P1    | INVITE sip:UserB@redirect.wcom.com | 1 | LB userA | - | LB | 70 | -/-
        F2 | P1 > LB    | 302 INVITE                         | 1 | LB userA | - | -  | -  | -/moved
        F2 | LB > userA | 302 INVITE                         | 1 | userA    | - | -  | -  | -/moved
        F3 | userA > LB | ACK sip:UserB@redirect.wcom.com    | 1 | userA    | - | -  | -  | -/moved
        F3 | LB > P1    | ACK sip:UserB@redirect.wcom.com    | 1 | LB userA | - | -  | 70 | -/moved
        ",
    );
    network.acts("userA", |user| user.asks("INVITE", call, &mix.of_client("sip:UserB@ss2.wcom.com"), &[], body));
    network.follow(
        "
        F4  | userA > LB | INVITE sip:UserB@ss2.wcom.com | 2 | userA       | -     | -     | -  | -/-
        F4  | LB > P1    | INVITE sip:UserB@ss2.wcom.com | 2 | LB userA    | -     | LB    | 70 | -/-
        F5  | P1 > bob   | INVITE sip:bob@192.0.2.201    | 2 | P1 LB userA | -     | P1 LB | 69 | -/-
        F6  | P1 > LB    | 100 INVITE                    | 2 | LB userA    | -     | -     | -  | -/-
        F7  | bob > P1   | 180 INVITE                    | 2 | P1 LB userA | -     | P1 LB | -  | -/bob1
        F8  | bob > P1   | 200 INVITE                    | 2 | P1 LB userA | -     | P1 LB | -  | -/bob1
        F6  | LB > userA | 100 INVITE                    | 2 | userA       | -     | -     | -  | -/-
        F9  | P1 > LB    | 180 INVITE                    | 2 | LB userA    | -     | P1 LB | -  | -/bob1
        F10 | P1 > LB    | 200 INVITE                    | 2 | LB userA    | -     | P1 LB | -  | -/bob1
        F9  | LB > userA | 180 INVITE                    | 2 | userA       | -     | P1 LB | -  | -/bob1
        F10 | LB > userA | 200 INVITE                    | 2 | userA       | -     | P1 LB | -  | -/bob1
        F11 | userA > LB | ACK sip:bob@192.0.2.201       | 2 | userA       | LB P1 | -     | -  | -/bob1
        F11 | LB > P1    | ACK sip:bob@192.0.2.201       | 2 | LB userA    | P1    | -     | 70 | -/bob1
        F12 | P1 > bob   | ACK sip:bob@192.0.2.201       | 2 | P1 LB userA | -     | -     | 69 | -/bob1
        ",
    );
    let invite = network.agent("bob").inbox[0].clone();
    assert!(invite.lines.iter().any(|line| line == "Content-Length:132"), "{invite:?}");
    assert!(invite.lines.iter().any(|line| line == "Call-Id: 12345600@here.com"), "{invite:?}");
    network.acts("userA", |user| user.asks_within("BYE", call, &[], ""));
    network.follow(
        "
        F13 | userA > LB | BYE sip:bob@192.0.2.201 | 3 | userA       | LB P1 | - | -  | -/bob1
        F13 | LB > P1    | BYE sip:bob@192.0.2.201 | 3 | LB userA    | P1    | - | 70 | -/bob1
        F14 | P1 > bob   | BYE sip:bob@192.0.2.201 | 3 | P1 LB userA | -     | - | 69 | -/bob1
        F15 | bob > P1   | 200 BYE                 | 3 | P1 LB userA | -     | - | -  | -/bob1
        F16 | P1 > LB    | 200 BYE                 | 3 | LB userA    | -     | - | -  | -/bob1
        F16 | LB > userA | 200 BYE                 | 3 | userA       | -     | - | -  | -/bob1
        ",
    );
}
