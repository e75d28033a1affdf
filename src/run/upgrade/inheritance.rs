//! What goes over from one process to the next: sockets, and how the pool stands.
//!
//! To hand over the settings too looked handy. Most often the second process is started because they have changed.

use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use socket2::SockRef;

use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::proxy::keys::Keys;
use crate::run::RunError;
use crate::sip::Transport;

use super::UpgradeError;
use super::protocol::{MemberStanding, Seal, SocketKind, SocketLabel};

/// What goes over. By default nothing.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// How many shards the first process has; 0 where there is none.
    pub shards: u16,
    /// What tells the first process's keys.
    pub seal: Seal,
    /// The numbers of the first process and those before it, which their connections are named by.
    pub processes: Vec<u32>,
    /// The first process's listeners, in their order.
    pub listeners: Vec<(Transport, SocketAddr)>,
    /// How the members of its pool stand.
    pub members: Vec<MemberStanding>,
    sockets: Vec<(SocketLabel, OwnedFd)>,
}

impl Inheritance {
    /// Takes in the sockets that came with a packet.
    pub(super) fn take_in(&mut self, labels: Vec<SocketLabel>, descriptors: Vec<OwnedFd>) -> bool {
        let are_as_told = labels.len() == descriptors.len();
        self.sockets.extend(labels.into_iter().zip(descriptors));
        are_as_told
    }

    /// Whether another process still has the sockets.
    pub fn is_some(&self) -> bool {
        self.shards > 0
    }

    /// Nothing is taken over while backends of these names are missing: the process that runs may know them.
    pub(crate) fn must_not_miss(&self, names: &[String]) -> Result<(), RunError> {
        match names.first().filter(|_| self.is_some()) {
            Some(name) => Err(RunError::Upgrade(UpgradeError(format!("no backend is found by {name}")))),
            None => Ok(()),
        }
    }

    /// Nothing is taken over by who does not know what was signed before: each dialog and each response under way would be lost.
    pub(super) fn must_be_signed_by(&self, keys: &Keys) -> Result<(), RunError> {
        if !self.seal.is_accepted_by(keys) {
            let wrong = "the Viaduct that runs signs by another, so calls in progress would be lost";
            let right = "the same, or that one among VIADUCT_SECRETS_ACCEPTED";
            return Err(ConfigError::new("VIADUCT_SECRET", "(not shown)", wrong, right).into());
        }
        if self.seal.table != Seal::of(keys).table {
            tracing::warn!(
                "calls are placed otherwise than before (VIADUCT_TABLE_SECRET): those that are being set up are lost"
            );
        }
        Ok(())
    }

    /// Warns of listeners that stand at another place than before: flows and return paths name them by that.
    pub(super) fn warn_of_other_places(&self, listeners: &[(Transport, SocketAddr)]) {
        for (place, (transport, address)) in self.listeners.iter().enumerate() {
            let stands = listeners.iter().position(|listener| *listener == (*transport, *address));
            if let Some(other) = stands.filter(|other| *other != place) {
                tracing::warn!(
                    listener = format!("{}://{address}", transport.label()),
                    before = place + 1,
                    after = other + 1,
                    "a listener stands at another place in VIADUCT_LISTEN: responses that are under way to it are lost, and so \
                     are clients that are known by it. Put further listeners behind those that there are"
                );
            }
        }
    }

    /// Settings with as many shards as there are sockets for each listener: a socket with nobody to read it would swallow what comes
    /// to it, and closing it would lose what has come.
    pub fn settings(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        if self.is_some() && settings.shard_count() != usize::from(self.shards) {
            tracing::warn!(
                shards = self.shards,
                "an upgrade keeps the number of shards: what VIADUCT_SHARDS says counts when Viaduct is started anew"
            );
            settings.shards = Some(self.shards);
        }
        settings
    }

    /// Whether the sockets of a listener go over.
    pub fn has(&self, transport: Transport, address: SocketAddr) -> bool {
        self.sockets.iter().any(|(label, _)| label.is_of(transport, address))
    }

    /// A shard's socket for a listener over UDP, if it goes over.
    pub fn udp(&mut self, shard: usize, address: SocketAddr) -> Option<UdpSocket> {
        self.take(shard, Transport::Udp, address).map(UdpSocket::from)
    }

    /// A shard's socket for a listener over a stream, if it goes over.
    pub fn listener(&mut self, shard: usize, transport: Transport, address: SocketAddr) -> Option<TcpListener> {
        self.take(shard, transport, address).map(TcpListener::from)
    }

    /// The admin listener, if it goes over.
    pub fn admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let is_it = |(label, _): &(SocketLabel, OwnedFd)| label.kind == SocketKind::Admin && label.address == address;
        let place = self.sockets.iter().position(is_it)?;
        Some(self.sockets.swap_remove(place).1.into())
    }

    /// Closes the sockets that nobody has taken, since their listeners are not set any more. The process before still has
    /// them, so listeners stop listening here.
    pub fn close_rest(&mut self) {
        for (SocketLabel { shard, kind, address }, socket) in self.sockets.drain(..) {
            if kind != SocketKind::Datagrams {
                // One that does not listen any more is as it should be.
                let _ = SockRef::from(&socket).shutdown(Shutdown::Read);
            }
            if shard == 0 {
                tracing::info!(%address, "a listener of the Viaduct before is not set any more");
            }
        }
    }

    fn take(&mut self, shard: usize, transport: Transport, address: SocketAddr) -> Option<OwnedFd> {
        let is_it =
            |(label, _): &(SocketLabel, OwnedFd)| usize::from(label.shard) == shard && label.is_of(transport, address);
        let place = self.sockets.iter().position(is_it)?;
        Some(self.sockets.swap_remove(place).1)
    }
}

impl SocketLabel {
    /// What lies above TCP is each process's own.
    fn is_of(&self, transport: Transport, address: SocketAddr) -> bool {
        let kind = if transport.is_stream() { SocketKind::Listener } else { SocketKind::Datagrams };
        self.kind == kind && self.address == address
    }
}
