//! The first process's side: hands its sockets to a second one, and goes on as before unless that one says that it runs.
//!
//! It has a thread of its own, which sleeps until somebody comes. A task on the control thread looked thriftier; it would hold up probes
//! and the admin listener while it waits for shards.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{Builder, sleep};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::control::drain::{Cause, DrainHandle};
use crate::control::steward::PoolState;
use crate::io::channel::{Channel, ChannelListener, DESCRIPTORS_MAX};
use crate::metrics::upgrade::Failure;
use crate::shard::kin::Role;
use crate::shard::mailbox::PostOffice;
use crate::shard::thread::SocketGrip;

use super::link::{self, Places};
use super::predecessor::wait_until;
use super::protocol::{MemberStanding, PACKET_BYTES_MAX, PROTOCOL, Seal, SocketLabel, Told};
use super::{RELEASE, START, TAKE_UP, WORD};

/// What a process has to hand over.
#[derive(Debug)]
pub struct Estate {
    /// What comes for its connections goes by this.
    pub post: PostOffice,
    /// Its listeners.
    pub places: Places,
    /// By what each shard's sockets are released.
    pub grips: Vec<SocketGrip>,
    /// How the pool stands.
    pub pool: watch::Receiver<PoolState>,
    /// By what the process is told to let its connections end.
    pub drain: DrainHandle,
    /// A descriptor of each socket.
    pub sockets: Vec<(SocketLabel, OwnedFd)>,
}

/// How long it waits after a failed attempt: whoever tries on and on is not to keep it busy.
const RETRY: Duration = Duration::from_millis(100);

/// Why nothing was handed over.
enum Kept {
    /// The other does not answer, or cannot be answered.
    Unheard(io::Error),
    /// It was refused.
    Refused(String),
    /// It ended before it said that it runs.
    Ended,
}

impl From<io::Error> for Kept {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Kept::Ended,
            _ => Kept::Unheard(error),
        }
    }
}

/// Offers it all to whoever comes there, until one has taken over. What it gives takes the name away again. Where it cannot be
/// offered, this process runs all the same.
pub fn offer(listener: ChannelListener, estate: Estate) -> Arc<ChannelListener> {
    let listener = Arc::new(listener);
    let listening = listener.clone();
    let serving = move || {
        estate.hand_over_to_one(&listening);
        listening.leave();
        estate.drain.ask(Cause::HandedOver);
    };
    let named = listener.name().and_then(|()| Builder::new().name("upgrade".to_owned()).spawn(serving));
    if let Err(error) = named {
        tracing::error!(%error, "no other Viaduct can take over from this one (VIADUCT_UPGRADE_SOCKET)");
    }
    listener
}

impl Estate {
    /// Returns when a process has taken over.
    fn hand_over_to_one(&self, listener: &ChannelListener) {
        loop {
            let handed_over = listener.accept().map_err(Kept::Unheard).and_then(|channel| {
                self.hand_over(&channel)?;
                Ok(channel)
            });
            match handed_over {
                Ok(channel) => return self.carry(channel),
                Err(kept) => {
                    kept.log();
                    self.post.upgrade_cells().failed(kept.failure());
                }
            }
            sleep(RETRY);
        }
    }

    /// Has what comes for connections of either process get there.
    fn carry(&self, channel: Channel) {
        // There is one who takes over.
        if let Some(handed) = self.post.join_kin(Role::Successor, Vec::new()) {
            link::carry_or_warn(channel, Role::Successor, handed, &self.post, self.places.clone());
        }
    }

    /// Hands over to the process at the other end of a channel.
    fn hand_over(&self, channel: &Channel) -> Result<(), Kept> {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        channel.set_patience(Some(WORD))?;
        match hear(channel, &mut buffer)? {
            Told::Hello { protocol: PROTOCOL, version } => tracing::info!(version, "another Viaduct is to take over"),
            Told::Hello { protocol, version } => return refuse(channel, other_protocol(protocol, &version)),
            told => return refuse(channel, format!("out of turn: {told}")),
        }
        self.stays(channel)?;
        let offered = self.members();
        self.tell_all(channel, &offered)?;
        channel.set_patience(Some(START))?;
        match hear(channel, &mut buffer)? {
            Told::Ready => {}
            told => return refuse(channel, format!("out of turn: {told}")),
        }
        self.stays(channel)?;
        channel.set_patience(Some(TAKE_UP))?;
        let changed = self.members().into_iter().filter(|member| !offered.contains(member));
        changed.map(Told::Member).try_for_each(|member| tell(channel, &member))?;
        let outcome = self.release_to(channel, &mut buffer);
        if outcome.is_err() {
            self.grips.iter().for_each(SocketGrip::take_up);
        }
        outcome
    }

