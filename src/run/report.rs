//! What is told in the log at the start.

use crate::balance::backend::BackendIndex;
use crate::config::Settings;
use crate::config::secrets::SecretSetting;
use crate::proxy::snapshot::Snapshot;
use crate::shard::thread::Running;

/// A backend takes a CANCEL for another transaction's if its Via names another host than the INVITE's (§17.2.3).
pub(super) fn warn_of_own_addresses(settings: &Settings) {
    let own = settings.listen.0.iter().find(|listen| listen.advertise.is_none());
    if let (Some(listen), Ok(SecretSetting::Set(_))) = (own, settings.secret()) {
        tracing::info!(
            listener = %listen.address,
            "the listener advertises an address of this machine; members of a fleet need the same ;advertise=host:port"
        );
    }
}

/// Who listens where, to whom calls go, and by what.
pub(super) fn report(shards: &[Running], snapshot: &Snapshot, digest: &str) {
    if let Some(fallback) = shards.iter().find_map(|shard| shard.fallback.as_ref()) {
        tracing::warn!("io_uring is not to be had, so the poll engine runs in its place: {fallback}");
    }
    for listener in snapshot.listeners() {
        tracing::info!(
            transport = listener.transport.label(),
            address = %listener.address,
            advertised = format!("{}:{}", listener.advertised_host, listener.advertised_port),
            "listening"
        );
    }
    for (index, backend) in snapshot.pool().backends().iter().enumerate() {
        let transport = snapshot.backend_transport(BackendIndex(index as u16)).label();
        tracing::info!(name = backend.name, transport, address = %backend.address, weight = %backend.weight, "backend");
    }
    if snapshot.table().owner(0).is_none() {
        tracing::warn!("no backend has any weight (VIADUCT_BACKENDS), so every call is answered 503");
    }
    let mut engines: Vec<&str> = shards.iter().map(|shard| shard.cells.engine.label()).collect();
    engines.dedup();
    let engine = engines.join(", ");
    tracing::info!(shards = shards.len(), engine, digest, version = env!("CARGO_PKG_VERSION"), "running");
}
