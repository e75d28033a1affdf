//! One call from the caller's side, as a state machine without I/O: messages and the time go in, messages come out.
//!
//! ```text
//! calling --1xx--> proceeding --2xx, ACK--> talking --BYE--> leaving --2xx--> completed
//! ```

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dialog::{Dialog, RequestLine};
use super::draws::Draws;
use super::message::{Message, Start};
use super::timers::{Due, GIVE_UP, Retransmission, T2};

/// How long the parties talk.
pub const TALK: Duration = Duration::from_millis(500);

/// A call in progress.
#[derive(Debug)]
pub struct Call {
    dialog: Dialog,
    state: State,
    /// The request that is retransmitted: the INVITE, then the BYE.
    request: Bytes,
    invite_branch: String,
    bye_branch: String,
    ack: Option<Bytes>,
    invited_at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Calling(Retransmission),
    Proceeding { give_up: Instant },
    Talking { until: Instant },
    Leaving(Retransmission),
}

/// What a call does about what happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// A message to Viaduct.
    pub send: Option<Bytes>,
    /// How long the first response to the INVITE took, where this was the first.
    pub first_response: Option<Duration>,
    /// How the call ended, where it did.
    pub end: Option<Result<(), Failure>>,
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The INVITE had no final response in time.
    NoAnswer,
    /// The INVITE was refused, with this status.
    Refused(u16),
    /// A 2xx lacked To or Contact.
    Unusable,
    /// The BYE had no response in time.
    NoAnswerToBye,
    /// The BYE was refused, with this status.
    ByeRefused(u16),
    /// The demo ended first.
    Unfinished,
}

impl Call {
    /// A call, and its INVITE.
    pub fn start(me: SocketAddr, viaduct: SocketAddr, draws: &mut Draws, now: Instant) -> (Self, Bytes) {
        let dialog = Dialog::new(me, viaduct, draws);
        let (invite_branch, bye_branch) = (draws.branch(), draws.branch());
        let request = dialog.request(RequestLine { method: "INVITE", number: 1, branch: &invite_branch });
        let call = Call {
            dialog,
            state: State::Calling(Retransmission::new(now, GIVE_UP)),
            request: request.clone(),
            invite_branch,
            bye_branch,
            ack: None,
            invited_at: now,
        };
        (call, request)
    }

    /// Its Call-ID.
    pub fn id(&self) -> Rc<str> {
        self.dialog.call_id.clone()
    }

    /// When [`Call::on_time`] is to be asked next.
    pub fn due(&self) -> Instant {
        match &self.state {
            State::Calling(retransmission) | State::Leaving(retransmission) => retransmission.at(),
            State::Proceeding { give_up } => *give_up,
            State::Talking { until } => *until,
        }
    }

    /// A response came. One that belongs to no transaction of this call is passed over (§17.1.3).
    pub fn on_response(&mut self, response: &Message<'_>, draws: &mut Draws, now: Instant) -> Reaction {
        let Start::Response { status } = response.start else { return Reaction::default() };
        match (response.cseq_method(), response.only_branch()) {
            (Some("INVITE"), Some(branch)) if branch == self.invite_branch => {
                self.on_invite_response(status, response, draws, now)
            }
            (Some("BYE"), Some(branch)) if branch == self.bye_branch => self.on_bye_response(status),
            _ => Reaction::default(),
        }
    }

    /// The time has come that [`Call::due`] named, or later.
    pub fn on_time(&mut self, now: Instant) -> Reaction {
        match &mut self.state {
            State::Calling(retransmission) => match retransmission.look(now) {
                Due::Wait => Reaction::default(),
                Due::Again => Reaction::send(self.request.clone()),
                Due::GiveUp => Reaction::failed(Failure::NoAnswer),
            },
            State::Leaving(retransmission) => match retransmission.look(now) {
                Due::Wait => Reaction::default(),
                Due::Again => Reaction::send(self.request.clone()),
                Due::GiveUp => Reaction::failed(Failure::NoAnswerToBye),
            },
            State::Proceeding { give_up } if now >= *give_up => Reaction::failed(Failure::NoAnswer),
            State::Talking { until } if now >= *until => self.hang_up(now),
            State::Proceeding { .. } | State::Talking { .. } => Reaction::default(),
        }
    }

