//! A Viaduct, the backend behind it, a name server, and user agents: each at an address of its own in 127.7.N.0/24.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::dns::Dns;

/// What a test plays in. The program ends with it.
pub struct Scene {
    pub address: SocketAddr,
    pub backend: Agent,
    pub dns: Dns,
    network: u8,
    admin: SocketAddr,
    viaduct: Child,
}

/// A socket that sends and receives SIP.
pub struct Agent {
    pub address: SocketAddr,
    socket: UdpSocket,
}

impl Scene {
    /// Starts everything. `settings` stand over what the scene needs; `{}` in them is Viaduct's address.
    pub fn start(network: u8, settings: &[(&str, &str)]) -> Scene {
        let dns = Dns::start(host(network, 53));
        let backend = Agent::open((host(network, 2), 0).into());
        let address = UdpSocket::bind((host(network, 1), 0)).unwrap().local_addr().unwrap();
        let admin = TcpListener::bind((host(network, 1), 0)).unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        command
            .env_clear()
            .env("VIADUCT_LISTEN", format!("udp://{address}"))
            .env("VIADUCT_SECRET", "a secret for tests only");
        command
            .env("VIADUCT_BACKENDS", format!("udp://{}", backend.address))
            .env("VIADUCT_SHARDS", "2")
            .env("VIADUCT_PROBE", "off");
        command.env("VIADUCT_ADMIN_LISTEN", admin.to_string()).env("VIADUCT_RESOLVERS", dns.address.to_string());
        for (variable, value) in settings {
            command.env(variable, value.replace("{}", &address.to_string()));
        }
        let mut viaduct = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(viaduct.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("metrics at /metrics")), "it does not start");
        std::thread::spawn(move || lines.for_each(|line| println!("{line}")));
        Scene { address, backend, dns, network, admin, viaduct }
    }

    /// A user agent at that host.
    pub fn agent(&self, number: u8) -> Agent {
        self.agent_at(number, 0)
    }

    /// A user agent at that host and port.
    pub fn agent_at(&self, number: u8, port: u16) -> Agent {
        Agent::open((host(self.network, number), port).into())
    }

    /// Sends a request from the backend. Those with the same Call-ID are of one transaction.
    pub fn send(&self, method: &str, uri: &str, call_id: &str) {
        self.backend.send(self.address, &request(method, uri, self.backend.address, call_id));
    }

    /// The same, an INVITE.
    pub fn invite(&self, uri: &str, call_id: &str) {
        self.send("INVITE", uri, call_id);
    }

    /// Sends an INVITE from the backend, again and again as UDP does, until an agent has it.
    pub fn deliver(&self, uri: &str, to: &Agent) {
        self.invite(uri, uri);
        std::thread::sleep(Duration::from_millis(500));
        self.invite(uri, uri);
        assert!(to.next(Duration::from_secs(1)).is_some(), "{uri} is not delivered by the first retransmission");
    }

    /// How many of two messages each of two agents gets.
    pub fn meet(&self, one: &Agent, other: &Agent) -> (usize, usize) {
        let begun = Instant::now();
        let (mut at_one, mut at_other) = (0, 0);
        while at_one + at_other < 2 && begun.elapsed() < Duration::from_secs(2) {
            at_one += usize::from(one.next(Duration::from_millis(1)).is_some());
            at_other += usize::from(other.next(Duration::from_millis(1)).is_some());
        }
        (at_one, at_other)
    }

    /// The value of a metric, by its name and labels as they stand on the page.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: viaduct\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not on the page:\n{page}")).parse().unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.viaduct.kill();
        let _ = self.viaduct.wait();
    }
}

impl Agent {
    /// Binds it.
    pub fn open(address: SocketAddr) -> Agent {
        let socket = UdpSocket::bind(address).unwrap();
        Agent { address: socket.local_addr().unwrap(), socket }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address.
    pub fn ip(&self) -> Ipv4Addr {
        match self.address {
            SocketAddr::V4(address) => *address.ip(),
            SocketAddr::V6(address) => panic!("{address} is not of this scene"),
        }
    }

    /// Sends a message.
    pub fn send(&self, to: SocketAddr, message: &str) {
        self.socket.send_to(message.as_bytes(), to).unwrap();
    }

    /// The next message; none within that time.
    pub fn next(&self, limit: Duration) -> Option<String> {
        let mut buffer = [0; 8192];
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let len = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    /// Takes all that has come; gives how many messages.
    pub fn drain(&self) -> usize {
        std::iter::from_fn(|| self.next(Duration::from_millis(50))).count()
    }
}

/// A request from an agent at `from`.
pub fn request(method: &str, uri: &str, from: SocketAddr, call_id: &str) -> String {
    let branch: String = call_id.chars().filter(char::is_ascii_alphanumeric).collect();
    let call_id = call_id.replace(['@', ':', ';'], "-");
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:b@b.example>;tag=1\r\nTo: <sip:c@c.example>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Waits until something holds.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not in twenty seconds: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn host(network: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 7, network, number)
}
