//! Proxies with what the flows need of one: a record-routing loose router with transactions (RFC 3261 §16), a registrar
//! with Path (§10, RFC 3327), digest challenges, and redirection (§8.3).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use viaduct::sip::Transport;

use crate::message::{Message, address_of_record, host_and_port, parameter, uri_in};
use crate::mix::parameter_of;
use crate::network::{Outgoing, To};
use crate::reply::{reply, stamp, way_back};

/// What a registrar knows of one address of record: the Contact and the Path to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The Contact's URI.
    pub contact: String,
    /// The Path's values, from the top.
    pub path: Vec<String>,
}

/// The location service that several proxies share.
pub type Location = Rc<RefCell<BTreeMap<String, Binding>>>;

/// A proxy.
pub struct Proxy {
    /// What it writes into Via and Record-Route.
    pub host: String,
    /// The transport that it speaks, which stands there too.
    pub transport: Transport,
    /// Another host by which a Route may name it.
    pub alias: String,
    /// The domain whose users it locates.
    pub home: Option<&'static str>,
    /// Whether it stays on the way of dialogs.
    pub records_route: bool,
    /// Whether an INVITE outside of a dialog needs Proxy-Authorization.
    pub challenges: bool,
    /// The next hop of each domain that it has a route for.
    pub domains: Vec<(&'static str, String)>,
    /// The address to which calls for an address of record are redirected.
    pub redirects: Vec<(&'static str, &'static str)>,
    /// The Routes that it sends its requests outwards by.
    pub outbound: Vec<String>,
    /// Where it looks users up, and registers them.
    pub location: Location,
    branches: u32,
    transactions: Vec<Transaction>,
}

/// An INVITE: as it came, and as it went on, if it did.
struct Transaction {
    came: Message,
    sent: Option<(Message, To)>,
    is_refused: bool,
}

impl Proxy {
    /// A proxy that only records its route and passes on.
    pub fn new(host: &str, location: &Location) -> Self {
        Proxy {
            host: host.to_owned(),
            transport: Transport::Udp,
            alias: host.to_owned(),
            home: None,
            records_route: true,
            challenges: false,
            domains: Vec::new(),
            redirects: Vec::new(),
            outbound: Vec::new(),
            location: Rc::clone(location),
            branches: 0,
            transactions: Vec::new(),
        }
    }

    /// Takes in one message and gives what it sends.
    pub fn receive(&mut self, mut message: Message, from: SocketAddr) -> Vec<Outgoing> {
        if message.status().is_some() {
            return self.response(message);
        }
        stamp(&mut message, from);
        let own = self.is_own(message.values("Route").first().map_or("", String::as_str));
        if own {
            message.pop("Route");
        }
        match message.method().as_str() {
            "ACK" if self.refused(&message) => vec![],
            // It is on its way to nobody: the INVITE that it belongs to was another proxy's.
            "ACK" if !own && message.values("Route").is_empty() => vec![],
            "CANCEL" => self.cancel(&message),
            "REGISTER" => self.register(&message),
            "OPTIONS" if self.is_own(message.uri()) => vec![reply(&message, 200, "OK", "p", &[])],
            "INVITE" if message.tag("To").is_empty() => self.call(message),
            _ => self.forward(message),
        }
    }

    /// An INVITE outside of a dialog: challenged, redirected, or forwarded.
    fn call(&mut self, message: Message) -> Vec<Outgoing> {
        let aor = address_of_record(message.uri());
        let redirect = self.redirects.iter().find(|(from, _)| *from == aor).map(|(_, to)| *to);
        let answer = if self.challenges && message.header("Proxy-Authorization").is_empty() {
            let challenge = "Proxy-Authenticate: Digest realm=\"atlanta.example.com\", qop=\"auth\",\
                             nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5";
            reply(&message, 407, "Proxy Authorization Required", "challenge", &[challenge.to_owned()])
        } else if let Some(to) = redirect {
            reply(&message, 302, "Moved Temporarily", "moved", &[format!("Contact: {to}")])
        } else if self.is_nobody(&message) {
            reply(&message, 404, "Not Found", "nobody", &[])
        } else {
            let trying = reply(&message, 100, "Trying", "", &[]);
            let mut sent = self.forward(message.clone());
            let onwards = sent.first().map(|sent| (sent.message.clone(), sent.to.clone()));
            self.transactions.push(Transaction { came: message, sent: onwards, is_refused: false });
            sent.push(trying);
            return sent;
        };
        self.transactions.push(Transaction { came: message, sent: None, is_refused: true });
        vec![answer]
    }

    /// Whether an INVITE is for a user of this proxy's domain whom the location service does not know.
    fn is_nobody(&self, message: &Message) -> bool {
        let host = host_and_port(message.uri());
        let is_home = self.home.is_some_and(|home| host_and_port(home) == host);
        is_home && !self.location.borrow().contains_key(&address_of_record(message.uri()))
    }

    fn forward(&mut self, mut message: Message) -> Vec<Outgoing> {
        self.fewer_hops(&mut message);
        let in_dialog = !message.tag("To").is_empty();
        let mut next = None;
        if message.values("Route").is_empty() && !in_dialog {
            next = self.locate(&mut message);
        }
        let route = message.values("Route").first().map(|route| uri_in(route));
        let to = route.or(next).unwrap_or_else(|| message.uri().to_owned());
        let forms = matches!(message.method().as_str(), "INVITE" | "SUBSCRIBE" | "NOTIFY" | "REFER" | "UPDATE");
        if self.records_route && forms {
            message.push("Record-Route", format!("<sip:{}{};lr>", self.host, parameter_of(self.transport)));
        }
        self.push_via(&mut message);
        vec![Outgoing { to: To::Uri(to), message }]
    }

