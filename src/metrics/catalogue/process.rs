//! The process: names it looks up, its engines, its version and configuration.

use super::{Metric, metric};

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

/// Whether it drains.
pub const DRAINING: Metric = metric(
    "viaduct_draining",
    "1 while Viaduct drains before it ends: /readyz says 503, and no more connections are accepted.",
    &[],
);

/// The build.
pub const BUILD: Metric = metric("viaduct_build_info", "The version that runs.", &["version"]);

/// Reloads.
pub const RELOADS: Metric = metric(
    "viaduct_reloads_total",
    "How often settings were read again, and taken or refused. After a refusal all is as it was; the log says why.",
    &["result"],
);

/// The last reload.
pub const LAST_RELOAD_TAKEN: Metric = metric(
    "viaduct_last_reload_taken",
    "0 where the settings that were read last were refused, so that others are in force than files say; else 1.",
    &[],
);

/// The configuration.
pub const CONFIG: Metric = metric(
    "viaduct_config_info",
    "A digest of secret, pool, weights, trusted networks and listeners as they are set. Two members of a fleet that differ \
     in it disagree about calls.",
    &["digest"],
);

/// All of these.
pub(super) const ALL: &[Metric] = &[
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
    DRAINING,
    BUILD,
    RELOADS,
    LAST_RELOAD_TAKEN,
    CONFIG,
];
