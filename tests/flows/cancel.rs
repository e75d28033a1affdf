//! CANCEL of a ringing call (RFC 3665 §3.8): 200 for the CANCEL, 487 for the INVITE, ACK; also when the pool changes
//! between.

use crate::agent::Answers;
use crate::mix::Mix;
use crate::network::Network;
use crate::world::{MEMBERS, OFFER, backends, proxies};

over_each_mix!(
    a_ringing_call_is_cancelled,
    a_cancel_follows_its_invite_when_another_member_leaves_the_pool,
    a_cancel_whose_member_left_the_pool_goes_to_exactly_one_live_member_and_the_invite_is_still_answered,
    a_cancel_of_an_invite_that_went_to_a_replaced_dialogs_member_goes_to_the_owner_of_its_own_call_id
);

const CALL: &str = "cancelled@atlanta.example.com";

/// A call from Alice that rings at Bob's.
fn ringing(mix: Mix) -> Network {
    let (mut network, _) = proxies(mix, |_| {});
    network.agent("bob").answers = Answers::Rings;
    network.acts("alice", |alice| alice.asks("INVITE", CALL, "sip:bob@biloxi.example.com", &[], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:bob@biloxi.example.com | 1 | alice          | LB | -        | 70 | alice1/-
        F1 | LB > P1    | INVITE sip:bob@biloxi.example.com | 1 | LB alice       | -  | LB       | 69 | alice1/-
        F2 | P1 > P2    | INVITE sip:bob@biloxi.example.com | 1 | P1 LB alice    | -  | P1 LB    | 68 | alice1/-
        F3 | P1 > LB    | 100 INVITE                        | 1 | LB alice       | -  | -        | -  | alice1/-
        F4 | P2 > bob   | INVITE sip:bob@192.0.2.201        | 1 | P2 P1 LB alice | -  | P2 P1 LB | 67 | alice1/-
        F5 | P2 > P1    | 100 INVITE                        | 1 | P1 LB alice    | -  | -        | -  | alice1/-
        F3 | LB > alice | 100 INVITE                        | 1 | alice          | -  | -        | -  | alice1/-
        F6 | bob > P2   | 180 INVITE                        | 1 | P2 P1 LB alice | -  | P2 P1 LB | -  | alice1/bob1
        F7 | P2 > P1    | 180 INVITE                        | 1 | P1 LB alice    | -  | P2 P1 LB | -  | alice1/bob1
        F8 | P1 > LB    | 180 INVITE                        | 1 | LB alice       | -  | P2 P1 LB | -  | alice1/bob1
        F8 | LB > alice | 180 INVITE                        | 1 | alice          | -  | P2 P1 LB | -  | alice1/bob1
        ",
    );
    network
}

fn a_ringing_call_is_cancelled(mix: Mix) {
    let mut network = ringing(mix);
    network.acts("alice", |alice| alice.cancels(CALL));
    network.follow(
        "
        F9  | alice > LB | CANCEL sip:bob@biloxi.example.com | 1 | alice          | LB | - | 70 | alice1/-
        F9  | LB > P1    | CANCEL sip:bob@biloxi.example.com | 1 | LB alice       | -  | - | 69 | alice1/-
        F10 | P1 > LB    | 200 CANCEL                        | 1 | LB alice       | -  | - | -  | alice1/p
        F11 | P1 > P2    | CANCEL sip:bob@biloxi.example.com | 1 | P1             | -  | - | 70 | alice1/-
        F10 | LB > alice | 200 CANCEL                        | 1 | alice          | -  | - | -  | alice1/p
        F12 | P2 > P1    | 200 CANCEL                        | 1 | P1             | -  | - | -  | alice1/p
        F13 | P2 > bob   | CANCEL sip:bob@192.0.2.201        | 1 | P2             | -  | - | 70 | alice1/-
        F14 | bob > P2   | 200 CANCEL                        | 1 | P2             | -  | - | -  | alice1/bob1
        F15 | bob > P2   | 487 INVITE                        | 1 | P2 P1 LB alice | -  | - | -  | alice1/bob1
        F16 | P2 > bob   | ACK sip:bob@192.0.2.201           | 1 | P2             | -  | - | 70 | alice1/bob1
        F17 | P2 > P1    | 487 INVITE                        | 1 | P1 LB alice    | -  | - | -  | alice1/bob1
        F18 | P1 > P2    | ACK sip:bob@biloxi.example.com    | 1 | P1             | -  | - | 70 | alice1/bob1
        F19 | P1 > LB    | 487 INVITE                        | 1 | LB alice       | -  | - | -  | alice1/bob1
        F19 | LB > alice | 487 INVITE                        | 1 | alice          | -  | - | -  | alice1/bob1
        F20 | alice > LB | ACK sip:bob@biloxi.example.com    | 1 | alice          | LB | - | 70 | alice1/bob1
        F20 | LB > P1    | ACK sip:bob@biloxi.example.com    | 1 | LB alice       | -  | - | 69 | alice1/bob1
        ",
    );
}

fn a_cancel_follows_its_invite_when_another_member_leaves_the_pool(mix: Mix) {
    let mut network = ringing(mix);
    let own = network.viaduct.member_of(CALL).to_owned();
    let mut members = MEMBERS.to_vec();
    members.remove(members.iter().position(|(name, _)| *name != own).expect("another member"));
    network.viaduct.resize(&backends(&members));
    network.acts("alice", |alice| alice.cancels(CALL));
    network.follow(
        "
        F9  | alice > LB | CANCEL sip:bob@biloxi.example.com | 1 | alice          | LB | - | 70 | alice1/-
        F9  | LB > P1    | CANCEL sip:bob@biloxi.example.com | 1 | LB alice       | -  | - | 69 | alice1/-
        F10 | P1 > LB    | 200 CANCEL                        | 1 | LB alice       | -  | - | -  | alice1/p
        F11 | P1 > P2    | CANCEL sip:bob@biloxi.example.com | 1 | P1             | -  | - | 70 | alice1/-
        F10 | LB > alice | 200 CANCEL                        | 1 | alice          | -  | - | -  | alice1/p
        F12 | P2 > P1    | 200 CANCEL                        | 1 | P1             | -  | - | -  | alice1/p
        F13 | P2 > bob   | CANCEL sip:bob@192.0.2.201        | 1 | P2             | -  | - | 70 | alice1/-
        F14 | bob > P2   | 200 CANCEL                        | 1 | P2             | -  | - | -  | alice1/bob1
        F15 | bob > P2   | 487 INVITE                        | 1 | P2 P1 LB alice | -  | - | -  | alice1/bob1
        F16 | P2 > bob   | ACK sip:bob@192.0.2.201           | 1 | P2             | -  | - | 70 | alice1/bob1
        F17 | P2 > P1    | 487 INVITE                        | 1 | P1 LB alice    | -  | - | -  | alice1/bob1
        F18 | P1 > P2    | ACK sip:bob@biloxi.example.com    | 1 | P1             | -  | - | 70 | alice1/bob1
        F19 | P1 > LB    | 487 INVITE                        | 1 | LB alice       | -  | - | -  | alice1/bob1
        F19 | LB > alice | 487 INVITE                        | 1 | alice          | -  | - | -  | alice1/bob1
        F20 | alice > LB | ACK sip:bob@biloxi.example.com    | 1 | alice          | LB | - | 70 | alice1/bob1
        F20 | LB > P1    | ACK sip:bob@biloxi.example.com    | 1 | LB alice       | -  | - | 69 | alice1/bob1
        ",
    );
    assert_eq!(network.viaduct.member_of(CALL), own);
}

/// There is one table, the latest: a CANCEL whose INVITE's member has left goes to the one live member that owns the
/// Call-ID, which does not know the transaction and says so. Nothing else hears of it, and the call still ends when the
/// member that left, and is alive, answers its INVITE: responses find their way without the pool.
fn a_cancel_whose_member_left_the_pool_goes_to_exactly_one_live_member_and_the_invite_is_still_answered(mix: Mix) {
    let mut network = ringing(mix);
    let own = network.viaduct.member_of(CALL).to_owned();
    let left: Vec<_> = MEMBERS.into_iter().filter(|(name, _)| *name != own).collect();
    network.viaduct.resize(&backends(&left));
    network.viaduct.allow_move(CALL);
    network.acts("alice", |alice| alice.cancels(CALL));
    network.follow(
        "
        F9  | alice > LB | CANCEL sip:bob@biloxi.example.com | 1 | alice    | LB | - | 70 | alice1/-
        F9  | LB > P1    | CANCEL sip:bob@biloxi.example.com | 1 | LB alice | -  | - | 69 | alice1/-
        F10 | P1 > LB    | 481 CANCEL                        | 1 | LB alice | -  | - | -  | alice1/nothing
        F10 | LB > alice | 481 CANCEL                        | 1 | alice    | -  | - | -  | alice1/nothing
        ",
    );
    assert_eq!(network.viaduct.member_of(CALL), network.viaduct.owner_of(CALL));
    assert_ne!(network.viaduct.member_of(CALL), own);
    network.acts("bob", |bob| bob.answers(CALL, 486, "Busy Here"));
    network.follow(
        "
        F11 | bob > P2   | 486 INVITE                     | 1 | P2 P1 LB alice | -  | - | -  | alice1/bob1
        F12 | P2 > bob   | ACK sip:bob@192.0.2.201        | 1 | P2             | -  | - | 70 | alice1/bob1
        F13 | P2 > P1    | 486 INVITE                     | 1 | P1 LB alice    | -  | - | -  | alice1/bob1
        F14 | P1 > P2    | ACK sip:bob@biloxi.example.com | 1 | P1             | -  | - | 70 | alice1/bob1
        F15 | P1 > LB    | 486 INVITE                     | 1 | LB alice       | -  | - | -  | alice1/bob1
        F15 | LB > alice | 486 INVITE                     | 1 | alice          | -  | - | -  | alice1/bob1
        F16 | alice > LB | ACK sip:bob@biloxi.example.com | 1 | alice          | LB | - | 70 | alice1/bob1
        F16 | LB > P1    | ACK sip:bob@biloxi.example.com | 1 | LB alice       | -  | - | 69 | alice1/bob1
        ",
    );
}

/// A CANCEL has nothing of its INVITE but the Call-ID, the tags and the branch (§9.1), so that it cannot say which
/// dialog the INVITE was to replace: it goes to the owner of its own Call-ID. Where that is another member, the INVITE
/// is not cancelled, and the caller ends the call when it is answered.
fn a_cancel_of_an_invite_that_went_to_a_replaced_dialogs_member_goes_to_the_owner_of_its_own_call_id(mix: Mix) {
    let (mut network, _) = proxies(mix, |_| {});
    network.agent("bob").answers = Answers::Rings;
    let call = network.viaduct.owned_elsewhere(CALL);
    let replaces = format!("Replaces: {CALL};to-tag=1;from-tag=2");
    network.acts("alice", |alice| alice.asks("INVITE", &call, "sip:bob@biloxi.example.com", &[&replaces], OFFER));
    network.follow(
        "
        F1 | alice > LB | INVITE sip:bob@biloxi.example.com | 1 | alice          | LB | -        | 70 | alice1/-
        F1 | LB > P1    | INVITE sip:bob@biloxi.example.com | 1 | LB alice       | -  | LB       | 69 | alice1/-
        F2 | P1 > P2    | INVITE sip:bob@biloxi.example.com | 1 | P1 LB alice    | -  | P1 LB    | 68 | alice1/-
        F3 | P1 > LB    | 100 INVITE                        | 1 | LB alice       | -  | -        | -  | alice1/-
        F4 | P2 > bob   | INVITE sip:bob@192.0.2.201        | 1 | P2 P1 LB alice | -  | P2 P1 LB | 67 | alice1/-
        F5 | P2 > P1    | 100 INVITE                        | 1 | P1 LB alice    | -  | -        | -  | alice1/-
        F3 | LB > alice | 100 INVITE                        | 1 | alice          | -  | -        | -  | alice1/-
        F6 | bob > P2   | 180 INVITE                        | 1 | P2 P1 LB alice | -  | P2 P1 LB | -  | alice1/bob1
        F7 | P2 > P1    | 180 INVITE                        | 1 | P1 LB alice    | -  | P2 P1 LB | -  | alice1/bob1
        F8 | P1 > LB    | 180 INVITE                        | 1 | LB alice       | -  | P2 P1 LB | -  | alice1/bob1
        F8 | LB > alice | 180 INVITE                        | 1 | alice          | -  | P2 P1 LB | -  | alice1/bob1
        ",
    );
    assert_eq!(network.viaduct.member_of(&call), network.viaduct.owner_of(CALL));
    network.viaduct.allow_move(&call);
    network.acts("alice", |alice| alice.cancels(&call));
    network.follow(
        "
        F9  | alice > LB | CANCEL sip:bob@biloxi.example.com | 1 | alice    | LB | - | 70 | alice1/-
        F9  | LB > P1    | CANCEL sip:bob@biloxi.example.com | 1 | LB alice | -  | - | 69 | alice1/-
        F10 | P1 > LB    | 481 CANCEL                        | 1 | LB alice | -  | - | -  | alice1/nothing
        F10 | LB > alice | 481 CANCEL                        | 1 | alice    | -  | - | -  | alice1/nothing
        ",
    );
    assert_eq!(network.viaduct.member_of(&call), network.viaduct.owner_of(&call));
    network.acts("bob", |bob| bob.answers(&call, 200, "OK"));
    network.follow(
        "
        F11 | bob > P2   | 200 INVITE              | 1 | P2 P1 LB alice | -        | P2 P1 LB | -  | alice1/bob1
        F12 | P2 > P1    | 200 INVITE              | 1 | P1 LB alice    | -        | P2 P1 LB | -  | alice1/bob1
        F13 | P1 > LB    | 200 INVITE              | 1 | LB alice       | -        | P2 P1 LB | -  | alice1/bob1
        F13 | LB > alice | 200 INVITE              | 1 | alice          | -        | P2 P1 LB | -  | alice1/bob1
        F14 | alice > LB | ACK sip:bob@192.0.2.201 | 1 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F14 | LB > P1    | ACK sip:bob@192.0.2.201 | 1 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F15 | P1 > P2    | ACK sip:bob@192.0.2.201 | 1 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F16 | P2 > bob   | ACK sip:bob@192.0.2.201 | 1 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
}
