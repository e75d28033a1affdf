//! The program, between backends and a client of the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Over};

pub const INTERVAL: Duration = Duration::from_millis(300);
pub const FALL: u32 = 3;
pub const RISE: u32 = 2;

/// How many calls are made so that every backend gets some: one misses all with a chance of one in a million.
pub const CALLS: usize = 36;

pub struct Viaduct {
    child: Child,
    sip: SocketAddr,
    admin: SocketAddr,
    client: UdpSocket,
}

impl Viaduct {
    /// Starts it before these backends; `probe` says whether it asks them.
    pub fn start(backends: &[Backend], probe: &str) -> Self {
        Self::start_with(backends, &[("VIADUCT_PROBE", probe)])
    }

    /// Starts it before these backends, with these settings besides.
    pub fn start_with(backends: &[Backend], settings: &[(&str, &str)]) -> Self {
        let client = UdpSocket::bind("127.14.0.2:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let sip = UdpSocket::bind("127.14.0.3:0").unwrap().local_addr().unwrap();
        let admin = TcpListener::bind("127.14.0.3:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        let url = |backend: &Backend| match backend.over {
            Over::Udp => format!("{}=udp://{}", backend.name, backend.address),
            Over::Tcp => format!("{}=tcp://{}", backend.name, backend.address),
        };
        let pool: Vec<String> = backends.iter().map(url).collect();
        command.env("VIADUCT_LISTEN", format!("udp://{sip},tcp://{sip}")).env("VIADUCT_BACKENDS", pool.join(","));
        command.env("VIADUCT_ADMIN_LISTEN", admin.to_string()).env("VIADUCT_SECRET", "a secret for tests only");
        command.env("VIADUCT_SHARDS", "2").env("VIADUCT_PIN_CORES", "false");
        command.env("VIADUCT_PROBE_INTERVAL_MS", INTERVAL.as_millis().to_string());
        command.env("VIADUCT_PROBE_TIMEOUT_MS", "150").env("VIADUCT_OUTLIER_WINDOW_S", "1");
        command.env("VIADUCT_OUTLIER_REQUESTS", "20").env("VIADUCT_OUTLIER_ASIDE_S", "2");
        command.env("VIADUCT_PROBE_FALL", FALL.to_string()).env("VIADUCT_PROBE_RISE", RISE.to_string());
        command.envs(settings.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("metrics at /metrics")), "it does not start");
        thread::spawn(move || lines.for_each(drop));
        Viaduct { child, sip, admin, client }
    }

    /// Makes calls; gives the names of all backends that got any, each once.
    pub fn call_all(&self) -> Vec<String> {
        let mut names: Vec<String> = (0..CALLS).map(|number| self.call(number)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Makes a call; gives the name of the backend that got it.
    pub fn call(&self, number: usize) -> String {
        let answer = self.request("MESSAGE", &format!("{number}@a.example"), "");
        answer.lines().find_map(|line| line.strip_prefix("Server: ")).unwrap_or(&answer).to_owned()
    }

    /// Sends a request of that Call-ID with these headers besides; gives the answer.
    pub fn request(&self, method: &str, call_id: &str, headers: &str) -> String {
        self.exchange(&Self::request_text(method, call_id, headers))
    }

    /// A request of that Call-ID, with a branch of its own, and a To that has a tag if one of these headers is a Route.
    pub fn request_text(method: &str, call_id: &str, headers: &str) -> String {
        let branch = format!("{call_id}-{:?}", Instant::now());
        let branch: String = branch.chars().filter(char::is_ascii_alphanumeric).collect();
        let tag = if headers.contains("Route: ") { ";tag=2" } else { "" };
        format!(
            "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.14.0.2;rport;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>{tag}\r\nCall-ID: {call_id}\r\n\
             CSeq: 1 {method}\r\n{headers}Content-Length: 0\r\n\r\n"
        )
    }

    /// Sends a request for each of these Call-IDs, and waits until all are answered.
    pub fn send_all(&self, numbers: Range<usize>) {
        for number in numbers.clone() {
            let request = format!(
                "OPTIONS sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.14.0.2;rport;branch=z9hG4bK{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {number}@c.example\r\n\
                 CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            self.client.send_to(request.as_bytes(), self.sip).unwrap();
        }
        let mut buffer = [0; 4096];
        for _ in numbers {
            self.client.recv(&mut buffer).expect("an answer");
        }
    }

    /// Sends that; gives the answer.
    pub fn exchange(&self, request: &str) -> String {
        self.client.send_to(request.as_bytes(), self.sip).unwrap();
        let mut buffer = [0; 4096];
        let len = self.client.recv(&mut buffer).expect("an answer");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    pub fn is_up(&self, backend: &str) -> bool {
        self.sum(&format!("viaduct_backend_up{{backend=\"{backend}\"}}")) == 1
    }

    /// How long it takes until a backend is up, or is not.
    pub fn until_up(&self, backend: &str, up: bool) -> Duration {
        let begun = Instant::now();
        while self.is_up(backend) != up {
            assert!(begun.elapsed() < Duration::from_secs(20), "{backend} does not come to be up: {up}");
            thread::sleep(Duration::from_millis(5));
        }
        begun.elapsed()
    }

    /// Everything that came in was forwarded, answered, absorbed or dropped, once what is under way has gone.
    pub fn is_accounted_for(&self) {
        let difference = || {
            let page = self.page();
            let [received, sent, absorbed, dropped] = ["received", "sent", "absorbed", "dropped"]
                .map(|what| sum(&page, &format!("viaduct_messages_{what}_total")));
            received as i64 - (sent + absorbed + dropped) as i64
        };
        let begun = Instant::now();
        while difference() != 0 {
            assert!(begun.elapsed() < Duration::from_secs(2), "{} messages are missing", difference());
        }
    }

    /// The values of a metric, over all labels that its line does not name.
    pub fn sum(&self, line: &str) -> u64 {
        sum(&self.page(), line)
    }

    pub fn page(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: viaduct\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Viaduct {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sum(page: &str, line: &str) -> u64 {
    let rows = page.lines().filter(|row| row.starts_with(line));
    rows.map(|row| row.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}
