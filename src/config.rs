//! What an operator can set: options, each with its VIADUCT_* variable, parsed into values that cannot be wrong.
//!
//! | module | charge |
//! | --- | --- |
//! | [`admin`] | the settings of the admin listener |
//! | [`hep`] | the settings of copies of messages for Homer |
//! | [`log`] | what is logged, and how |
//! | [`upgrade`] | the settings of upgrades |
//! | [`value`] | the grammar of listeners, networks and name servers |
//! | [`backends`] | the grammar of backends |
//! | [`discovery`] | the settings of names of backends, and backends in a file |
//! | [`source`] | what settings are read from: command line, file, environment |
//! | `file` | reads files that settings name |
//! | [`secrets`] | the secrets, in variables or files |
//! | [`drain`] | the settings of how Viaduct ends |
//! | [`observe`] | the settings of what is told of single messages |
//! | [`outlier`] | the settings of outliers |
//! | [`overload`] | the settings of overload |
//! | [`pool`] | the settings of the pool as it lives |
//! | [`probe`] | the settings of probes |
//! | [`streams`] | the settings of connections |
//! | [`layers`] | the settings of TLS, WebSocket and the PROXY protocol |
//! | [`per_network`] | the grammar of the limit on connections of one source network |
//! | `words` | what single words and numbers may be, where a type does not say |
//! | [`ctl`] | what `viaduct ctl` can be told |
//! | [`error`] | one clear error that names the variable, the value and what would be right |
//!
//! A configuration file of its own form looked better for long pools. Containers are tuned by environment; the file that may stand
//! beside it has the same variables, so that each is told once.

pub mod admin;
pub mod backends;
pub mod ctl;
pub mod discovery;
pub mod drain;
pub mod error;
mod file;
pub mod hep;
pub mod layers;
pub mod log;
pub mod observe;
pub mod outlier;
pub mod overload;
pub mod per_network;
pub mod pool;
pub mod probe;
pub mod secrets;
pub mod source;
pub mod streams;
pub mod upgrade;
pub mod value;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};

use crate::io::Choice;
use crate::proxy::hash_key::HashRules;
use crate::proxy::snapshot::{OnLostPin, PathMode, Policy};

use admin::AdminSettings;
use backends::Backends;
use ctl::CtlSettings;
use discovery::DiscoverySettings;
use drain::DrainSettings;
use hep::HepSettings;
use layers::LayerSettings;
use log::LogFormat;
use observe::ObserveSettings;
use outlier::OutlierSettings;
use overload::OverloadSettings;
use pool::PoolSettings;
use probe::ProbeSettings;
use secrets::SecretText;
use streams::StreamSettings;
use upgrade::UpgradeSettings;
use value::{Listeners, Networks, Resolvers};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "viaduct", version, about = ABOUT, after_help = AFTER_HELP)]
pub struct CommandLine {
    /// What to do; without a word, to run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
}

const ABOUT: &str = "A stateless SIP load balancer. Every option is also an environment variable.";

const AFTER_HELP: &str = "Run it in front of two proxies:\n  \
    VIADUCT_BACKENDS=udp://10.0.0.11:5060,udp://10.0.0.12:5060 VIADUCT_SECRET=... viaduct\n\n\
    Exit codes: 0 ended as asked, 1 failed while starting or running, 2 a setting is wrong.";

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Check the settings and the kernel, print what is in effect, and end.
    Check,
    /// Ask a running Viaduct, or change its pool. Exit code 1 if it refuses, 3 if it does not answer
    Ctl(CtlSettings),
    /// Carry real calls on loopback between built-in agents, and show what happens. Needs no settings: listener, backends
    /// and secret are the demo's own. Exit code 1 if a call failed
    Demo(DemoSettings),
    /// Read one SIP message from standard input and tell what would be done with it, where it would go, and why. Binds no
    /// listener, sends nothing, and decides as a running Viaduct with the same settings does
    Explain(ExplainSettings),
}