    fn on_invite_response(&mut self, status: u16, response: &Message<'_>, draws: &mut Draws, now: Instant) -> Reaction {
        if !matches!(self.state, State::Calling(_) | State::Proceeding { .. }) {
            // A 2xx again: its ACK was lost (§13.2.2.4).
            return Reaction { send: self.ack.clone().filter(|_| (200..300).contains(&status)), ..Reaction::default() };
        }
        let first = matches!(self.state, State::Calling(_)).then(|| now - self.invited_at);
        let reaction = match status {
            100..=199 => {
                self.state = State::Proceeding { give_up: now + GIVE_UP };
                Reaction::default()
            }
            200..=299 => self.acknowledge(response, draws, now),
            _ => self.acknowledge_refusal(status, response),
        };
        Reaction { first_response: first, ..reaction }
    }

    /// The ACK for a 2xx is a transaction of its own, with a branch of its own (§13.2.2.4).
    fn acknowledge(&mut self, response: &Message<'_>, draws: &mut Draws, now: Instant) -> Reaction {
        if self.dialog.answered(response).is_none() {
            return Reaction::failed(Failure::Unusable);
        }
        let ack = self.dialog.request(RequestLine { method: "ACK", number: 1, branch: &draws.branch() });
        self.ack = Some(ack.clone());
        self.state = State::Talking { until: now + TALK };
        Reaction::send(ack)
    }

    /// The ACK for a refusal belongs to the INVITE's transaction and has its branch (§17.1.1.3).
    fn acknowledge_refusal(&mut self, status: u16, response: &Message<'_>) -> Reaction {
        if self.dialog.refused(response).is_none() {
            return Reaction::failed(Failure::Unusable);
        }
        let ack = self.dialog.request(RequestLine { method: "ACK", number: 1, branch: &self.invite_branch });
        Reaction { send: Some(ack), ..Reaction::failed(Failure::Refused(status)) }
    }

    fn hang_up(&mut self, now: Instant) -> Reaction {
        self.request = self.dialog.request(RequestLine { method: "BYE", number: 2, branch: &self.bye_branch });
        self.state = State::Leaving(Retransmission::new(now, T2));
        Reaction::send(self.request.clone())
    }

    fn on_bye_response(&mut self, status: u16) -> Reaction {
        match (&self.state, status) {
            (State::Leaving(_), 200..=299) => Reaction { end: Some(Ok(())), ..Reaction::default() },
            (State::Leaving(_), 300..) => Reaction::failed(Failure::ByeRefused(status)),
            _ => Reaction::default(),
        }
    }
}

impl Reaction {
    fn send(message: Bytes) -> Self {
        Reaction { send: Some(message), ..Reaction::default() }
    }

