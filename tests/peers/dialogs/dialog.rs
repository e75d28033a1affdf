//! A dialog as a user agent keeps it (RFC 3261 §12): its parties, its route set and its remote target.
//!
//! SIPp looked sufficient. Its called cannot send in two dialogs with different next hops, as the parties of an attended
//! transfer must.

use std::net::SocketAddr;

use crate::peers::agent::{Agent, TIMEOUT};

/// What one party knows of a dialog.
pub struct Dialog<'a> {
    agent: &'a Agent,
    /// The Call-ID.
    pub call_id: String,
    /// The party's own value of From, with its tag.
    pub local: String,
    /// The other's, with its tag.
    pub remote: String,
    target: String,
    routes: Vec<String>,
    sequence: u32,
}

/// Makes a call and answers it: INVITE, 200, ACK. `headers` are added to the INVITE, each with its line end. Gives the caller's
/// and the called's view of the dialog, and the INVITE as it arrived.
pub fn call<'a>(
    caller: &'a Agent,
    through: SocketAddr,
    (called, uri): (&'a Agent, &str),
    call_id: &str,
    headers: &str,
) -> (Dialog<'a>, Dialog<'a>, String) {
    let local = format!("<sip:{}>;tag=caller", caller.address);
    let (remote, routes) = (format!("<{uri}>"), Vec::new());
    let call_id = call_id.to_owned();
    let mut calling = Dialog { agent: caller, call_id, local, remote, target: uri.to_owned(), routes, sequence: 0 };
    caller.send(through, &calling.request("INVITE", headers));
    let (invite, from) = expect(called, "INVITE ");
    let answer = answer("200 OK", &invite, called);
    called.send(from, &answer);
    let (answered, _) = expect(caller, "SIP/2.0 200 ");
    calling.routes = values(&answered, "Record-Route").into_iter().rev().collect();
    calling.remote = values(&answered, "To").remove(0);
    calling.target = uri_in(&values(&answered, "Contact")[0]);
    caller.send(calling.next_hop(), &calling.request("ACK", ""));
    expect(called, "ACK ");
    let called = Dialog {
        agent: called,
        call_id: calling.call_id.clone(),
        local: calling.remote.clone(),
        remote: calling.local.clone(),
        target: uri_in(&values(&invite, "Contact")[0]),
        routes: values(&invite, "Record-Route"),
        sequence: 0,
    };
    (calling, called, invite)
}

impl Dialog<'_> {
    /// Sends a request along the route set; `other`, who must get it with no Route left, answers `status`. Gives it as it
    /// arrived.
    pub fn ask(&mut self, other: &Agent, method: &str, headers: &str, status: &str) -> String {
        let request = self.request(method, headers);
        self.agent.send(self.next_hop(), &request);
        let (arrived, from) = expect(other, &format!("{method} {} ", self.target));
        assert!(arrived.contains(&format!("\r\nCall-ID: {}\r\n", self.call_id)), "{arrived}");
        assert_eq!(values(&arrived, "Route"), Vec::<String>::new(), "{arrived}");
        other.send(from, &answer(status, &arrived, other));
        expect(self.agent, &format!("SIP/2.0 {status}"));
        arrived
    }

    /// Sends a request along the route set, which Viaduct itself answers `status`.
    pub fn ask_in_vain(&mut self, method: &str, status: &str) {
        let request = self.request(method, "");
        self.agent.send(self.next_hop(), &request);
        expect(self.agent, &format!("SIP/2.0 {status} "));
    }

    fn request(&mut self, method: &str, headers: &str) -> String {
        self.sequence += u32::from(method != "ACK");
        let Dialog { agent, call_id, local, remote, target, sequence, .. } = self;
        let (at, port) = (agent.address, agent.address.port());
        let routes: String = self.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {at};branch=z9hG4bK{call_id}.{method}{sequence}.{port};rport\r\n\
             Max-Forwards: 70\r\n{routes}\
             From: {local}\r\n\
             To: {remote}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\n\
             Contact: <sip:{at}>\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        )
    }

    /// The address that the topmost Route names (§12.2.1.1).
    fn next_hop(&self) -> SocketAddr {
        let uri = uri_in(&self.routes[0]);
        let host = uri.trim_start_matches("sip:").split(';').next().unwrap_or_default();
        host.rsplit('@').next().unwrap_or_default().parse().unwrap()
    }
}

/// The next message that begins so, past retransmissions and 100s.
fn expect(agent: &Agent, start: &str) -> (String, SocketAddr) {
    for _ in 0..50 {
        let (message, from) = agent.receive().unwrap_or_else(|| panic!("no {start}: {TIMEOUT}"));
        if message.starts_with(start) {
            return (message, from);
        }
    }
    panic!("fifty other messages in the place of {start}");
}

fn answer(status: &str, request: &str, agent: &Agent) -> String {
    let copied = |line: &&str| {
        ["Via:", "Record-Route:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
    };
    let tagged = |line: &str| {
        if line.starts_with("To:") && !line.contains(";tag=") {
            format!("{line};tag=called\r\n")
        } else {
            format!("{line}\r\n")
        }
    };
    let headers: String = request.lines().filter(copied).map(tagged).collect();
    format!("SIP/2.0 {status}\r\n{headers}Contact: <sip:{}>\r\nContent-Length: 0\r\n\r\n", agent.address)
}

/// The values of a header that has one on each line.
fn values(message: &str, name: &str) -> Vec<String> {
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
    message.lines().filter_map(of).collect()
}

fn uri_in(value: &str) -> String {
    let (_, rest) = value.split_once('<').unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}
