//! A process of Viaduct's with its listeners, and what it shows at /metrics.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::certificates::{Authority, Folder};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A Viaduct that runs, between clients and backends on other addresses.
pub struct Running {
    child: Child,
    admin: SocketAddr,
    log: Receiver<String>,
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    pub tls: SocketAddr,
    pub ws: SocketAddr,
    pub wss: SocketAddr,
    pub authority: Authority,
    pub folder: Folder,
}

/// The name in Viaduct's certificate.
pub const NAME: &str = "sip.example.com";

impl Running {
    /// One with a listener for each transport, `behind` written behind each, in front of these backends.
    pub fn start(engine: &str, backends: &str, behind: &str, settings: &[(&str, &str)]) -> Self {
        let (authority, folder) = (Authority::new(), Folder::new());
        let own = folder.write("own.pem", &authority.issue(&[NAME]).pem());
        let ca = folder.write("ca.pem", authority.pem());
        Self::with(
            (authority, folder),
            engine,
            backends,
            behind,
            &[&[("CERTIFICATES", own.as_str()), ("CONNECT_CA", &ca)], settings],
        )
    }

    pub fn with(
        (authority, folder): (Authority, Folder),
        engine: &str,
        backends: &str,
        behind: &str,
        settings: &[&[(&str, &str)]],
    ) -> Self {
        let [tcp, tls, ws, wss, admin] = [(); 5].map(|()| free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        let listen = format!(
            "udp://{tcp}{behind},tcp://{tcp}{behind},tls://{tls}{behind},ws://{ws}{behind},wss://{wss}{behind}"
        );
        command.env("VIADUCT_LISTEN", listen).env("VIADUCT_ADMIN_LISTEN", admin.to_string());
        command.env("VIADUCT_SECRET", "a secret for tests only").env("VIADUCT_BACKENDS", backends);
        command.env("VIADUCT_SHARDS", "2").env("VIADUCT_IO", engine);
        // The backends count what they are sent.
        command.env("VIADUCT_PROBE", "off").env("VIADUCT_OUTLIER", "off");
        for (name, value) in settings.iter().copied().flatten() {
            let prefix = if name.starts_with("VIADUCT") { "" } else { "VIADUCT_TLS_" };
            command.env(format!("{prefix}{name}"), value);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut told = Vec::new();
        let starts = lines.by_ref().any(|line| {
            told.push(line.clone());
            line.contains("metrics at /metrics")
        });
        assert!(starts, "it does not start: {told:#?}");
        let (to_log, log) = channel();
        std::thread::spawn(move || lines.for_each(|line| drop(to_log.send(line))));
        Running { child, admin, log, udp: tcp, tcp, tls, ws, wss, authority, folder }
    }

    /// Waits until the log has a line with these words.
    pub fn logs(&self, words: &str) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                _ => {}
            }
        }
        panic!("the log does not say: {words}");
    }

    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    pub fn tell_to_end(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// The sum of a metric over all lines that have these words.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let lines =
            page.lines().filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has reached a value.
    pub fn reaches(&self, name: &str, labels: &[&str], value: f64) {
        let begun = Instant::now();
        while self.metric(name, labels) < value {
            assert!(begun.elapsed() < PATIENCE, "{name} {labels:?} is {}, not {value}", self.metric(name, labels));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody has, with TCP and, most likely, with UDP.
pub fn free() -> SocketAddr {
    listener().local_addr().unwrap()
}

/// At an address of its own: a port that is free on it stays free.
fn listener() -> TcpListener {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let ip = Ipv4Addr::new(127, 7, 1, NEXT.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((ip, 0)).unwrap()
}

/// Runs a test body on each engine that is to be had.
pub fn on_each_engine(body: impl Fn(&str)) {
    body("poll");
    match viaduct::io::probe(&viaduct::io::Options::default()) {
        Ok(()) => body("uring"),
        Err(unavailable) => eprintln!("SKIPPED on io_uring: {unavailable}"),
    }
}
