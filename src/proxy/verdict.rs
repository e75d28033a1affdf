//! What comes out of a decision.

use std::net::{IpAddr, SocketAddr};

use crate::balance::backend::BackendIndex;
use crate::sip::header::HeaderName;
use crate::sip::overload::LossReport;
use crate::sip::reply::Status;
use crate::sip::start_line::Method;

use super::drain::TurnedAway;
use super::inbound::{ConnectionRef, ListenerIndex, Side};
use super::latency::Sample;
use super::names::name::Wanted;
use super::probe::ProbeAnswer;
use super::trace::Trace;

/// What was decided about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the message is.
    pub kind: MessageKind,
    /// Which side it came from.
    pub side: Side,
    /// What is done with it.
    pub verdict: Verdict,
    /// The token of ours in it that was found damaged or forged. It counts as none.
    pub rejected: Option<RejectedToken>,
    /// The name that the next hop was found by, or that must be resolved before one is found: it is in use.
    pub named: Option<Wanted>,
    /// How the target of a request was found, where it came so far.
    pub trace: Option<Trace>,
    /// How long a backend took, where a response tells.
    pub sample: Option<Sample>,
    /// The question of our own that a response answers.
    pub probe: Option<ProbeAnswer>,
    /// What a backend says of its load, where a response tells.
    pub load: Option<LossReport>,
    /// The backend that a request was refused for, since it has asked for fewer.
    pub shed: Option<BackendIndex>,
    /// The other backend that a request goes to as well: [`decide_second`](super::decide_second) says how.
    pub second: Option<BackendIndex>,
    /// What a request is that was turned away because Viaduct drains.
    pub turned_away: Option<TurnedAway>,
}

impl Decision {
    /// A decision about what is no request, or no valid one.
    pub(super) fn new(kind: MessageKind, side: Side, verdict: Verdict) -> Self {
        Decision {
            kind,
            side,
            verdict,
            rejected: None,
            trace: None,
            named: None,
            sample: None,
            probe: None,
            load: None,
            shed: None,
            second: None,
            turned_away: None,
        }
    }
}

/// A token of ours that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectedToken {
    /// In a Record-Route: the dialog's pin.
    Pin,
    /// In a Path: the client's flow.
    Flow,
}

impl RejectedToken {
    /// Both, in the order of [`RejectedToken::index`].
    pub const ALL: [RejectedToken; 2] = [RejectedToken::Pin, RejectedToken::Flow];

    /// Its place in [`RejectedToken::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            RejectedToken::Pin => "pin",
            RejectedToken::Flow => "flow",
        }
    }
}

/// What is done with a message. Exactly one of these, for every message that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The draft goes on to the next hop.
    Forward {
        /// Where to.
        hop: NextHop,
        /// The side that it goes to.
        to: Side,
        /// For a request, the backend it was balanced to.
        backend: Option<BackendIndex>,
    },
    /// The draft is our own answer; it goes back to where the request came from.
    Answer {
        /// Where to.
        hop: NextHop,
        /// What it says.
        status: Status,
        /// What was wrong with the request, where something was.
        fault: Option<Fault>,
    },
    /// The message has reached its end here, as it should.
    Absorb(AbsorbReason),
    /// The message is discarded.
    Drop(DropReason),
}

/// Where a message is sent, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The listener whose socket it leaves by.
    pub listener: ListenerIndex,
    /// The address it is sent to.
    pub to: SocketAddr,
    /// The address it leaves from; `None` where the socket is bound to one or the kernel may choose.
    pub from: Option<IpAddr>,
    /// Over a stream, the connection that it must go by. Where there is none, any connection to `to` serves, and if need be
    /// one is opened.
    pub connection: Option<ConnectionRef>,
    /// Where that connection is gone, the address that a new one may be opened to in its place.
    pub reconnect: Option<SocketAddr>,
    /// Where that connection is gone, whether what would lead to another is a name that is being resolved: the message is
    /// dropped then, since it came by UDP and is sent again.
    pub awaits_name: bool,
}

