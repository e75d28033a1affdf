//! Messages in the manner of RFC 4475 and RFC 5118, written here: each is strange or broken in one way, and a load
//! balancer must forward it unchanged, refuse it with the right answer, or drop it, but never misread it.
//!
//! Not as a user agent would: a bad Date, Contact or body is the backends' to judge (§16.3), so it is forwarded.

use viaduct::proxy::verdict::{DropReason, Fault, Verdict};
use viaduct::sip::header::HeaderName;

use crate::support::{decided, pool, snapshot_of};

/// What must become of a message.
#[derive(Debug, PartialEq)]
enum Expected {
    Forwarded,
    Answered(u16),
    Dropped,
}

use Expected::{Answered, Dropped, Forwarded};

/// A request with `change` made to a plain one: (what it is, text to replace, by what, what must become of it).
const CHANGES: [(&str, &str, &str, Expected); 46] = [
    ("nothing strange", "", "", Forwarded),
    // Valid, RFC 4475 section 3.1.1.
    ("an unusual method", "INVITE", "!interesting-Method0123456789_*+`.%indeed'~", Forwarded),
    ("escaped characters in the URI", "sip:bob@b.example", "sip:sips%3Auser%40example.com@b.example", Forwarded),
    ("escaped nulls in the URI", "sip:bob@b.example", "sip:null-%00-null@b.example", Forwarded),
    ("a percent that escapes nothing, in the method", "INVITE", "RE%47IST%45R", Forwarded),
    ("no space before the bracket", "From: A <", "From: A<", Forwarded),
    ("a long display name", "From: A <", LONG_NAME, Forwarded),
    ("a semicolon in the user part", "sip:bob@b.example", "sip:user;par=u%40example.net@b.example", Forwarded),
    (
        "a transport nobody knows, below",
        "Max-Forwards",
        "Via: SIP/2.0/UNKNOWN 10.1.1.1;branch=z9hG4bKx\r\nMax-Forwards",
        Forwarded,
    ),
    ("an unknown transport in the Via on top", "SIP/2.0/UDP", "SIP/2.0/TRANSPORT-X", Forwarded),
    ("bytes that are no text", "X: y", "X: \u{1}\u{7f}é\u{0}", Forwarded),
    ("zero in front of numbers", "Max-Forwards: 70", "Max-Forwards: 0068", Forwarded),
    ("a CSeq with zeros in front", "1 INVITE", "0009 INVITE", Forwarded),
    ("an empty header", "X: y", "X:", Forwarded),
    ("a header line without a colon", "X: y", "no colon here", Forwarded),
    ("a folded Max-Forwards", "Max-Forwards: 70", "Max-Forwards:\r\n 70", Forwarded),
    (
        "a tag that is quoted away",
        "From: A <sip:a@a.example>;tag=1",
        "From: \"x;tag=no\" <sip:a@a.example>;tag=1",
        Forwarded,
    ),
    ("no tag at all, as in RFC 2543", ";tag=1", "", Forwarded),
    ("no branch, as in RFC 2543", ";branch=z9hG4bKt", "", Forwarded),
    ("a branch of the cookie alone", ";branch=z9hG4bKt", ";branch=z9hG4bK", Forwarded),
    ("no Max-Forwards", "Max-Forwards: 70\r\n", "", Forwarded),
    ("an IPv6 sent-by", "198.51.100.7;", "[2001:db8::9:255]:5060;", Forwarded),
    ("an IPv6 sent-by whose received has brackets", "198.51.100.7;", "[::1]:5060;received=[2001:db8::9:1];", Forwarded),
    ("an IPv6 URI that looks like it had a port", "sip:bob@b.example", "sip:bob@[2001:db8::10:5070]", Forwarded),
    (
        "an unknown parameter of the URI",
        "sip:bob@b.example",
        "sip:bob@b.example;unknownparam=x;lr;maddr=1.2.3.4",
        Forwarded,
    ),
    ("a tel URI", "sip:bob@b.example", "tel:+1-201-555-0123", Forwarded),
    ("an emergency service", "sip:bob@b.example", "urn:service:sos", Forwarded),
    // Invalid in what is the backends' to judge, RFC 4475 section 3.1.2 and 3.3.
    ("a bad Date", "X: y", "Date: Fri, 01 Jan 2010 16:00:00 EST", Forwarded),
    ("a bad Contact", "X: y", "Contact: \"Joe\" sip:joe@example.org>>>", Forwarded),
    ("an unknown Content-Type", "X: y", "Content-Type: application/unknownformat", Forwarded),
    ("a Require of something", "X: y", "Require: nothingSupportsThis", Forwarded),
    // Invalid in what routing needs.
    ("another version", "SIP/2.0\r\nVia", "SIP/7.0\r\nVia", Answered(505)),
    ("an unknown scheme", "sip:bob@b.example", "nobodyKnowsThisScheme:totallyopaquecontent", Answered(416)),
    ("a URI in brackets", "sip:bob@b.example", "<sip:bob@b.example>", Answered(400)),
    ("a space in the URI", "sip:bob@b.example", "sip:bob@b.example; lr", Answered(400)),
    ("two spaces in the request line", "INVITE sip", "INVITE  sip", Answered(400)),
    ("a CSeq that is too large", "1 INVITE", "36893488147419103232 INVITE", Answered(400)),
    ("a CSeq of another method", "1 INVITE", "8 NOTIFY", Answered(400)),
    ("an open quote in To", "To: <sip:b@b.example>", "To: \"Mr. J. User <sip:b@b.example>", Answered(400)),
    ("two CSeqs", "X: y", "CSeq: 7 INVITE", Answered(400)),
    ("a negative Content-Length", "Content-Length: 0", "Content-Length: -999", Answered(400)),
    ("a Content-Length beyond the datagram", "Content-Length: 0", "Content-Length: 9999", Answered(400)),
    ("no Call-ID", "Call-ID: torture\r\n", "", Answered(400)),
    ("hops used up", "Max-Forwards: 70", "Max-Forwards: 0", Answered(483)),
    ("a Proxy-Require of something", "X: y", "Proxy-Require: nothingSupportsThis", Answered(420)),
    ("a Via that cannot be read", "SIP/2.0/UDP 198", "SIP/2.0/UDP ;;,;,, 198", Dropped),
];

