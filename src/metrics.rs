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
//! | [`latency`] | how long backends take, in histograms |
//! | [`names`] | what the resolution of names counts into |
//! | [`collector`] | sums the cells of all shards when Prometheus asks |
//!
//! The counters of the prometheus crate looked simpler in the packet path. Each is a shared cache line that all cores
//! write with a locked instruction, behind a hash-map look-up by label; a cell is a plain store to memory of its shard.

pub mod cells;
pub mod collector;
pub mod latency;
pub mod names;

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
    "Messages that the kernel took, by the side they went to; origin tells the forwarded from our own answers.",
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
    "Messages discarded. The send_ reasons are the kernel's refusals of one datagram each; no_send_slot asks for more \
     send slots; response_unverified are responses that answer nothing that was forwarded; name_being_resolved are \
     requests of backends to a name asked for the first time, which UDP sends again.",
    &["reason"],
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
pub const ALL: [Metric; 27] = [
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
    BACKEND_SHARE,
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
    ENGINE,
    FALLBACK,
    BUILD,
    CONFIG,
];
