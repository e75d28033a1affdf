//! How the ring waits for the doorbell: by a read of its eventfd.
//!
//! A multishot poll looks cheaper, as it is armed once. The eventfd would stay readable, and somebody must read it.

use io_uring::opcode;
use io_uring::squeue::Entry;

use super::files::File;
use super::operation::Operation;
use crate::io::Doorbell;

#[derive(Debug)]
pub(super) struct Bell {
    pub(super) doorbell: Doorbell,
    pub(super) armed: bool,
    /// Where the kernel writes the eventfd's count. Boxed, so that it does not move with the engine.
    count: Box<u64>,
}

impl Bell {
    pub(super) fn new(doorbell: &Doorbell) -> Self {
        Self { doorbell: doorbell.clone(), armed: false, count: Box::new(0) }
    }

    /// The read that completes when the bell is rung, and empties the eventfd by it.
    pub(super) fn read(&mut self, file: File) -> Entry {
        let count: *mut u64 = &mut *self.count;
        opcode::Read::new(file.number, count.cast(), size_of::<u64>() as u32)
            .build()
            .flags(file.flags)
            .user_data(Operation::Doorbell.user_data())
    }

    /// Keeps the memory for ever, for the case that the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        Box::leak(std::mem::take(&mut self.count));
    }
}
