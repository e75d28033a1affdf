//! How operations name their files: by places in the ring's own table, or by descriptors.
//!
//! The `Fixed` and `Fd` of the `io-uring` crate look made for it. They are two types with nothing in common that can be
//! named, so each operation would be written twice; but all they differ by is one flag of the operation.

use std::os::fd::{AsRawFd, RawFd};

use io_uring::Submitter;
use io_uring::squeue::Flags;
use io_uring::types::Fd;

use super::RingSetup;
use crate::io::{Doorbell, Sockets, Unavailable};

/// The files of an engine: UDP sockets, the doorbell, listeners.
#[derive(Debug)]
pub(super) struct Files {
    descriptors: Vec<RawFd>,
    /// Where the doorbell stands.
    doorbell: usize,
    registered: bool,
}

/// What an operation needs to name a file: both fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) number: Fd,
    pub(super) flags: Flags,
}

impl Files {
    /// Takes the files into the ring's table, unless `setup` says otherwise. They must stay open until the ring is
    /// gone.
    pub(super) fn open(
        submitter: &Submitter<'_>,
        sockets: &Sockets,
        doorbell: &Doorbell,
        setup: RingSetup,
    ) -> Result<Self, Unavailable> {
        let mut descriptors: Vec<_> = sockets.datagrams.iter().map(AsRawFd::as_raw_fd).collect();
        descriptors.push(doorbell.descriptor());
        descriptors.extend(sockets.listeners.iter().map(AsRawFd::as_raw_fd));
        if setup.registers_files() {
            let registered = submitter.register_files(&descriptors);
            registered.map_err(|error| Unavailable::at("registering sockets with io_uring", error))?;
        }
        Ok(Self { descriptors, doorbell: sockets.datagrams.len(), registered: setup.registers_files() })
    }

    pub(super) fn doorbell(&self) -> File {
        self.at(self.doorbell)
    }

    pub(super) fn listener(&self, index: usize) -> File {
        self.at(self.doorbell + 1 + index)
    }

    /// A UDP socket. One that does not exist has a name by which the kernel refuses to send.
    pub(super) fn socket(&self, index: usize) -> File {
        self.at(index)
    }

    fn at(&self, index: usize) -> File {
        match self.descriptors.get(index) {
            Some(_) if self.registered => File { number: Fd(index as RawFd), flags: Flags::FIXED_FILE },
            Some(&descriptor) => File { number: Fd(descriptor), flags: Flags::empty() },
            None => File { number: Fd(NO_FILE), flags: Flags::empty() },
        }
    }
}

/// What the kernel takes for no descriptor.
const NO_FILE: RawFd = -1;
