//! Messages: in, out, ended here, discarded, and what was wrong with them.

use super::{Metric, metric};

/// Messages in.
pub const MESSAGES_RECEIVED: Metric = metric(
    "viaduct_messages_received_total",
    "Messages received, by the side they came from. What was not read as SIP has neither method nor status_class.",
    &["side", "transport", "method", "status_class"],
);

/// Messages out.
pub const MESSAGES_SENT: Metric = metric(
    "viaduct_messages_sent_total",
    "Messages that the kernel took, by the side they went to; origin tells the forwarded from our own answers, and these from \
     answers to STUN binding requests, which have no side.",
    &["origin", "side", "transport", "method", "status_class"],
);

/// Messages that ended here as they should.
pub const MESSAGES_ABSORBED: Metric = metric(
    "viaduct_messages_absorbed_total",
    "Messages that end here as they should: keepalives, ACKs for our own answers, and what is to find nobody while Viaduct drains.",
    &["reason"],
);

/// Messages discarded.
pub const MESSAGES_DROPPED: Metric = metric(
    "viaduct_messages_dropped_total",
    "Messages discarded. The send_ reasons are the kernel's refusals of one datagram each, and send_connection_closed \
     messages whose connection ended before they had gone; no_send_slot asks for more send slots; response_unverified are \
     responses that answer nothing that was forwarded; name_being_resolved are requests of backends to a name asked for the \
     first time, which UDP sends again. Of streams: connection_gone had no connection left and no other way; queue_full had a \
     peer that reads too slowly (VIADUCT_QUEUE_BYTES); queues_full found too much waiting on all connections together \
     (VIADUCT_QUEUES_BYTES_MAX); mailbox_full had a shard that does not keep up, shard_ended one that had ended; no_connection found \
     the table full (VIADUCT_CONNECTIONS_MAX) or too many requests waiting; proxy_protocol: a datagram of VIADUCT_PROXY_PROTOCOL_FROM without its head; framing: the end of a message \
     could not be told, or its connection ended within it.",
    &["reason"],
);

/// Second copies.
pub const SECOND_COPIES: Metric = metric(
    "viaduct_second_copies_sent_total",
    "CANCELs and ACKs that went to a second backend as well, because the pool had changed since their INVITE may have been sent. \
     They are more than what came in, and in none of the sums.",
    &[],
);

/// Our own answers by code.
pub const ANSWERS: Metric =
    metric("viaduct_answers_total", "Requests that Viaduct answered itself, by status code.", &["code"]);

/// Turned away.
pub const TURNED_AWAY: Metric = metric(
    "viaduct_turned_away_requests_total",
    "Requests turned away because Viaduct drains, by what they are: options for Viaduct itself (VIADUCT_DRAIN_OPTIONS), and \
     new_request (VIADUCT_DRAIN_NEW_REQUESTS). They are counted among the answers, or among the absorbed, too.",
    &["request"],
);

/// Malformed messages by what was wrong.
pub const MALFORMED: Metric = metric(
    "viaduct_malformed_messages_total",
    "Messages found malformed, whether refused or dropped, by what of them is wrong.",
    &["fault"],
);

/// Tokens that do not verify.
pub const REJECTED_TOKENS: Metric = metric(
    "viaduct_rejected_tokens_total",
    "Tokens of ours found damaged or forged: pins in Record-Routes, which count as none, and flows in Paths. A rise after a \
     change of secrets means that an old one is missing from VIADUCT_SECRETS_ACCEPTED.",
    &["token"],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[
    MESSAGES_RECEIVED,
    MESSAGES_SENT,
    MESSAGES_ABSORBED,
    MESSAGES_DROPPED,
    SECOND_COPIES,
    ANSWERS,
    TURNED_AWAY,
    MALFORMED,
    REJECTED_TOKENS,
];
