//! Every metric: its name, help, labels and how to read it. Names stand here and nowhere else.
//!
//! The sum to hold on to: everything received was forwarded, answered, absorbed or dropped, each message once.
//!
//! ```text
//! sum(viaduct_messages_received_total) = sum(viaduct_messages_sent_total) + sum(viaduct_messages_absorbed_total)
//!                                      + sum(viaduct_messages_dropped_total)
//! ```
//!
//! | module | charge |
//! | --- | --- |
//! | [`cells`] | what a shard counts into: plain numbers with one writer |
//! | [`backends`] | what each backend is sent and sends, by its slot |
//! | [`connections`] | connections, and what streams bring besides messages |
//! | [`latency`] | how long backends take, in histograms |
//! | [`certificates`] | when certificates end, and whether they could be read again |
//! | [`layers`] | TLS, WebSocket and the PROXY protocol |
//! | [`names`] | what the resolution of names counts into |
//! | [`pool`] | what is counted of probes and of changes of standing |
//! | [`collector`] | sums the cells of all shards when Prometheus asks |
//!
//! The counters of the prometheus crate looked simpler in the packet path. Each is a shared cache line that all cores
//! write with a locked instruction, behind a hash-map look-up by label; a cell is a plain store to memory of its shard.

pub mod backends;
pub mod cells;
pub mod certificates;
pub mod collector;
pub mod connections;
pub mod latency;
pub mod layers;
pub mod names;
pub mod pool;

/// A metric as it is exposed.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, in base units; counters end in `_total`.
    pub name: &'static str,
    /// What it says and how to read it.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

const fn metric(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, help, labels }
}

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
    "Messages that end here as they should: keepalives, and ACKs for our own answers.",
    &["reason"],
);

