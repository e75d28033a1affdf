//! The real program as a child process: its metrics page, and what it has of descriptors and memory.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{self, Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::PATIENCE;
use crate::authority::Authority;
use crate::wire::Way;

/// A running Viaduct of two shards that listens over UDP, TCP, TLS and WebSocket.
pub struct Viaduct {
    /// Where it receives SIP over TCP.
    pub address: SocketAddr,
    /// Where it receives it over TLS, WS and WSS.
    layered: [SocketAddr; 3],
    authority: Authority,
    admin: SocketAddr,
    child: Child,
}

impl Viaduct {
    /// Starts it. `settings` are variables without their prefix.
    pub fn start(engine: &str, backends: &[String], settings: &[(&str, &str)]) -> Viaduct {
        ::viaduct::io::raise_descriptor_limit().unwrap();
        let [address, admin, tls, ws, wss] = free_addresses();
        let authority = Authority::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        let listen = format!("tcp://{address},udp://{address},tls://{tls},ws://{ws},wss://{wss}");
        command.env("VIADUCT_LISTEN", listen).env("VIADUCT_IO", engine);
        command.env("VIADUCT_TLS_CERTIFICATES", authority.certificate());
        command.env("VIADUCT_ADMIN_LISTEN", admin.to_string()).env("VIADUCT_BACKENDS", backends.join(","));
        command.env("VIADUCT_SECRET", "a secret for tests only").env("VIADUCT_SHARDS", "2");
        command.env("VIADUCT_PIN_CORES", "false").env("VIADUCT_PROBE", "off");
        for (variable, value) in settings {
            command.env(format!("VIADUCT_{variable}"), value);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut told = Vec::new();
        let starts = lines.by_ref().any(|line| {
            told.push(line.clone());
            line.contains("metrics at /metrics")
        });
        assert!(starts, "it does not start: {told:#?}");
        thread::spawn(move || lines.for_each(drop));
        Viaduct { address, layered: [tls, ws, wss], authority, admin, child }
    }

    /// Where it receives SIP from clients that speak in that way.
    pub fn address_of(&self, way: Way) -> SocketAddr {
        let [tls, ws, wss] = self.layered;
        match way {
            Way::Tcp => self.address,
            Way::Tls => tls,
            Way::Ws => ws,
            Way::Wss => wss,
        }
    }

    /// What its clients trust.
    pub fn trusted(&self) -> &Arc<ClientConfig> {
        &self.authority.client
    }

    /// The metrics page.
    pub fn metrics(&self) -> Metrics {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: viaduct\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Metrics(text)
    }

    /// The metrics once all that was received is accounted for: forwarded, answered, absorbed or dropped, each once.
    pub fn metrics_at_rest(&self) -> Metrics {
        let begun = Instant::now();
        let mut before = 0;
        loop {
            let metrics = self.metrics();
            let [received, sent, absorbed, dropped] =
                ["received", "sent", "absorbed", "dropped"].map(|what| metrics.messages(what));
            if received == sent + absorbed + dropped && received == before {
                return metrics;
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "{received} received, {sent} sent, {absorbed} absorbed, {dropped} dropped\n{}", metrics.0);
            before = received;
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// How many connections of clients are open.
    pub fn client_connections(&self) -> u64 {
        self.metrics().sum("viaduct_connections", &[("side", "client")])
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The same when it has opened, or closed, all that it was about to.
    pub fn descriptors_at_rest(&self) -> usize {
        let (mut seen, mut times) = (self.descriptors(), 0);
        while times < 5 {
            thread::sleep(Duration::from_millis(50));
            let before = std::mem::replace(&mut seen, self.descriptors());
            times = if seen == before { times + 1 } else { 0 };
        }
        seen
    }

    /// Its own resident memory, without that of files such as the program itself.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        // Buffers that an engine shares with the kernel count as shared memory.
        (kib("RssAnon:") + kib("RssShmem:")) << 10
    }
}

impl Drop for Viaduct {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A metrics page.
pub struct Metrics(String);

impl Metrics {
    /// The sum of a family's samples that have all these labels.
    pub fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let (name, found) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
            let fits = name == family && labels.iter().all(|label| found.split(',').any(|pair| pair == label));
            fits.then(|| value.parse::<f64>().unwrap() as u64)
        };
        self.0.lines().filter_map(sample).sum()
    }

    /// How many messages were `received`, `sent`, `absorbed` or `dropped`.
    pub fn messages(&self, what: &str) -> u64 {
        self.sum(&format!("viaduct_messages_{what}_total"), &[])
    }

    /// The samples of a family that are not 0.
    pub fn nonzero(&self, family: &str) -> Vec<&str> {
        let is_one = |line: &&str| line.starts_with(&format!("{family}{{")) && !line.ends_with(" 0");
        self.0.lines().filter(is_one).collect()
    }
}

/// Free ports at an address that this Viaduct has to itself: another, or what it connects to, would take them away.
fn free_addresses() -> [SocketAddr; 5] {
    static NUMBER: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + NUMBER.fetch_add(1, Ordering::Relaxed), high, low | 1);
    let listeners = [(); 5].map(|()| TcpListener::bind((ip, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
