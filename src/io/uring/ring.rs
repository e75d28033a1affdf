//! The ring: its set-up, and the one system call of a turn.
//!
//! A kernel thread that polls the submission queue looks faster, as it spares the system call. It costs
//! a core per ring, and the system call is a small part of a batch's cost.

use std::io;
use std::time::Duration;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter};

use super::operation::Operation;
use crate::io::{Options, Unavailable};

/// A ring that one thread submits to. As shipped it runs its completions only inside [`Ring::enter`]; nothing relies on
/// that, since a [`RingSetup`](crate::io::RingSetup) can take it back.
pub(crate) struct Ring(IoUring);

/// How long to wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// At most this long.
    For(Duration),
    /// Until there is one.
    Forever,
}

impl Ring {
    /// Builds a ring for `sockets` receivers and listeners and the sizes of `options`.
    ///
    /// The submission queue has room for all send slots, all receivers and listeners, the doorbell and
    /// what streams push in a turn at once, so a push never fails. The completion queue has room for
    /// everything of datagrams that can complete before it is emptied: a completion per buffer (buffers
    /// go back only after the queue has been emptied), the end of each receive, one per slot, and
    /// the doorbell; and for the buffers and submissions of streams. Many connections can complete more
    /// than that. The kernel then keeps what does not fit and says so by [`Ring::has_overflown`].
    ///
    /// Errors: `EPERM` or `ENOSYS` where it is forbidden, `ENOMEM` for want of locked memory, `EINVAL`
    /// on kernels before 6.1.
    pub(crate) fn open(sockets: usize, options: &Options) -> Result<Self, Unavailable> {
        let receivers = u32::try_from(sockets).unwrap_or(u32::MAX / 4);
        let operations = u32::from(options.send_slots) + receivers + 1 + STREAM_SUBMISSIONS_MAX;
        let buffers = u32::from(options.receive_buffers) + u32::from(options.streams.receive_buffers);
        let completions = operations + buffers + SPARE_COMPLETIONS;
        let entries = operations.next_power_of_two();
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_submit_all();
        builder.setup_cqsize(completions.next_power_of_two().max(entries));
        options.ring.set_task_run(&mut builder);
        builder.build(entries).map(Self).map_err(|error| Unavailable::at("creating the io_uring", error))
    }

    /// Registration calls.
    pub(crate) fn submitter(&self) -> Submitter<'_> {
        self.0.submitter()
    }

    /// The submission queue; what is pushed is visible to the kernel once the queue is dropped.
    pub(crate) fn submissions(&mut self) -> SubmissionQueue<'_> {
        self.0.submission()
    }

    /// The completions there are.
    pub(crate) fn completions(&mut self) -> CompletionQueue<'_> {
        self.0.completion()
    }

    /// How many submissions the kernel has not consumed; the ones pushed last.
    pub(crate) fn unconsumed(&mut self) -> usize {
        self.0.submission().len()
    }

    /// Whether the kernel holds completions that did not fit. The next [`Ring::enter`] posts them.
    pub(crate) fn has_overflown(&mut self) -> bool {
        self.0.submission().cq_overflow()
    }

    /// Whether the kernel has completions that it will post in the next [`Ring::enter`]. One call
    /// posts only some tens of them. (A plain ring never has: it posts them without being asked.)
    pub(crate) fn has_work(&mut self) -> bool {
        let queue = self.0.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Submits what was pushed, runs the kernel's pending work and waits. Being interrupted, running
    /// into the timeout and passing shortages of the kernel are no errors: what was not consumed is
    /// tried again by the next call.
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        if wait == Wait::No && self.unconsumed() == 0 && !self.has_work() {
            return Ok(());
        }
        let submitter = self.0.submitter();
        let result = match wait {
            Wait::No => submitter.submit_and_wait(0),
            Wait::Forever => submitter.submit_and_wait(1),
            Wait::For(timeout) => {
                let timeout = Timespec::from(timeout.min(WAIT_MAX));
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
        };
        match result {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Asks the kernel to end an operation, which still posts its last completion, in an [`Ring::enter`] after this.
    pub(crate) fn cancel(&self, operation: Operation) {
        let timeout = Some(Timespec::from(CANCEL_TIMEOUT));
        // Where there is none any more, its last completion is on its way.
        let _ = self.0.submitter().register_sync_cancel(timeout, CancelBuilder::user_data(operation.user_data()));
    }

    /// Asks the kernel to end all operations; false if there are none. Each still posts its last
    /// completion, in an [`Ring::enter`] after this.
    pub(crate) fn cancel_all(&mut self) -> bool {
        let timeout = Some(Timespec::from(CANCEL_TIMEOUT));
        let result = self.0.submitter().register_sync_cancel(timeout, CancelBuilder::any());
        !matches!(result, Err(error) if error.raw_os_error() == Some(libc::ENOENT))
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parameters = self.0.params();
        formatter
            .debug_struct("Ring")
            .field("submissions", &parameters.sq_entries())
            .field("completions", &parameters.cq_entries())
            .finish()
    }
}

/// How many operations streams submit in one turn. What is beyond that waits for the next. With the default sizes
/// the queues are as large without it.
pub(crate) const STREAM_SUBMISSIONS_MAX: u32 = 512;

/// For the doorbell, whose read may complete and be pushed again before the queue is emptied.
const SPARE_COMPLETIONS: u32 = 8;

/// The kernel refuses times beyond its own range; no caller minds waking once a day.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// Receives and reads are found at once; sends never wait.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN))
}
