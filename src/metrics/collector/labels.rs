//! The words that stand for what is counted by its place.

use crate::io::SendError;
use crate::metrics::backends::CLASSES;
use crate::metrics::cells::Dropped;
use crate::proxy::verdict::Fault;
use crate::sip::header::HeaderName;
use crate::sip::start_line::Method;

/// The classes of statuses.
pub(super) const CLASS_LABELS: [&str; CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

/// The labels `method` and `status_class` of a kind, by its index.
pub(super) fn kind_labels(index: usize) -> (&'static str, &'static str) {
    match Method::ALL.get(index) {
        Some(method) => (method.label(), ""),
        None => ("", CLASS_LABELS.get(index - Method::COUNT).copied().unwrap_or("")),
    }
}

/// The label of a reason to drop a message, by [`Dropped::index`].
pub fn dropped_label(index: usize) -> &'static str {
    const LABELS: [&str; Dropped::COUNT - SendError::ALL.len()] = [
        "malformed",
        "response_unverified",
        "response_exhausted",
        "ack_refused",
        "draft_full",
        "name_being_resolved",
        "truncated",
        "no_send_slot",
        "too_long_to_send",
        "connection_gone",
        "queue_full",
        "mailbox_full",
        "no_connection",
        "framing",
        "queues_full",
        "shard_ended",
        "proxy_protocol",
    ];
    match LABELS.get(index) {
        Some(label) => label,
        None => SendError::ALL.get(index - LABELS.len()).map_or("", |error| send_error_label(*error)),
    }
}

fn send_error_label(error: SendError) -> &'static str {
    match error {
        SendError::WouldBlock => "send_would_block",
        SendError::Unreachable => "send_unreachable",
        SendError::NotPermitted => "send_not_permitted",
        SendError::TooLong => "send_too_long",
        SendError::Other => "send_other",
        SendError::ConnectionClosed => "send_connection_closed",
    }
}

/// The label of what was wrong with a message, by its index.
pub fn fault_label(index: usize) -> &'static str {
    const LABELS: [&str; Fault::COUNT - HeaderName::COUNT] =
        ["not_sip", "no_end_of_head", "too_many_headers", "start_line", "version", "request_uri"];
    match LABELS.get(index) {
        Some(label) => label,
        None => HeaderName::ALL.get(index - LABELS.len()).map_or("", |name| name.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_drop_has_a_label_of_its_own() {
        let mut labels: Vec<_> = (0..Dropped::COUNT).map(dropped_label).collect();
        assert_eq!(labels[Dropped::ConnectionGone.index()], "connection_gone");
        assert_eq!(labels[Dropped::Framing.index()], "framing");
        assert_eq!(labels[Dropped::SendFailed(SendError::WouldBlock).index()], "send_would_block");
        labels.sort_unstable();
        labels.dedup();
        assert_eq!((labels.len(), labels.contains(&"")), (Dropped::COUNT, false));
    }
}
