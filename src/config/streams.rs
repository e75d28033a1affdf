//! What an operator can set of connections: how many, for how long, and how the kernel keeps them.
//!
//! One set of settings a listener looked better, because a trunk and a phone behave differently. Most installations have one of
//! each kind, and a setting that stands inside a list of listeners is found by nobody who looks for it.

use std::time::Duration;

use clap::{Args, value_parser};

use crate::io::StreamOptions;
use crate::io::socket::{Keepalive, StreamSocketOptions};

use super::Switch;
use super::per_network::PerNetworkSetting;

/// The settings of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct StreamSettings {
    /// How many connections there may be in all, from 1 to 1048576, shared equally among the shards and rounded up. One that
    /// comes when its shard has its share is reset. Each takes a descriptor
    #[arg(long, env = "VIADUCT_CONNECTIONS_MAX", global = true, default_value_t = 65_536, value_parser = value_parser!(u32).range(1..=1 << 20), value_name = "NUMBER")]
    pub connections_max: u32,

    /// How many connections clients of one source network may have in all, 0 being any number, with ;ipv4=bits and ;ipv6=bits
    /// after it where other leading bits of an address are to be its network's. A further one is reset. Backends and trusted
    /// networks have no such limit; behind a load balancer the client counts whom the PROXY protocol names
    #[arg(
        long,
        env = "VIADUCT_CONNECTIONS_PER_NETWORK",
        global = true,
        default_value = "4096;ipv4=32;ipv6=64",
        value_name = "LIMIT"
    )]
    pub connections_per_network: PerNetworkSetting,

    /// After how many seconds, from 10 to 86400, a connection that brings nothing, not even a keepalive, is closed. Clients of
    /// RFC 5626 speak at least every 120 seconds
    #[arg(long, env = "VIADUCT_CONNECTION_IDLE_S", global = true, default_value_t = 600, value_parser = value_parser!(u32).range(10..=86_400), value_name = "SECONDS")]
    pub connection_idle_s: u32,

    /// The same, from 10 to 86400, for a connection that has brought a keepalive of RFC 5626 (a double CRLF), or a ping
    /// of WebSocket: its client wants to be reached by it, and some phones stretch their keepalives to spare the battery
    #[arg(long, env = "VIADUCT_KEPT_ALIVE_IDLE_S", global = true, default_value_t = 1_800, value_parser = value_parser!(u32).range(10..=86_400), value_name = "SECONDS")]
    pub kept_alive_idle_s: u32,

    /// For how many milliseconds, from 10 to 120000, a connection of Viaduct's own may be on its way to being open
    #[arg(long, env = "VIADUCT_CONNECT_TIMEOUT_MS", global = true, default_value_t = 3_000, value_parser = value_parser!(u32).range(10..=120_000), value_name = "MILLISECONDS")]
    pub connect_timeout_ms: u32,

    /// Within how many seconds, from 1 to 600, a message that has begun on a connection must be complete; the connection is
    /// closed otherwise
    #[arg(long, env = "VIADUCT_MESSAGE_TIMEOUT_S", global = true, default_value_t = 10, value_parser = value_parser!(u32).range(1..=600), value_name = "SECONDS")]
    pub message_timeout_s: u32,

    /// How many connections, from 1 to 16, each shard keeps to each backend that is reached over TCP. They are opened when they
    /// are needed, and a call keeps to one of them
    #[arg(long, env = "VIADUCT_BACKEND_CONNECTIONS", global = true, default_value_t = 1, value_parser = value_parser!(u8).range(1..=16), value_name = "NUMBER")]
    pub backend_connections: u8,

    /// How many bytes, from 131072 to 16777216, may wait to be sent on one connection; the least has room for the longest
    /// message. What finds no room is answered 503 if it is a request
    /// that came by a connection, and else dropped and counted
    #[arg(long, env = "VIADUCT_QUEUE_BYTES", global = true, default_value_t = 256 << 10, value_parser = value_parser!(u32).range(128 << 10..=16 << 20), value_name = "BYTES")]
    pub queue_bytes: u32,

    /// How many bytes, from 1048576 to 17179869184, may wait to be sent on all connections, shared equally among the shards;
    /// what waits for clients may have three quarters of it. What finds no room is treated as above, and clients that read
    /// slowly lose their connections from half of that on
    #[arg(long, env = "VIADUCT_QUEUES_BYTES_MAX", global = true, default_value_t = 256 << 20, value_parser = value_parser!(u64).range(1 << 20..=16 << 30), value_name = "BYTES")]
    pub queues_bytes_max: u64,

    /// After how many seconds of silence, from 1 to 32767, the kernel asks a peer for a sign of life (TCP_KEEPIDLE); 0 is never.
    /// It asks again after each quarter of this time. A peer that has gone is noticed within about twice this time, or within
    /// VIADUCT_TCP_USER_TIMEOUT_MS and such a quarter where that is longer
    #[arg(long, env = "VIADUCT_TCP_KEEPALIVE_S", global = true, default_value_t = 60, value_parser = value_parser!(u16).range(0..=32_767), value_name = "SECONDS")]
    pub tcp_keepalive_s: u16,

    /// For how many milliseconds, up to 3600000, what was sent may stay unacknowledged before its connection ends
    /// (TCP_USER_TIMEOUT); 0 is the kernel's own limit, about 15 minutes
    #[arg(long, env = "VIADUCT_TCP_USER_TIMEOUT_MS", global = true, default_value_t = 30_000, value_parser = value_parser!(u32).range(0..=3_600_000), value_name = "MILLISECONDS")]
    pub tcp_user_timeout_ms: u32,

    /// Whether small segments leave at once (TCP_NODELAY). Off, a message may wait 40 ms for the one before it to be acknowledged
    #[arg(long, env = "VIADUCT_TCP_NODELAY", global = true, default_value = "on", value_name = "WORD")]
    pub tcp_nodelay: Switch,
}

