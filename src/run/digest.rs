//! A digest of what the members of a fleet must have in common, to be compared at a glance.
//!
//! To digest the pool as it stands looked more exact. A name may lead two members to different answers for a moment, and an alert on
//! digests that differ would go off at every change of DNS.

use sha2::{Digest, Sha256};

use crate::config::Settings;
use crate::config::backends::BackendSetting;
use crate::config::error::ConfigError;
use crate::config::value::Listen;
use crate::proxy::keys::Keys;

/// Covers what places calls and what signs: secret, pool, weights, trusted networks, and listeners as they are set. Not
/// what differs between machines, such as addresses found in the routing table or by names. A backend's transport is named where
/// it is not UDP: a fleet over UDP has the digest that it had when there was no other.
pub(super) fn digest(keys: &Keys, settings: &Settings) -> Result<String, ConfigError> {
    let mut sha = Sha256::new();
    let mut take = |text: String| sha.update(format!("{}:{text}", text.len()));
    take(format!("{:x}", keys.table.hash(b"digest")));
    for Listen { transport, address, advertise, .. } in &settings.listen.0 {
        let advertised = advertise.as_ref().map_or_else(String::new, ToString::to_string);
        take(format!("{} {} {advertised}", transport.label(), address.port()));
    }
    let mut backends = settings.all_backends()?.0;
    backends.sort_by(|one, other| one.name.cmp(&other.name));
    for backend in backends {
        let BackendSetting { name, host, transport, weight, port, also_by_tcp, .. } = &backend;
        let transport = match transport {
            Some(transport) if transport.is_stream() => format!(" {}", transport.label()),
            Some(_) => String::new(),
            None => " sip".to_owned(),
        };
        // What a name leads to is not set, and may differ between two looks.
        let place = match (backend.address(), port) {
            (Some((address, _)), _) => address.to_string(),
            (None, Some(port)) => format!(":{port}"),
            (None, None) => "SRV".to_owned(),
        };
        let also = if *also_by_tcp { format!(" also {}", settings.udp_request_bytes_max) } else { String::new() };
        take(format!("{name} {host} {place} {weight}{transport}{also}"));
    }
    let mut trusted: Vec<String> = settings.trusted.0.iter().map(ToString::to_string).collect();
    trusted.sort();
    trusted.dedup();
    trusted.into_iter().for_each(&mut take);
    Ok(sha.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}
