//! How a second process takes over from the first, with nothing lost: sockets and listeners go over as they are, with all that
//! waits in them.
//!
//! | module | charge |
//! | --- | --- |
//! | [`protocol`] | what the two tell each other |
//! | `successor` | the first one's side |
//! | `predecessor` | the second one's side |
//! | [`inheritance`] | what goes over |
//! | `link` | how what comes for connections of either gets there |
//!
//! ```text
//! second                                    first
//!   │ hello ────────────────────────────────► │
//!   │ ◄─── offer: descriptors, how the pool stands
//!   │ starts: settings, certificates, shards  │ goes on as if nothing had happened
//!   │ ready ────────────────────────────────► │
//!   │                                         │ takes nothing more from the sockets, handles what it has taken
//!   │ ◄───────────────────────────── released │
//!   │ takes from the sockets                  │
//!   │ running ──────────────────────────────► │
//!   │ ◄──────────────────────────────── yours │ lets its connections end
//! ```
//!
//! Where the second one ends before it says that it runs, or is slow to say so, the first takes its sockets up again. Meanwhile datagrams
//! and connections wait in the kernel: for some milliseconds, while there is room for many more.
//!
//! To have the second one join the ports (`SO_REUSEPORT`) and the first one leave them looked simpler, as nothing need be
//! passed. A socket that leaves takes along what has come to it since it was last read, and a listener resets the connections that it
//! has not accepted.

pub mod inheritance;
mod link;
mod predecessor;
pub mod protocol;
mod successor;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crossbeam::channel::Receiver;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::config::error::ConfigError;
use crate::config::{Settings, Switch};
use crate::control::steward::PoolHandle;
use crate::io::channel::{Channel, ChannelListener};
use crate::io::{Sockets, raise_descriptor_limit};
use crate::shard::kin::{Handed, Role};
use crate::shard::thread::{Running, SocketGrip};

use super::{RunError, Viaduct};
use inheritance::Inheritance;
use predecessor::{Predecessor, Taken};
use protocol::{MemberStanding, SocketKind, SocketLabel};
use successor::{Estate, offer};

/// How long either waits for the other's next word, where nothing takes long.
const WORD: Duration = Duration::from_secs(5);

/// How long the second one may take to start: it may have names to look up.
const START: Duration = Duration::from_secs(120);

/// How long a shard may take to release its sockets. It is done within a turn.
const RELEASE: Duration = Duration::from_secs(1);

/// How long the second one may take to take the sockets up: what comes meanwhile has to wait, in buffers that have an end.
const TAKE_UP: Duration = Duration::from_secs(1);

/// How often it is looked whether shards have.
const LOOK: Duration = Duration::from_micros(500);

/// Why nothing was taken over.
#[derive(Debug, PartialEq, Eq)]
pub struct UpgradeError(String);

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was taken over from the Viaduct that runs, which goes on: {}", self.0)
    }
}

impl std::error::Error for UpgradeError {}

/// Finds the process that is to be taken over from, where one is set and there, with what it hands over.
pub(super) fn find(settings: &Settings) -> Result<Option<(Predecessor, Inheritance)>, RunError> {
    let Some(path) = &settings.upgrade.upgrade_socket else { return Ok(None) };
    match Predecessor::find(path) {
        Ok(None) => Ok(None),
        Ok(Some(mut predecessor)) => {
            // Each socket is a descriptor; how many there may be is told when the shards start.
            let _ = raise_descriptor_limit();
            let inheritance = predecessor.ask().map_err(RunError::Upgrade)?;
            Ok(Some((predecessor, inheritance)))
        }
        Err(error) => Err(unusable(path, &error).into()),
    }
}

fn unusable(path: &Path, error: &io::Error) -> ConfigError {
    let right = "a path in a folder that Viaduct's user may write to, of at most 90 bytes";
    ConfigError::new("VIADUCT_UPGRADE_SOCKET", path.display(), error, right)
}

/// Further descriptors of each shard's sockets.
pub(super) fn duplicates(shards: &[Sockets]) -> io::Result<Vec<(SocketLabel, OwnedFd)>> {
    let mut found = Vec::new();
    for (shard, sockets) in shards.iter().enumerate() {
        let shard = shard as u16;
        for socket in &sockets.datagrams {
            let label = SocketLabel { shard, kind: SocketKind::Datagrams, address: socket.local_addr()? };
            found.push((label, socket.as_fd().try_clone_to_owned()?));
        }
        for listener in &sockets.listeners {
            let label = SocketLabel { shard, kind: SocketKind::Listener, address: listener.local_addr()? };
            found.push((label, listener.as_fd().try_clone_to_owned()?));
        }
    }
    Ok(found)
}