/// How many questions without answer end a connection, where TCP_USER_TIMEOUT does not say when it ends.
const KEEPALIVE_PROBES: u32 = 4;

impl StreamSettings {
    /// How the kernel keeps a connection, whoever opened it.
    pub fn socket_options(&self) -> StreamSocketOptions {
        StreamSocketOptions {
            no_delay: self.tcp_nodelay == Switch::On,
            keepalive: self.keepalive(),
            user_timeout_ms: self.tcp_user_timeout_ms,
            ..StreamSocketOptions::default()
        }
    }

    /// The sizes of one shard's streams, where there are `shards` of them.
    pub fn options(&self, shards: usize) -> StreamOptions {
        let shards = u32::try_from(shards).unwrap_or(u32::MAX).max(1);
        StreamOptions {
            connections_max: self.connections_max.div_ceil(shards),
            queue_bytes_max: self.queue_bytes,
            outgoing: self.socket_options(),
            ..StreamOptions::default()
        }
    }

    /// How many bytes may wait on all connections of one shard, where there are `shards` of them: at least what may wait on
    /// one, and for clients too.
    pub fn queued_bytes_max(&self, shards: usize) -> usize {
        let of_all = usize::try_from(self.queues_bytes_max).unwrap_or(usize::MAX);
        (of_all / shards.max(1)).max(2 * self.queue_bytes as usize)
    }

    fn keepalive(&self) -> Option<Keepalive> {
        let interval_s = self.tcp_keepalive_s.div_ceil(KEEPALIVE_PROBES as u16);
        (self.tcp_keepalive_s > 0).then(|| Keepalive {
            idle: Duration::from_secs(self.tcp_keepalive_s.into()),
            interval: Duration::from_secs(interval_s.into()),
            count: KEEPALIVE_PROBES,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        streams: StreamSettings,
    }

    fn settings(words: &str) -> Result<StreamSettings, clap::Error> {
        Line::try_parse_from(words.split_whitespace()).map(|line| line.streams)
    }

    #[test]
    fn nothing_set_is_what_the_engines_have_by_themselves() {
        let settings = settings("viaduct").unwrap();
        assert_eq!(settings.socket_options(), StreamSocketOptions::default());
        assert_eq!(settings.options(4), StreamOptions::default());
    }

    #[test]
    fn connections_are_shared_out_to_shards_and_rounded_up() {
        let settings = settings("viaduct --connections-max 10").unwrap();
        assert_eq!(settings.options(3).connections_max, 4);
        assert_eq!(settings.options(1).connections_max, 10);
        assert_eq!(settings.options(256).connections_max, 1);
    }

    #[test]
    fn what_may_wait_is_shared_out_to_shards_but_each_can_fill_a_queue() {
        let settings = settings("viaduct --queues-bytes-max 4194304").unwrap();
        assert_eq!(settings.queued_bytes_max(4), 1 << 20);
        assert_eq!(settings.queued_bytes_max(64), 512 << 10);
    }

    #[test]
    fn a_silent_peer_is_asked_four_times_within_the_time_that_is_set_or_never() {
        let asked = |words| settings(words).unwrap().socket_options().keepalive;
        assert_eq!(asked("viaduct --tcp-keepalive-s 0"), None);
        let keepalive = asked("viaduct --tcp-keepalive-s 1").unwrap();
        assert_eq!((keepalive.idle.as_secs(), keepalive.interval.as_secs(), keepalive.count), (1, 1, 4));
        let keepalive = asked("viaduct --tcp-keepalive-s 200").unwrap();
        assert_eq!((keepalive.idle.as_secs(), keepalive.interval.as_secs(), keepalive.count), (200, 50, 4));
    }

    #[test]
    fn what_is_set_reaches_the_sockets_and_the_queues() {
        let settings = settings("viaduct --tcp-nodelay off --tcp-user-timeout-ms 0 --queue-bytes 131072").unwrap();
        let socket = settings.socket_options();
        assert_eq!((socket.no_delay, socket.user_timeout_ms), (false, 0));
        assert_eq!((settings.options(1).queue_bytes_max, settings.options(1).outgoing), (131_072, socket));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for words in [
            "--connections-max 0",
            "--connections-max 1048577",
            "--connection-idle-s 9",
            "--connect-timeout-ms 9",
            "--message-timeout-s 0",
            "--backend-connections 17",
            "--queue-bytes 65536",
            "--queues-bytes-max 1048575",
            "--connections-per-network many",
            "--kept-alive-idle-s 9",
            "--tcp-keepalive-s 32768",
            "--tcp-user-timeout-ms 3600001",
            "--tcp-nodelay yes",
        ] {
            assert!(settings(&format!("viaduct {words}")).is_err(), "{words}");
        }
    }
}
