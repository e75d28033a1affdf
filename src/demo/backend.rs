//! A backend that answers, as a state machine without I/O: 180 at once, 200 after a short time, 200 to the BYE.
//!
//! ```text
//! ringing --time, 200--> answered --ACK--> talking --BYE, 200--> over
//! ```

use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use bytes::Bytes;

use super::agent::{Agent, Outgoing};
use super::draws::Draws;
use super::figures::Figures;
use super::message::{Message, Start};
use super::reply::Reply;
use super::timers::{Due, GIVE_UP, Retransmission, T2, Timers};

/// How long it rings, in milliseconds.
const RING_MS: Range<u64> = 20..200;

/// The most calls that a backend knows. Beyond it an INVITE is answered 503.
const MAX_CALLS: usize = 131_072;

/// How long a call that is over is remembered, so that a BYE whose answer was lost is answered again: four times.
const LINGER: Duration = Duration::from_secs(8);

/// One backend.
#[derive(Debug)]
pub struct Backend {
    me: SocketAddr,
    index: usize,
    draws: Draws,
    calls: AHashMap<Rc<str>, Answering>,
    timers: Timers,
    figures: Rc<Figures>,
}

/// A call from the backend's side.
#[derive(Debug)]
enum Answering {
    Ringing { until: Instant, ringing: Bytes, answer: Bytes, peer: SocketAddr },
    Answered { answer: Bytes, peer: SocketAddr, retransmission: Retransmission },
    Talking { forget: Instant },
    Over { forget: Instant },
}

impl Backend {
    /// A backend at `me` that counts as the one at place `index`.
    pub fn new(me: SocketAddr, index: usize, draws: Draws, figures: Rc<Figures>) -> Self {
        Backend { me, index, draws, calls: AHashMap::new(), timers: Timers::default(), figures }
    }

    fn on_invite(&mut self, request: &Message<'_>, call_id: &str, peer: SocketAddr, now: Instant) -> Option<Bytes> {
        match self.calls.get(call_id) {
            Some(Answering::Ringing { ringing, .. }) => return Some(ringing.clone()),
            Some(Answering::Answered { answer, .. }) => return Some(answer.clone()),
            Some(_) => return None,
            None if self.calls.len() >= MAX_CALLS => {
                return Some(self.plain(503, "Service Unavailable").write(request, peer));
            }
            None => {}
        }
        let to_tag = self.draws.word();
        let reply = |status, reason, has_body| {
            let contact = Some(self.me);
            Reply { status, reason, to_tag: &to_tag, contact, has_body }.write(request, peer)
        };
        let (ringing, answer) = (reply(180, "Ringing", false), reply(200, "OK", true));
        let until = now + self.draws.duration(RING_MS);
        self.keep(call_id.into(), Answering::Ringing { until, ringing: ringing.clone(), answer, peer });
        self.figures.call_at_backend(self.index);
        Some(ringing)
    }

    /// The ACK ends the retransmission of the 200 (§13.3.1.4).
    fn on_ack(&mut self, call_id: &str, now: Instant) {
        if let Some(call) = self.calls.get_mut(call_id)
            && matches!(call, Answering::Answered { .. })
        {
            *call = Answering::Talking { forget: now + GIVE_UP };
        }
    }

    fn on_bye(&mut self, request: &Message<'_>, call_id: &str, peer: SocketAddr, now: Instant) -> Bytes {
        let Some(call) = self.calls.get_mut(call_id) else {
            return self.plain(481, "Call/Transaction Does Not Exist").write(request, peer);
        };
        *call = Answering::Over { forget: now + LINGER };
        self.plain(200, "OK").write(request, peer)
    }

    /// A response that makes no dialog.
    fn plain<'a>(&self, status: u16, reason: &'a str) -> Reply<'a> {
        Reply { status, reason, to_tag: "backend", contact: None, has_body: false }
    }

    /// Keeps a call, with the one timer that it has: where that finds nothing due, it is set anew.
    fn keep(&mut self, call_id: Rc<str>, call: Answering) {
        self.timers.set(call.due(), call_id.clone());
        self.calls.insert(call_id, call);
    }

    fn on_due(&mut self, call_id: Rc<str>, now: Instant, out: &mut Outgoing) {
        let Some(call) = self.calls.remove(&call_id) else { return };
        match call {
            call if call.due() > now => self.keep(call_id, call),
            Answering::Ringing { answer, peer, .. } => {
                out.push((answer.clone(), peer));
                let retransmission = Retransmission::new(now, T2);
                self.keep(call_id, Answering::Answered { answer, peer, retransmission });
            }
            Answering::Answered { answer, peer, mut retransmission } => {
                if retransmission.look(now) == Due::Again {
                    out.push((answer.clone(), peer));
                    self.keep(call_id, Answering::Answered { answer, peer, retransmission });
                }
            }
            Answering::Talking { .. } | Answering::Over { .. } => {}
        }
    }
}

