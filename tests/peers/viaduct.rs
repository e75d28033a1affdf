//! The real program as a child process, and its metrics page.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::process::Process;
use super::scene::{Scene, until};

/// The secret of every instance, so that any two of them make a fleet.
const SECRET: &str = "the secret of the fleet under test";

/// A running Viaduct.
pub struct Viaduct {
    /// Where it receives SIP.
    pub address: SocketAddr,
    admin: SocketAddr,
    process: Process,
}

impl Viaduct {
    /// Starts it on `host` of the scene and waits until it is ready. `settings` are variables without their prefix, and
    /// stand over the defaults here; `LISTEN` may hold `{}` for the address.
    pub fn start(scene: &Scene, host: u8, backends: &[SocketAddr], settings: &[(&str, &str)]) -> Viaduct {
        let backends: Vec<String> = backends.iter().map(|backend| format!("udp://{backend}")).collect();
        let backends = backends.join(",");
        Viaduct::start_at(scene, scene.endpoint(host), &[&[("BACKENDS", backends.as_str())], settings].concat())
    }

    /// Ends it and starts another one in its place, which knows nothing but its settings.
    pub fn replace(&mut self, scene: &Scene, settings: &[(&str, &str)]) {
        let address = self.address;
        self.process.end();
        *self = Viaduct::start_at(scene, address, settings);
    }

    /// Starts another process, which takes over from this one, and waits until this one has ended.
    pub fn upgrade(&mut self, scene: &Scene, settings: &[(&str, &str)]) {
        let process = launch(scene, "upgraded", (self.address, self.admin), settings);
        let mut first = std::mem::replace(&mut self.process, process);
        let status = first.wait(Duration::from_secs(20));
        assert!(status.success(), "{status}:\n{}", first.tail());
        self.process.assert_running();
    }

    /// The same with an admin listener of its own; gives the process that was before, which ends once its connections have.
    pub fn upgrade_beside(&mut self, scene: &Scene, settings: &[(&str, &str)]) -> Process {
        let newer = Viaduct::start_at(scene, self.address, settings);
        std::mem::replace(self, newer).process
    }

    fn start_at(scene: &Scene, address: SocketAddr, settings: &[(&str, &str)]) -> Viaduct {
        let admin = TcpListener::bind((address.ip(), 0)).and_then(|listener| listener.local_addr()).unwrap();
        let mut process = launch(scene, "viaduct", (address, admin), settings);
        until("Viaduct is ready", || {
            process.assert_running();
            get(admin, "/readyz").is_some()
        });
        Viaduct { address, admin, process }
    }

    /// Asks it by `viaduct ctl`: what it prints, and whether it did what it was told.
    pub fn ctl(&self, words: &[&str]) -> (String, bool) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        command.env_clear().args(["ctl", "--admin", &format!("http://{}", self.admin)]).args(words);
        let output = command.output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&told).into_owned(), output.status.success())
    }

    /// Waits until so many of a method's requests have gone to backends since it started.
    pub fn until_sent(&self, method: &str, requests: u32) {
        let sent = || self.metrics().sum("viaduct_messages_sent_total", &[("side", "backend"), ("method", method)]);
        until(&format!("{requests} {method} went to backends"), || sent() >= u64::from(requests));
    }

    /// The metrics page.
    pub fn page(&self) -> String {
        get(self.admin, "/metrics").expect("the metrics page is not to be had")
    }

    /// The metrics at this moment.
    pub fn metrics(&self) -> Metrics {
        Metrics(self.page())
    }

    /// The metrics, once nothing is under way.
    pub fn metrics_at_rest(&self) -> Metrics {
        let mut before = self.metrics();
        loop {
            thread::sleep(Duration::from_millis(300));
            let after = self.metrics();
            let received = |metrics: &Metrics| metrics.sum("viaduct_messages_received_total", &[]);
            if received(&after) == received(&before) {
                return after;
            }
            before = after;
        }
    }
}

/// A metrics page.
pub struct Metrics(String);

impl Metrics {
    /// The sum of a family's samples that have all these labels.
    pub fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        self.values(family, labels).map(|value| value as u64).sum()
    }

    /// The value of the sample that has all these labels; `None` where there is none.
    pub fn value(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.values(family, labels).next()
    }

    /// Asserts that nothing was dropped so far, and that nothing is missing but what may have been under way while they were read.
    pub fn assert_accounted_for_under_load(&self) {
        const UNDER_WAY: u64 = 100;
        let sum = |how: &str| self.sum(&format!("viaduct_messages_{how}_total"), &[]);
        let (received, sent, absorbed) = (sum("received"), sum("sent"), sum("absorbed"));
        assert_eq!((sum("dropped"), self.sum("viaduct_kernel_drops_total", &[])), (0, 0));
        assert!(
            received.abs_diff(sent + absorbed) < UNDER_WAY,
            "{received} received, {sent} sent, {absorbed} absorbed"
        );
    }

    /// Asserts that everything received was sent on, answered, absorbed or dropped, each message once, and that nothing
    /// was dropped.
    pub fn assert_all_accounted_for(&self) {
        self.assert_accounted_for_but("nothing", 0);
    }

    /// The same, but that so many may have been dropped for this reason.
    pub fn assert_accounted_for_but(&self, reason: &str, most: u64) {
        let received = self.sum("viaduct_messages_received_total", &[]);
        let sent = self.sum("viaduct_messages_sent_total", &[]);
        let absorbed = self.sum("viaduct_messages_absorbed_total", &[]);
        let dropped = self.sum("viaduct_messages_dropped_total", &[]);
        assert_eq!(received, sent + absorbed + dropped, "{sent} sent, {absorbed} absorbed, {dropped} dropped");
        let excused = self.sum("viaduct_messages_dropped_total", &[("reason", reason)]);
        assert!(dropped == excused && excused <= most, "{dropped} dropped\n{}", self.0);
        assert_eq!(self.sum("viaduct_kernel_drops_total", &[]), 0);
    }

    fn values(&self, family: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let sample = move |line: &str| {
            let (sample, value) = line.rsplit_once(' ')?;
            let (name, found) = sample.split_once('{').unwrap_or((sample, "}"));
            let found = found.strip_suffix('}')?;
            let fits = name == family && labels.iter().all(|label| found.split(',').any(|pair| pair == label));
            fits.then(|| value.parse().unwrap())
        };
        self.0.lines().filter_map(sample)
    }
}

fn launch(scene: &Scene, name: &str, (address, admin): (SocketAddr, SocketAddr), settings: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
    command.env_clear().env("VIADUCT_LISTEN", format!("udp://{address}")).env("VIADUCT_SECRET", SECRET);
    command.env("VIADUCT_ADMIN_LISTEN", admin.to_string());
    command.env("VIADUCT_SHARDS", "2").env("VIADUCT_PIN_CORES", "false").env("VIADUCT_PROBE", "off");
    for (variable, value) in settings {
        command.env(format!("VIADUCT_{variable}"), value.replace("{}", &address.to_string()));
    }
    Process::start(scene, &format!("{name}-{}-{}", address.ip(), admin.port()), &mut command)
}

/// The body of a page, where it is answered 200.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}