impl Viaduct {
    /// Takes over from the process that runs, where there is one, and offers the same to whoever comes next. What it gives takes the
    /// offer's path away.
    pub(super) async fn succeed(
        &mut self,
        predecessor: Option<Predecessor>,
        inherited: &mut Inheritance,
        settings: &Settings,
        admin: &TcpListener,
        pool: &PoolHandle,
    ) -> Result<Option<Arc<ChannelListener>>, RunError> {
        let grips: Vec<SocketGrip> = self.shards.iter().map(Running::grip).collect();
        // First what may fail: once it has taken over, there is nobody else.
        let own = self.estate(settings, admin, pool, grips.clone())?;
        if let Some(predecessor) = predecessor {
            inherited.must_be_signed_by(self.snapshot.keys())?;
            inherited.warn_of_other_places(&link::places(&self.snapshot));
            let standing = inherited.members.drain(..).filter(MemberStanding::is_told).collect();
            stand_as_before(standing, settings, pool).await;
            // From the first message on: what is for connections of that process waits for the way to it.
            let handed = self.post.join_kin(Role::Predecessor, std::mem::take(&mut inherited.processes));
            let taken = spawn_blocking(move || predecessor.take_over(&grips)).await;
            let taken = taken.map_err(|error| RunError::Control(io::Error::other(error)))?;
            let Taken { channel, members, pause } = taken.map_err(RunError::Upgrade)?;
            tracing::info!(pause_us = pause.as_micros() as u64, "taken over from the Viaduct that ran before");
            self.post.upgrade_cells().pause_us.set(pause.as_micros() as u64);
            self.link_to_predecessor(channel.zip(handed));
            inherited.close_rest();
            stand_as_before(members, settings, pool).await;
        }
        Ok(own.map(|(listener, estate)| offer(listener, estate)))
    }

    fn link_to_predecessor(&self, link: Option<(Channel, Receiver<Handed>)>) {
        match link {
            Some((channel, handed)) => {
                link::carry_or_warn(channel, Role::Predecessor, handed, &self.post, link::places(&self.snapshot));
            }
            None => self.post.part_from(Role::Predecessor),
        }
    }

    /// What this process has to hand over, and where it will be asked for that; `None` where it is not to be asked.
    fn estate(
        &mut self,
        settings: &Settings,
        admin: &TcpListener,
        pool: &PoolHandle,
        grips: Vec<SocketGrip>,
    ) -> Result<Option<(ChannelListener, Estate)>, RunError> {
        let Some(path) = &settings.upgrade.upgrade_socket else { return Ok(None) };
        let listener = ChannelListener::bind(path).map_err(|error| unusable(path, &error))?;
        let mut sockets = std::mem::take(&mut self.to_hand_over);
        let address = admin.local_addr().map_err(RunError::Control)?;
        let label = SocketLabel { shard: 0, kind: SocketKind::Admin, address };
        sockets.push((label, admin.as_fd().try_clone_to_owned().map_err(RunError::Control)?));
        let (post, places) = (self.post.clone(), link::places(&self.snapshot));
        let (pool, drain) = (pool.state(), self.drain.clone());
        Ok(Some((listener, Estate { post, places, grips, pool, drain, sockets })))
    }
}

/// Has the pool stand as these members stood in the process before: what the administrator has said there, and what probes have found,
/// if anybody is to find out more.
async fn stand_as_before(members: Vec<MemberStanding>, settings: &Settings, pool: &PoolHandle) {
    if members.is_empty() {
        return;
    }
    let probes = settings.probe.probe == Switch::On;
    let change = pool.change(move |pool, now| {
        for MemberStanding { name, word, health, weight } in members {
            // Who is not in the pool any more stands nowhere.
            let _ = pool.set_word(&name, word, now);
            let _ = pool.set_weight(&name, weight);
            if probes {
                let _ = pool.set_health(&name, health, now);
            }
        }
    });
    // Where the pool is not steered any more, the process ends.
    let _ = change.await;
}
