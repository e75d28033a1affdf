//! A long dialog in which either side changes the session, while the pool changes under it: the dialog stays where it
//! is.

use viaduct::balance::backend::{Backend, Weight};
use viaduct::proxy::snapshot::OnLostPin;

use crate::agent::Answers;
use crate::mix::Mix;
use crate::network::Network;
use crate::pair::Viaduct;
use crate::proxy::Location;
use crate::world::{MEMBERS, OFFER, add_replica, address_of, backends, proxies};

over_each_mix!(
    a_session_changes_from_either_side_while_the_pool_changes_under_it,
    a_dialog_stays_while_one_instance_knows_of_a_change_and_the_other_does_not,
    a_member_of_weight_zero_keeps_its_dialogs_until_they_end,
    a_dialog_whose_member_is_gone_for_good_goes_to_exactly_one_other,
    a_dialog_whose_member_is_gone_for_good_is_answered_481_where_the_policy_says_so
);

const CALL: &str = "long@atlanta.example.com";
const HOLD: &str = "v=0\r\no=alice 2 2 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\nm=audio 49172 RTP/AVP 0\r\na=sendonly\r\n";
const CODEC: &str = "v=0\r\no=bob 2 2 IN IP4 192.0.2.201\r\ns=-\r\nt=0 0\r\nm=audio 3456 RTP/AVP 97\r\n";
const VIDEO: &str =
    "v=0\r\no=alice 3 3 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\nm=audio 49172 RTP/AVP 97\r\nm=video 5 RTP/AVP 31\r\n";