/// What a message is, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// A request, well-formed or not.
    Request(Method),
    /// A response with this status code.
    Response(u16),
    /// Not SIP, or not read as far as its first line.
    Unread,
}

impl MessageKind {
    /// How many kinds are counted apart: the methods, the six classes of responses, and what was not read.
    pub const COUNT: usize = Method::COUNT + 7;

    /// The place of a kind among [`MessageKind::COUNT`].
    pub fn index(self) -> usize {
        match self {
            MessageKind::Request(method) => method as usize,
            MessageKind::Response(status) => Method::COUNT + (usize::from(status / 100).clamp(1, 6) - 1),
            MessageKind::Unread => Method::COUNT + 6,
        }
    }
}

/// Why a message ends here as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsorbReason {
    /// It only keeps a NAT binding open.
    Keepalive,
    /// The ACK for an answer of our own (§17.1.1.3); nobody else waits for it.
    AckToOwnAnswer,
    /// An answer to one of two copies of a CANCEL by the backend that does not have its INVITE.
    DoubledAnswer,
    /// An answer to a probe of ours.
    ProbeAnswer,
    /// An OPTIONS for Viaduct itself that is to find nobody while it drains.
    Draining,
    /// It is for a connection of another process, the one before or after an upgrade, and was handed to that.
    HandedOn,
}

impl AbsorbReason {
    /// Every reason, in the order of [`AbsorbReason::index`].
    pub const ALL: [AbsorbReason; 6] =
        [Self::Keepalive, Self::AckToOwnAnswer, Self::DoubledAnswer, Self::ProbeAnswer, Self::Draining, Self::HandedOn];

    /// This reason's place in [`AbsorbReason::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// As a metric label.
    pub fn label(self) -> &'static str {
        match self {
            AbsorbReason::Keepalive => "keepalive",
            AbsorbReason::AckToOwnAnswer => "ack_to_own_answer",
            AbsorbReason::DoubledAnswer => "doubled_answer",
            AbsorbReason::ProbeAnswer => "probe_answer",
            AbsorbReason::Draining => "draining",
            AbsorbReason::HandedOn => "handed_on",
        }
    }
}

/// Why a message is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// It is malformed, and there is nobody to tell or no telling (a response, an ACK, a request without a Via).
    Malformed(Fault),
    /// A response whose topmost Via is not ours, or whose signature does not hold: it answers no request that we
    /// forwarded, or it would go elsewhere than its request came from (§18.1.2).
    ResponseUnverified,
    /// A response with no Via below ours: nobody is left to send it to (§16.7 item 3).
    ResponseExhausted,
    /// An ACK that would have been refused, had it been another request. An ACK is never answered (§8.2.6.1).
    AckRefused,
    /// The next hop is a name that is not resolved yet. UDP retransmits, and by then it is.
    NameBeingResolved,
    /// The outgoing message needs more edits or more text of ours than a draft has room for.
    DraftFull,
}

/// What is wrong with a malformed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first line is not SIP's.
    NotSip,
    /// No empty line ends the headers.
    NoEndOfHead,
    /// More Via and other headers than are noted.
    TooManyHeaders,
    /// A first line of SIP, but not well-formed.
    StartLine,
    /// Another SIP version than 2.0.
    Version,
    /// The Request-URI.
    RequestUri,
    /// A header that stands twice, though it may stand once.
    Repeated(HeaderName),
    /// A header that is missing though it must be there, or whose value cannot be read.
    Header(HeaderName),
}

impl Fault {
    /// How many faults are counted apart; repetitions count with their header.
    pub const COUNT: usize = 6 + HeaderName::COUNT;

    /// The place of a fault among [`Fault::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Fault::NotSip => 0,
            Fault::NoEndOfHead => 1,
            Fault::TooManyHeaders => 2,
            Fault::StartLine => 3,
            Fault::Version => 4,
            Fault::RequestUri => 5,
            Fault::Repeated(name) | Fault::Header(name) => 6 + name as usize,
        }
    }
}
