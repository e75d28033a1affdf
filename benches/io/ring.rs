//! Our ring as it ships, and with one choice changed in each of the others.

use std::net::{IpAddr, Ipv4Addr};

use viaduct::io::{Options, RingSetup};

use crate::Work;

/// What of the ring is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    Shipped,
    Cooperative,
    Plain,
    ManyBuffers,
    SourceAddress,
    Completions,
    UnregisteredFiles,
}

impl Ring {
    /// All but the one as it ships.
    pub const CHANGED: [Ring; 6] = [
        Ring::Cooperative,
        Ring::Plain,
        Ring::ManyBuffers,
        Ring::SourceAddress,
        Ring::Completions,
        Ring::UnregisteredFiles,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Ring::Shipped => "viaduct, io_uring",
            Ring::Cooperative => "  cooperative task run only",
            Ring::Plain => "  plain task run",
            Ring::ManyBuffers => "  2,048 receive buffers",
            Ring::SourceAddress => "  a source address on each send",
            Ring::Completions => "  a completion for each send",
            Ring::UnregisteredFiles => "  unregistered files",
        }
    }

    /// Whether the change has to do with the work. What it cannot change is not measured.
    pub fn concerns(self, work: Work) -> bool {
        match self {
            Ring::ManyBuffers => work == Work::Receive,
            Ring::SourceAddress | Ring::Completions => work != Work::Receive,
            _ => true,
        }
    }

    pub fn options(self) -> Options {
        let (receive_buffers, ring) = match self {
            Ring::Shipped | Ring::SourceAddress => (512, RingSetup::Whole),
            Ring::ManyBuffers => (2048, RingSetup::Whole),
            Ring::Cooperative => (512, RingSetup::CooperativeTaskRun),
            Ring::Plain => (512, RingSetup::PlainTaskRun),
            Ring::Completions => (512, RingSetup::SendCompletions),
            Ring::UnregisteredFiles => (512, RingSetup::UnregisteredFiles),
        };
        Options { receive_buffers, ring, ..Options::default() }
    }

    /// The source address to give with each send: the one that the kernel would choose by itself.
    pub fn source(self) -> Option<IpAddr> {
        (self == Ring::SourceAddress).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}