const LONG_NAME: &str = "From: I have a user name of extreme proportion, and more of it, and more of it, and more <";

const PLAIN: &str = "INVITE sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKt\r\n\
                     Max-Forwards: 70\r\nFrom: A <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: torture\r\n\
                     CSeq: 1 INVITE\r\nX: y\r\nContent-Length: 0\r\n\r\n";

#[test]
fn strange_requests_pass_and_broken_ones_are_refused() {
    let snapshot = snapshot_of(pool());
    for (what, from, to, expected) in CHANGES {
        let message = changed(what, from, to);
        let (decision, _) = decided(&snapshot, message.as_bytes(), "198.51.100.7:5060");
        let found = match decision.verdict {
            Verdict::Forward { .. } => Forwarded,
            Verdict::Answer { status, .. } => Answered(status.code()),
            Verdict::Absorb(_) | Verdict::Drop(_) => Dropped,
        };
        assert_eq!(found, expected, "{what}: {:?}\n{message}", decision.verdict);
    }
}

#[test]
fn a_forwarded_message_loses_and_gains_nothing_but_what_the_rules_say() {
    let snapshot = snapshot_of(pool());
    for (what, from, to, expected) in CHANGES {
        let message = changed(what, from, to);
        let (_, sent) = decided(&snapshot, message.as_bytes(), "198.51.100.7:5060");
        if expected != Forwarded || what.contains("Max-Forwards") || what.contains("zero") || sent.is_empty() {
            continue;
        }
        let sent = String::from_utf8(sent).unwrap();
        let ours = sent.lines().find(|line| line.contains(";vd=")).unwrap();
        let route = sent.lines().find(|line| line.starts_with("Record-Route: <sip:p")).unwrap_or_default();
        let undone = sent
            .replacen(&format!("{ours}\r\n"), "", 1)
            .replacen(&format!("{route}\r\n"), "", usize::from(!route.is_empty()))
            .replacen("Max-Forwards: 69", "Max-Forwards: 70", 1)
            .replacen(";received=198.51.100.7", "", 1);
        assert_eq!(undone, message.replacen(";received=[2001:db8::9:1]", "", 1), "{what}");
    }
}

#[test]
fn a_response_that_is_broken_is_dropped_with_its_fault() {
    let snapshot = snapshot_of(pool());
    let fault = |text: &str| match decided(&snapshot, text.as_bytes(), "10.0.0.11:5060").0.verdict {
        Verdict::Drop(DropReason::Malformed(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault("SIP/2.0 4294967301 better not break the receiver\r\nVia: x\r\n\r\n"), Fault::StartLine);
    assert_eq!(fault("SIP/2.0 200 OK\r\nTo: b\r\n\r\n"), Fault::Header(HeaderName::Via));
    assert_eq!(fault("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nl: 9\r\n\r\n"), Fault::Header(HeaderName::ContentLength));
    assert_eq!(fault("SIP/2.0 200 OK\r\nVia: a\r\ni: 1\r\nCall-ID: 2\r\n\r\n"), Fault::Repeated(HeaderName::CallId));
}

/// The plain request with one change; a change of the method goes into CSeq too.
fn changed(what: &str, from: &str, to: &str) -> String {
    let message = PLAIN.replacen(from, to, usize::from(!from.is_empty()));
    if what.contains("method") { message.replacen("CSeq: 1 INVITE", &format!("CSeq: 1 {to}"), 1) } else { message }
}
