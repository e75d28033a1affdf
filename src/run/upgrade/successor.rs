//! The first process's side: hands its sockets to a second one, and goes on as before unless that one says that it runs.
//!
//! It has a thread of its own, which sleeps until somebody comes. A task on the control thread looked thriftier; it would hold up probes
//! and the admin listener while it waits for shards.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::{Builder, sleep};
use std::time::Duration;

use tokio::sync::watch;

use crate::control::drain::{Cause, DrainHandle};
use crate::control::steward::PoolState;
use crate::io::channel::{Channel, ChannelListener, DESCRIPTORS_MAX};
use crate::shard::kin::Role;
use crate::shard::mailbox::PostOffice;
use crate::shard::thread::SocketGrip;

use super::link::{self, Places};
use super::predecessor::wait_until;
use super::protocol::{MemberStanding, PACKET_BYTES_MAX, PROTOCOL, SocketLabel, Told};
use super::{RELEASE, START, WORD};

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
    /// The other has gone or does not answer.
    Gone(io::Error),
    /// It was refused.
    Refused(String),
    /// It ended before it said that it runs.
    Ended,
}

impl From<io::Error> for Kept {
    fn from(error: io::Error) -> Self {
        Kept::Gone(error)
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
            let handed_over = listener.accept().map_err(Kept::Gone).and_then(|channel| {
                let process = self.hand_over(&channel)?;
                Ok((channel, process))
            });
            match handed_over {
                Ok((channel, process)) => {
                    let kin = (Role::Successor, process);
                    return link::carry_or_warn(channel, kin, &self.post, self.places.clone());
                }
                Err(kept) => kept.log(),
            }
            sleep(RETRY);
        }
    }

    /// Hands over to the process at the other end of a channel, whose number it gives.
    fn hand_over(&self, channel: &Channel) -> Result<u32, Kept> {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        channel.set_patience(Some(WORD))?;
        match hear(channel, &mut buffer)? {
            Told::Hello { protocol: PROTOCOL, version } => tracing::info!(version, "another Viaduct is to take over"),
            Told::Hello { protocol, version } => {
                let own = env!("CARGO_PKG_VERSION");
                return refuse(
                    channel,
                    format!(
                        "this is Viaduct {own}, which hands over by protocol {PROTOCOL}, and Viaduct {version} takes \
                             over by protocol {protocol}: restart it in place of an upgrade"
                    ),
                );
            }
            told => return refuse(channel, format!("out of turn: {told}")),
        }
        self.stays(channel)?;
        self.tell_all(channel)?;
        channel.set_patience(Some(START))?;
        match hear(channel, &mut buffer)? {
            Told::Ready => {}
            told => return refuse(channel, format!("out of turn: {told}")),
        }
        self.stays(channel)?;
        channel.set_patience(Some(WORD))?;
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

    /// Releases the sockets. They must be taken up again where this fails.
    fn release_to(&self, channel: &Channel, buffer: &mut [u8]) -> Result<u32, Kept> {
        self.grips.iter().for_each(SocketGrip::release);
        if !wait_until(RELEASE, || self.grips.iter().all(SocketGrip::is_released)) {
            return refuse(channel, "a shard does not release its sockets".to_owned());
        }
        tell(channel, &Told::Released)?;
        match hear(channel, buffer)? {
            Told::Running { process } => Ok(process),
            _ => Err(Kept::Ended),
        }
    }

    fn tell_all(&self, channel: &Channel) -> io::Result<()> {
        let shards = self.grips.len() as u16;
        tell(channel, &Told::Offer { shards, process: self.post.process() })?;
        for some in self.sockets.chunks(DESCRIPTORS_MAX) {
            let told = Told::Sockets(some.iter().map(|(label, _)| *label).collect());
            let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
            channel.send(told.to_string().as_bytes(), &descriptors)?;
        }
        let members: Vec<MemberStanding> = {
            let state = self.pool.borrow();
            let stays = state.members.iter().filter(|member| member.leaving.is_none());
            stays.map(MemberStanding::of).collect()
        };
        members.into_iter().try_for_each(|member| tell(channel, &Told::Member(member)))?;
        tell(channel, &Told::Complete)
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

impl Kept {
    fn log(&self) {
        match self {
            Kept::Gone(error) => tracing::warn!(%error, "no other Viaduct has taken over, so this one goes on"),
            Kept::Refused(why) => tracing::warn!(why, "another Viaduct was refused to take over, so this one goes on"),
            Kept::Ended => tracing::warn!("the Viaduct that was to take over has ended, so this one goes on"),
        }
    }
}
