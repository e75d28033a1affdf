//! User agents with dialogs (RFC 3261 §8, §12, §13, §15): route sets in the right order, tags, CSeq, ACK and CANCEL by
//! their rules. A scenario says what they ask for; what they answer follows from the request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use viaduct::sip::Transport;

use crate::message::{Message, uri_in};
use crate::mix::parameter_of;
use crate::network::{Outgoing, To};
use crate::proxy::hop_by_hop;
use crate::reply::{reply, reply_with_body, stamp};

/// How a user agent answers an INVITE that begins a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// 180, then 200 at once.
    AtOnce,
    /// 180 only; the scenario answers.
    Rings,
    /// Nothing; the scenario answers.
    Waits,
}

/// A user agent.
pub struct Agent {
    name: &'static str,
    /// The host of its sent-by.
    host: String,
    /// The port that it listens at, which stands behind that host.
    pub port: u16,
    /// The transport that it speaks, which stands in its Vias and Contacts.
    pub transport: Transport,
    /// Its Contact's URI, without its transport and as if it invented no host.
    pub contact: String,
    /// The URI that it is called by.
    pub aor: String,
    /// The Route value that its requests outside of dialogs carry.
    pub outbound: Option<String>,
    /// Whether it asks for `rport`.
    pub rport: bool,
    /// Whether it is in RFC 2543 dress: no branch, no tag in From, `Call-Id`, an ACK with all of its INVITE's CSeq.
    pub is_old: bool,
    /// How it answers an INVITE that begins a call.
    pub answers: Answers,
    /// The body of its 200 to an INVITE.
    pub body: String,
    /// The requests that it got.
    pub inbox: Vec<Message>,
    dialogs: BTreeMap<String, Dialog>,
    tags: BTreeMap<String, String>,
    cseqs: BTreeMap<String, u32>,
    branches: u32,
    invites: Vec<Message>,
}

/// A dialog, or a subscription, as one side knows it.
struct Dialog {
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    remote_cseq: u32,
}

impl Agent {
    /// A user agent that writes `host` into its Vias and `contact` into its Contacts.
    pub fn new(name: &'static str, host: &str, contact: &str, aor: &str) -> Self {
        Agent {
            name,
            host: host.to_owned(),
            port: 5060,
            transport: Transport::Udp,
            contact: contact.to_owned(),
            aor: aor.to_owned(),
            outbound: None,
            rport: false,
            is_old: false,
            answers: Answers::AtOnce,
            body: format!("v=0\r\no={name} 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 3456 RTP/AVP 0\r\n"),
            inbox: Vec::new(),
            dialogs: BTreeMap::new(),
            tags: BTreeMap::new(),
            cseqs: BTreeMap::new(),
            branches: 0,
            invites: Vec::new(),
        }
    }

    /// A request outside of a dialog. The From tag stays the same for a Call-ID, CSeq counts up (§8.1.3.5).
    pub fn asks(&mut self, method: &str, call_id: &str, uri: &str, headers: &[&str], body: &str) -> Vec<Outgoing> {
        let tag = if self.is_old { String::new() } else { format!(";tag={}", self.tag(call_id)) };
        let from = format!("<{}>{tag}", self.aor);
        let routes: Vec<String> = self.outbound.iter().cloned().collect();
        let to = if method == "REGISTER" { self.aor.clone() } else { uri.to_owned() };
        self.builds(method, call_id, uri, &routes, &from, &format!("<{to}>"), headers, body)
    }

    /// A request within the dialog of that Call-ID (§12.2.1.1).
    pub fn asks_within(&mut self, method: &str, call_id: &str, headers: &[&str], body: &str) -> Vec<Outgoing> {
        let dialog = &self.dialogs[call_id];
        let (uri, routes) = (dialog.target.clone(), dialog.routes.clone());
        let (local, remote) = (dialog.local.clone(), dialog.remote.clone());
        self.builds(method, call_id, &uri, &routes, &local, &remote, headers, body)
    }

    #[expect(clippy::too_many_arguments, reason = "a request has as many parts")]
    fn builds(
        &mut self,
        method: &str,
        call_id: &str,
        uri: &str,
        routes: &[String],
        from: &str,
        to: &str,
        headers: &[&str],
        body: &str,
    ) -> Vec<Outgoing> {
        let cseq = self.next_cseq(method, call_id);
        let mut lines = vec![self.via(), "Max-Forwards: 70".to_owned()];
        lines.extend(routes.iter().map(|route| format!("Route: {route}")));
        lines.extend([format!("From: {from}"), format!("To: {to}"), format!("Call-ID: {call_id}")]);
        lines.push(format!("CSeq: {cseq} {method}"));
        if method != "ACK" && method != "BYE" {
            lines.push(self.contact_line());
        }
        lines.extend(headers.iter().map(|header| (*header).to_owned()));
        if !body.is_empty() {
            lines.push("Content-Type: application/sdp".to_owned());
        }
        let message = self.dressed(Message::new(format!("{method} {uri} SIP/2.0"), lines, body));
        if method == "INVITE" {
            self.invites.push(message.clone());
        }
        vec![outwards(message)]
    }

