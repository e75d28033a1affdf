//! The second process's side: asks the first one for what it has, and takes over once it could run.
//!
//! Two processes that both take from the sockets, or none, would be worse than any failed attempt. So the first one's last word decides:
//! who has heard that the sockets are its own has taken over, and who has not gives up, unless the first one is gone.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::io::channel::Channel;
use crate::shard::thread::SocketGrip;

use super::inheritance::Inheritance;
use super::protocol::{MemberStanding, PACKET_BYTES_MAX, PROTOCOL, Told};
use super::{LOOK, RELEASE, TAKE_UP, UpgradeError, WORD};

/// The process that runs, as the one that is to take over sees it.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
    path: PathBuf,
    buffer: Box<[u8]>,
}

/// What has come of taking over.
#[derive(Debug, Default)]
pub struct Taken {
    /// The way to the process before; `None` where it is gone.
    pub channel: Option<Channel>,
    /// How members of its pool stand that stood otherwise when it was asked.
    pub members: Vec<MemberStanding>,
    /// For how long nobody took anything from the sockets.
    pub pause: Duration,
}

/// The most packets of an offer: descriptors of 64 listeners on 256 shards, and 4,096 members.
const PACKETS_MAX: usize = 8192;

impl Predecessor {
    /// The process that listens at that path; `None` where there is none.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        let Some(channel) = Channel::open(path)? else { return Ok(None) };
        channel.set_patience(Some(WORD))?;
        Ok(Some(Predecessor { channel, path: path.to_owned(), buffer: vec![0; PACKET_BYTES_MAX].into() }))
    }

    /// Asks for what it has. It goes on as before.
    pub(super) fn ask(&mut self) -> Result<Inheritance, UpgradeError> {
        self.greet()?;
        let mut inheritance = Inheritance::default();
        for _ in 0..PACKETS_MAX {
            match self.hear()? {
                Some((Told::Offer { shards, seal, processes }, _)) => {
                    (inheritance.shards, inheritance.seal, inheritance.processes) = (shards, seal, processes);
                }
                Some((Told::Listeners(listeners), _)) => inheritance.listeners = listeners,
                Some((Told::Sockets(labels), descriptors)) => {
                    if !inheritance.take_in(labels, descriptors) {
                        return Err(UpgradeError("it hands over other sockets than it says".to_owned()));
                    }
                }
                Some((Told::Member(member), _)) => inheritance.members.push(member),
                Some((Told::Complete, _)) if inheritance.is_some() => return Ok(inheritance),
                Some((other, _)) => return Err(odd(&other)),
                None => return Err(UpgradeError("it does not hand anything over".to_owned())),
            }
        }
        Err(UpgradeError("it hands over too much".to_owned()))
    }

    /// Has it release its sockets, and takes them up. Blocks for some milliseconds. Where the other has ended by itself, nobody has the
    /// sockets, and they are taken up all the same.
    pub fn take_over(mut self, grips: &[SocketGrip]) -> Result<Taken, UpgradeError> {
        let mut taken = Taken::default();
        match self.agree(grips, &mut taken) {
            Ok(true) => Ok(Taken { channel: Some(self.channel), ..taken }),
            Ok(false) if !self.is_still_there() => {
                tracing::warn!("the Viaduct that was to be taken over from has ended");
                take_up(grips);
                Ok(taken)
            }
            undone => {
                grips.iter().for_each(SocketGrip::release);
                wait_until(RELEASE, || grips.iter().all(SocketGrip::is_released));
                Err(undone.err().unwrap_or_else(|| UpgradeError("it has waited for too long".to_owned())))
            }
        }
    }

    /// Whether it says that the sockets are not its own any more; `false` where it has closed its end instead.
    fn agree(&mut self, grips: &[SocketGrip], taken: &mut Taken) -> Result<bool, UpgradeError> {
        // Where it is gone, that is heard next.
        let _ = self.tell(&Told::Ready);
        let _ = self.channel.set_patience(Some(WORD + RELEASE));
        let paused = loop {
            match self.hear()? {
                Some((Told::Member(member), _)) if taken.members.len() < PACKETS_MAX => taken.members.push(member),
                Some((Told::Released { paused_us }, _)) => break Duration::from_micros(paused_us),
                Some((other, _)) => return Err(odd(&other)),
                None => return Ok(false),
            }
        };
        let begun = Instant::now();
        take_up(grips);
        taken.pause = paused + begun.elapsed();
        let _ = self.tell(&Told::Running);
        match self.hear()? {
            Some((Told::Yours, _)) => Ok(true),
            Some((other, _)) => Err(odd(&other)),
            None => Ok(false),
        }
    }

    /// Whether the first one, or another in its place, still answers: it may have closed its end because it did not want to wait.
    fn is_still_there(&self) -> bool {
        match Self::find(&self.path) {
            Ok(None) => false,
            Ok(Some(mut again)) => again.greet().is_ok() && !matches!(again.hear(), Ok(None)),
            // Who cannot tell must not take what may be another's.
            Err(_) => true,
        }
    }

    fn greet(&self) -> Result<(), UpgradeError> {
        self.tell(&Told::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() })
    }

    fn tell(&self, told: &Told) -> Result<(), UpgradeError> {
        self.channel.send(told.to_string().as_bytes(), &[]).map_err(|error| unheard(&error))
    }

    /// The next word, and the descriptors beside it; `None` where the other has closed its end.
    fn hear(&mut self) -> Result<Option<(Told, Vec<OwnedFd>)>, UpgradeError> {
        let packet = match self.channel.receive(&mut self.buffer) {
            Ok(packet) if packet.length == 0 => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            packet => packet.map_err(|error| unheard(&error))?,
        };
        match Told::read(&self.buffer[..packet.length]) {
            Some(Told::Refused(why)) => Err(UpgradeError(why)),
            Some(told) => Ok(Some((told, packet.descriptors))),
            None => Err(UpgradeError(
                "what it says is not understood, so it is of another version: restart it in place of an upgrade"
                    .to_owned(),
            )),
        }
    }
}

fn take_up(grips: &[SocketGrip]) {
    grips.iter().for_each(SocketGrip::take_up);
    // It would do no harm if a shard needed longer: what comes meanwhile waits in the kernel.
    wait_until(TAKE_UP / 2, || grips.iter().all(|grip| !grip.is_released()));
}

/// Waits until something holds; `false` where it does not in time. By looks and not by the clock: a machine that stood still for a while
/// has given nobody the time to do anything.
pub(super) fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let looks = limit.as_micros() / LOOK.as_micros();
    (0..looks).any(|_| {
        let is_so = holds();
        if !is_so {
            sleep(LOOK);
        }
        is_so
    })
}

fn unheard(error: &io::Error) -> UpgradeError {
    match error.kind() {
        ErrorKind::WouldBlock => UpgradeError("it does not answer".to_owned()),
        _ => UpgradeError(format!("it cannot be asked: {error}")),
    }
}

fn odd(told: &Told) -> UpgradeError {
    UpgradeError(format!("it says out of turn: {told}"))
}
