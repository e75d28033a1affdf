//! The product's promise as properties: the same message gives the same bytes; whatever belongs to an INVITE follows it; a
//! response returns to its sender and to nobody else; two instances can take turns message by message; nobody can aim it.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use proptest::prelude::*;

use viaduct::proxy::latency::Instance;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{Decision, Verdict};

use crate::support::decided;

/// A request as some client might write it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where it is seen at.
    pub peer: SocketAddr,
    sent_by: String,
    branch: Option<String>,
    rport: bool,
    call_id: String,
    from_tag: Option<String>,
    uri: String,
    cseq: u32,
    compact: bool,
    vias_below: usize,
}

impl Call {
    /// The request of that method.
    pub fn request(&self, method: &str, to_tag: Option<&str>) -> Vec<u8> {
        let names =
            if self.compact { ["v", "f", "t", "i", "l"] } else { ["Via", "From", "To", "Call-ID", "Content-Length"] };
        let [via, from, to, call_id, length] = names;
        let branch = self.branch.as_ref().map_or(String::new(), |branch| format!(";branch={branch}"));
        let rport = if self.rport { ";rport" } else { "" };
        let below: String =
            (0..self.vias_below).map(|i| format!("{via}: SIP/2.0/UDP 10.2.0.{i};branch=z9hG4bKb{i}\r\n")).collect();
        let from_tag = self.from_tag.as_ref().map_or(String::new(), |tag| format!(";tag={tag}"));
        let to_tag = to_tag.map_or(String::new(), |tag| format!(";tag={tag}"));
        format!(
            "{method} {} SIP/2.0\r\n{via}: SIP/2.0/UDP {}{branch}{rport}\r\n{below}Max-Forwards: 70\r\n{from}: <sip:a@a.example>{from_tag}\r\n\
             {to}: <sip:b@b.example>{to_tag}\r\n{call_id}: {}\r\nCSeq: {} {method}\r\n{length}: 0\r\n\r\n",
            self.uri, self.sent_by, self.call_id, self.cseq,
        )
        .into_bytes()
    }
}

/// Any request of a client's.
pub fn call() -> impl Strategy<Value = Call> {
    let peer = (any::<[u8; 4]>(), 1024..u16::MAX).prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port));
    // Neither a member of the pool nor trusted: those may send anywhere.
    let peer = peer.prop_filter("a client", |peer| match peer.ip() {
        IpAddr::V4(ip) => ip.octets()[0] != 10 && ip.octets()[0] != 172,
        IpAddr::V6(_) => true,
    });
    let sent_by = prop_oneof![
        "[a-z]{1,8}\\.example(:[1-9][0-9]{3})?",
        Just("192.0.2.1".to_owned()),
        Just("[2001:db8::1]:5070".to_owned())
    ];
    let branch = proptest::option::of(prop_oneof!["z9hG4bK[a-zA-Z0-9._-]{1,20}", "[a-z0-9]{1,12}"]);
    let uri = "(sip|sips):[a-z]{1,6}@([a-z]{1,6}\\.example|203\\.0\\.113\\.[1-9])(:[1-9][0-9]{3})?(;transport=udp)?";
    let texts = ("[!-+--:=-~]{1,40}", proptest::option::of("[a-z0-9]{1,10}"), uri);
    (peer, sent_by, branch, any::<bool>(), texts, 1..1u32 << 31, any::<bool>(), 0..3usize).prop_map(
        |(peer, sent_by, branch, rport, (call_id, from_tag, uri), cseq, compact, vias_below)| Call {
            peer,
            sent_by,
            branch,
            rport,
            call_id,
            from_tag,
            uri,
            cseq,
            compact,
            vias_below,
        },
    )
}

fn hop(decision: &Decision) -> SocketAddr {
    match decision.verdict {
        Verdict::Forward { hop, .. } | Verdict::Answer { hop, .. } => hop.to,
        other => panic!("not sent: {other:?}"),
    }
}

/// Our Via on a forwarded request: the line above the one that was on top.
fn own_via(sent: &[u8]) -> String {
    let text = String::from_utf8(sent.to_vec()).unwrap();
    text.lines().find(|line| line.contains(";vd=")).expect("our Via").to_owned()
}

/// The response of a backend to what it was sent: all Vias as they came (§8.2.6.2).
pub fn response_to(sent: &[u8], status: &str) -> Vec<u8> {
    let text = String::from_utf8(sent.to_vec()).unwrap();
    let kept = text.lines().skip(1).filter(|line| !line.starts_with("Max-Forwards") && !line.is_empty());
    let lines: Vec<&str> = kept.collect();
    format!("SIP/2.0 {status}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// Two instances with the same configuration.
fn same_instances() -> &'static (Snapshot, Snapshot) {
    static INSTANCES: LazyLock<(Snapshot, Snapshot)> = LazyLock::new(|| {
        let instance = || crate::support::snapshot_of(crate::support::pool());
        (instance(), instance())
    });
    &INSTANCES
}

/// The same two, each with stamps of time of its own.
fn timed_instances() -> &'static (Snapshot, Snapshot) {
    static INSTANCES: LazyLock<(Snapshot, Snapshot)> = LazyLock::new(|| {
        let (one, other) = same_instances();
        (one.clone().with_latency(Instance(1)), other.clone().with_latency(Instance(2)))
    });
    &INSTANCES
}

/// A message without its stamp of time.
fn without_stamp(sent: &[u8]) -> String {
    let text = String::from_utf8(sent.to_vec()).unwrap();
    match text.split_once(";vt=") {
        Some((before, rest)) => format!("{before}{}", &rest[rest.find("\r\n").unwrap()..]),
        None => text,
    }
}

