//! Connections, and the layers between them and messages.

use super::{Metric, metric};

/// Connections that there are.
pub const CONNECTIONS: Metric = metric(
    "viaduct_connections",
    "Connections that are open, by the side of the peer and by who opened them: the peer (accepted) or Viaduct (connected).",
    &["side", "transport", "direction"],
);

/// Connections opened.
pub const CONNECTIONS_OPENED: Metric = metric(
    "viaduct_connections_opened_total",
    "Connections opened. One that could not be opened counts here too, when that is known: less those that ended by \
     connect_failed and connect_timeout, it is the ones that were open.",
    &["side", "transport", "direction"],
);

/// Connections ended.
pub const CONNECTIONS_ENDED: Metric = metric(
    "viaduct_connections_ended_total",
    "Connections ended. peer_finished: the peer closed it, or its half of it, in good order; reset: the peer reset it, or had \
     gone; timed_out: the peer acknowledged nothing, or answered no probe (VIADUCT_TCP_USER_TIMEOUT_MS, VIADUCT_TCP_KEEPALIVE_S); idle: nothing came \
     for VIADUCT_CONNECTION_IDLE_S, or VIADUCT_KEPT_ALIVE_IDLE_S after keepalives; connect_failed: it could not be opened; connect_timeout: not within \
     VIADUCT_CONNECT_TIMEOUT_MS; handshake_timeout: its handshakes were not complete within VIADUCT_HANDSHAKE_TIMEOUT_MS; \
     handshakes_full: VIADUCT_HANDSHAKES_MAX were under way, or a quarter of them from one source network; tls, websocket and proxy_protocol: what came was none, see their \
     own metrics; message_timeout: a message was not complete within VIADUCT_MESSAGE_TIMEOUT_S; framing: where \
     the next message begins could not be told; no_buffer: too much was kept of incomplete messages; queue_full: the peer read too slowly, for itself or for all; stopped: Viaduct ended; failed: any other \
     error. On the side of the backends all but peer_finished, idle and stopped ask for a look.",
    &["side", "transport", "direction", "reason"],
);

/// Connections that a limit turned away.
pub const CONNECTIONS_REFUSED: Metric = metric(
    "viaduct_connections_refused_total",
    "Connections of clients that were reset as soon as it was known whose they are. network: theirs has as many as \
     VIADUCT_CONNECTIONS_PER_NETWORK lets it have; reserved: clients have all that are not kept free for backends, so raise \
     VIADUCT_CONNECTIONS_MAX. They count neither as opened nor as ended.",
    &["reason"],
);

/// Streams that cannot be read on.
pub const FRAMING_FAULTS: Metric = metric(
    "viaduct_framing_faults_total",
    "Streams in which no further message could be found, by what is wrong; each ends its connection. not_sip is mostly \
     scanners; no_spare_buffer is Viaduct's own limit on messages that come in pieces.",
    &["fault"],
);

/// Pings answered.
pub const PINGS_ANSWERED: Metric = metric(
    "viaduct_pings_answered_total",
    "Keepalives on connections (a double CRLF, RFC 5626) that were answered with a CRLF.",
    &[],
);

/// Binding requests answered.
pub const STUN_ANSWERED: Metric = metric(
    "viaduct_stun_answered_total",
    "STUN binding requests over UDP, by which clients keep a flow open (RFC 5626), that were answered.",
    &[],
);

/// Messages between shards.
pub const HANDED_OVER: Metric = metric(
    "viaduct_handed_over_total",
    "Messages that one shard received and posted to the one that has their connection. With several shards most messages to \
     connections are among them; each is one message in and one out.",
    &[],
);

/// TLS handshakes.
pub const TLS_HANDSHAKES: Metric = metric(
    "viaduct_tls_handshakes_total",
    "TLS handshakes, by who opened the connection. full and resumed: complete; abandoned: the connection ended before; not_tls: \
     what came is no TLS, as plain SIP on that port; others: why it failed. Of accepted ones unknown_ca and the like are about \
     clients' certificates; of connected ones wrong_name is a backend whose certificate has not the name that VIADUCT_BACKENDS \
     gives it.",
    &["direction", "result"],
);

/// WebSocket connections refused.
pub const WEBSOCKET_REFUSALS: Metric = metric(
    "viaduct_websocket_refusals_total",
    "WebSocket connections refused, or ended for what the client sent. no_upgrade: a plain HTTP client, answered 426; not_sip: \
     the sub-protocol sip is not offered; wrong_origin: the page is not in VIADUCT_WEBSOCKET_ORIGINS.",
    &["reason"],
);

/// Heads of the PROXY protocol.
pub const PROXY_PROTOCOL_HEADS: Metric = metric(
    "viaduct_proxy_protocol_heads_total",
    "Heads of the PROXY protocol from VIADUCT_PROXY_PROTOCOL_FROM. proxied: it names a client; sender: the load balancer speaks \
     for itself, as its health checks do; malformed: there was none, or it was broken, and the connection was closed.",
    &["result"],
);

/// When certificates end.
pub const CERTIFICATE_END: Metric = metric(
    "viaduct_certificate_end_seconds",
    "The last moment that a certificate in use is valid, in seconds of Unix time, by its file. To be woken a week before: \
     viaduct_certificate_end_seconds - time() < 7 * 86400.",
    &["file"],
);

/// Certificates read again.
pub const CERTIFICATE_RELOADS: Metric = metric(
    "viaduct_certificate_reloads_total",
    "Times that certificates were read again, because a file had changed or on SIGHUP. refused: they cannot be used, so the \
     earlier ones are still in use; the log says what is wrong.",
    &["result"],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[
    CONNECTIONS,
    CONNECTIONS_OPENED,
    CONNECTIONS_ENDED,
    CONNECTIONS_REFUSED,
    FRAMING_FAULTS,
    PINGS_ANSWERED,
    STUN_ANSWERED,
    HANDED_OVER,
    TLS_HANDSHAKES,
    WEBSOCKET_REFUSALS,
    PROXY_PROTOCOL_HEADS,
    CERTIFICATE_END,
    CERTIFICATE_RELOADS,
];