impl Answering {
    /// When something is due: the answer, its retransmission, or to forget the call.
    fn due(&self) -> Instant {
        match self {
            Answering::Ringing { until, .. } => *until,
            Answering::Answered { retransmission, .. } => retransmission.at(),
            Answering::Talking { forget } | Answering::Over { forget } => *forget,
        }
    }
}

impl Agent for Backend {
    fn on_message(&mut self, message: &Message<'_>, peer: SocketAddr, now: Instant, out: &mut Outgoing) {
        let (Start::Request { method }, Some(call_id)) = (message.start, message.header("Call-ID")) else { return };
        let response = match method {
            "INVITE" => self.on_invite(message, call_id, peer, now),
            "BYE" => Some(self.on_bye(message, call_id, peer, now)),
            "OPTIONS" => Some(self.plain(200, "OK").write(message, peer)),
            "ACK" => {
                self.on_ack(call_id, now);
                None
            }
            _ => Some(self.plain(501, "Not Implemented").write(message, peer)),
        };
        out.extend(response.map(|response| (response, peer)));
    }

    fn on_time(&mut self, now: Instant, out: &mut Outgoing) {
        while let Some(call_id) = self.timers.pop(now) {
            self.on_due(call_id, now, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::timers::T1;

    struct Bench {
        backend: Backend,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let me = "127.0.0.2:5060".parse().unwrap();
            let backend = Backend::new(me, 0, Draws::from_key((1, 2)), Rc::new(Figures::new(1)));
            Bench { backend, now: Instant::now() }
        }

        /// The first lines of what it sends.
        fn receive(&mut self, method: &str) -> Vec<String> {
            let text = format!(
                "{method} sip:b SIP/2.0\r\nVia: SIP/2.0/UDP x;rport\r\nTo: <sip:b>\r\nCall-ID: id\r\nCSeq: 1 {method}\r\n\r\n"
            );
            let mut out = Outgoing::new();
            let message = Message::read(text.as_bytes()).unwrap();
            self.backend.on_message(&message, "127.0.0.1:5060".parse().unwrap(), self.now, &mut out);
            first_lines(out)
        }

        fn wait(&mut self, pause: Duration) -> Vec<String> {
            self.now += pause;
            let mut out = Outgoing::new();
            self.backend.on_time(self.now, &mut out);
            first_lines(out)
        }
    }

    fn first_lines(out: Outgoing) -> Vec<String> {
        let first = |bytes: Bytes| String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
        out.into_iter().map(|(bytes, _)| first(bytes)).collect()
    }

    const RING: Duration = Duration::from_millis(RING_MS.end);

    #[test]
    fn it_rings_at_once_and_answers_after_a_while() {
        let mut bench = Bench::new();
        assert_eq!(bench.receive("INVITE"), ["SIP/2.0 180 Ringing"]);
        assert_eq!(bench.receive("INVITE"), ["SIP/2.0 180 Ringing"], "the 180 was lost");
        assert_eq!(bench.wait(RING), ["SIP/2.0 200 OK"]);
        assert!(bench.receive("ACK").is_empty());
        assert_eq!(bench.receive("BYE"), ["SIP/2.0 200 OK"]);
        assert_eq!(bench.receive("BYE"), ["SIP/2.0 200 OK"], "the answer was lost");
    }

    #[test]
    fn it_answers_again_until_it_is_acknowledged() {
        let mut bench = Bench::new();
        bench.receive("INVITE");
        bench.wait(RING);
        assert_eq!(bench.wait(T1), ["SIP/2.0 200 OK"]);
        assert!(bench.wait(T1).is_empty());
        assert_eq!(bench.wait(T1), ["SIP/2.0 200 OK"]);
        bench.receive("ACK");
        assert!(bench.wait(T2).is_empty());
    }

    #[test]
    fn it_forgets_every_call() {
        for last in ["INVITE", "ACK", "BYE"] {
            let mut bench = Bench::new();
            bench.receive("INVITE");
            bench.wait(RING);
            bench.receive(last);
            for _ in 0..20 {
                bench.wait(T2);
            }
            assert!(bench.backend.calls.is_empty() && bench.backend.timers.pop(bench.now).is_none(), "{last}");
        }
    }

    #[test]
    fn it_knows_what_it_cannot_do() {
        let mut bench = Bench::new();
        assert_eq!(bench.receive("BYE"), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
        assert_eq!(bench.receive("MESSAGE"), ["SIP/2.0 501 Not Implemented"]);
        assert_eq!(bench.receive("OPTIONS"), ["SIP/2.0 200 OK"]);
        assert!(bench.receive("ACK").is_empty());
    }
}
