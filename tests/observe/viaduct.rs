//! The program before a backend of the test, with its log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that the program is to do at once.
const PATIENCE: Duration = Duration::from_secs(10);

const READ_AGAIN: &str = "settings were read again";
const NOTHING_CHANGED: &str = "settings were read again: nothing has changed";

pub struct Viaduct {
    child: Child,
    pub sip: SocketAddr,
    admin: SocketAddr,
    /// Its listener over TLS, where it has one.
    pub tls: Option<SocketAddr>,
    pub client: UdpSocket,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Viaduct {
    /// The same with a listener over TLS too.
    pub fn start_with_tls(settings: &[(&str, &str)]) -> Self {
        let tls = TcpListener::bind("127.17.0.3:0").unwrap().local_addr().unwrap();
        let sip = UdpSocket::bind("127.17.0.3:0").unwrap().local_addr().unwrap();
        let certified = rcgen::generate_simple_self_signed(["viaduct.example".to_owned()]).unwrap();
        let file = std::env::temp_dir().join(format!("viaduct-observe-{}-{}.pem", std::process::id(), tls.port()));
        std::fs::write(&file, certified.cert.pem() + &certified.signing_key.serialize_pem()).unwrap();
        let listen = format!("udp://{sip},tls://{tls}");
        let own = [("VIADUCT_LISTEN", listen.as_str()), ("VIADUCT_TLS_CERTIFICATES", file.to_str().unwrap())];
        let mut started = Viaduct::start(&[&own, settings].concat());
        std::fs::remove_file(file).unwrap();
        (started.sip, started.tls) = (sip, Some(tls));
        started
    }

    /// Starts it with these settings besides listeners, secret and log in JSON.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let client = UdpSocket::bind("127.17.0.2:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let sip = UdpSocket::bind("127.17.0.3:0").unwrap().local_addr().unwrap();
        let admin = TcpListener::bind("127.17.0.3:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        command.env("VIADUCT_LISTEN", format!("udp://{sip},tcp://{sip}")).env("VIADUCT_LOG_FORMAT", "json");
        command.env("VIADUCT_ADMIN_LISTEN", admin.to_string()).env("VIADUCT_SECRET", "a secret for tests only");
        command.env("VIADUCT_SHARDS", "2").env("VIADUCT_PIN_CORES", "false").env("VIADUCT_PROBE", "off");
        command.env("VIADUCT_OUTLIER", "off").envs(settings.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let kept = lines.clone();
        let reader = thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line));
        });
        let viaduct = Viaduct { child, sip, admin, tls: None, client, lines, reader: Some(reader) };
        viaduct.until("it starts", || viaduct.lines().iter().any(|line| line.contains("metrics at /metrics")));
        viaduct
    }

    /// Sends a message over UDP from the client.
    pub fn send(&self, message: impl AsRef<[u8]>) {
        self.client.send_to(message.as_ref(), self.sip).unwrap();
    }

    /// What comes back to the client next.
    pub fn answer(&self) -> String {
        let mut buffer = [0; 65_535];
        let len = self.client.recv(&mut buffer).expect("an answer");
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    /// All lines of the log so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The fields of all lines in JSON that say so.
    pub fn told(&self, message: &str) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        let lines = self.lines();
        let fields = lines.iter().map(parse).map(|line| line["fields"].clone());
        fields.filter(|fields| fields["message"] == message).collect()
    }

    /// The fields of the first line in JSON that says so, once there is one.
    pub fn first_told(&self, message: &str) -> Value {
        self.until(message, || !self.told(message).is_empty());
        self.told(message).swap_remove(0)
    }

    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}: not so; the log says\n{}", self.lines().join("\n"));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The values of a metric, over all labels that its line does not name.
    pub fn sum(&self, line: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: viaduct\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let rows = page.lines().filter(|row| row.starts_with(line));
        rows.map(|row| row.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Has it read its settings again; what has changed by that.
    pub fn reload(&self) -> String {
        let told = || [self.told(READ_AGAIN), self.told(NOTHING_CHANGED)].concat();
        let before = told().len();
        self.hang_up();
        self.until("settings are read again", || told().len() > before);
        self.told(READ_AGAIN).last().map_or_else(String::new, |fields| fields["changed"].as_str().unwrap().to_owned())
    }

    /// Has it read its settings again, whatever comes of that.
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it in good order; gives its whole log.
    pub fn end(mut self) -> Vec<String> {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        self.reader.take().unwrap().join().unwrap();
        self.lines()
    }
}

impl Drop for Viaduct {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request of a client; `headers` stand in it with their line ends.
pub fn request(method: &str, call_id: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.17.0.2;rport;branch=z9hG4bK{}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 {method}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        call_id.bytes().map(|byte| format!("{byte:02x}")).collect::<String>(),
        body.len()
    )
}

/// A backend that answers every request over UDP with 200, on a thread of its own; gives its URL.
pub fn backend() -> String {
    let socket = UdpSocket::bind("127.17.0.4:0").unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            let head = text.split("\r\n\r\n").next().unwrap();
            let kept: Vec<&str> = head.lines().skip(1).filter(|line| is_copied(line)).collect();
            let answer = format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", kept.join("\r\n"));
            socket.send_to(answer.as_bytes(), from).unwrap();
        }
    });
    url
}

fn is_copied(line: &str) -> bool {
    ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Record-Route:"].iter().any(|name| line.starts_with(name))
}
