//! Listeners become sockets: addresses are claimed and bound, and the process gets the descriptors that connections need.
//!
//! Binding on each shard's own thread looked simpler. What cannot be bound would be found by one thread when others already take
//! messages; here it is found before any shard has started.

use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::config::value::Listen;
use crate::io::socket::{SocketOptions, claim_tcp, claim_udp, open_tcp, open_udp};
use crate::io::{self, Sockets};
use crate::proxy::snapshot::Listener;
use crate::sip::Transport;

use super::plan::Plan;
use super::upgrade::inheritance::Inheritance;

/// The listeners' addresses.
#[derive(Debug)]
pub struct Claimed {
    /// Each with its port, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// Those that another program has.
    pub in_use: Vec<(Transport, SocketAddr)>,
}

/// Binds each listener's address for a moment, to learn its port where port 0 is set, and whether it is free. Those whose sockets go over
/// from another process are.
pub fn claim(settings: &Settings, inherited: &Inheritance) -> Result<Claimed, ConfigError> {
    let mut claimed = Claimed { addresses: Vec::new(), in_use: Vec::new() };
    for Listen { transport, address, .. } in &settings.listen.0 {
        let free = match transport {
            _ if inherited.has(*transport, *address) => Ok(*address),
            Transport::Udp => claim_udp(*address),
            _ => claim_tcp(*address),
        };
        match free {
            Ok(free) => claimed.addresses.push(free),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                claimed.addresses.push(*address);
                claimed.in_use.push((*transport, *address));
            }
            Err(error) => return Err(unusable(*transport, *address, &error)),
        }
    }
    Ok(claimed)
}

/// Opens the sockets of each shard: one for each listener, those of a kind in the order of the configuration. A listener that
/// another program has is an error: with a shared port each would get half of the messages. What goes over from another process is
/// taken from what is inherited.
pub fn open(plan: &Plan, settings: &Settings, inherited: &mut Inheritance) -> Result<Vec<Sockets>, ConfigError> {
    if let Some((transport, address)) = plan.in_use.first() {
        let wrong = "another program, perhaps a Viaduct, has it";
        return Err(ConfigError::new("VIADUCT_LISTEN", url(*transport, *address), wrong, FREE_ADDRESS));
    }
    let of_shard = |shard| open_all(plan.snapshot.listeners(), settings, shard, inherited);
    (0..settings.shard_count()).map(of_shard).collect()
}

/// Lets the process have as many descriptors as it may, and warns where they are fewer than its connections would take.
pub fn allow_descriptors(settings: &Settings) {
    let limit = match io::raise_descriptor_limit() {
        Ok(limit) => limit,
        Err(error) => return tracing::warn!("the limit on descriptors (RLIMIT_NOFILE) cannot be raised: {error}"),
    };
    if let Some(connections) = too_few(settings, limit) {
        tracing::warn!(
            "the process may have {limit} descriptors (RLIMIT_NOFILE), enough for about {connections} connections, but \
             VIADUCT_CONNECTIONS_MAX is {}: raise the limit (LimitNOFILE= of systemd, --ulimit nofile= of containers), or \
             set fewer",
            settings.streams.connections_max
        );
    }
}

/// How many connections there are descriptors for, where these are fewer than there may be. No connection comes where none
/// is accepted.
fn too_few(settings: &Settings, limit: u64) -> Option<u64> {
    let listeners = &settings.listen.0;
    if !listeners.iter().any(|listen| listen.transport.is_stream()) {
        return None;
    }
    // Each is held a second time for a process that takes over.
    let each = if settings.upgrade.upgrade_socket.is_some() { 2 } else { 1 };
    let of_shard = each * listeners.len() as u64 + SHARD_DESCRIPTORS;
    let others = PROCESS_DESCRIPTORS + of_shard * settings.shard_count() as u64;
    let left = limit.saturating_sub(others);
    (left < u64::from(settings.streams.connections_max)).then_some(left)
}

/// What the process has open besides its shards: log, runtime, admin listener and its clients, look-ups of names.
const PROCESS_DESCRIPTORS: u64 = 128;

/// What a shard has open besides listeners and connections: its ring, or two of epoll, and its doorbell.
const SHARD_DESCRIPTORS: u64 = 4;

