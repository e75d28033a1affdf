//! A channel to another process on this machine: packets of bytes, with descriptors beside them (unix(7), `SCM_RIGHTS`).
//!
//! A stream looked more usual. Descriptors go with the byte that they were sent with, so whoever reads a stream must know in
//! advance where to stop; a packet is read whole or not at all.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

use super::descriptors::peer_user;

/// One end of a channel.
#[derive(Debug)]
pub struct Channel(Socket);

/// A packet that was received.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes of the buffer are it.
    pub length: usize,
    /// The descriptors beside it.
    pub descriptors: Vec<OwnedFd>,
}

/// Where channels are opened to, by the name of a file that only its owner may open.
#[derive(Debug)]
pub struct ChannelListener {
    socket: Socket,
    path: PathBuf,
    /// Its name until it has that one.
    beside: PathBuf,
    /// Which file it is: the name may be another's by now.
    file: (u64, u64),
    /// The name is another's, or about to be.
    is_left: AtomicBool,
}

/// The most descriptors that go with one packet. The kernel takes 253.
pub const DESCRIPTORS_MAX: usize = 64;

impl Channel {
    /// Opens a channel to the process that listens at that path; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Those of connect(2), `PermissionDenied` where the process is another user's, and `InvalidInput` where something else is
    /// there than a socket, which whoever listens there next would take away.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "there is a file that is no socket"));
        }
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        match socket.connect(&SockAddr::unix(path)?) {
            Ok(()) => Channel(socket).of_own_user().map(Some),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// For how long a packet is waited for, and how long one may take to be sent; `None` is for ever.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(patience)?;
        self.0.set_write_timeout(patience)
    }

    /// Sends a packet, with at most [`DESCRIPTORS_MAX`] descriptors.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "too many descriptors for one packet"));
        }
        let sent =
            retry_on_intr(|| rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
        if sent == bytes.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
    }

    /// Waits for a packet. One of no bytes is the end: the other process has closed its end.
    ///
    /// # Errors
    ///
    /// `InvalidData` where the buffer is too small for it, `WouldBlock` where none came in time.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Packet> {
        let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received =
            retry_on_intr(|| rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors = rights.flatten().collect();
        if received.flags.intersects(rustix::net::ReturnFlags::TRUNC | rustix::net::ReturnFlags::CTRUNC) {
            return Err(io::Error::new(ErrorKind::InvalidData, "a packet was too long"));
        }
        Ok(Packet { length: received.bytes, descriptors })
    }

    /// Another end of the same, for another thread.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Channel)
    }

    /// Ends it for both processes, also for who waits.
    pub fn shut(&self) {
        // Where the other has done so before, there is nothing left to do.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// A process of root's may do whatever it likes anyway.
    fn of_own_user(self) -> io::Result<Self> {
        let user = peer_user(self.0.as_fd())?;
        if user == geteuid().as_raw() || user == ROOT {
            return Ok(self);
        }
        let wrong = format!("it is of a process of user {user}");
        Err(io::Error::new(ErrorKind::PermissionDenied, wrong))
    }
}

const ROOT: u32 = 0;

impl ChannelListener {
    /// Listens beside that path, where nobody looks, until it is [named](ChannelListener::name). Nobody but the owner may open the
    /// file.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        let beside = PathBuf::from(beside);
        // One that a process of this number has left behind.
        let _ = fs::remove_file(&beside);
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.bind(&SockAddr::unix(&beside)?)?;
        let listening = fs::set_permissions(&beside, Permissions::from_mode(0o600))
            .and_then(|()| socket.listen(BACKLOG))
            .and_then(|()| fs::metadata(&beside));
        match listening {
            Ok(made) => {
                let (path, file, is_left) = (path.to_owned(), identity(&made), AtomicBool::new(false));
                Ok(ChannelListener { socket, path, beside, file, is_left })
            }
            Err(error) => {
                let _ = fs::remove_file(&beside);
                Err(error)
            }
        }
    }

    /// Is found by the path from here on, in the place of whoever was found there before.
    pub fn name(&self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }

    /// Waits for a process that opens a channel. An error is one process's: the next may be waited for.
    pub fn accept(&self) -> io::Result<Channel> {
        Channel(self.socket.accept()?.0).of_own_user()
    }

    /// Leaves the name to another process, which is to bind it.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::Release);
    }

    /// Takes the name away, unless it is another's.
    pub fn withdraw(&self) {
        if self.is_left.swap(true, Ordering::AcqRel) {
            return;
        }
        for name in [&self.beside, &self.path] {
            if fs::metadata(name).is_ok_and(|found| identity(&found) == self.file) {
                let _ = fs::remove_file(name);
            }
        }
    }
}

impl Drop for ChannelListener {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Nobody waits but who is to take over.
const BACKLOG: i32 = 4;

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("viaduct-channel-{name}-{}", std::process::id()))
    }

    fn named(path: &Path) -> ChannelListener {
        let listener = ChannelListener::bind(path).unwrap();
        listener.name().unwrap();
        listener
    }

    #[test]
    fn a_socket_that_is_passed_is_the_same_socket_with_what_waits_in_it() {
        let path = path("passed");
        let listener = named(&path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"waiting", address).unwrap();
        let passing = thread::spawn(move || listener.accept().unwrap().send(b"here", &[socket.as_fd()]));
        let channel = Channel::open(&path).unwrap().expect("somebody listens");
        let mut buffer = [0; 64];
        let Packet { length, descriptors } = channel.receive(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], descriptors.len()), (&b"here"[..], 1));
        passing.join().unwrap().unwrap();
        let socket = UdpSocket::from(descriptors.into_iter().next().unwrap());
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"waiting");
        assert_eq!(channel.receive(&mut buffer).unwrap().length, 0, "the other end is closed");
        assert!(Channel::open(&path).unwrap().is_none() && !path.exists());
    }

    #[test]
    fn who_binds_later_has_the_name_and_who_was_before_leaves_it_alone() {
        let path = path("name");
        let first = named(&path);
        let second = ChannelListener::bind(&path).unwrap();
        assert!(Channel::open(&path).unwrap().is_some() && first.accept().is_ok(), "the second has no name yet");
        second.name().unwrap();
        drop(first);
        assert!(Channel::open(&path).unwrap().is_some());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let path = path("file");
        fs::write(&path, "settings").unwrap();
        assert_eq!(Channel::open(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::read_to_string(&path).unwrap(), "settings");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_packet_that_is_too_long_or_does_not_come_is_an_error() {
        let path = path("errors");
        let listener = named(&path);
        let channel = Channel::open(&path).unwrap().unwrap();
        let other = listener.accept().unwrap();
        channel.set_patience(Some(Duration::from_millis(20))).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(channel.receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.send(b"too long", &[]).unwrap();
        assert_eq!(channel.receive(&mut buffer).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
