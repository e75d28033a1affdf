//! The network of a scenario: nodes by address, names, messages in a queue, and the ladder that they must climb.
//!
//! A scenario is a table, one line a message and hop, in order. Each line says the step, the way, the message, its CSeq
//! number, the Via stack, the Route and Record-Route values from the top as names of nodes, Max-Forwards, and the tags
//! of From and To. Which transport they travel by is not said, nor the host that a WebSocket client invents: a scenario is
//! the same over all. LB is Viaduct; P1 is the member of its pool that it chose, and P2 the other proxy. Nothing more and
//! nothing less may travel.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use viaduct::balance::backend::Backend;
use viaduct::proxy::snapshot::OnLostPin;
use viaduct::proxy::verdict::NextHop;
use viaduct::sip::Transport;

use crate::agent::Agent;
use crate::connections::Connections;
use crate::message::{Message, host_and_port};
use crate::mix::{Mix, listens_at, once_a_passage, own_port, parameter_of, ports_of, transport_in};
use crate::pair::{self, Arrival, Viaduct};
use crate::proxy::Proxy;

/// Where a node sends a message.
#[derive(Clone, Debug)]
pub enum To {
    /// To what this URI, Route or sent-by names.
    Uri(String),
    /// To this very address.
    Address(SocketAddr),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub to: To,
    /// All of it.
    pub message: Message,
}

/// An element other than Viaduct.
pub enum Element {
    /// A user agent.
    Agent(Agent),
    /// A proxy, registrar or redirect server.
    Proxy(Proxy),
}

struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// How it comes to Viaduct, if it is for Viaduct.
    arrival: Option<Arrival>,
}

/// All nodes and what travels between them.
pub struct Network {
    /// Both instances, at one address.
    pub viaduct: Viaduct,
    /// What either side of them speaks.
    pub mix: Mix,
    connections: Connections,
    elements: BTreeMap<SocketAddr, (&'static str, Element)>,
    /// Every `host:port` that is known to somebody, and the address it stands for.
    book: HashMap<String, SocketAddr>,
    /// Nodes that write hosts which are nobody's in the network: behind address translation, or because they invent them.
    hidden: HashMap<String, &'static str>,
    /// Addresses that only Viaduct reaches: a translator lets in those alone to whom its client has sent.
    only_from_viaduct: Vec<SocketAddr>,
    queue: VecDeque<Packet>,
    /// The hosts that WebSocket clients have invented, and those that they would write if they spoke anything else.
    invented: HashMap<String, String>,
    /// Body, From, To and Contact of each message as its author wrote them.
    originals: HashMap<String, [String; 4]>,
}

impl Network {
    /// Viaduct alone, in front of these backends.
    pub fn new(mix: Mix, backends: &[Backend]) -> Self {
        let mut network = Network {
            viaduct: Viaduct::new(mix, backends, OnLostPin::Rehash),
            mix,
            connections: Connections::default(),
            elements: BTreeMap::new(),
            book: HashMap::new(),
            invented: HashMap::new(),
            hidden: HashMap::new(),
            only_from_viaduct: Vec::new(),
            queue: VecDeque::new(),
            originals: HashMap::new(),
        };
        network.names_viaduct(pair::NAME);
        network.names_viaduct(&viaduct().ip().to_string());
        network
    }

    /// Puts an element at an address, known by its names too.
    pub fn add(&mut self, name: &'static str, address: &str, hosts: &[&str], mut element: Element) {
        let at: SocketAddr = address.parse().expect("an address");
        self.book.insert(address.to_owned(), at);
        for host in hosts.iter().copied().chain([at.ip().to_string().as_str()]) {
            self.book.extend(ports_of(host).map(|name| (name, at)));
        }
        match &mut element {
            Element::Agent(agent) => self.equip(name, agent, at),
            Element::Proxy(proxy) => proxy.transport = self.mix.of(at),
        }
        self.elements.insert(at, (name, element));
    }

    /// One more name for Viaduct.
    pub fn names_viaduct(&mut self, host: &str) {
        for transport in Transport::ALL {
            let address = pair::address_of(transport);
            self.book.insert(format!("{host}:{}", address.port()), address);
        }
    }

