//! Which requests are too long for a datagram, and go by TCP where their backend takes them by it too (§18.1.1).
//!
//! To let each request's own length decide looked enough. A CANCEL, and the ACK for a refusal, must go by the transport of their
//! INVITE (§9.1, §17.1.1.3): their own length says nothing of its, and nothing else in them does. So an INVITE, whose length
//! is what matters most, always goes by TCP there, and they with it.

use crate::sip::Transport;
use crate::sip::draft::Draft;
use crate::sip::start_line::Method;

use super::request::Request;
use super::target::Target;

/// Whether a request that was written for UDP is to go by TCP. The same bytes give the same answer: what Viaduct writes into a
/// request has the same length each time.
pub(super) fn needs_stream(request: &Request<'_>, target: &Target, draft: &Draft) -> bool {
    let takes_both = |index| request.snapshot.is_also_reached_by_tcp(index);
    let limit = request.snapshot.policy().udp_request_bytes_max;
    limit > 0
        && target.transport == Transport::Udp
        && target.member().is_some_and(takes_both)
        && (is_of_an_invite(request.method) || draft.bytes() > limit as usize)
}

fn is_of_an_invite(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Ack | Method::Cancel)
}
