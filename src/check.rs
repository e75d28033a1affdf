//! `viaduct check`: whether the settings hold and the kernel has what they need, without carrying a message.

use std::fmt::Write;

use crate::balance::backend::BackendIndex;
use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::config::hep::HepSettings;
use crate::config::layers::LayerSettings;
use crate::config::streams::StreamSettings;
use crate::io::{self, Choice};
use crate::run::RunError;
use crate::run::discovery;
use crate::run::plan::{self, Plan};
use crate::run::sockets;

/// Checks, and gives what is in effect as text. It may run beside a running Viaduct: it takes no port that is in use.
pub fn check(settings: &Settings) -> Result<String, RunError> {
    sockets::allow_descriptors(settings);
    let Plan { snapshot, digest, in_use, tls, .. } = plan::make(settings, discovery::look_up(settings)?)?;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<30} {value}");
    };
    for listener in snapshot.listeners() {
        let advertised = format!("{}:{}", listener.advertised_host, listener.advertised_port);
        line(
            "VIADUCT_LISTEN",
            format!("{}://{}, advertised as {advertised}", listener.transport.label(), listener.address),
        );
    }
    let taken = match settings.upgrade.upgrade_socket {
        Some(_) => {
            "is in use: Viaduct could be started now only if that is one that hands over (VIADUCT_UPGRADE_SOCKET)"
        }
        None => "is in use, perhaps by a running Viaduct: it could not be started now",
    };
    for (transport, address) in in_use {
        line("", format!("{}://{address} {taken}", transport.label()));
    }
    let shares = snapshot.table().shares();
    for (index, backend) in snapshot.pool().backends().iter().enumerate() {
        let share = 100.0 * shares.get(index).copied().unwrap_or(0.0);
        let transport = snapshot.backend_transport(BackendIndex(index as u16)).label();
        let address = backend.address;
        line(
            "VIADUCT_BACKENDS",
            format!("{}={transport}://{address};weight={} ({share:.2} % of new calls)", backend.name, backend.weight),
        );
    }
    if snapshot.pool().backends().is_empty() {
        line("VIADUCT_BACKENDS", "none: every call is answered 503".to_owned());
    }
    let file = settings.discovery.backends_file.as_ref();
    line("VIADUCT_BACKENDS_FILE", file.map_or_else(|| "none".to_owned(), |path| path.display().to_string()));
    line("VIADUCT_DNS_HOLD_S", settings.discovery.dns_hold_s.to_string());
    let trusted: Vec<String> = settings.trusted.0.iter().map(ToString::to_string).collect();
    line("VIADUCT_TRUSTED", if trusted.is_empty() { "none".to_owned() } else { trusted.join(",") });
    let resolvers: Vec<String> = settings.resolvers.0.iter().map(ToString::to_string).collect();
    let system = || "those of /etc/resolv.conf".to_owned();
    line("VIADUCT_RESOLVERS", if resolvers.is_empty() { system() } else { resolvers.join(",") });
    line("VIADUCT_SHARDS", settings.shard_count().to_string());
    line("VIADUCT_PIN_CORES", format!("{:?}", settings.pin_cores).to_lowercase());
    line("VIADUCT_IO", engine(settings)?);
    line("VIADUCT_RECEIVE_BUFFERS", settings.receive_buffers.to_string());
    line("VIADUCT_RECEIVE_BUFFER_BYTES", settings.receive_buffer_bytes.to_string());
    line("VIADUCT_SEND_SLOTS", settings.send_slots.to_string());
    line("VIADUCT_SOCKET_RECEIVE_BYTES", settings.socket_receive_bytes.to_string());
    line("VIADUCT_SOCKET_SEND_BYTES", settings.socket_send_bytes.to_string());
    for (name, value) in streams(&settings.streams) {
        line(name, value);
    }
    for certificate in tls.certificates() {
        line("certificate", format!("{}, for {}", certificate.file.display(), certificate.names.join(", ")));
    }
    for (name, value) in layers(&settings.layers) {
        line(name, value);
    }
    line("VIADUCT_GRACE_S", settings.drain.grace_s.to_string());
    line("VIADUCT_DRAIN_IDLE_MS", settings.drain.drain_idle_ms.to_string());
    let path = settings.upgrade.upgrade_socket.as_ref().map(|path| path.display().to_string());
    line("VIADUCT_UPGRADE_SOCKET", path.unwrap_or_else(|| "none".to_owned()));
    line("VIADUCT_ADMIN_LISTEN", settings.admin.admin_listen.to_string());
    line("VIADUCT_LOG", format!("{} ({:?})", settings.log, settings.log_format));
    line("VIADUCT_LOG_PROBLEMS_PER_SECOND", settings.observe.log_problems_per_second.to_string());
    for (name, value) in copies(&settings.hep)? {
        line(name, value);
    }
    line("config digest", digest);
    Ok(text)
}