    /// Somebody reaches that user agent at its Contact: it speaks what can be connected to.
    pub fn is_called_at_its_address(&mut self, name: &str) {
        let (transport, route) = (self.mix.neighbours, self.mix.neighbour_route());
        let (at, agent) = self.agents(name).next().unwrap_or_else(|| panic!("no agent {name}"));
        agent.outbound = Some(route.to_owned());
        (agent.transport, agent.port) = (transport, own_port(at, transport));
    }

    fn equip(&mut self, name: &'static str, agent: &mut Agent, at: SocketAddr) {
        let transport = self.mix.of(at);
        (agent.transport, agent.port) = (transport, own_port(at, transport));
        if let Some(invented) = agent.invented_host() {
            self.hidden.extend(ports_of(&invented).map(|written| (written, name)));
            self.invented.insert(invented, agent.contact_host().to_owned());
        }
    }

    /// Puts a user agent behind address translation: it is seen at `address` by Viaduct alone, and writes `hidden`.
    pub fn add_behind_nat(&mut self, name: &'static str, address: &str, hidden: &str, agent: Agent) {
        self.add(name, address, &[], Element::Agent(agent));
        self.hidden.extend(ports_of(hidden).map(|written| (written, name)));
        self.only_from_viaduct.push(address.parse().expect("an address"));
    }

    /// Moves an element, and all names that it had, to another address. It loses its connections.
    pub fn move_to(&mut self, old: &str, new: &str) {
        let (old, new): (SocketAddr, SocketAddr) = (old.parse().expect("an address"), new.parse().expect("an address"));
        let element = self.elements.remove(&old).expect("an element there");
        self.elements.insert(new, element);
        self.connections.close(old);
        self.book.values_mut().filter(|address| **address == old).for_each(|address| *address = new);
        self.book.insert(new.to_string(), new);
        self.book.extend(ports_of(&new.ip().to_string()).map(|name| (name, new)));
    }

    /// A translator sees its client at another address from here on.
    pub fn rebind(&mut self, old: &str, new: &str) {
        self.move_to(old, new);
        self.only_from_viaduct.push(new.parse().expect("an address"));
    }

    /// That user agent.
    pub fn agent(&mut self, name: &str) -> &mut Agent {
        self.agents(name).next().unwrap_or_else(|| panic!("no agent {name}")).1
    }

    /// What a user agent does of its own accord.
    pub fn acts(&mut self, name: &str, act: impl FnOnce(&mut Agent) -> Vec<Outgoing>) {
        let (at, agent) = self.agents(name).next().unwrap_or_else(|| panic!("no agent {name}"));
        let sent = act(agent);
        self.send(at, sent);
    }

    /// The user agent at an address.
    pub fn agent_at(&self, address: &str) -> &Agent {
        let at: SocketAddr = address.parse().expect("an address");
        let Some((_, Element::Agent(agent))) = self.elements.get(&at) else { panic!("no agent at {address}") };
        agent
    }

    /// What the user agent at an address does.
    pub fn acts_at(&mut self, address: &str, act: impl FnOnce(&mut Agent) -> Vec<Outgoing>) {
        let at: SocketAddr = address.parse().expect("an address");
        let Some((_, Element::Agent(agent))) = self.elements.get_mut(&at) else { panic!("no agent at {address}") };
        let sent = act(agent);
        self.send(at, sent);
    }

    fn agents(&mut self, name: &str) -> impl Iterator<Item = (SocketAddr, &mut Agent)> {
        self.elements.iter_mut().filter_map(move |(at, (found, element))| match element {
            Element::Agent(agent) if *found == name => Some((*at, agent)),
            _ => None,
        })
    }

