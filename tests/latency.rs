//! The real program times its backends: /metrics shows a Prometheus histogram of times that are plausible, and nothing of it
//! where it is switched off.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// How long the backend thinks about a call.
const THINKS: Duration = Duration::from_millis(40);

const CALLS: usize = 5;

/// The program between a client and a backend of the test.
struct Scene {
    child: Child,
    sip: SocketAddr,
    admin: SocketAddr,
    client: UdpSocket,
    backend: UdpSocket,
}

impl Scene {
    fn start(latency: &str) -> Self {
        let socket = |address| {
            let socket = UdpSocket::bind(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        };
        let (client, backend) = (socket("127.6.0.1:0"), socket("127.6.0.2:0"));
        let sip = UdpSocket::bind("127.6.0.3:0").unwrap().local_addr().unwrap();
        let admin = TcpListener::bind("127.6.0.3:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
            command.env_remove(name);
        }
        command.env("VIADUCT_LISTEN", format!("udp://{sip}")).env("VIADUCT_ADMIN_LISTEN", admin.to_string());
        command.env("VIADUCT_BACKENDS", format!("slow=udp://{}", backend.local_addr().unwrap()));
        command.env("VIADUCT_SECRET", "a secret for tests only").env("VIADUCT_LATENCY", latency);
        command.env("VIADUCT_PROBE", "off");
        let mut child = command.env("VIADUCT_SHARDS", "2").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("metrics at /metrics")), "it does not start");
        thread::spawn(move || lines.for_each(drop));
        Scene { child, sip, admin, client, backend }
    }

    /// An INVITE that the backend answers with 100 at once and with 200 after a while, and a BYE that it answers at once.
    /// Gives what the backend was sent and what the client was.
    fn call(&self, number: usize) -> (String, String) {
        let mut both = (String::new(), String::new());
        for (method, statuses) in [("INVITE", &["100 Trying", "180 Ringing", "200 OK"][..]), ("BYE", &["200 OK"])] {
            self.client.send_to(request(method, number).as_bytes(), self.sip).unwrap();
            let (sent, from) = received(&self.backend);
            for status in statuses {
                if *status == "200 OK" && method == "INVITE" {
                    thread::sleep(THINKS);
                }
                self.backend.send_to(response(&sent, status).as_bytes(), from).unwrap();
                both.1 += &received(&self.client).0;
            }
            both.0 += &sent;
        }
        both
    }

    fn page(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: viaduct\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(method: &str, number: usize) -> String {
    format!(
        "{method} sip:bob@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.6.0.1;rport;branch=z9hG4bK{method}{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {number}@a.example\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn response(sent: &str, status: &str) -> String {
    let kept: Vec<&str> = sent.lines().skip(1).filter(|line| !line.starts_with("Max-Forwards")).collect();
    format!("SIP/2.0 {status}\r\n{}\r\n", kept.join("\r\n"))
}

fn received(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 4096];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    (String::from_utf8(buffer[..len].to_vec()).unwrap(), from)
}

/// The value of the sample whose line begins so and has all these labels.
fn value(page: &str, name: &str, labels: &[&str]) -> f64 {
    let fits = |line: &&str| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label));
    let line = page.lines().find(fits).unwrap_or_else(|| panic!("no {name} {labels:?} in:\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

const SUM: &str = "viaduct_backend_response_seconds_sum";
const COUNT: &str = "viaduct_backend_response_seconds_count";
const BUCKET: &str = "viaduct_backend_response_seconds_bucket";

#[test]
fn the_metrics_show_how_long_the_backend_takes() {
    let scene = Scene::start("on");
    for number in 0..CALLS {
        let (to_backend, to_client) = scene.call(number);
        assert_eq!(to_backend.matches(";vt=").count(), 2, "{to_backend}");
        assert!(!to_client.contains(";vt="), "{to_client}");
    }
    let page = scene.page();
    assert!(page.contains("# TYPE viaduct_backend_response_seconds histogram"), "{page}");
    let labels = |phase, class| [r#"backend="slow""#, phase, class];
    let first = labels(r#"phase="first""#, r#"method_class="invite""#);
    let last = labels(r#"phase="final""#, r#"method_class="invite""#);
    let bye = labels(r#"phase="final""#, r#"method_class="other""#);
    for labels in [first, last, bye] {
        assert_eq!(value(&page, COUNT, &labels), CALLS as f64);
        let counts: Vec<f64> = page
            .lines()
            .filter(|line| line.starts_with(BUCKET) && labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(counts.is_sorted() && counts.last() == Some(&(CALLS as f64)), "{counts:?}");
    }
    let mean_seconds = |labels: &[&str]| value(&page, SUM, labels) / CALLS as f64;
    assert!(mean_seconds(&last) >= THINKS.as_secs_f64() && mean_seconds(&last) < 10.0, "{}", mean_seconds(&last));
    assert!(mean_seconds(&first) < mean_seconds(&last), "{}", mean_seconds(&first));
    let [backend, phase, class] = last;
    let below = value(&page, BUCKET, &[backend, phase, class, r#"le="0.02""#]);
    assert_eq!(below, 0.0, "no call is answered before the backend has thought");
}

#[test]
fn switched_off_nothing_is_stamped_and_nothing_shown() {
    let scene = Scene::start("off");
    let (to_backend, _) = scene.call(0);
    assert!(!to_backend.contains(";vt="), "{to_backend}");
    assert!(!scene.page().contains("viaduct_backend_response_seconds"));
}
