//! All calls of the caller: started at an even pace, and fed with what comes for them.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use super::agent::{Agent, Outgoing};
use super::call::{Call, Reaction};
use super::draws::Draws;
use super::figures::Figures;
use super::message::Message;
use super::timers::Timers;

/// The most calls in progress. Beyond it no call is started until others end.
const MAX_CALLS: usize = 32_768;

/// How much of the pace is made up for after a pause of the machine. What is older is let go, lest it come as one blow.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The caller.
#[derive(Debug)]
pub struct Caller {
    me: SocketAddr,
    viaduct: SocketAddr,
    pause: Duration,
    /// When the next call is to start; `None` before the first.
    next_start: Option<Instant>,
    draws: Draws,
    calls: AHashMap<Rc<str>, Call>,
    timers: Timers,
    figures: Rc<Figures>,
}

impl Caller {
    /// A caller at `me` that starts so many calls a second through `viaduct`.
    pub fn new(me: SocketAddr, viaduct: SocketAddr, calls_per_second: u32, draws: Draws, figures: Rc<Figures>) -> Self {
        let pause = Duration::from_secs(1) / calls_per_second.max(1);
        let (calls, timers) = (AHashMap::new(), Timers::default());
        Caller { me, viaduct, pause, next_start: None, draws, calls, timers, figures }
    }

    fn start_calls(&mut self, now: Instant, out: &mut Outgoing) {
        let mut next = self.next_start.unwrap_or(now).max(now.checked_sub(CATCH_UP).unwrap_or(now));
        while next <= now {
            next += self.pause;
            if self.calls.len() < MAX_CALLS {
                self.start_call(now, out);
            }
        }
        self.next_start = Some(next);
    }

    fn start_call(&mut self, now: Instant, out: &mut Outgoing) {
        let (call, invite) = Call::start(self.me, self.viaduct, &mut self.draws, now);
        self.timers.set(call.due(), call.id());
        self.calls.insert(call.id(), call);
        self.figures.call_started();
        out.push((invite, self.viaduct));
    }

    fn settle(&mut self, call_id: &Rc<str>, reaction: Reaction, out: &mut Outgoing) {
        out.extend(reaction.send.map(|message| (message, self.viaduct)));
        if let Some(latency) = reaction.first_response {
            self.figures.first_response(latency);
        }
        if let Some(outcome) = reaction.end {
            self.calls.remove(call_id);
            self.figures.call_ended(outcome);
        }
    }
}

impl Agent for Caller {
    fn on_message(&mut self, message: &Message<'_>, _: SocketAddr, now: Instant, out: &mut Outgoing) {
        let Some((call_id, call)) = message.header("Call-ID").and_then(|id| self.calls.get_key_value(id)) else {
            return;
        };
        let (call_id, due) = (call_id.clone(), call.due());
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        let reaction = call.on_response(message, &mut self.draws, now);
        // A later time needs no timer: the one that is set finds nothing due, and is set anew.
        if call.due() < due {
            self.timers.set(call.due(), call_id.clone());
        }
        self.settle(&call_id, reaction, out);
    }

    fn on_time(&mut self, now: Instant, out: &mut Outgoing) {
        if self.figures.is_calling() {
            self.start_calls(now, out);
        }
        while let Some(call_id) = self.timers.pop(now) {
            let Some(call) = self.calls.get_mut(&call_id) else { continue };
            let reaction = call.on_time(now);
            self.timers.set(call.due(), call_id.clone());
            self.settle(&call_id, reaction, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(calls_per_second: u32) -> Caller {
        let address = "127.0.0.1:5060".parse().unwrap();
        Caller::new(address, address, calls_per_second, Draws::from_key((1, 2)), Rc::new(Figures::new(1)))
    }

    fn started(caller: &mut Caller, at: Instant) -> usize {
        let mut out = Outgoing::new();
        caller.start_calls(at, &mut out);
        out.len()
    }

    #[test]
    fn calls_start_at_an_even_pace() {
        let (mut caller, began) = (caller(200), Instant::now());
        let starts = (0..1000).map(|ms| started(&mut caller, began + Duration::from_millis(ms)));
        assert_eq!(starts.sum::<usize>(), 200);
    }

    #[test]
    fn a_pause_of_the_machine_is_not_made_up_for_at_one_blow() {
        let (mut caller, began) = (caller(200), Instant::now());
        assert_eq!(started(&mut caller, began), 1);
        assert_eq!(started(&mut caller, began + Duration::from_secs(3600)), 21);
    }

    #[test]
    fn a_message_for_no_call_is_passed_over() {
        let mut out = Outgoing::new();
        let message = Message::read(b"SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n").unwrap();
        caller(1).on_message(&message, "127.0.0.1:1".parse().unwrap(), Instant::now(), &mut out);
        assert!(out.is_empty());
    }
}
