//! Reasons, faults and tokens as words.

use std::borrow::Cow;

use crate::proxy::hash_key::HashKey;
use crate::proxy::token::flow::Flow;
use crate::proxy::token::pin::Facing;
use crate::proxy::trace::{HashedBy, Reason};
use crate::proxy::verdict::{AbsorbReason, DropReason, Fault, RejectedToken};

/// Bytes as text; what is no text stands as the replacement character.
pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

pub(super) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::PathFlow => "by the flow in the Path that we wrote into its registration",
        Reason::DialogFlow => "by the flow in the dialog's pin",
        Reason::RouteToMember => "because the next Route names it",
        Reason::UriToMember => "because the Request-URI names it",
        Reason::Route => "because the next Route says so and the request comes from the backends' side",
        Reason::Uri => "because the Request-URI says so and the request comes from the backends' side",
        Reason::Pin => "because the dialog is pinned to it",
        Reason::Hash(_) => "because it owns the key",
    }
}

pub(super) fn hashed(by: HashedBy) -> String {
    match by {
        HashedBy::NamedDialog => "the Call-ID in Replaces, Join or Target-Dialog".to_owned(),
        HashedBy::Rule(key) => hash_key(key).to_owned(),
        HashedBy::InPlaceOf(key) => format!("the Call-ID, because there is no {}", &hash_key(key)["the ".len()..]),
    }
}

fn hash_key(key: HashKey) -> &'static str {
    match key {
        HashKey::CallId => "the Call-ID",
        HashKey::ToUri => "the user and host of To",
        HashKey::FromUri => "the user and host of From",
        HashKey::RequestUser => "the user of the Request-URI",
        HashKey::Source => "the source's address",
    }
}

pub(super) fn rejected(token: RejectedToken) -> &'static str {
    match token {
        RejectedToken::Pin => {
            "a pin in a Route of ours does not hold (damaged, forged, of another call or another secret): it counts as none"
        }
        RejectedToken::Flow => {
            "a flow in a Route of ours does not hold (damaged, forged or of another secret): it counts as none"
        }
    }
}

pub(super) fn facing(facing: Facing) -> &'static str {
    match facing {
        Facing::Both => "for both sides",
        Facing::Client => "for the client's side",
        Facing::Backend => "for the backends' side",
    }
}

pub(super) fn flow(flow: &Flow) -> String {
    let local = flow.local.map_or(String::new(), |local| format!(" from {local}"));
    format!("{} by listener {}{local}", flow.peer, flow.listener.0)
}

pub(super) fn absorbed(reason: AbsorbReason) -> &'static str {
    match reason {
        AbsorbReason::Keepalive => "it only keeps a NAT binding open",
        AbsorbReason::Draining => "it asks whether Viaduct carries calls, which drains (VIADUCT_DRAIN_OPTIONS)",
        AbsorbReason::HandedOn => "it is for a connection of the process before, or after, and was handed to that",
        AbsorbReason::ProbeAnswer => "it answers a probe of Viaduct's own",
        AbsorbReason::DoubledAnswer => {
            "it answers one of two copies of a CANCEL, and does not come from the backend that has the INVITE"
        }
        AbsorbReason::AckToOwnAnswer => "it is the ACK for an answer of Viaduct's own, and nobody else waits for it",
    }
}

pub(super) fn dropped(reason: DropReason) -> String {
    match reason {
        DropReason::Malformed(fault) => format!("{}, and it cannot be answered", self::fault(fault)),
        DropReason::ResponseUnverified => {
            "the topmost Via is not ours, or its signature does not hold here: it answers no \
             request that was forwarded, would go elsewhere, or was made with another secret"
                .to_owned()
        }
        DropReason::ResponseExhausted => "no Via stands below ours, so nobody is left to send it to".to_owned(),
        DropReason::AckRefused => "it would be refused, and an ACK is never answered".to_owned(),
        DropReason::NameBeingResolved => {
            "its next hop is a name, and a running Viaduct would ask DNS for it (NAPTR, SRV, A, \
             AAAA); the first message to a name is dropped, and its retransmission goes where the name leads"
                .to_owned()
        }
        DropReason::DraftFull => "it needs more changes than there is room for".to_owned(),
    }
}

pub(super) fn fault(fault: Fault) -> String {
    match fault {
        Fault::NotSip => "its first line is not SIP's".to_owned(),
        Fault::NoEndOfHead => "no empty line ends its headers".to_owned(),
        Fault::TooManyHeaders => "it has too many headers".to_owned(),
        Fault::StartLine => "its first line is malformed".to_owned(),
        Fault::Version => "it is of another SIP version".to_owned(),
        Fault::RequestUri => "its Request-URI is malformed".to_owned(),
        Fault::Repeated(name) => format!("its {} stands twice", name.name()),
        Fault::Header(name) => format!("its {} is missing or malformed", name.name()),
    }
}

/// What a header that we add is there for.
pub(super) fn added(header: &str) -> &'static str {
    match header.split(':').next().unwrap_or_default() {
        "Via" => "  (ours: by it the response comes back)",
        "Record-Route" => "  (ours: keeps the dialog on this way, and its backend)",
        "Path" => "  (ours: by it the registered client is reached)",
        _ => "",
    }
}