fn open_all(
    listeners: &[Listener],
    settings: &Settings,
    shard: usize,
    inherited: &mut Inheritance,
) -> Result<Sockets, ConfigError> {
    let datagrams = SocketOptions {
        receive_buffer_bytes: settings.socket_receive_bytes,
        send_buffer_bytes: settings.socket_send_bytes,
    };
    let streams = settings.streams.socket_options();
    let mut sockets = Sockets::default();
    for Listener { transport, address, .. } in listeners {
        let unusable = |error| unusable(*transport, *address, &error);
        match transport {
            Transport::Udp => {
                let opened = inherited.udp(shard, *address).map_or_else(|| open_udp(*address, &datagrams), Ok);
                sockets.datagrams.push(opened.map_err(unusable)?);
            }
            _ => {
                let opened = inherited.listener(shard, *transport, *address);
                let opened = opened.map_or_else(|| open_tcp(*address, &streams), Ok);
                sockets.listeners.push(opened.map_err(unusable)?);
            }
        }
    }
    Ok(sockets)
}

const FREE_ADDRESS: &str = "an address of this machine and a port that no other program has";

fn unusable(transport: Transport, address: SocketAddr, error: &std::io::Error) -> ConfigError {
    let wrong = format!("it cannot be bound: {error}");
    ConfigError::new("VIADUCT_LISTEN", url(transport, address), wrong, FREE_ADDRESS)
}

fn url(transport: Transport, address: SocketAddr) -> String {
    format!("{}://{address}", transport.label())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::parse;
    use crate::control::discovery::ledger::Listing;
    use crate::run::plan;

    fn settings(words: &str) -> Settings {
        let words = format!("viaduct --secret 0123456789abcdef --shards 2 {words}");
        match parse(words.split_whitespace().map(Into::into)) {
            Ok(line) => line.settings,
            Err(refused) => panic!("{refused:?}"),
        }
    }

    #[test]
    fn each_shard_has_the_sockets_of_each_kind_in_the_order_of_the_listeners() {
        let settings = settings("--listen tcp://127.0.0.1:0,udp://127.0.0.1:0,tcp://[::1]:0");
        let plan = plan::make(&settings, Listing::default()).unwrap();
        let shards = open(&plan, &settings, &mut Inheritance::default()).unwrap();
        let bound: Vec<SocketAddr> = plan.snapshot.listeners().iter().map(|listener| listener.address).collect();
        assert!(bound.iter().all(|address| address.port() != 0));
        assert_eq!(shards.len(), 2);
        for Sockets { datagrams, listeners } in &shards {
            let listening: Vec<_> = listeners.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert_eq!(listening, [bound[0], bound[2]]);
            assert_eq!(datagrams.iter().map(|s| s.local_addr().unwrap()).collect::<Vec<_>>(), [bound[1]]);
        }
    }

    #[test]
    fn listeners_over_udp_and_tcp_share_an_address_and_port() {
        let free = claim_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let settings = settings(&format!("--listen udp://{free},tcp://{free}"));
        let shards =
            open(&plan::make(&settings, Listing::default()).unwrap(), &settings, &mut Inheritance::default()).unwrap();
        assert_eq!(shards[0].datagrams[0].local_addr().unwrap(), shards[0].listeners[0].local_addr().unwrap());
    }

    #[test]
    fn a_listener_that_another_program_has_is_told_with_its_transport() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let settings = settings(&format!("--listen tcp://{address}"));
        let plan = plan::make(&settings, Listing::default()).unwrap();
        assert_eq!(plan.in_use, [(Transport::Tcp, address)]);
        let error = open(&plan, &settings, &mut Inheritance::default()).unwrap_err().to_string();
        assert!(error.contains(&format!("VIADUCT_LISTEN is `tcp://{address}`: another program")), "{error}");
    }

    #[test]
    fn descriptors_are_too_few_only_where_connections_come() {
        assert_eq!(too_few(&settings("--listen udp://127.0.0.1:0"), 1024), None);
        let streams = settings("--listen tcp://127.0.0.1:0 --connections-max 1000");
        assert_eq!(too_few(&streams, 1024), Some(1024 - 128 - 10));
        assert_eq!(too_few(&streams, 2000), None);
        assert_eq!(too_few(&streams, 10), Some(0));
    }
}
