//! What is answered where a forwarded request cannot be delivered: made from the request as it went out, so that nothing of it
//! as it came in need be kept.
//!
//! To keep the request as it came looked simpler. It would have to be kept for as long as a connection takes to open, or carried
//! to another shard, beside the one that goes out; and our own Via in that one says, signed, where its answer goes.

use crate::sip::draft::{Draft, DraftFull};
use crate::sip::header::HeaderName;
use crate::sip::reply::{Reply, Status};
use crate::sip::scan::Head;
use crate::sip::start_line::{Method, StartLine};
use crate::sip::via::Via;

use super::response::{WayBack, delete_own_via, top_via, values_below, way_back};
use super::verdict::{Decision, MessageKind, Verdict};
use super::{Scratch, View, branch};

/// Answers `forwarded`, a request as Viaduct wrote it, with `status`. `None` where there is nobody to tell: it is no request of
/// ours, or an ACK, or went to two backends. Where there is a decision, `scratch.draft` is the answer.
pub fn bounce(view: View<'_>, forwarded: &[u8], status: Status, scratch: &mut Scratch) -> Option<Decision> {
    let Scratch { head, draft } = scratch;
    draft.clear();
    head.scan(forwarded).ok()?;
    let StartLine::Request { method, .. } = head.start else { return None };
    if method == Method::Ack {
        return None;
    }
    let own = top_via(forwarded, head)?;
    let below = Via::parse(forwarded, values_below(head, &own)?)?;
    let WayBack { hop, is_doubled } = way_back(view.snapshot, forwarded, head, (&own, &below), None).ok()?;
    if is_doubled {
        return None;
    }
    write(view, forwarded, head, status, (&own, &below), draft).ok()?;
    let side = view.snapshot.side_of(hop.to);
    let verdict = Verdict::Answer { hop, status, fault: None };
    Some(Decision::new(MessageKind::Request(method), side, verdict))
}

/// The answer with all Vias of the request but our own.
fn write(
    view: View<'_>,
    forwarded: &[u8],
    head: &Head,
    status: Status,
    (own, below): (&Via, &Via),
    draft: &mut Draft,
) -> Result<(), DraftFull> {
    let to_tag = head.first(HeaderName::To).and_then(|to| crate::sip::header::parse_tag(forwarded, to.value).ok()?);
    let reply = Reply {
        status,
        detail: None,
        tag: &branch::own_tag(&view.snapshot.keys().current().tag, forwarded, head, below),
        has_tag: to_tag.is_some(),
        headers: "",
        retry_after_s: 0,
    };
    reply.write_unstamped(head, draft)?;
    delete_own_via(head, own, draft)
}