proptest! {
    #[test]
    fn two_instances_that_time_backends_differ_in_the_stamp_alone(call in call(), status in 100..700u16) {
        let (one, other) = timed_instances();
        let (untimed, _) = same_instances();
        let peer = call.peer.to_string();
        for method in ["INVITE", "CANCEL", "ACK", "REGISTER"] {
            let request = call.request(method, None);
            let (decision, sent) = decided(one, &request, &peer);
            let (again, resent) = decided(other, &request, &peer);
            prop_assert_eq!(&decision, &again);
            prop_assert_eq!(sent != resent, method != "ACK", "only an ACK has no stamp");
            prop_assert_eq!(without_stamp(&sent), without_stamp(&resent));
            prop_assert_eq!(without_stamp(&sent).into_bytes(), decided(untimed, &request, &peer).1);

            let response = response_to(&sent, &format!("{status} Reason"));
            let (decision, back) = decided(one, &response, "10.0.0.11:4000");
            let (by_other, back_by_other) = decided(other, &response, "10.0.0.11:4000");
            prop_assert_eq!(hop(&decision), hop(&by_other));
            prop_assert_eq!(by_other.sample, None);
            prop_assert_eq!(&back, &back_by_other);
            prop_assert!(!String::from_utf8(back).unwrap().contains(";vt="));
        }
    }

    #[test]
    fn what_belongs_to_an_invite_follows_it_on_any_instance(call in call()) {
        let (one, other) = same_instances();
        let peer = call.peer.to_string();
        let (decision, sent) = decided(one, &call.request("INVITE", None), &peer);
        let (again, resent) = decided(other, &call.request("INVITE", None), &peer);
        prop_assert_eq!((&decision, &sent), (&again, &resent));
        for (method, to_tag) in [("CANCEL", None), ("ACK", Some("callee"))] {
            let (follower, sent_after) = decided(other, &call.request(method, to_tag), &peer);
            prop_assert_eq!(hop(&follower), hop(&decision));
            prop_assert_eq!(own_via(&sent_after), own_via(&sent));
        }
    }

    #[test]
    fn a_branch_does_not_depend_on_the_source_port(call in call(), port in 1024..u16::MAX) {
        let (one, other) = same_instances();
        let branch = |via: String| via.split(";branch=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let (first, sent) = decided(one, &call.request("INVITE", None), &call.peer.to_string());
        let rebound = SocketAddr::new(call.peer.ip(), port).to_string();
        let (second, sent_after) = decided(other, &call.request("CANCEL", None), &rebound);
        prop_assert_eq!(hop(&first), hop(&second));
        prop_assert_eq!(branch(own_via(&sent)), branch(own_via(&sent_after)));
    }

    #[test]
    fn a_response_returns_to_the_sender_by_any_instance(call in call(), status in 100..700u16) {
        let (one, other) = same_instances();
        let (_, sent) = decided(one, &call.request("INVITE", None), &call.peer.to_string());
        let (decision, back) = decided(other, &response_to(&sent, &format!("{status} Reason")), "10.0.0.99:4000");
        prop_assert_eq!(hop(&decision).ip(), call.peer.ip());
        if call.rport {
            prop_assert_eq!(hop(&decision), call.peer);
        }
        prop_assert!(!String::from_utf8(back).unwrap().contains(";vd="));
    }

    #[test]
    fn a_response_that_was_tampered_with_goes_nowhere_new(call in call(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (one, _) = same_instances();
        let (_, sent) = decided(one, &call.request("INVITE", None), &call.peer.to_string());
        let mut response = response_to(&sent, "200 OK");
        let place = place.index(response.len());
        response[place] = byte;
        let (decision, _) = decided(one, &response, "10.0.0.99:4000");
        if let Verdict::Forward { hop, .. } | Verdict::Answer { hop, .. } = decision.verdict {
            let expected = decided(one, &response_to(&sent, "200 OK"), "10.0.0.99:4000").0;
            // A flipped start line can make a request of it, which a client may send to the pool like any other.
            let to_pool = one.pool().by_address(hop.to).is_some();
            prop_assert!(hop.to == self::hop(&expected) || to_pool || hop.to.ip() == "10.0.0.99".parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn no_client_makes_it_send_anywhere_but_to_the_pool_or_back(
        mut call in call(), route in "(<sip:[a-z0-9.]{1,12}(:[0-9]{1,5})?(;lr)?>,?){0,3}", junk in ".{0,60}", method in "[A-Z]{2,8}",
    ) {
        let (one, _) = same_instances();
        call.uri = "sip:x@203.0.113.66:9;maddr=203.0.113.67".to_owned();
        let text = String::from_utf8(call.request(&method, None)).unwrap();
        let text = text.replacen("Max-Forwards: 70", &format!("Route: {route}\r\nX: {junk}\r\nMax-Forwards: 70"), 1);
        let (decision, _) = decided(one, text.as_bytes(), &call.peer.to_string());
        if let Verdict::Forward { hop, .. } = decision.verdict {
            prop_assert!(one.pool().by_address(hop.to).is_some(), "sent to {}", hop.to);
        } else if let Verdict::Answer { hop, .. } = decision.verdict {
            prop_assert_eq!(hop.to.ip(), call.peer.ip());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), head in "(INVITE|SIP/2.0|ACK) [ -~]{0,20}( SIP/2.0)?\r\n(Via: SIP/2.0/UDP [ -~]{0,30}\r\n)?(([vftilmr]|CSeq|Route) ?:[ -~]{0,30}\r\n){0,6}(\r\n)?") {
        let (one, _) = same_instances();
        let mut message = head.into_bytes();
        message.extend(&bytes);
        for bytes in [&message[..], &bytes[..]] {
            let _ = decided(one, bytes, "198.51.100.1:5060");
            let _ = decided(one, bytes, "10.0.0.11:5060");
        }
    }
}
