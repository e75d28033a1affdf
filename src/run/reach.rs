//! Whether a backend can be one: a listener must reach it, and it must not be Viaduct itself.
//!
//! To find out when a message is to go there looked simpler. The operator is there when the setting is made, and not when the call
//! fails.

use crate::balance::backend::Backend;
use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::control::pool::MemberSpec;
use crate::proxy::snapshot::Listener;
use crate::sip::Transport;

use super::discovery::SOURCE;

/// The members that can be behind these listeners. One that is set and cannot is an error; one that was found by a name is left out,
/// since nobody has said that it is to be there.
pub fn admitted(
    settings: &Settings,
    listeners: &[Listener],
    members: Vec<MemberSpec>,
) -> Result<Vec<MemberSpec>, ConfigError> {
    let mut admitted = Vec::with_capacity(members.len());
    for member in members {
        match check(listeners, &member) {
            Ok(()) => admitted.push(member),
            Err(error) if is_set(settings, &member.backend)? => return Err(error),
            Err(error) => tracing::warn!("a backend that was found is left out: {error}"),
        }
    }
    Ok(admitted)
}

/// Whether a member can be behind these listeners, by each transport that it is reached by.
pub fn check(listeners: &[Listener], member: &MemberSpec) -> Result<(), ConfigError> {
    let MemberSpec { backend, transport, also_by_tcp } = member;
    is_reachable(listeners, backend, *transport)?;
    if *also_by_tcp {
        is_reachable(listeners, backend, Transport::Tcp)?;
    }
    is_no_loop(listeners, backend, *transport)
}

/// Whether it is set as an address.
fn is_set(settings: &Settings, backend: &Backend) -> Result<bool, ConfigError> {
    let set = settings.all_backends()?;
    Ok(set.0.iter().any(|set| set.name == backend.name && set.address().is_some()))
}

/// Every backend must be reachable by a listener of its transport and address family.
fn is_reachable(listeners: &[Listener], backend: &Backend, transport: Transport) -> Result<(), ConfigError> {
    let same_family = |listener: &Listener| listener.address.is_ipv4() == backend.address.is_ipv4();
    if listeners.iter().any(|listener| listener.transport == transport && same_family(listener)) {
        return Ok(());
    }
    let family = if backend.address.is_ipv4() { "IPv4" } else { "IPv6" };
    let url = format!("{}://", transport.label());
    let wrong = format!("no listener is {url} and {family}, so {} cannot be reached", backend.address);
    let right = format!("a pool that the listeners reach, or an {family} listener {url} in VIADUCT_LISTEN");
    Err(ConfigError::new(SOURCE, as_set(backend, transport), wrong, &right))
}

/// No backend may be Viaduct itself: each request would go round until its hops are used up. Over which transport makes no
/// difference: where one listener is, so is Viaduct.
fn is_no_loop(listeners: &[Listener], backend: &Backend, transport: Transport) -> Result<(), ConfigError> {
    if listeners.iter().all(|listener| listener.own_addresses().all(|own| own != backend.address)) {
        return Ok(());
    }
    let (wrong, right) = ("it is a listener of Viaduct's own", "the addresses of the proxies behind it");
    Err(ConfigError::new(SOURCE, as_set(backend, transport), wrong, right))
}

fn as_set(backend: &Backend, transport: Transport) -> String {
    format!("{}={}://{}", backend.name, transport.label(), backend.address)
}
