//! Which choices of the ring can be taken back, so that it can be measured what each of them brings.
//!
//! A ring of the bench's own looks cleaner than a field of `Options`. It would say `unsafe` outside of `io`, and what
//! it measured would not be the engine that ships.

use io_uring::{Builder, squeue};

/// The ring's set-up: all of it, or all but one choice. It is there to be measured by `cargo bench --bench io` and is
/// not a setting: the engine does the same with each, at another cost, and none costs less than the default. The poll
/// engine ignores it.
///
/// Single issuer and submit-all belong to each: the first costs nothing and is what deferred task run asks for, and
/// without the second one bad send would hold back those after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RingSetup {
    /// As shipped: deferred and cooperative task run, registered files, sends that post a completion only if they fail.
    #[default]
    Whole,
    /// Without `IORING_SETUP_DEFER_TASKRUN`: what arrives is received whenever the thread leaves the kernel, not only
    /// inside the engine's own call.
    CooperativeTaskRun,
    /// Without `IORING_SETUP_COOP_TASKRUN` too: the kernel interrupts the thread to receive what arrives.
    PlainTaskRun,
    /// Files named by their descriptors, which the kernel looks up and counts for each operation.
    UnregisteredFiles,
    /// Without `IOSQE_CQE_SKIP_SUCCESS`: each send posts a completion. The engine takes no notice of those that say
    /// success, but they end its waits.
    SendCompletions,
}

impl RingSetup {
    /// Each of them.
    pub const ALL: [Self; 5] =
        [Self::Whole, Self::CooperativeTaskRun, Self::PlainTaskRun, Self::UnregisteredFiles, Self::SendCompletions];

    /// Sets when the kernel runs what completes operations. A plain ring has no flag that says that there is such work,
    /// and needs none: it is done before the thread is back in its own code.
    pub(super) fn set_task_run(self, builder: &mut Builder) {
        match self {
            Self::PlainTaskRun => {}
            Self::CooperativeTaskRun => {
                builder.setup_coop_taskrun().setup_taskrun_flag();
            }
            Self::Whole | Self::UnregisteredFiles | Self::SendCompletions => {
                builder.setup_defer_taskrun().setup_coop_taskrun().setup_taskrun_flag();
            }
        }
    }

    pub(super) fn registers_files(self) -> bool {
        self != Self::UnregisteredFiles
    }

    /// The flags of a datagram's send.
    pub(super) fn send_flags(self) -> squeue::Flags {
        match self {
            Self::SendCompletions => squeue::Flags::empty(),
            _ => squeue::Flags::SKIP_SUCCESS,
        }
    }
}