/// A call from Alice to Bob that was acknowledged early with PRACK (RFC 3262), and is up.
fn call(mix: Mix) -> (Network, Location) {
    let (mut network, location) = proxies(mix, |_| {});
    network.agent("bob").answers = Answers::Rings;
    network
        .acts("alice", |alice| alice.asks("INVITE", CALL, "sip:bob@biloxi.example.com", &["Require: 100rel"], OFFER));
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
    network.acts("alice", |alice| alice.asks_within("PRACK", CALL, &["RAck: 1 1 INVITE"], ""));
    network.follow(
        "
        F9  | alice > LB | PRACK sip:bob@192.0.2.201 | 2 | alice          | LB P1 P2 | - | 70 | alice1/bob1
        F9  | LB > P1    | PRACK sip:bob@192.0.2.201 | 2 | LB alice       | P1 P2    | - | 69 | alice1/bob1
        F10 | P1 > P2    | PRACK sip:bob@192.0.2.201 | 2 | P1 LB alice    | P2       | - | 68 | alice1/bob1
        F11 | P2 > bob   | PRACK sip:bob@192.0.2.201 | 2 | P2 P1 LB alice | -        | - | 67 | alice1/bob1
        F12 | bob > P2   | 200 PRACK                 | 2 | P2 P1 LB alice | -        | - | -  | alice1/bob1
        F13 | P2 > P1    | 200 PRACK                 | 2 | P1 LB alice    | -        | - | -  | alice1/bob1
        F14 | P1 > LB    | 200 PRACK                 | 2 | LB alice       | -        | - | -  | alice1/bob1
        F14 | LB > alice | 200 PRACK                 | 2 | alice          | -        | - | -  | alice1/bob1
        ",
    );
    network.acts("bob", |bob| bob.answers(CALL, 200, "OK"));
    network.follow(
        "
        F15 | bob > P2   | 200 INVITE              | 1 | P2 P1 LB alice | -        | P2 P1 LB | -  | alice1/bob1
        F16 | P2 > P1    | 200 INVITE              | 1 | P1 LB alice    | -        | P2 P1 LB | -  | alice1/bob1
        F17 | P1 > LB    | 200 INVITE              | 1 | LB alice       | -        | P2 P1 LB | -  | alice1/bob1
        F17 | LB > alice | 200 INVITE              | 1 | alice          | -        | P2 P1 LB | -  | alice1/bob1
        F18 | alice > LB | ACK sip:bob@192.0.2.201 | 1 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F18 | LB > P1    | ACK sip:bob@192.0.2.201 | 1 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F19 | P1 > P2    | ACK sip:bob@192.0.2.201 | 1 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F20 | P2 > bob   | ACK sip:bob@192.0.2.201 | 1 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    (network, location)
}

/// The pool after a day of changes: another member gone, a fourth there, weights other than they were, and the dialog's
/// own member at another address under its name.
fn changed_pool(own: &str) -> Vec<Backend> {
    let mut members: Vec<(&str, &str)> = MEMBERS.to_vec();
    let gone = members.iter().position(|(name, _)| *name != own).expect("another member");
    members.remove(gone);
    members.push(("d", "10.0.0.14:5060"));
    let mut backends = backends(&members);
    for (backend, weight) in backends.iter_mut().zip([1, 7, 100]) {
        backend.weight = Weight::new(weight).expect("a weight");
        if backend.name == own {
            backend.address = "10.0.0.77:5060".parse().expect("an address");
        }
    }
    backends
}

fn a_session_changes_from_either_side_while_the_pool_changes_under_it(mix: Mix) {
    let (mut network, location) = call(mix);
    network.acts("alice", |alice| alice.asks_within("INVITE", CALL, &[], HOLD));
    network.follow(
        "
        F21 | alice > LB | INVITE sip:bob@192.0.2.201 | 3 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F21 | LB > P1    | INVITE sip:bob@192.0.2.201 | 3 | LB alice       | P1 P2    | LB       | 69 | alice1/bob1
        F22 | P1 > P2    | INVITE sip:bob@192.0.2.201 | 3 | P1 LB alice    | P2       | P1 LB    | 68 | alice1/bob1
        F23 | P2 > bob   | INVITE sip:bob@192.0.2.201 | 3 | P2 P1 LB alice | -        | P2 P1 LB | 67 | alice1/bob1
        F24 | bob > P2   | 200 INVITE                 | 3 | P2 P1 LB alice | -        | -        | -  | alice1/bob1
        F25 | P2 > P1    | 200 INVITE                 | 3 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F26 | P1 > LB    | 200 INVITE                 | 3 | LB alice       | -        | -        | -  | alice1/bob1
        F26 | LB > alice | 200 INVITE                 | 3 | alice          | -        | -        | -  | alice1/bob1
        F27 | alice > LB | ACK sip:bob@192.0.2.201    | 3 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F27 | LB > P1    | ACK sip:bob@192.0.2.201    | 3 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F28 | P1 > P2    | ACK sip:bob@192.0.2.201    | 3 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F29 | P2 > bob   | ACK sip:bob@192.0.2.201    | 3 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    let own = network.viaduct.member_of(CALL).to_owned();
    let old_address = address_of(&network, CALL);
    let pool = changed_pool(&own);
    add_replica(&mut network, "d", "10.0.0.14:5060", &location, &|_| {});
    network.move_to(old_address, "10.0.0.77:5060");
    network.viaduct.resize(&pool);
    network.acts("bob", |bob| bob.asks_within("INVITE", CALL, &[], CODEC));
    network.follow(
        "
        F30 | bob > P2   | INVITE sip:alice@192.0.2.101 | 1 | bob          | P2 P1 LB | -        | 70 | bob1/alice1
        F31 | P2 > P1    | INVITE sip:alice@192.0.2.101 | 1 | P2 bob       | P1 LB    | P2       | 69 | bob1/alice1
        F32 | P1 > LB    | INVITE sip:alice@192.0.2.101 | 1 | P1 P2 bob    | LB       | P1 P2    | 68 | bob1/alice1
        F32 | LB > alice | INVITE sip:alice@192.0.2.101 | 1 | LB P1 P2 bob | -        | LB P1 P2 | 67 | bob1/alice1
        F33 | alice > LB | 200 INVITE                   | 1 | LB P1 P2 bob | -        | -        | -  | bob1/alice1
        F33 | LB > P1    | 200 INVITE                   | 1 | P1 P2 bob    | -        | -        | -  | bob1/alice1
        F34 | P1 > P2    | 200 INVITE                   | 1 | P2 bob       | -        | -        | -  | bob1/alice1
        F35 | P2 > bob   | 200 INVITE                   | 1 | bob          | -        | -        | -  | bob1/alice1
        F36 | bob > P2   | ACK sip:alice@192.0.2.101    | 1 | bob          | P2 P1 LB | -        | 70 | bob1/alice1
        F37 | P2 > P1    | ACK sip:alice@192.0.2.101    | 1 | P2 bob       | P1 LB    | -        | 69 | bob1/alice1
        F38 | P1 > LB    | ACK sip:alice@192.0.2.101    | 1 | P1 P2 bob    | LB       | -        | 68 | bob1/alice1
        F38 | LB > alice | ACK sip:alice@192.0.2.101    | 1 | LB P1 P2 bob | -        | -        | 67 | bob1/alice1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("UPDATE", CALL, &[], HOLD));
    network.follow(
        "
        F39 | alice > LB | UPDATE sip:bob@192.0.2.201 | 4 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F39 | LB > P1    | UPDATE sip:bob@192.0.2.201 | 4 | LB alice       | P1 P2    | LB       | 69 | alice1/bob1
        F40 | P1 > P2    | UPDATE sip:bob@192.0.2.201 | 4 | P1 LB alice    | P2       | P1 LB    | 68 | alice1/bob1
        F41 | P2 > bob   | UPDATE sip:bob@192.0.2.201 | 4 | P2 P1 LB alice | -        | P2 P1 LB | 67 | alice1/bob1
        F42 | bob > P2   | 200 UPDATE                 | 4 | P2 P1 LB alice | -        | -        | -  | alice1/bob1
        F43 | P2 > P1    | 200 UPDATE                 | 4 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F44 | P1 > LB    | 200 UPDATE                 | 4 | LB alice       | -        | -        | -  | alice1/bob1
        F44 | LB > alice | 200 UPDATE                 | 4 | alice          | -        | -        | -  | alice1/bob1
        ",
    );
    network.acts("bob", |bob| bob.asks_within("INFO", CALL, &["Info-Package: dtmf"], "Signal=5\r\n"));
    network.follow(
        "
        F45 | bob > P2   | INFO sip:alice@192.0.2.101 | 2 | bob          | P2 P1 LB | - | 70 | bob1/alice1
        F46 | P2 > P1    | INFO sip:alice@192.0.2.101 | 2 | P2 bob       | P1 LB    | - | 69 | bob1/alice1
        F47 | P1 > LB    | INFO sip:alice@192.0.2.101 | 2 | P1 P2 bob    | LB       | - | 68 | bob1/alice1
        F47 | LB > alice | INFO sip:alice@192.0.2.101 | 2 | LB P1 P2 bob | -        | - | 67 | bob1/alice1
        F48 | alice > LB | 200 INFO                   | 2 | LB P1 P2 bob | -        | - | -  | bob1/alice1
        F48 | LB > P1    | 200 INFO                   | 2 | P1 P2 bob    | -        | - | -  | bob1/alice1
        F49 | P1 > P2    | 200 INFO                   | 2 | P2 bob       | -        | - | -  | bob1/alice1
        F50 | P2 > bob   | 200 INFO                   | 2 | bob          | -        | - | -  | bob1/alice1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("INVITE", CALL, &[], VIDEO));
    network.follow(
        "
        F51 | alice > LB | INVITE sip:bob@192.0.2.201 | 5 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F51 | LB > P1    | INVITE sip:bob@192.0.2.201 | 5 | LB alice       | P1 P2    | LB       | 69 | alice1/bob1
        F52 | P1 > P2    | INVITE sip:bob@192.0.2.201 | 5 | P1 LB alice    | P2       | P1 LB    | 68 | alice1/bob1
        F53 | P2 > bob   | INVITE sip:bob@192.0.2.201 | 5 | P2 P1 LB alice | -        | P2 P1 LB | 67 | alice1/bob1
        F54 | bob > P2   | 200 INVITE                 | 5 | P2 P1 LB alice | -        | -        | -  | alice1/bob1
        F55 | P2 > P1    | 200 INVITE                 | 5 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F56 | P1 > LB    | 200 INVITE                 | 5 | LB alice       | -        | -        | -  | alice1/bob1
        F56 | LB > alice | 200 INVITE                 | 5 | alice          | -        | -        | -  | alice1/bob1
        F57 | alice > LB | ACK sip:bob@192.0.2.201    | 5 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F57 | LB > P1    | ACK sip:bob@192.0.2.201    | 5 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F58 | P1 > P2    | ACK sip:bob@192.0.2.201    | 5 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F59 | P2 > bob   | ACK sip:bob@192.0.2.201    | 5 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        ",
    );
    network.acts("alice", |alice| alice.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F60 | alice > LB | BYE sip:bob@192.0.2.201 | 6 | alice          | LB P1 P2 | - | 70 | alice1/bob1
        F60 | LB > P1    | BYE sip:bob@192.0.2.201 | 6 | LB alice       | P1 P2    | - | 69 | alice1/bob1
        F61 | P1 > P2    | BYE sip:bob@192.0.2.201 | 6 | P1 LB alice    | P2       | - | 68 | alice1/bob1
        F62 | P2 > bob   | BYE sip:bob@192.0.2.201 | 6 | P2 P1 LB alice | -        | - | 67 | alice1/bob1
        F63 | bob > P2   | 200 BYE                 | 6 | P2 P1 LB alice | -        | - | -  | alice1/bob1
        F64 | P2 > P1    | 200 BYE                 | 6 | P1 LB alice    | -        | - | -  | alice1/bob1
        F65 | P1 > LB    | 200 BYE                 | 6 | LB alice       | -        | - | -  | alice1/bob1
        F65 | LB > alice | 200 BYE                 | 6 | alice          | -        | - | -  | alice1/bob1
        ",
    );
    assert_eq!(network.viaduct.member_of(CALL), own);
}

fn a_dialog_stays_while_one_instance_knows_of_a_change_and_the_other_does_not(mix: Mix) {
    let (mut network, _) = call(mix);
    let own = network.viaduct.member_of(CALL).to_owned();
    let others: Vec<_> =
        MEMBERS.into_iter().filter(|(name, _)| *name == own).chain([("d", "10.0.0.14:5060")]).collect();
    network.viaduct.resize_one(0, &backends(&others));
    for method in ["INFO", "UPDATE", "INFO"] {
        network.acts("alice", |alice| alice.asks_within(method, CALL, &[], ""));
    }
    network.follow(
        "
        F21 | alice > LB | INFO sip:bob@192.0.2.201   | 3 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F22 | alice > LB | UPDATE sip:bob@192.0.2.201 | 4 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F23 | alice > LB | INFO sip:bob@192.0.2.201   | 5 | alice          | LB P1 P2 | -        | 70 | alice1/bob1
        F21 | LB > P1    | INFO sip:bob@192.0.2.201   | 3 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F22 | LB > P1    | UPDATE sip:bob@192.0.2.201 | 4 | LB alice       | P1 P2    | LB       | 69 | alice1/bob1
        F23 | LB > P1    | INFO sip:bob@192.0.2.201   | 5 | LB alice       | P1 P2    | -        | 69 | alice1/bob1
        F24 | P1 > P2    | INFO sip:bob@192.0.2.201   | 3 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F25 | P1 > P2    | UPDATE sip:bob@192.0.2.201 | 4 | P1 LB alice    | P2       | P1 LB    | 68 | alice1/bob1
        F26 | P1 > P2    | INFO sip:bob@192.0.2.201   | 5 | P1 LB alice    | P2       | -        | 68 | alice1/bob1
        F27 | P2 > bob   | INFO sip:bob@192.0.2.201   | 3 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        F28 | P2 > bob   | UPDATE sip:bob@192.0.2.201 | 4 | P2 P1 LB alice | -        | P2 P1 LB | 67 | alice1/bob1
        F29 | P2 > bob   | INFO sip:bob@192.0.2.201   | 5 | P2 P1 LB alice | -        | -        | 67 | alice1/bob1
        F30 | bob > P2   | 200 INFO                   | 3 | P2 P1 LB alice | -        | -        | -  | alice1/bob1
        F31 | bob > P2   | 200 UPDATE                 | 4 | P2 P1 LB alice | -        | -        | -  | alice1/bob1
        F32 | bob > P2   | 200 INFO                   | 5 | P2 P1 LB alice | -        | -        | -  | alice1/bob1
        F33 | P2 > P1    | 200 INFO                   | 3 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F34 | P2 > P1    | 200 UPDATE                 | 4 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F35 | P2 > P1    | 200 INFO                   | 5 | P1 LB alice    | -        | -        | -  | alice1/bob1
        F36 | P1 > LB    | 200 INFO                   | 3 | LB alice       | -        | -        | -  | alice1/bob1
        F37 | P1 > LB    | 200 UPDATE                 | 4 | LB alice       | -        | -        | -  | alice1/bob1
        F38 | P1 > LB    | 200 INFO                   | 5 | LB alice       | -        | -        | -  | alice1/bob1
        F36 | LB > alice | 200 INFO                   | 3 | alice          | -        | -        | -  | alice1/bob1
        F37 | LB > alice | 200 UPDATE                 | 4 | alice          | -        | -        | -  | alice1/bob1
        F38 | LB > alice | 200 INFO                   | 5 | alice          | -        | -        | -  | alice1/bob1
        ",
    );
    network.viaduct.resize_one(1, &backends(&others));
    network.acts("bob", |bob| bob.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F39 | bob > P2   | BYE sip:alice@192.0.2.101 | 1 | bob          | P2 P1 LB | - | 70 | bob1/alice1
        F40 | P2 > P1    | BYE sip:alice@192.0.2.101 | 1 | P2 bob       | P1 LB    | - | 69 | bob1/alice1
        F41 | P1 > LB    | BYE sip:alice@192.0.2.101 | 1 | P1 P2 bob    | LB       | - | 68 | bob1/alice1
        F41 | LB > alice | BYE sip:alice@192.0.2.101 | 1 | LB P1 P2 bob | -        | - | 67 | bob1/alice1
        F42 | alice > LB | 200 BYE                   | 1 | LB P1 P2 bob | -        | - | -  | bob1/alice1
        F42 | LB > P1    | 200 BYE                   | 1 | P1 P2 bob    | -        | - | -  | bob1/alice1
        F43 | P1 > P2    | 200 BYE                   | 1 | P2 bob       | -        | - | -  | bob1/alice1
        F44 | P2 > bob   | 200 BYE                   | 1 | bob          | -        | - | -  | bob1/alice1
        ",
    );
    assert_eq!(network.viaduct.member_of(CALL), own);
}

fn a_member_of_weight_zero_keeps_its_dialogs_until_they_end(mix: Mix) {
    let (mut network, _) = call(mix);
    let own = network.viaduct.member_of(CALL).to_owned();
    let mut drained = backends(&MEMBERS);
    drained
        .iter_mut()
        .filter(|backend| backend.name == own)
        .for_each(|backend| backend.weight = Weight::new(0).expect("0"));
    network.viaduct.resize(&drained);
    network.acts("alice", |alice| alice.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F21 | alice > LB | BYE sip:bob@192.0.2.201 | 3 | alice          | LB P1 P2 | - | 70 | alice1/bob1
        F21 | LB > P1    | BYE sip:bob@192.0.2.201 | 3 | LB alice       | P1 P2    | - | 69 | alice1/bob1
        F22 | P1 > P2    | BYE sip:bob@192.0.2.201 | 3 | P1 LB alice    | P2       | - | 68 | alice1/bob1
        F23 | P2 > bob   | BYE sip:bob@192.0.2.201 | 3 | P2 P1 LB alice | -        | - | 67 | alice1/bob1
        F24 | bob > P2   | 200 BYE                 | 3 | P2 P1 LB alice | -        | - | -  | alice1/bob1
        F25 | P2 > P1    | 200 BYE                 | 3 | P1 LB alice    | -        | - | -  | alice1/bob1
        F26 | P1 > LB    | 200 BYE                 | 3 | LB alice       | -        | - | -  | alice1/bob1
        F26 | LB > alice | 200 BYE                 | 3 | alice          | -        | - | -  | alice1/bob1
        ",
    );
    assert_ne!(network.viaduct.owner_of(CALL), own, "new calls with its keys go elsewhere");
}

/// By the default policy. It serves replicas of one name: to them the Route that their lost sibling wrote is their own.
fn a_dialog_whose_member_is_gone_for_good_goes_to_exactly_one_other(mix: Mix) {
    let (mut network, own) = bereft(mix, OnLostPin::Rehash);
    network.viaduct.allow_move(CALL);
    network.acts("alice", |alice| alice.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F15 | alice > LB | BYE sip:bob@192.0.2.201 | 2 | alice          | LB P1 P2 | - | 70 | alice1/bob1
        F15 | LB > P1    | BYE sip:bob@192.0.2.201 | 2 | LB alice       | P1 P2    | - | 69 | alice1/bob1
        F16 | P1 > P2    | BYE sip:bob@192.0.2.201 | 2 | P1 LB alice    | P2       | - | 68 | alice1/bob1
        F17 | P2 > bob   | BYE sip:bob@192.0.2.201 | 2 | P2 P1 LB alice | -        | - | 67 | alice1/bob1
        F18 | bob > P2   | 200 BYE                 | 2 | P2 P1 LB alice | -        | - | -  | alice1/bob1
        F19 | P2 > P1    | 200 BYE                 | 2 | P1 LB alice    | -        | - | -  | alice1/bob1
        F20 | P1 > LB    | 200 BYE                 | 2 | LB alice       | -        | - | -  | alice1/bob1
        F20 | LB > alice | 200 BYE                 | 2 | alice          | -        | - | -  | alice1/bob1
        ",
    );
    assert_ne!(network.viaduct.member_of(CALL), own);
    assert_eq!(network.viaduct.member_of(CALL), network.viaduct.owner_of(CALL));
}

fn a_dialog_whose_member_is_gone_for_good_is_answered_481_where_the_policy_says_so(mix: Mix) {
    let (mut network, _) = bereft(mix, OnLostPin::Refuse);
    network.acts("alice", |alice| alice.asks_within("BYE", CALL, &[], ""));
    network.follow(
        "
        F15 | alice > LB | BYE sip:bob@192.0.2.201 | 2 | alice | LB P1 P2 | - | 70 | alice1/bob1
        F16 | LB > alice | 481 BYE                 | 2 | alice | -        | - | -  | alice1/bob1
        ",
    );
}

/// A call, by replicas of one name, whose member has left the pool; and that member's name.
fn bereft(mix: Mix, on_lost_pin: OnLostPin) -> (Network, String) {
    let (mut network, _) = proxies(mix, |proxy| proxy.host = "proxies.atlanta.example.com".to_owned());
    network.viaduct = Viaduct::new(mix, &backends(&MEMBERS), on_lost_pin);
    network.acts("alice", |alice| alice.asks("INVITE", CALL, "sip:bob@biloxi.example.com", &[], OFFER));
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
    let own = network.viaduct.member_of(CALL).to_owned();
    let left: Vec<_> = MEMBERS.into_iter().filter(|(name, _)| *name != own).collect();
    network.viaduct.resize(&backends(&left));
    (network, own)
}
