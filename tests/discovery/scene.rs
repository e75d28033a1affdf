//! A Viaduct, backends at one port of many addresses, a name server, and a client: each at an address of its own in 127.8.N.0/24.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::dns::Dns;

/// What a test plays in. The program ends with it.
pub struct Scene {
    pub dns: Dns,
    pub folder: PathBuf,
    pub sip: SocketAddr,
    network: u8,
    admin: SocketAddr,
    client: UdpSocket,
    viaduct: Child,
    log: Arc<Mutex<Vec<String>>>,
    calls: Cell<usize>,
}

/// A backend on a thread: it answers every request 200, with its address as Server, and Record-Route as it came.
pub struct Backend {
    pub address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A dialog: who has it, and the way there.
pub struct Dialog {
    pub backend: String,
    call_id: String,
    to: String,
    routes: Vec<String>,
}

/// The port of all backends of a network, so that one name with a port can lead to all of them. Each process has others.
pub fn port(network: u8) -> u16 {
    static PORTS: Mutex<BTreeMap<u8, u16>> = Mutex::new(BTreeMap::new());
    let free = || UdpSocket::bind((host(network, 250), 0)).unwrap().local_addr().unwrap().port();
    *PORTS.lock().unwrap().entry(network).or_insert_with(free)
}

impl Scene {
    /// Starts everything. `settings` stand over what the scene needs, and unset it where they are empty; `{folder}` in them, and in
    /// files, is a folder of the test's own, and `{sip}` where it listens.
    pub fn start(network: u8, files: &[(&str, &str)], settings: &[(&str, &str)]) -> Scene {
        let scene = Scene::start_with(Dns::start(host(network, 53)), network, files, settings);
        assert!(scene.has_logged("metrics at /metrics"), "it does not start");
        scene
    }

    /// The same with a name server that knows something already.
    pub fn start_with(dns: Dns, network: u8, files: &[(&str, &str)], settings: &[(&str, &str)]) -> Scene {
        let folder = std::env::temp_dir().join(format!("viaduct-discovery-{}-{network}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let client = UdpSocket::bind((host(network, 2), 0)).unwrap();
        let sip = UdpSocket::bind((host(network, 1), 0)).unwrap().local_addr().unwrap();
        let in_folder =
            |text: &str| text.replace("{folder}", folder.to_str().unwrap()).replace("{sip}", &sip.to_string());
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), in_folder(text)).unwrap());
        let admin = TcpListener::bind((host(network, 1), 0)).unwrap().local_addr().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
        command.env_clear().env("VIADUCT_LISTEN", format!("udp://{sip}")).env("VIADUCT_SHARDS", "1");
        command.env("VIADUCT_SECRET", "a secret for tests only").env("VIADUCT_PROBE", "off");
        command.env("VIADUCT_ADMIN_LISTEN", admin.to_string()).env("VIADUCT_RESOLVERS", dns.address.to_string());
        for (variable, value) in settings {
            match in_folder(value) {
                unset if unset.is_empty() => command.env_remove(variable),
                value => command.env(variable, value),
            };
        }
        let mut viaduct = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(viaduct.stderr.take().unwrap()).lines().map_while(Result::ok);
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        Scene { dns, folder, network, sip, admin, client, viaduct, log, calls: Cell::new(0) }
    }

    /// A backend at that host.
    pub fn backend(&self, number: u8) -> Backend {
        Backend::at((host(self.network, number), port(self.network)).into())
    }

    /// Whether a line with these words is logged soon.
    pub fn has_logged(&self, words: &str) -> bool {
        within(Duration::from_secs(30), || self.log.lock().unwrap().iter().any(|line| line.contains(words)))
    }

