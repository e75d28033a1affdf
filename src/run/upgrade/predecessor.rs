//! The second process's side: asks the first one for what it has, and takes over once it could run.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::io::channel::Channel;
use crate::shard::thread::SocketGrip;

use super::inheritance::Inheritance;
use super::protocol::{PACKET_BYTES_MAX, PROTOCOL, Told};
use super::{LOOK, RELEASE, UpgradeError, WORD};

/// The process that runs, as the one that is to take over sees it.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    buffer: Box<[u8]>,
}

/// The most packets of an offer: descriptors of 64 listeners on 256 shards, and 4,096 members.
const PACKETS_MAX: usize = 8192;

impl Predecessor {
    /// The process that listens at that path; `None` where there is none.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        let Some(channel) = Channel::open(path)? else { return Ok(None) };
        channel.set_patience(Some(WORD))?;
        Ok(Some(Predecessor { channel, buffer: vec![0; PACKET_BYTES_MAX].into() }))
    }

    /// Asks for what it has. It goes on as before.
    pub(super) fn ask(&mut self) -> Result<Inheritance, UpgradeError> {
        self.tell(&Told::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() })?;
        let mut inheritance = Inheritance::default();
        for _ in 0..PACKETS_MAX {
            let packet = self.channel.receive(&mut self.buffer).map_err(|error| unheard(&error))?;
            match Told::read(&self.buffer[..packet.length]) {
                Some(Told::Offer { shards, process }) => (inheritance.shards, inheritance.process) = (shards, process),
                Some(Told::Sockets(labels)) => {
                    if !inheritance.take_in(labels, packet.descriptors) {
                        return Err(UpgradeError("it hands over other sockets than it says".to_owned()));
                    }
                }
                Some(Told::Member(member)) => inheritance.members.push(member),
                Some(Told::Complete) if inheritance.is_some() => return Ok(inheritance),
                Some(Told::Refused(why)) => return Err(UpgradeError(why)),
                other => return Err(odd(other.as_ref())),
            }
        }
        Err(UpgradeError("it hands over too much".to_owned()))
    }

    /// Has it release its sockets, and takes them up. Blocks for some milliseconds. Where the other has ended by itself, nobody has the
    /// sockets, and they are taken up all the same. `process` is the number of this one.
    pub fn take_over(mut self, grips: &[SocketGrip], process: u32) -> Result<Channel, UpgradeError> {
        // It may be gone.
        let _ = self.tell(&Told::Ready);
        let _ = self.channel.set_patience(Some(WORD + RELEASE));
        match self.channel.receive(&mut self.buffer) {
            Ok(packet) if packet.length == 0 => tracing::warn!("the Viaduct that was to be taken over from has ended"),
            Ok(packet) => match Told::read(&self.buffer[..packet.length]) {
                Some(Told::Released) => {}
                Some(Told::Refused(why)) => return Err(UpgradeError(why)),
                other => return Err(odd(other.as_ref())),
            },
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(unheard(&error)),
        }
        grips.iter().for_each(SocketGrip::take_up);
        // What comes meanwhile waits in the kernel: it would do no harm if a shard needed longer.
        wait_until(RELEASE, || grips.iter().all(|grip| !grip.is_released()));
        let _ = self.tell(&Told::Running { process });
        Ok(self.channel)
    }

    fn tell(&self, told: &Told) -> Result<(), UpgradeError> {
        self.channel.send(told.to_string().as_bytes(), &[]).map_err(|error| unheard(&error))
    }
}

/// Waits until something holds; `false` where it does not in time.
pub(super) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > limit {
            return false;
        }
        sleep(LOOK);
    }
    true
}

fn unheard(error: &io::Error) -> UpgradeError {
    match error.kind() {
        ErrorKind::WouldBlock => UpgradeError("it does not answer".to_owned()),
        _ => UpgradeError(format!("it cannot be asked: {error}")),
    }
}

fn odd(told: Option<&Told>) -> UpgradeError {
    UpgradeError(match told {
        Some(told) => format!("it says out of turn: {told}"),
        None => {
            "what it says is not understood, so it is of another version: restart it in place of an upgrade".to_owned()
        }
    })
}