    /// Delivers message after message; each must be as its line says, and none may be left over.
    #[track_caller]
    pub fn follow(&mut self, ladder: &str) {
        let lines: Vec<&str> = ladder.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in &lines {
            let (step, expected) = line.split_once('|').unwrap_or_else(|| panic!("no step in {line}"));
            let expected: Vec<&str> = expected.split('|').map(str::trim).collect();
            let found = self.deliver(step).unwrap_or_else(|| panic!("nothing travels for\n{line}"));
            if found != expected {
                self.deliver_all();
                panic!("above, what travelled; expected was\n{line}\nbut there was\n{}", row(step, &found));
            }
        }
        assert!(self.queue.is_empty() || self.deliver_all(), "above, what travels after the last line");
    }

    /// Delivers all that is left, for its transcript.
    fn deliver_all(&mut self) -> bool {
        for _ in 0..200 {
            if self.deliver("  F").is_none() {
                break;
            }
        }
        false
    }

    /// Delivers the next message and gives its line.
    fn deliver(&mut self, step: &str) -> Option<Vec<String>> {
        let Packet { from, to, bytes, arrival } = self.queue.pop_front()?;
        let message = Message::parse(&bytes);
        let line = self.describe(from, to, &message);
        println!("{}", row(step, &line));
        self.check_original(&message);
        let is_let_in = from == viaduct() || !self.only_from_viaduct.contains(&to);
        assert!(is_let_in, "address translation keeps {from} from {to}");
        if let Some(arrival) = arrival {
            if let Some((hop, bytes)) = self.viaduct.handle(&bytes, &arrival) {
                let to = self.end_of(&hop, &Message::parse(&bytes));
                self.queue.push_back(Packet { from: viaduct(), to, bytes, arrival: None });
            }
            return Some(line);
        }
        let (_, element) = self.elements.get_mut(&to).unwrap_or_else(|| panic!("nobody is at {to}:\n{message:?}"));
        let sent = match element {
            Element::Agent(agent) => agent.receive(message, from),
            Element::Proxy(proxy) => proxy.receive(message, from),
        };
        self.send(to, sent);
        Some(line)
    }

    fn send(&mut self, from: SocketAddr, sent: Vec<Outgoing>) {
        for Outgoing { to, message } in sent {
            let (to, transport) = match to {
                To::Address(address) => (self.resolve(&address.to_string()), None),
                To::Uri(uri) => (self.resolve(&uri), Some(transport_in(&uri))),
            };
            let is_for_viaduct = to.ip() == viaduct().ip();
            let arrival = is_for_viaduct.then(|| self.arrival(from, to, transport, &message));
            let to = if is_for_viaduct { viaduct() } else { to };
            self.queue.push_back(Packet { from, to, bytes: message.bytes(), arrival });
        }
    }

    /// How a message comes to Viaduct: a request by the transport that its next hop's URI says, which must be the sender's
    /// own, and a response the way that its request came.
    fn arrival(&mut self, from: SocketAddr, to: SocketAddr, said: Option<Transport>, message: &Message) -> Arrival {
        let own = self.transport_of(from);
        let is_request = message.status().is_none();
        // A WebSocket client sends all that it has to send on its connection, whatever port a URI says.
        let is_there = own.is_web_socket() || to == pair::address_of(own);
        let is_own = said.map(parameter_of) == Some(parameter_of(own)) && is_there;
        assert!(!is_request || is_own, "{from} speaks {own:?}, and is to send by {said:?} to {to}:\n{message:?}");
        if own == Transport::Udp {
            return Arrival::datagram(from);
        }
        let connection = match is_request {
            true => self.connections.of_requests(from, own, self.only_from_viaduct.contains(&from)),
            false => self.connections.of_response(message),
        };
        Arrival::on(&connection)
    }

    /// Who gets what Viaduct sends.
    fn end_of(&mut self, hop: &NextHop, message: &Message) -> SocketAddr {
        let transport = pair::transport(hop.listener);
        let node = match transport {
            Transport::Udp => hop.to,
            _ => {
                let (book, elements) = (&self.book, &self.elements);
                let node_at = |address: SocketAddr| {
                    let node = book.get(&address.to_string()).filter(|node| listens_at(**node, transport) == address);
                    let node = node.filter(|node| elements.contains_key(node));
                    *node.unwrap_or_else(|| panic!("nobody listens at {address} for {transport:?}:\n{message:?}"))
                };
                self.connections.of_hop(hop, message, transport, node_at).node
            }
        };
        assert_eq!(self.transport_of(node), transport, "{node} does not speak that:\n{message:?}");
        let is_opened = transport.is_stream() && hop.connection.is_none();
        assert!(
            !is_opened || !self.only_from_viaduct.contains(&node),
            "no connection reaches {node} behind translation"
        );
        node
    }