    /// How many lines have these words.
    pub fn logged(&self, words: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(words)).count()
    }

    /// Has it read its settings again.
    pub fn hang_up(&self) {
        assert!(Command::new("kill").args(["-HUP", &self.viaduct.id().to_string()]).status().unwrap().success());
    }

    /// Writes a file into the folder, at once: whoever reads it reads all of it.
    pub fn write(&self, name: &str, text: &str) {
        let part = self.folder.join("part");
        fs::write(&part, text.replace("{folder}", self.folder.to_str().unwrap())).unwrap();
        fs::rename(part, self.folder.join(name)).unwrap();
    }

    /// Makes a call: gives the dialog, or the line that it was refused with.
    pub fn call(&self) -> Result<Dialog, String> {
        let number = self.calls.replace(self.calls.get() + 1);
        let call_id = format!("{number}@a.example");
        let answer = self.ask("INVITE", "sip:b@b.example", &call_id, "<sip:b@b.example>", &[]);
        if !answer.starts_with("SIP/2.0 200") {
            return Err(answer.lines().next().unwrap_or_default().to_owned());
        }
        let values =
            |name: &str| answer.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect();
        let (servers, tos): (Vec<String>, Vec<String>) = (values("Server: "), values("To: "));
        let mut routes: Vec<String> = values("Record-Route: ");
        routes.reverse();
        Ok(Dialog { backend: servers[0].clone(), call_id, to: tos[0].clone(), routes })
    }

    /// Makes so many calls, all of which must be answered.
    pub fn calls(&self, count: usize) -> Vec<Dialog> {
        (0..count).map(|_| self.call().expect("a dialog")).collect()
    }

    /// The backends that so many calls reach, each once.
    pub fn reached(&self, calls: usize) -> Vec<String> {
        let mut reached: Vec<String> = self.calls(calls).into_iter().map(|dialog| dialog.backend).collect();
        reached.sort();
        reached.dedup();
        reached
    }

    /// How many of these dialogs have gone astray: a request within them reaches another backend, or none.
    pub fn lost(&self, dialogs: &[Dialog]) -> usize {
        dialogs.iter().filter(|dialog| !self.reaches(dialog, &dialog.backend)).count()
    }

    /// How many of these dialogs reach that backend.
    pub fn reached_within(&self, dialogs: &[Dialog], backend: &Backend) -> usize {
        dialogs.iter().filter(|dialog| self.reaches(dialog, &backend.address.to_string())).count()
    }

    fn reaches(&self, Dialog { backend, call_id, to, routes }: &Dialog, expected: &str) -> bool {
        let answer = self.ask("INFO", &format!("sip:b@{backend}"), call_id, to, routes);
        answer.lines().any(|line| line.strip_prefix("Server: ") == Some(expected))
    }

    /// The value of a metric, by its name and labels as they stand on the page; `None` where it is not there.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// The first line of the metrics page that begins so.
    pub fn line_of(&self, start: &str) -> String {
        self.get("/metrics").lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
    }

    /// Whether /readyz says so.
    pub fn is_ready(&self) -> bool {
        self.get("/readyz").starts_with("HTTP/1.1 200")
    }

    fn get(&self, path: &str) -> String {
        self.ask_admin(&format!("GET {path} HTTP/1.1\r\n"))
    }

    /// What the admin listener answers to a POST with that token.
    pub fn post(&self, path: &str, token: &str) -> String {
        self.ask_admin(&format!("POST {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n"))
    }

    fn ask_admin(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "{head}Host: viaduct\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Sends a request as UDP does, again and again, until it is answered.
    fn ask(&self, method: &str, uri: &str, call_id: &str, to: &str, routes: &[String]) -> String {
        let number = self.calls.replace(self.calls.get() + 1);
        let from = self.client.local_addr().unwrap();
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let request = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{number}n\r\nMax-Forwards: 70\r\n{routes}\
             From: <sip:a@a.example>;tag=1\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:a@{from}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut buffer = [0; 8192];
        for _ in 0..10 {
            self.client.send_to(request.as_bytes(), self.sip).unwrap();
            while let Ok(len) = self.client.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                if text.contains(&format!("CSeq: {number} {method}\r\n")) && !text.starts_with("SIP/2.0 1") {
                    return text;
                }
            }
        }
        String::new()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.viaduct.kill();
        let _ = self.viaduct.wait();
        let _ = fs::remove_dir_all(&self.folder);
        if thread::panicking() {
            self.log.lock().unwrap().iter().for_each(|line| println!("{line}"));
        }
    }
}

impl Backend {
    pub fn at(address: SocketAddr) -> Self {
        let mut backend = Backend { address, ended: Arc::default(), thread: None };
        backend.begin_again();
        backend
    }

    pub fn ip(&self) -> Ipv4Addr {
        let SocketAddr::V4(address) = self.address else { panic!("{}", self.address) };
        *address.ip()
    }

    /// Its process ends.
    pub fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// It starts where it was.
    pub fn begin_again(&mut self) {
        self.ended = Arc::default();
        let socket = UdpSocket::bind(self.address).unwrap();
        let ended = self.ended.clone();
        self.thread = Some(thread::spawn(move || serve(&socket, &ended)));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits until something holds.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    assert!(within(Duration::from_secs(30), holds), "not in half a minute: {what}");
}

fn within(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}

pub fn host(network: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 8, network, number)
}

fn serve(socket: &UdpSocket, ended: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let own = socket.local_addr().unwrap();
    let mut buffer = [0; 8192];
    while !ended.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..len]);
        let kept = ["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"];
        let lines = text.lines().filter(|line| kept.iter().any(|start| line.starts_with(start)));
        let headers: String = lines.map(|line| format!("{line}\r\n")).collect();
        let to = text.lines().find(|line| line.starts_with("To:")).unwrap_or_default();
        let tag = if to.contains(";tag=") { String::new() } else { format!(";tag={}", own.ip()) };
        let answer = format!(
            "SIP/2.0 200 OK\r\n{headers}{to}{tag}\r\nContact: <sip:b@{own}>\r\nServer: {own}\r\nContent-Length: 0\r\n\r\n"
        );
        if !headers.is_empty() && !text.starts_with("SIP/2.0") {
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}
