//! A process of Viaduct's, its log, and what it shows by HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The fleet's.
pub const SECRET: &str = "a secret for tests only";

/// Where one listens, and in front of what.
#[derive(Clone)]
pub struct Place {
    pub sip: SocketAddr,
    pub admin: SocketAddr,
    pub listen: String,
    pub backends: String,
}

/// A Viaduct that runs.
pub struct Viaduct {
    child: Child,
    pub place: Place,
    log: Receiver<String>,
}

impl Place {
    /// A place over UDP and TCP in front of a backend over UDP.
    pub fn before(backend: SocketAddr) -> Self {
        let (sip, admin) = (free(), free());
        Place { sip, admin, listen: format!("udp://{sip},tcp://{sip}"), backends: format!("one=udp://{backend}") }
    }

    pub fn command(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        command.env("VIADUCT_LISTEN", &self.listen).env("VIADUCT_ADMIN_LISTEN", self.admin.to_string());
        command.env("VIADUCT_SECRET", SECRET).env("VIADUCT_BACKENDS", &self.backends);
        // The backends count what they are sent.
        command.env("VIADUCT_SHARDS", "2").env("VIADUCT_PROBE", "off").env("VIADUCT_OUTLIER", "off");
        command.envs(settings.iter().copied());
        command
    }
}

impl Viaduct {
    /// One that runs there.
    pub fn start(place: &Place, settings: &[(&str, &str)]) -> Self {
        let mut child = place.command(settings).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (to_log, log) = channel();
        std::thread::spawn(move || lines.for_each(|line| drop(to_log.send(line))));
        let viaduct = Viaduct { child, place: place.clone(), log };
        viaduct.logs("/readyz");
        viaduct
    }

    /// Waits until the log has a line with these words.
    pub fn logs(&self, words: &str) -> String {
        let (begun, mut told) = (Instant::now(), Vec::new());
        while begun.elapsed() < PATIENCE {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => told.push(line),
                Err(_) => break,
            }
        }
        panic!("the log does not say: {words}, but {told:#?}");
    }

    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Whether it ends well within that time.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub fn is_ready(&self) -> bool {
        get(self.place.admin, "/readyz").starts_with("HTTP/1.1 200")
    }

    /// What has become of messages, for who finds some missing.
    pub fn accounts(&self) -> String {
        let page = get(self.place.admin, "/metrics");
        let names = ["viaduct_messages", "viaduct_kernel_drops", "viaduct_send", "viaduct_upgrade", "viaduct_receive"];
        let is_told = |line: &&str| names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0");
        page.lines().filter(is_told).map(|line| format!("{line}\n")).collect()
    }

    /// The sum of a metric over all lines that have these words.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = get(self.place.admin, "/metrics");
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Viaduct {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn get(admin: SocketAddr, path: &str) -> String {
    ask(admin, &format!("GET {path}"), "")
}

/// What is answered to a method and path, with these headers.
pub fn ask(admin: SocketAddr, what: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(stream, "{what} HTTP/1.1\r\nHost: {admin}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An address that nothing else here listens at: a port that is free on it stays free.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let ip = Ipv4Addr::new(127, 9, 1, NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}