fn streams(settings: &StreamSettings) -> [(&'static str, String); 9] {
    [
        ("VIADUCT_CONNECTIONS_MAX", settings.connections_max.to_string()),
        ("VIADUCT_CONNECTION_IDLE_S", settings.connection_idle_s.to_string()),
        ("VIADUCT_CONNECT_TIMEOUT_MS", settings.connect_timeout_ms.to_string()),
        ("VIADUCT_MESSAGE_TIMEOUT_S", settings.message_timeout_s.to_string()),
        ("VIADUCT_BACKEND_CONNECTIONS", settings.backend_connections.to_string()),
        ("VIADUCT_QUEUE_BYTES", settings.queue_bytes.to_string()),
        ("VIADUCT_TCP_KEEPALIVE_S", settings.tcp_keepalive_s.to_string()),
        ("VIADUCT_TCP_USER_TIMEOUT_MS", settings.tcp_user_timeout_ms.to_string()),
        ("VIADUCT_TCP_NODELAY", format!("{:?}", settings.tcp_nodelay).to_lowercase()),
    ]
}

fn layers(settings: &LayerSettings) -> [(&'static str, String); 5] {
    let or = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(",") };
    let proxies = settings.proxy_protocol_from.0.iter().map(ToString::to_string).collect();
    [
        ("VIADUCT_TLS_RELOAD_S", settings.tls_reload_s.to_string()),
        ("VIADUCT_HANDSHAKE_TIMEOUT_MS", settings.handshake_timeout_ms.to_string()),
        ("VIADUCT_HANDSHAKES_MAX", settings.handshakes_max.to_string()),
        ("VIADUCT_WEBSOCKET_ORIGINS", or(settings.websocket_origins.0.clone(), "all")),
        ("VIADUCT_PROXY_PROTOCOL_FROM", or(proxies, "none")),
    ]
}

fn copies(settings: &HepSettings) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let Some(collector) = &settings.hep else { return Ok(vec![("VIADUCT_HEP", "none: nothing is copied".to_owned())]) };
    let key = if settings.key()?.is_empty() { "none" } else { "(not shown)" };
    Ok(vec![
        ("VIADUCT_HEP", collector.to_string()),
        ("VIADUCT_HEP_SAMPLE", settings.hep_sample.to_string()),
        ("VIADUCT_HEP_AGENT_ID", settings.hep_agent_id.to_string()),
        ("VIADUCT_HEP_KEY_FILE", key.to_owned()),
        ("VIADUCT_HEP_BODIES", format!("{:?}", settings.hep_bodies).to_lowercase()),
    ])
}

fn engine(settings: &Settings) -> Result<String, RunError> {
    let probe = || io::probe(&plan::engine_options(settings));
    match settings.io {
        Choice::Poll => Ok("poll".to_owned()),
        Choice::Uring => match probe() {
            Ok(()) => Ok("uring".to_owned()),
            Err(unavailable) => Err(RunError::Shard(crate::shard::thread::StartError::Engine(unavailable))),
        },
        Choice::Auto => match probe() {
            Ok(()) => Ok("auto: uring".to_owned()),
            Err(unavailable) => Ok(format!("auto: poll, because io_uring is not to be had: {unavailable}")),
        },
    }
}