/// What `viaduct explain` is told about the message.
#[derive(Clone, Copy, Debug, Args)]
pub struct ExplainSettings {
    /// The address and port that the message came from
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub source: SocketAddr,
    /// The listener that received it, by its place in VIADUCT_LISTEN, counted from 0. Without it, the first of the source's
    /// address family
    #[arg(long, value_name = "NUMBER")]
    pub listener: Option<u8>,
    /// The address that it was sent to. Without it, the listener's own
    #[arg(long, value_name = "ADDRESS")]
    pub local: Option<IpAddr>,
}

/// What `viaduct demo` can be told.
#[derive(Clone, Debug, Args)]
pub struct DemoSettings {
    /// New calls a second, each of six messages: INVITE, 180, 200, ACK, BYE, 200
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=20_000))]
    pub calls_per_second: u32,
    /// How long to start calls, in seconds; 0 is until Ctrl-C
    #[arg(long, default_value_t = 0)]
    pub seconds: u32,
}

/// The settings.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Where SIP is received: a comma list of transport://address:port. Transports are udp, tcp, tls, ws and wss; udp may share
    /// an address and port with another. Behind it may stand ;advertise=host:port, what others reach the listener by: on a
    /// wildcard address it defaults to the address by which this machine reaches its first backend; ;alias=host:port, one more
    /// name that Routes may name it by; over TLS ;client-certificates= and ignored, optional or required; and ;proxy-protocol,
    /// for VIADUCT_PROXY_PROTOCOL_FROM
    #[arg(long, env = "VIADUCT_LISTEN", global = true, default_value = "udp://0.0.0.0:5060", value_name = "LIST")]
    pub listen: Listeners,

    /// The proxies that calls are shared out to: a comma list of [name=]transport://host:port, and behind that ;weight=n and
    /// ;also=tcp. The transport is udp, tcp or tls, and one that a listener has; also=tcp behind one over udp says that it takes both there.
    /// A host name with a port is each of its addresses; one without a port leads to what its service records (SRV) say, with sip:// by whichever transport the domain prefers (NAPTR). Names are looked up for as long as
    /// Viaduct runs. The entry's name defaults to host:port; a backend that keeps its name keeps its calls. Weights go from 0
    /// to 1000 and default to 1
    #[arg(long, env = "VIADUCT_BACKENDS", global = true, default_value = "", value_name = "LIST")]
    pub backends: Backends,

    /// Networks whose requests are taken as a backend's besides the pool's own addresses: a comma list of networks. They
    /// may send requests anywhere, so name only what you run
    #[arg(long, env = "VIADUCT_TRUSTED", global = true, default_value = "", value_name = "NETWORKS")]
    pub trusted: Networks,

    /// Whether a source is a backend at any port of a member's address, or only at its very port, as where clients and
    /// backends share an address
    #[arg(long, env = "VIADUCT_BACKEND_MATCH", global = true, default_value = "address", value_name = "WORD")]
    pub backend_match: BackendMatch,

    /// The name servers that are asked where a backend's request to a host name goes: a comma list of address:port. Those of
    /// /etc/resolv.conf if it is empty
    #[arg(long, env = "VIADUCT_RESOLVERS", global = true, default_value = "", value_name = "LIST")]
    pub resolvers: Resolvers,

    /// Whether dialogs stay on the way through Viaduct, by Record-Route
    #[arg(long, env = "VIADUCT_RECORD_ROUTE", global = true, default_value = "on", value_name = "WORD")]
    pub record_route: Switch,

    /// Which registrations get a Path with the client's flow: none, all, or those of clients behind address translation
    /// that support path or outbound (auto)
    #[arg(long, env = "VIADUCT_PATH", global = true, default_value = "auto", value_parser = words::path_mode(), value_name = "WORD")]
    pub path: PathMode,

    /// What of a request is hashed, by method: a comma list of METHOD=key, * for all others. Keys: call-id, to-uri, from-uri,
    /// request-user, source. An INVITE's rule is that of its CANCEL and ACK too
    #[arg(long, env = "VIADUCT_HASH", global = true, default_value = "*=call-id", value_parser = value::hash_rules, value_name = "LIST")]
    pub hash: HashRules,

    /// How many bytes, from 576 to 65535, a request over UDP may have to a backend that has ;also=tcp: a longer one goes to it by
    /// TCP, and so does every INVITE, ACK and CANCEL, which must go the same way though they differ in length. 0 is off; RFC 3261
    /// has 1300 where the path's MTU is not known, else 200 less than it
    #[arg(long, env = "VIADUCT_UDP_REQUEST_BYTES_MAX", global = true, default_value_t = 0, value_parser = words::udp_request_bytes, value_name = "BYTES")]
    pub udp_request_bytes_max: u32,

    /// What becomes of a dialog whose backend is gone from the pool: its requests go to the Call-ID's owner (rehash), or are
    /// answered 481
    #[arg(long, env = "VIADUCT_LOST_PIN", global = true, default_value = "rehash", value_parser = words::on_lost_pin(), value_name = "WORD")]
    pub lost_pin: OnLostPin,

    /// Whether backends are timed, by a stamp in Viaduct's own Via on each request to them. Off for backends that compare whole
    /// Vias, as RFC 2543 has it
    #[arg(long, env = "VIADUCT_LATENCY", global = true, default_value = "on", value_name = "WORD")]
    pub latency: Switch,

    /// The fleet's secret, at least 16 bytes and the same on every member. Without one, a random one is drawn at start
    #[arg(long, env = "VIADUCT_SECRET", global = true, hide_env_values = true, value_name = "TEXT")]
    pub secret: Option<SecretText>,

    /// A file that holds the secret; white space at its end is not part of it
    #[arg(long, env = "VIADUCT_SECRET_FILE", global = true, value_name = "PATH")]
    pub secret_file: Option<PathBuf>,

    /// Other secrets that are still, or already, accepted, so that the fleet's can be changed while dialogs last: a comma list
    /// of at most three
    #[arg(long, env = "VIADUCT_SECRETS_ACCEPTED", global = true, hide_env_values = true, value_name = "LIST")]
    pub secrets_accepted: Option<SecretText>,

    /// A file that holds them, one a line
    #[arg(long, env = "VIADUCT_SECRETS_ACCEPTED_FILE", global = true, value_name = "PATH")]
    pub secrets_accepted_file: Option<PathBuf>,

    /// The secret that places calls on backends, if it is another than the fleet's: set it to the first one when the fleet's
    /// is changed, and no call moves
    #[arg(long, env = "VIADUCT_TABLE_SECRET", global = true, hide_env_values = true, value_name = "TEXT")]
    pub table_secret: Option<SecretText>,

    /// A file that holds it
    #[arg(long, env = "VIADUCT_TABLE_SECRET_FILE", global = true, value_name = "PATH")]
    pub table_secret_file: Option<PathBuf>,

    /// How many shards to run; one a core that this process may use, by its cpuset and CPU quota, unless set
    #[arg(long, env = "VIADUCT_SHARDS", global = true, value_parser = value_parser!(u16).range(1..=256), value_name = "NUMBER")]
    pub shards: Option<u16>,

    /// Whether each shard stays on a core of its own; auto pins where there is a shard for each core that this process may
    /// use
    #[arg(long, env = "VIADUCT_PIN_CORES", global = true, default_value = "auto", value_name = "WORD")]
    pub pin_cores: PinCores,

    /// How datagrams get in and out: io_uring where it is to be had (auto), io_uring or nothing (uring), or epoll (poll)
    #[arg(long, env = "VIADUCT_IO", global = true, default_value = "auto", value_parser = words::io_choice(), value_name = "ENGINE")]
    pub io: Choice,

    /// Receive buffers a shard: a power of two. How many datagrams can wait between two looks
    #[arg(long, env = "VIADUCT_RECEIVE_BUFFERS", global = true, default_value_t = 512, value_parser = words::power_of_two, value_name = "NUMBER")]
    pub receive_buffers: u16,

    /// The largest datagram that is received; larger ones are dropped and counted. Memory is used as datagrams fill it
    #[arg(long, env = "VIADUCT_RECEIVE_BUFFER_BYTES", global = true, default_value_t = 65_535, value_parser = value_parser!(u32).range(512..=65_535), value_name = "BYTES")]
    pub receive_buffer_bytes: u32,

    /// Send slots a shard: how many datagrams can be on their way out between two looks
    #[arg(long, env = "VIADUCT_SEND_SLOTS", global = true, default_value_t = 1024, value_parser = value_parser!(u16).range(64..=16_384), value_name = "NUMBER")]
    pub send_slots: u16,

    /// The kernel's receive buffer a socket; the kernel caps it at net.core.rmem_max
    #[arg(long, env = "VIADUCT_SOCKET_RECEIVE_BYTES", global = true, default_value_t = 4 << 20, value_parser = value_parser!(u32).range(4_096..=1 << 30), value_name = "BYTES")]
    pub socket_receive_bytes: u32,

    /// The kernel's send buffer a socket; the kernel caps it at net.core.wmem_max
    #[arg(long, env = "VIADUCT_SOCKET_SEND_BYTES", global = true, default_value_t = 4 << 20, value_parser = value_parser!(u32).range(4_096..=1 << 30), value_name = "BYTES")]
    pub socket_send_bytes: u32,

    /// A file of settings, one VARIABLE=value a line and # before comments, which are read again while Viaduct runs: when it
    /// changes, and on SIGHUP. What stands in it comes before the environment and after the command line
    #[arg(long, env = "VIADUCT_ENV_FILE", global = true, value_name = "PATH")]
    pub env_file: Option<PathBuf>,

    /// What is set of names of backends.
    #[command(flatten)]
    pub discovery: DiscoverySettings,

    /// What is set of the living pool.
    #[command(flatten)]
    pub pool: PoolSettings,

    /// What is set of probes.
    #[command(flatten)]
    pub probe: ProbeSettings,

    /// What is set of outliers.
    #[command(flatten)]
    pub outlier: OutlierSettings,

    /// What is set of overload.
    #[command(flatten)]
    pub overload: OverloadSettings,

    /// What is set of connections.
    #[command(flatten)]
    pub streams: StreamSettings,

    /// What is set of TLS, WebSocket and the PROXY protocol.
    #[command(flatten)]
    pub layers: LayerSettings,

    /// What is set of draining.
    #[command(flatten)]
    pub drain: DrainSettings,

    /// What is set of upgrades.
    #[command(flatten)]
    pub upgrade: UpgradeSettings,

    /// What is set of the admin listener.
    #[command(flatten)]
    pub admin: AdminSettings,

    /// What is set of what is told of single messages.
    #[command(flatten)]
    pub observe: ObserveSettings,

    /// What is set of copies of messages.
    #[command(flatten)]
    pub hep: HepSettings,

    /// What is logged: off, error, warn, info, debug or trace, or a list of module=level
    #[arg(long, env = "VIADUCT_LOG", global = true, default_value = "info", value_parser = log::filter, value_name = "FILTER")]
    pub log: String,

    /// How it is logged
    #[arg(long, env = "VIADUCT_LOG_FORMAT", global = true, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// By what a source is known as a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendMatch {
    /// Its address.
    Address,
    /// Its address and port.
    AddressPort,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Whether shards are pinned to cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PinCores {
    /// Where there is a shard for each core that the process may use.
    Auto,
    /// Always.
    True,
    /// Never.
    False,
}

impl Settings {
    /// What the operator wants where the rules leave a choice.
    pub fn policy(&self) -> Policy {
        Policy {
            trusted: self.trusted.0.clone(),
            match_ports: self.backend_match == BackendMatch::AddressPort,
            record_route: self.record_route == Switch::On,
            path: self.path,
            on_lost_pin: self.lost_pin,
            hash: self.hash.clone(),
            udp_request_bytes_max: self.udp_request_bytes_max,
            overload: self.overload.policy(),
            drain: self.drain.policy(),
        }
    }

    /// How many shards to run: as set, or one a core that the process may use. `available_parallelism` heeds both the
    /// affinity mask, which cpusets set, and the CPU quota of the control group.
    pub fn shard_count(&self) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from).min(256);
        self.shards.map_or_else(cores, usize::from)
    }
}