    /// CSeq counts up; an ACK has the number of its INVITE, which is the last one of that Call-ID (§13.2.2.4).
    fn next_cseq(&mut self, method: &str, call_id: &str) -> u32 {
        if method == "ACK" {
            return self.last_invite(call_id).cseq().0;
        }
        let cseq = self.cseqs.entry(call_id.to_owned()).or_default();
        *cseq += 1;
        *cseq
    }

    fn last_invite(&self, call_id: &str) -> &Message {
        self.invites.iter().rev().find(|invite| invite.call_id() == call_id).expect("an INVITE")
    }

    /// Cancels the last INVITE of that Call-ID (§9.1).
    pub fn cancels(&mut self, call_id: &str) -> Vec<Outgoing> {
        let invite = self.last_invite(call_id);
        vec![outwards(self.dressed(hop_by_hop(invite, "CANCEL", invite.header("To"))))]
    }

    /// Answers the last INVITE or REFER that came with that Call-ID.
    pub fn answers(&mut self, call_id: &str, status: u16, reason: &str) -> Vec<Outgoing> {
        let is_it = |request: &&Message| {
            request.call_id() == call_id && matches!(request.method().as_str(), "INVITE" | "REFER")
        };
        let request = self.inbox.iter().rev().find(is_it).expect("an INVITE").clone();
        vec![self.answer(&request, status, reason)]
    }

    /// The request that came last.
    pub fn last(&self) -> &Message {
        self.inbox.last().expect("a request")
    }

    /// The identifiers of the dialog of that Call-ID as a Replaces or Join names it to this agent (RFC 3891 §3).
    pub fn names(&self, call_id: &str) -> String {
        let tag = |value: &str| value.rsplit(";tag=").next().unwrap_or_default().to_owned();
        let dialog = &self.dialogs[call_id];
        format!("{call_id};to-tag={};from-tag={}", tag(&dialog.remote), tag(&dialog.local))
    }

    /// Takes in one message and gives what it sends.
    pub fn receive(&mut self, mut message: Message, from: SocketAddr) -> Vec<Outgoing> {
        match message.status() {
            Some(status) => self.response(&message, status),
            None => {
                stamp(&mut message, from);
                self.inbox.push(message.clone());
                self.request(&message)
            }
        }
    }

    fn response(&mut self, response: &Message, status: u16) -> Vec<Outgoing> {
        assert_eq!(response.values("Via").len(), 1, "{} is not the last hop of {response:?}", self.name);
        let call_id = response.call_id();
        let forms = matches!(response.method().as_str(), "INVITE" | "SUBSCRIBE" | "REFER");
        if forms && (101..300).contains(&status) && !response.tag("To").is_empty() {
            self.remember(response);
        }
        if response.method() != "INVITE" || status < 200 {
            return vec![];
        }
        if status < 300 {
            return self.asks_within("ACK", &call_id, &[], "");
        }
        let is_its = |invite: &&Message| invite.call_id() == call_id && invite.cseq().0 == response.cseq().0;
        let invite = self.invites.iter().find(is_its).expect("the INVITE of a response").clone();
        vec![outwards(self.dressed(hop_by_hop(&invite, "ACK", response.header("To"))))]
    }

    /// The dialog as its caller knows it (§12.1.2); a later 2xx only refreshes the target (§12.2.1.2).
    fn remember(&mut self, response: &Message) {
        let routes = response.values("Record-Route").into_iter().rev().collect();
        let dialog = self.dialogs.entry(response.call_id()).or_insert_with(|| Dialog {
            local: response.header("From").to_owned(),
            remote: response.header("To").to_owned(),
            target: String::new(),
            routes,
            remote_cseq: 0,
        });
        if !response.contact().is_empty() {
            dialog.target = response.contact();
        }
    }

    fn request(&mut self, request: &Message) -> Vec<Outgoing> {
        let method = request.method();
        let in_dialog = !request.tag("To").is_empty();
        if in_dialog && !self.takes_in(request) {
            return if method == "ACK" { vec![] } else { vec![self.answer(request, 481, "No Such Call")] };
        }
        match method.as_str() {
            "ACK" => vec![],
            "INVITE" if in_dialog => vec![self.answer(request, 200, "OK")],
            "INVITE" => match self.answers {
                Answers::AtOnce => vec![self.answer(request, 180, "Ringing"), self.answer(request, 200, "OK")],
                Answers::Rings => vec![self.answer(request, 180, "Ringing")],
                Answers::Waits => vec![],
            },
            "CANCEL" => {
                let ok = reply(request, 200, "OK", &self.tag(&request.call_id()), &[]);
                let mut sent = vec![ok];
                sent.extend(self.answers(&request.call_id(), 487, "Request Terminated"));
                sent
            }
            "REFER" if self.answers == Answers::Waits => vec![],
            "REFER" => vec![self.answer(request, 202, "Accepted")],
            _ => vec![self.answer(request, 200, "OK")],
        }
    }