    fn transport_of(&self, node: SocketAddr) -> Transport {
        match self.elements.get(&node) {
            Some((_, Element::Agent(agent))) => agent.transport,
            Some((_, Element::Proxy(proxy))) => proxy.transport,
            None => panic!("nobody is at {node}"),
        }
    }

    fn resolve(&self, uri: &str) -> SocketAddr {
        *self.book.get(&host_and_port(uri)).unwrap_or_else(|| panic!("nobody knows {uri}"))
    }

    fn describe(&self, from: SocketAddr, to: SocketAddr, message: &Message) -> Vec<String> {
        let what = match message.status() {
            Some(status) => format!("{status} {}", message.method()),
            None => self.plain(message.start.trim_end_matches(" SIP/2.0")),
        };
        let hops = message.header("Max-Forwards");
        let tag = |name| match message.tag(name) {
            tag if tag.is_empty() => "-".to_owned(),
            tag if tag.starts_with("vd") && tag.len() == 13 => "LB".to_owned(),
            tag => tag,
        };
        vec![
            format!("{} > {}", self.name_at(from), self.name_at(to)),
            what,
            message.cseq().0.to_string(),
            self.names(&message.values("Via")),
            self.names(&message.values("Route")),
            self.names(&message.values("Record-Route")),
            if hops.is_empty() { "-".to_owned() } else { hops.to_owned() },
            format!("{}/{}", tag("From"), tag("To")),
        ]
    }

    /// A request line as it would be over UDP.
    fn plain(&self, line: &str) -> String {
        let line = Transport::ALL
            .into_iter()
            .map(parameter_of)
            .filter(|text| !text.is_empty())
            .fold(line.to_owned(), |line, parameter| line.replace(parameter, ""));
        self.invented.iter().fold(line, |line, (invented, host)| line.replace(invented, host))
    }

    fn names(&self, values: &[String]) -> String {
        let name = |value: &String| {
            let host = host_and_port(value);
            let hidden = || self.hidden.get(&host).copied();
            self.book.get(&host).map(|address| self.name_at(*address)).or_else(hidden).unwrap_or("nobody")
        };
        let values = once_a_passage(values);
        if values.is_empty() { "-".to_owned() } else { values.into_iter().map(name).collect::<Vec<_>>().join(" ") }
    }

    fn name_at(&self, address: SocketAddr) -> &'static str {
        match self.elements.get(&address) {
            Some((name, _)) => name,
            None if address.ip() == viaduct().ip() => "LB",
            None => panic!("nobody is at {address}"),
        }
    }

    /// Body, From, To and Contact are at every hop as their author wrote them.
    fn check_original(&mut self, message: &Message) {
        let kind = message.status().map_or_else(|| message.method(), |status| status.to_string());
        let (call_id, cseq, tags) =
            (message.call_id(), message.header("CSeq"), message.tag("From") + &message.tag("To"));
        let key = format!("{kind} {call_id} {cseq} {tags}");
        let parts = ["From", "To", "Contact"].map(|name| message.header(name).to_owned());
        let [from, to, contact] = parts;
        let parts = [message.body.clone(), from, to, contact];
        let original = self.originals.entry(key).or_insert_with(|| parts.clone());
        assert_eq!(*original, parts, "changed on its way");
    }
}

/// Viaduct's address, whichever port a message came to.
fn viaduct() -> SocketAddr {
    pair::ADDRESS.parse().expect("an address")
}

fn row(step: &str, cells: &[String]) -> String {
    let widths = [13, 39, 1, 18, 11, 11, 2, 1];
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    format!("        {:<4}| {}", step.trim(), cells.collect::<Vec<_>>().join(" | ").trim_end())
}