    fn failed(failure: Failure) -> Self {
        Reaction { end: Some(Err(failure)), ..Reaction::default() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NoAnswer => write!(f, "INVITE not answered"),
            Failure::Refused(status) => write!(f, "INVITE refused with {status}"),
            Failure::Unusable => write!(f, "response without To or Contact"),
            Failure::NoAnswerToBye => write!(f, "BYE not answered"),
            Failure::ByeRefused(status) => write!(f, "BYE refused with {status}"),
            Failure::Unfinished => write!(f, "unfinished at the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::timers::T1;

    struct Bench {
        call: Call,
        invite: String,
        draws: Draws,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let (mut draws, now) = (Draws::from_key((1, 2)), Instant::now());
            let address = |text: &str| text.parse().unwrap();
            let (call, invite) = Call::start(address("127.0.0.1:4000"), address("127.0.0.1:5060"), &mut draws, now);
            Bench { call, invite: text(invite), draws, now }
        }

        /// Answers the request of that branch.
        fn respond(&mut self, status: u16, request: &str) -> Reaction {
            let request = Message::read(request.as_bytes()).unwrap();
            let (via, cseq) = (request.header("Via").unwrap(), request.header("CSeq").unwrap());
            let response = format!(
                "SIP/2.0 {status} Text\r\nVia: {via}\r\nTo: <sip:b@c>;tag=t\r\nCSeq: {cseq}\r\nContact: <sip:b@127.0.0.2:9>\r\n\r\n"
            );
            self.call.on_response(&Message::read(response.as_bytes()).unwrap(), &mut self.draws, self.now)
        }

        fn wait(&mut self, pause: Duration) -> Reaction {
            self.now += pause;
            self.call.on_time(self.now)
        }
    }

    fn text(message: Bytes) -> String {
        String::from_utf8(message.to_vec()).unwrap()
    }

    fn branch(message: &str) -> String {
        Message::read(message.as_bytes()).unwrap().only_branch().unwrap().to_owned()
    }

    #[test]
    fn a_call_rings_is_acknowledged_talks_and_is_hung_up() {
        let mut bench = Bench::new();
        let invite = bench.invite.clone();
        bench.now += Duration::from_millis(3);
        let ringing = bench.respond(180, &invite);
        assert_eq!(ringing, Reaction { first_response: Some(Duration::from_millis(3)), ..Reaction::default() });
        let answered = bench.respond(200, &invite);
        assert_eq!(answered.first_response, None);
        let ack = text(answered.send.unwrap());
        assert!(ack.starts_with("ACK sip:b@127.0.0.2:9 SIP/2.0\r\n") && ack.contains("CSeq: 1 ACK\r\n"));
        assert_ne!(branch(&ack), branch(&invite));
        assert_eq!(bench.wait(TALK - Duration::from_millis(1)), Reaction::default());
        let bye = text(bench.wait(TALK).send.unwrap());
        assert!(bye.starts_with("BYE ") && bye.contains("CSeq: 2 BYE\r\n"));
        assert_eq!(bench.respond(200, &bye).end, Some(Ok(())));
    }

    #[test]
    fn an_invite_is_sent_again_until_something_is_heard() {
        let mut bench = Bench::new();
        let invite = bench.invite.clone();
        assert_eq!(bench.wait(T1).send.map(text).as_ref(), Some(&invite));
        assert_eq!(bench.wait(T1).send, None);
        assert_eq!(bench.wait(T1).send.map(text).as_ref(), Some(&invite));
        bench.respond(180, &invite);
        assert_eq!(bench.wait(T2).send, None);
        assert_eq!(bench.wait(GIVE_UP).end, Some(Err(Failure::NoAnswer)));
    }

    #[test]
    fn a_2xx_that_comes_again_is_acknowledged_by_the_same_ack() {
        let mut bench = Bench::new();
        let invite = bench.invite.clone();
        let ack = bench.respond(200, &invite).send;
        assert!(ack.is_some());
        assert_eq!(bench.respond(200, &invite), Reaction { send: ack.clone(), ..Reaction::default() });
        bench.wait(TALK);
        assert_eq!(bench.respond(200, &invite).send, ack);
    }

    #[test]
    fn a_refusal_is_acknowledged_with_the_branch_of_the_invite() {
        let mut bench = Bench::new();
        let invite = bench.invite.clone();
        let refused = bench.respond(503, &invite);
        assert_eq!(refused.end, Some(Err(Failure::Refused(503))));
        let ack = text(refused.send.unwrap());
        assert_eq!(branch(&ack), branch(&invite));
        assert!(ack.starts_with("ACK sip:reception@127.0.0.1:5060 ") && ack.contains("To: <sip:b@c>;tag=t\r\n"));
    }

    #[test]
    fn a_bye_is_sent_again_until_it_is_answered_or_given_up() {
        let mut bench = Bench::new();
        let invite = bench.invite.clone();
        bench.respond(200, &invite);
        let bye = bench.wait(TALK).send;
        assert_eq!(bench.wait(T1).send, bye);
        assert_eq!(bench.respond(481, &text(bye.unwrap())).end, Some(Err(Failure::ByeRefused(481))));
        assert_eq!(bench.wait(GIVE_UP).end, Some(Err(Failure::NoAnswerToBye)));
    }

    #[test]
    fn a_response_of_another_transaction_is_passed_over() {
        let mut bench = Bench::new();
        let other = bench.invite.replace("branch=z9hG4bK", "branch=z9hG4bKother");
        assert_eq!(bench.respond(200, &other), Reaction::default());
    }
}