/// Messages discarded.
pub const MESSAGES_DROPPED: Metric = metric(
    "viaduct_messages_dropped_total",
    "Messages discarded. The send_ reasons are the kernel's refusals of one datagram each, and send_connection_closed \
     messages whose connection ended before they had gone; no_send_slot asks for more send slots; response_unverified are \
     responses that answer nothing that was forwarded; name_being_resolved are requests of backends to a name asked for the \
     first time, which UDP sends again. Of streams: connection_gone had no connection left and no other way; queue_full had a \
     peer that reads too slowly (VIADUCT_QUEUE_BYTES); mailbox_full had a shard that does not keep up; no_connection found \
     the table full (VIADUCT_CONNECTIONS_MAX) or too many requests waiting; framing: the end of a message \
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
    "Connections ended. peer_finished: the peer closed it in good order; reset: the peer reset it, or had gone; timed_out: the \
     peer acknowledged nothing, or answered no probe (VIADUCT_TCP_USER_TIMEOUT_MS, VIADUCT_TCP_KEEPALIVE_S); idle: nothing came \
     for VIADUCT_CONNECTION_IDLE_S; connect_failed: it could not be opened; connect_timeout: not within \
     VIADUCT_CONNECT_TIMEOUT_MS; handshake_timeout: its handshakes were not complete within VIADUCT_HANDSHAKE_TIMEOUT_MS; \
     handshakes_full: VIADUCT_HANDSHAKES_MAX were under way; tls, websocket and proxy_protocol: what came was none, see their \
     own metrics; message_timeout: a message was not complete within VIADUCT_MESSAGE_TIMEOUT_S; framing: where \
     the next message begins could not be told; no_buffer: too much was kept of incomplete messages; queue_full: the peer read too slowly; stopped: Viaduct ended; failed: any other \
     error. On the side of the backends all but peer_finished, idle and stopped ask for a look.",
    &["side", "transport", "direction", "reason"],
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

/// Our own answers by code.
pub const ANSWERS: Metric =
    metric("viaduct_answers_total", "Requests that Viaduct answered itself, by status code.", &["code"]);

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

/// Requests to a backend.
pub const BACKEND_REQUESTS: Metric =
    metric("viaduct_backend_requests_total", "Requests staged for a backend.", &["backend"]);

/// Responses from a backend.
pub const BACKEND_RESPONSES: Metric = metric(
    "viaduct_backend_responses_total",
    "Responses that came from a backend's address, by class.",
    &["backend", "status_class"],
);

/// How long backends take.
pub const BACKEND_RESPONSE: Metric = metric(
    "viaduct_backend_response_seconds",
    "Time from a request to its response by a backend, as Viaduct sees it: the first response (a 100 to an INVITE, the final \
     one to others) and the final one. An INVITE that is answered by 180 without a 100 before it has no first. A response \
     that is sent again counts again, from the first request, so losses lengthen the tail. Beyond 60 s nothing is counted.",
    &["backend", "phase", "method_class"],
);

/// A backend's weight.
pub const BACKEND_WEIGHT: Metric =
    metric("viaduct_backend_weight", "The configured weight of a backend.", &["backend"]);

/// The weight in effect.
pub const BACKEND_EFFECTIVE_WEIGHT: Metric = metric(
    "viaduct_backend_effective_weight",
    "The weight by which a backend gets new calls: 0 while it drains, is down or overloaded, less than its weight while that rises, \
     and its weight again where all are down.",
    &["backend"],
);

/// Whether a backend is up.
pub const BACKEND_UP: Metric =
    metric("viaduct_backend_up", "1 where a backend is up; 0 where it drains or is down.", &["backend"]);

/// How a backend stands.
pub const BACKEND_STANDING: Metric = metric(
    "viaduct_backend_standing",
    "1 for the standing that a backend has: up gets new calls, draining keeps its dialogs, down gets nothing.",
    &["backend", "standing"],
);

/// Changes of standing.
pub const BACKEND_CHANGES: Metric = metric(
    "viaduct_backend_changes_total",
    "How often a backend's standing became that one. Where it keeps rising, the backend or the way to it flaps.",
    &["backend", "standing"],
);

/// Outliers.
pub const BACKEND_EJECTIONS: Metric = metric(
    "viaduct_backend_ejections_total",
    "How often a backend was set aside for a while because it stood out: by requests that it left unanswered, or by 5xx \
     (VIADUCT_OUTLIER); the log says by which.",
    &["backend"],
);

/// What became of probes.
pub const PROBES: Metric = metric(
    "viaduct_probes_total",
    "What became of probes. alive: an answer that proves life (VIADUCT_PROBE_CODES); overloaded: a 503; failing: another answer; \
     unanswered: none in time; refused: no connection, or a closed port; unsent: no room in Viaduct, or a route that rests since it \
     failed. Where real responses come, few are needed.",
    &["backend", "outcome"],
);

/// Probes sent.
pub const PROBES_SENT: Metric = metric(
    "viaduct_probes_sent_total",
    "Probes that the kernel took. They are more than what came in, and in none of the sums; their answers are absorbed.",
    &[],
);

/// Whether all are down.
pub const PANIC: Metric = metric(
    "viaduct_pool_panic",
    "1 where no backend can take calls, so that they go to all that the administrator lets have any (VIADUCT_PANIC).",
    &[],
);

/// A backend's share.
pub const BACKEND_SHARE: Metric = metric(
    "viaduct_backend_key_share_ratio",
    "The part of the key space that a backend owns; new calls follow it.",
    &["backend"],
);

/// Look-ups of names.
pub const NAME_LOOKUPS: Metric = metric(
    "viaduct_name_lookups_total",
    "Look-ups of names that backends send to, by outcome. Where unanswered rises, the name servers fail: names known before \
     keep their last answer, others are answered 500.",
    &["outcome"],
);

/// Names known.
pub const NAMES: Metric = metric("viaduct_names", "Names whose answer is held, good or not; at most 4096.", &[]);

/// Names given up for others.
pub const NAMES_CROWDED_OUT: Metric = metric(
    "viaduct_names_crowded_out_total",
    "Names forgotten, though in use, to make room for others: backends send to more than 4096 names.",
    &[],
);

/// Names that could not be asked for.
pub const NAMES_NOT_ASKED: Metric = metric(
    "viaduct_names_not_asked_total",
    "Names that a shard could not ask for because 512 others waited to be taken in. The message's next retransmission asks \
     again.",
    &[],
);

/// Turns of a shard.
pub const TURNS: Metric =
    metric("viaduct_shard_turns_total", "Turns of a shard's loop: one system call to wait each.", &["shard"]);

/// Completions of a shard.
pub const COMPLETIONS: Metric = metric(
    "viaduct_shard_completions_total",
    "Completions taken from the kernel. Over turns it is the batching achieved: near 1 a shard idles, above 20 it is busy.",
    &["shard"],
);

/// Datagrams of a shard.
pub const DATAGRAMS: Metric = metric(
    "viaduct_shard_datagrams_total",
    "Datagrams received by a shard: unequal shards mean few source addresses.",
    &["shard"],
);

/// Receive buffers exhausted.
pub const STARVED: Metric = metric(
    "viaduct_receive_buffers_exhausted_total",
    "How often a shard's receive buffers ran dry (ENOBUFS). Nothing is lost by it alone; if it keeps rising, raise \
     VIADUCT_RECEIVE_BUFFERS.",
    &["shard"],
);

/// Receives armed again.
pub const REARMED: Metric = metric(
    "viaduct_receives_rearmed_total",
    "How often a multishot receive had ended and was armed again: after each exhaustion, error and empty datagram.",
    &["shard"],
);

/// Errors of receiving.
pub const RECEIVE_ERRORS: Metric =
    metric("viaduct_receive_errors_total", "Errors of receiving; none of them stops a socket.", &["shard"]);

/// Kernel drops.
pub const KERNEL_DROPS: Metric = metric(
    "viaduct_kernel_drops_total",
    "Datagrams that the kernel dropped because a socket's receive buffer was full: the shard is too slow or the buffer \
     too small (VIADUCT_SOCKET_RECEIVE_BYTES, net.core.rmem_max).",
    &["shard"],
);

/// Connections of a shard.
pub const ACCEPTED: Metric = metric(
    "viaduct_shard_accepts_total",
    "Connections accepted by a shard: the kernel spreads them by a hash of the addresses, so few peers make shards unequal.",
    &["shard"],
);

/// Connections refused.
pub const ACCEPTS_REFUSED: Metric = metric(
    "viaduct_accepts_refused_total",
    "Connections reset at once because the shard had its share of VIADUCT_CONNECTIONS_MAX.",
    &["shard"],
);

/// Errors of accepting.
pub const ACCEPT_ERRORS: Metric = metric(
    "viaduct_accept_errors_total",
    "Errors of accepting: peers that had gone before, and shortages of descriptors (RLIMIT_NOFILE) or memory, after which \
     nothing is accepted for a tenth of a second. If it keeps rising, raise the limit.",
    &["shard"],
);

/// Bytes of streams.
pub const STREAM_BYTES: Metric =
    metric("viaduct_shard_stream_bytes_total", "Bytes received on the connections of a shard.", &["shard"]);

/// Receive buffers of streams exhausted.
pub const STREAM_STARVED: Metric = metric(
    "viaduct_stream_buffers_exhausted_total",
    "How often the buffers that a shard's connections receive into ran dry (ENOBUFS). Nothing is lost by it: what has come \
     waits in the sockets. If it keeps rising, the shard is too slow for what comes.",
    &["shard"],
);

/// Which engine runs.
pub const ENGINE: Metric =
    metric("viaduct_io_engine_info", "The I/O engine of a shard: uring or poll.", &["shard", "engine"]);

/// Whether the engine is a fallback.
pub const FALLBACK: Metric = metric(
    "viaduct_io_fallback",
    "1 where io_uring was wanted but is not to be had here, so that the poll engine runs; the log says why.",
    &["shard"],
);

/// The build.
pub const BUILD: Metric = metric("viaduct_build_info", "The version that runs.", &["version"]);

/// The configuration.
pub const CONFIG: Metric = metric(
    "viaduct_config_info",
    "A digest of secret, pool, weights, trusted networks and listeners as they are set. Two members of a fleet that differ \
     in it disagree about calls.",
    &["digest"],
);

/// Every metric, for tests and documents.
pub const ALL: [Metric; 53] = [
    MESSAGES_RECEIVED,
    MESSAGES_SENT,
    MESSAGES_ABSORBED,
    MESSAGES_DROPPED,
    ANSWERS,
    MALFORMED,
    REJECTED_TOKENS,
    BACKEND_REQUESTS,
    BACKEND_RESPONSES,
    BACKEND_RESPONSE,
    BACKEND_WEIGHT,
    BACKEND_EFFECTIVE_WEIGHT,
    BACKEND_UP,
    BACKEND_STANDING,
    BACKEND_CHANGES,
    BACKEND_EJECTIONS,
    PROBES,
    PROBES_SENT,
    PANIC,
    BACKEND_SHARE,
    SECOND_COPIES,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    CONNECTIONS_ENDED,
    FRAMING_FAULTS,
    PINGS_ANSWERED,
    STUN_ANSWERED,
    HANDED_OVER,
    TLS_HANDSHAKES,
    WEBSOCKET_REFUSALS,
    PROXY_PROTOCOL_HEADS,
    CERTIFICATE_END,
    CERTIFICATE_RELOADS,
    NAME_LOOKUPS,
    NAMES,
    NAMES_CROWDED_OUT,
    NAMES_NOT_ASKED,
    TURNS,
    COMPLETIONS,
    DATAGRAMS,
    STARVED,
    REARMED,
    RECEIVE_ERRORS,
    KERNEL_DROPS,
    ACCEPTED,
    ACCEPTS_REFUSED,
    ACCEPT_ERRORS,
    STREAM_BYTES,
    STREAM_STARVED,
    ENGINE,
    FALLBACK,
    BUILD,
    CONFIG,
];
