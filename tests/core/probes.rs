//! Questions to backends, and how their answers are known: by a signature that no table is needed for.

use viaduct::balance::backend::BackendIndex;
use viaduct::proxy::probe;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{AbsorbReason, DropReason, Verdict};
use viaduct::sip::Transport;

use crate::support::{decided, pool, snapshot_of, snapshot_with_streams};

fn snapshots() -> [Snapshot; 2] {
    [snapshot_of(pool()), snapshot_with_streams(pool(), Transport::Tcp)]
}

fn answer(question: &str, status: u16, below: &str) -> String {
    let kept = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = question.lines().filter(kept).collect();
    let (via, rest) = lines.split_first().unwrap();
    format!("SIP/2.0 {status} Reason\r\n{via}\r\n{below}{}\r\nContent-Length: 0\r\n\r\n", rest.join("\r\n"))
}

#[test]
fn an_answer_is_known_for_whose_it_is_by_any_member_of_the_fleet() {
    for snapshot in snapshots() {
        for (place, backend) in pool().backends().iter().enumerate() {
            let index = BackendIndex(place as u16);
            let (hop, question) = probe::write(&snapshot, index, 7).unwrap();
            assert_eq!(hop.to, backend.address);
            for status in [100, 200, 483, 503] {
                let (decision, sent) =
                    decided(&snapshot.clone(), answer(&question, status, "").as_bytes(), "10.9.9.9:1");
                assert_eq!((decision.verdict, sent.len()), (Verdict::Absorb(AbsorbReason::ProbeAnswer), 0));
                let probe = decision.probe.unwrap();
                assert!(probe.mark.asks(&backend.name, snapshot.backend_transport(index)));
                assert_eq!((probe.status, probe.mark.number), (status, 7));
            }
            assert_eq!(probe::question(&snapshot, question.as_bytes()).map(|mark| mark.number), Some(7));
        }
    }
}

#[test]
fn a_question_is_a_whole_request_that_goes_no_further_than_the_backend() {
    for snapshot in snapshots() {
        let (_, question) = probe::write(&snapshot, BackendIndex(0), 1).unwrap();
        let (head, body) = question.split_once("\r\n\r\n").unwrap();
        assert!(body.is_empty() && head.starts_with("OPTIONS sip:10.0.0.11:5060"), "{head}");
        for header in
            ["Via: ", "Max-Forwards: 1", "From: ", "To: ", "Call-ID: ", "CSeq: 1 OPTIONS", "Content-Length: 0"]
        {
            assert_eq!(head.lines().filter(|line| line.starts_with(header)).count(), 1, "{header} in {head}");
        }
        let (decision, _) = decided(&snapshot, question.as_bytes(), "10.0.0.12:5060");
        assert!(decision.probe.is_none(), "a request answers nothing");
    }
}

#[test]
fn what_is_not_signed_or_has_another_via_below_answers_no_question() {
    let snapshot = snapshot_of(pool());
    let (_, question) = probe::write(&snapshot, BackendIndex(0), 1).unwrap();
    let below = "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\n";
    let (decision, _) = decided(&snapshot, answer(&question, 200, below).as_bytes(), "10.0.0.11:5060");
    assert_eq!(decision.verdict, Verdict::Drop(DropReason::ResponseUnverified));
    let forged = answer(&question, 200, "").replace("z9hG4bKhA", "z9hG4bKhB");
    let (decision, _) = decided(&snapshot, forged.as_bytes(), "10.0.0.11:5060");
    assert_eq!((decision.verdict, decision.probe), (Verdict::Drop(DropReason::ResponseExhausted), None));
}