    /// Takes a request into its dialog (§12.2.2); `false` where there is none.
    fn takes_in(&mut self, request: &Message) -> bool {
        let Some(dialog) = self.dialogs.get_mut(&request.call_id()) else {
            // The ACK for a refusal has the refusal's tag and no dialog.
            return request.method() == "ACK";
        };
        assert!(dialog.local.ends_with(&request.tag("To")), "the To tag is this side's");
        assert!(dialog.remote.ends_with(&request.tag("From")), "the From tag is the other side's");
        let cseq = request.cseq().0;
        let is_ack = request.method() == "ACK";
        assert!(is_ack || cseq > dialog.remote_cseq, "CSeq counts up: {cseq} after {}", dialog.remote_cseq);
        dialog.remote_cseq = cseq;
        if !request.contact().is_empty() {
            dialog.target = request.contact();
        }
        true
    }

    fn answer(&mut self, request: &Message, status: u16, reason: &str) -> Outgoing {
        let tag = self.tag(&request.call_id());
        let is_new = request.tag("To").is_empty();
        let forms = matches!(request.method().as_str(), "INVITE" | "SUBSCRIBE" | "REFER") && status < 300;
        let mut headers = Vec::new();
        if forms {
            headers.push(self.contact_line());
        }
        if forms && is_new {
            headers.extend(request.values("Record-Route").iter().map(|value| format!("Record-Route: {value}")));
            self.dialogs.insert(request.call_id(), self.called(request, &tag));
        }
        let body = if request.method() == "INVITE" && status == 200 { self.body.clone() } else { String::new() };
        reply_with_body(request, status, reason, &tag, &headers, &body)
    }

    /// The dialog as the called side knows it (§12.1.1).
    fn called(&self, request: &Message, tag: &str) -> Dialog {
        Dialog {
            local: format!("{};tag={tag}", request.header("To")),
            remote: request.header("From").to_owned(),
            target: request.contact(),
            routes: request.values("Record-Route"),
            remote_cseq: request.cseq().0,
        }
    }

    fn tag(&mut self, call_id: &str) -> String {
        let next = format!("{}{}", self.name, self.tags.len() + 1);
        self.tags.entry(call_id.to_owned()).or_insert(next).clone()
    }

    fn via(&mut self) -> String {
        self.branches += 1;
        let rport = if self.rport { ";rport" } else { "" };
        let via = format!("Via: SIP/2.0/{} {}", self.transport.via_token(), self.sent_by());
        if self.is_old { via } else { format!("{via}{rport};branch=z9hG4bK{}{}", self.name, self.branches) }
    }

    /// A WebSocket client does not know its address and invents a host (RFC 7118 §5.2.2, §A).
    fn sent_by(&self) -> String {
        match self.invented_host() {
            Some(invented) => invented,
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// The host that it invents, where it has to.
    pub fn invented_host(&self) -> Option<String> {
        self.transport.is_web_socket().then(|| format!("{}.invalid", self.name))
    }

    fn contact_line(&self) -> String {
        format!("Contact: <{}>", self.contact_uri())
    }

    /// Its Contact's URI.
    pub fn contact_uri(&self) -> String {
        let uri = match self.invented_host() {
            Some(invented) => self.contact.replacen(self.contact_host(), &invented, 1),
            None => self.contact.clone(),
        };
        uri + parameter_of(self.transport)
    }

    /// The host of its Contact, where it does not invent one.
    pub fn contact_host(&self) -> &str {
        let host = self.contact.split_once('@').map_or("", |(_, host)| host);
        host.split([':', ';']).next().unwrap_or_default()
    }

    /// As an implementation of RFC 2543 writes it, where this is one.
    fn dressed(&self, mut message: Message) -> Message {
        if self.is_old {
            let is_ack = message.method() == "ACK";
            for line in &mut message.lines {
                *line = line.replace("Call-ID: ", "Call-Id: ").replace("Content-Length: ", "Content-Length:");
                if is_ack && line.starts_with("CSeq:") {
                    *line = line.replace(" ACK", " INVITE");
                }
            }
            message.lines.retain(|line| !line.starts_with("Max-Forwards"));
        }
        message
    }
}

/// To the first Route or the Request-URI (§8.1.2).
fn outwards(message: Message) -> Outgoing {
    let route = message.values("Route").first().map(|route| uri_in(route));
    Outgoing { to: To::Uri(route.unwrap_or_else(|| message.uri().to_owned())), message }
}
