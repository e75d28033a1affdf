//! A batch of datagrams received by one recvmmsg, and the memory it is received into.

use std::os::fd::RawFd;
use std::{io, mem, ptr, slice};

use crate::io::Datagram;
use crate::io::control::{self, ANCILLARY_BYTES, NAME_BYTES};
use crate::io::region::{Region, stride};

/// Memory for one batch, used again for every socket and every turn.
#[derive(Debug)]
pub(super) struct Batch {
    payloads: Region,
    stride: usize,
    bytes: usize,
    prefixes: Vec<Prefix>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// Where the kernel writes what precedes a payload.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Prefix {
    name: [u8; NAME_BYTES],
    control: [u8; ANCILLARY_BYTES],
}

impl Batch {
    /// Makes room for up to `count` datagrams of `bytes` each, and for no more than are useful.
    pub(super) fn new(count: u16, bytes: u32) -> io::Result<Self> {
        let count = usize::from(count).min(DATAGRAMS_MAX);
        let bytes = bytes as usize;
        let stride = stride(bytes);
        let prefix = Prefix { name: [0; NAME_BYTES], control: [0; ANCILLARY_BYTES] };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: a message header of zeroes is valid: null pointers with zero lengths.
        let header: libc::mmsghdr = unsafe { mem::zeroed() };
        Ok(Self {
            payloads: Region::zeroed(stride * count)?,
            stride,
            bytes,
            prefixes: vec![prefix; count],
            vectors: vec![vector; count],
            headers: vec![header; count],
        })
    }

    /// How many datagrams one call receives at most.
    pub(super) fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// Receives what there is, without waiting, and says how many datagrams. Nothing to receive and an
    /// interruption count as none; other errors are those of the socket's peers.
    pub(super) fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        self.address();
        // SAFETY: each header points to memory of this batch that is as large as it says and is not
        // otherwise in use during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
            error if is_nothing(&error) => Ok(0),
            error => Err(error),
        })
    }

    /// The datagram at `index` of the last call (`None` if its sender cannot be read), and the socket's
    /// drop counter where the kernel gave it.
    pub(super) fn message(&self, index: usize, socket: usize) -> (Option<Datagram<'_>>, Option<u32>) {
        let header = &self.headers[index];
        let prefix = &self.prefixes[index];
        let name_length = (header.msg_hdr.msg_namelen as usize).min(NAME_BYTES);
        let control_length: usize = header.msg_hdr.msg_controllen as _;
        let control = &prefix.control[..control_length.min(ANCILLARY_BYTES)];
        let ancillary = control::ancillary(control);
        let datagram = control::address(&prefix.name[..name_length]).map(|peer| Datagram {
            socket,
            peer,
            local: ancillary.local,
            bytes: self.payload(index, header.msg_len as usize),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        });
        (datagram, ancillary.drops)
    }

    fn payload(&self, index: usize, length: usize) -> &[u8] {
        let start = self.payloads.at(index * self.stride);
        // SAFETY: the range lies within the mapping, which is initialised by being mapped; the kernel
        // writes it only during `receive`, which needs this batch for itself.
        unsafe { slice::from_raw_parts(start, length.min(self.bytes)) }
    }

    /// Points the headers at the memory and sets the room there is, which the kernel overwrote with
    /// what it used.
    fn address(&mut self) {
        for (index, header) in self.headers.iter_mut().enumerate() {
            let prefix = &mut self.prefixes[index];
            let vector = &mut self.vectors[index];
            vector.iov_base = self.payloads.at(index * self.stride).cast();
            vector.iov_len = self.bytes;
            let header = &mut header.msg_hdr;
            header.msg_name = prefix.name.as_mut_ptr().cast();
            header.msg_namelen = NAME_BYTES as u32;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = prefix.control.as_mut_ptr().cast();
            header.msg_controllen = ANCILLARY_BYTES as _;
            header.msg_flags = 0;
        }
    }
}

/// Datagrams per call. More gain nothing measurable and hold up the other sockets longer.
const DATAGRAMS_MAX: usize = 32;

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