    /// The location service, or the domain's next hop; and the outbound proxy, where there is one.
    fn locate(&self, message: &mut Message) -> Option<String> {
        if let Some(binding) = self.location.borrow().get(&address_of_record(message.uri())) {
            message.set_uri(&binding.contact);
            message.set_values("Route", &binding.path);
        }
        if message.values("Route").is_empty() {
            message.set_values("Route", &self.outbound);
        }
        let host = host_and_port(message.uri());
        let found = self.domains.iter().find(|(domain, _)| host_and_port(domain) == host);
        found.map(|(_, next)| next.clone())
    }

    fn cancel(&mut self, cancel: &Message) -> Vec<Outgoing> {
        let found = self.transactions.iter().find(|known| is_same(&known.came, cancel) && !known.is_refused);
        let Some(Transaction { sent: Some((invite, to)), .. }) = found else {
            return vec![reply(cancel, 481, "Call/Transaction Does Not Exist", "nothing", &[])];
        };
        let onwards = Outgoing { to: to.clone(), message: hop_by_hop(invite, "CANCEL", invite.header("To")) };
        vec![reply(cancel, 200, "OK", "p", &[]), onwards]
    }

    fn register(&mut self, message: &Message) -> Vec<Outgoing> {
        let aor = address_of_record(&uri_in(message.header("To")));
        let path = message.values("Path");
        if message.header("Expires") == "0" {
            self.location.borrow_mut().remove(&aor);
        } else {
            let binding = Binding { contact: message.contact(), path: path.clone() };
            self.location.borrow_mut().insert(aor, binding);
        }
        let contact = format!("Contact: {};expires={}", message.header("Contact"), message.header("Expires"));
        let mut lines: Vec<String> = path.iter().map(|value| format!("Path: {value}")).collect();
        lines.push(contact);
        vec![reply(message, 200, "OK", "registrar", &lines)]
    }

    fn response(&mut self, mut message: Message) -> Vec<Outgoing> {
        let own = message.pop("Via");
        assert!(self.is_own(&own), "{} got a response to {own}", self.host);
        let status = message.status().expect("a response");
        if status == 100 || message.values("Via").is_empty() {
            return vec![];
        }
        let mut sent = Vec::new();
        if status >= 300 && message.method() == "INVITE" {
            let is_its = |known: &&mut Transaction| {
                let branch = known.sent.as_ref().and_then(|(invite, _)| parameter(&invite.values("Via")[0], "branch"));
                branch == parameter(&own, "branch")
            };
            let known = self.transactions.iter_mut().find(is_its).expect("the INVITE of a response");
            known.is_refused = true;
            let (invite, to) = known.sent.clone().expect("a forwarded INVITE");
            sent.push(Outgoing { to, message: hop_by_hop(&invite, "ACK", message.header("To")) });
        }
        sent.push(Outgoing { to: way_back(&message), message });
        sent
    }

    /// Whether an ACK is for a final response that this proxy has seen or made, and ends here (§17.1.1.3).
    fn refused(&self, ack: &Message) -> bool {
        self.transactions.iter().any(|known| known.is_refused && is_same(&known.came, ack))
    }

    /// Whether a value names this proxy, at the port of its transport or as a URI without a transport does.
    fn is_own(&self, value: &str) -> bool {
        let host = host_and_port(value);
        let names = [self.host.clone(), format!("{}{}", self.host, parameter_of(self.transport)), self.alias.clone()];
        names.iter().any(|name| host == host_and_port(name))
    }

    fn fewer_hops(&self, message: &mut Message) {
        let hops: u32 = message.header("Max-Forwards").parse().expect("Max-Forwards");
        message.set_values("Max-Forwards", &[(hops - 1).to_string()]);
    }

    fn push_via(&mut self, message: &mut Message) {
        self.branches += 1;
        let name = self.host.split('.').next().unwrap_or_default();
        let token = self.transport.via_token();
        message.push("Via", format!("SIP/2.0/{token} {};branch=z9hG4bK{name}.{}", self.host, self.branches));
    }
}

/// Whether two requests belong to one transaction: the same topmost Via up to its branch (§17.2.3).
fn is_same(invite: &Message, other: &Message) -> bool {
    invite.values("Via")[0] == other.values("Via")[0]
}

/// The CANCEL of an INVITE, or the ACK for its refusal: hop by hop, with the INVITE's own Via (§9.1, §17.1.1.3).
pub fn hop_by_hop(invite: &Message, method: &str, to: &str) -> Message {
    let mut lines = vec![format!("Via: {}", invite.values("Via")[0]), "Max-Forwards: 70".to_owned()];
    lines.extend(invite.values("Route").iter().map(|route| format!("Route: {route}")));
    lines.push(format!("From: {}", invite.header("From")));
    lines.push(format!("To: {to}"));
    lines.push(format!("Call-ID: {}", invite.call_id()));
    lines.push(format!("CSeq: {} {method}", invite.cseq().0));
    Message::new(format!("{method} {} SIP/2.0", invite.uri()), lines, "")
}