    /// Who has been told to end has closed its listeners for everybody who has them.
    fn stays(&self, channel: &Channel) -> Result<(), Kept> {
        if self.drain.is_asked() {
            return refuse(channel, "it is about to end: start another when it has".to_owned());
        }
        Ok(())
    }

    /// Releases the sockets. They must be taken up again where this fails. Where it does not, they are the other's, even if it has
    /// ended meanwhile: it may have taken from them.
    fn release_to(&self, channel: &Channel, buffer: &mut [u8]) -> Result<(), Kept> {
        let begun = Instant::now();
        self.grips.iter().for_each(SocketGrip::release);
        if !wait_until(RELEASE, || self.grips.iter().all(SocketGrip::is_released)) {
            return refuse(channel, "a shard does not release its sockets".to_owned());
        }
        tell(channel, &Told::Released { paused_us: begun.elapsed().as_micros() as u64 })?;
        match hear(channel, buffer)? {
            Told::Running => Ok(tell(channel, &Told::Yours)?),
            told => refuse(channel, format!("out of turn: {told}")),
        }
    }

    fn tell_all(&self, channel: &Channel, members: &[MemberStanding]) -> io::Result<()> {
        let (shards, processes) = (self.grips.len() as u16, self.post.reached());
        let seal = Seal::of(self.pool.borrow().snapshot.keys());
        tell(channel, &Told::Offer { shards, seal, processes })?;
        tell(channel, &Told::Listeners(self.places.clone()))?;
        for some in self.sockets.chunks(DESCRIPTORS_MAX) {
            let told = Told::Sockets(some.iter().map(|(label, _)| *label).collect());
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
            channel.send(told.to_string().as_bytes(), &descriptors)?;
        }
        members.iter().cloned().map(Told::Member).try_for_each(|member| tell(channel, &member))?;
        tell(channel, &Told::Complete)
    }

    /// How the pool stands.
    fn members(&self) -> Vec<MemberStanding> {
        let state = self.pool.borrow();
        let stays = state.members.iter().filter(|member| member.leaving.is_none());
        stays.map(MemberStanding::of).collect()
    }
}

fn tell(channel: &Channel, told: &Told) -> io::Result<()> {
    channel.send(told.to_string().as_bytes(), &[])
}

fn hear(channel: &Channel, buffer: &mut [u8]) -> Result<Told, Kept> {
    match channel.receive(buffer)?.length {
        0 => Err(Kept::Ended),
        length => match Told::read(&buffer[..length]) {
            Some(told) => Ok(told),
            None => refuse(channel, "that is not understood".to_owned()),
        },
    }
}

fn refuse<T>(channel: &Channel, why: String) -> Result<T, Kept> {
    // Who does not hear it has gone.
    let _ = tell(channel, &Told::Refused(why.clone()));
    Err(Kept::Refused(why))
}

fn other_protocol(protocol: u32, version: &str) -> String {
    format!(
        "this is Viaduct {}, which hands over by protocol {PROTOCOL}, and Viaduct {version} takes over by protocol {protocol}: \
         restart it in place of an upgrade",
        env!("CARGO_PKG_VERSION")
    )
}

impl Kept {
    fn log(&self) {
        match self {
            Kept::Unheard(error) => tracing::warn!(%error, "no other Viaduct has taken over, so this one goes on"),
            Kept::Refused(why) => tracing::warn!(why, "another Viaduct was refused to take over, so this one goes on"),
            Kept::Ended => tracing::warn!("the Viaduct that was to take over has ended, so this one goes on"),
        }
    }

    fn failure(&self) -> Failure {
        match self {
            Kept::Unheard(_) => Failure::Unheard,
            Kept::Refused(_) => Failure::Refused,
            Kept::Ended => Failure::Ended,
        }
    }
}
