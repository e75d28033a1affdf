//! Knot DNS, a real name server, with one zone that a test changes while it runs.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

/// A server with one zone, `example`. It ends with the test.
pub struct Knot {
    /// Where it is asked.
    pub address: SocketAddr,
    folder: PathBuf,
    serial: Cell<u32>,
    process: Child,
}

impl Knot {
    /// Starts it at that address, with these records, each of which is known for so many seconds.
    pub fn start(ip: Ipv4Addr, ttl_s: u32, records: &str) -> Knot {
        let folder = env::temp_dir().join(format!("viaduct-knot-{}-{ip}", std::process::id()));
        fs::create_dir_all(folder.join("db")).unwrap();
        // Free for TCP too, as nothing else is at this address.
        let address = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
        let listen = format!("{}@{}", address.ip(), address.port());
        let path = folder.display();
        let config = format!(
            "server:\n  listen: {listen}\n  rundir: {path}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             database:\n  storage: {path}/db\nlog:\n- target: stderr\n  any: error\n\
             zone:\n- domain: example\n  storage: {path}\n  file: zone\n  zonefile-sync: -1\n  zonefile-load: whole\n\
             control:\n  listen: {path}/control\n"
        );
        fs::write(folder.join("config"), config).unwrap();
        let serial = Cell::new(0);
        fs::write(folder.join("zone"), zone(&serial, ttl_s, records)).unwrap();
        let process = run(&folder);
        Knot { address, folder, serial, process }
    }

    /// Puts these records into the place of all others.
    pub fn set(&self, ttl_s: u32, records: &str) {
        fs::write(self.folder.join("zone"), zone(&self.serial, ttl_s, records)).unwrap();
        assert!(self.control("zone-reload"), "the zone is taken");
    }

    /// Ends it, and starts it with a zone that it cannot read: it says SERVFAIL to all questions.
    pub fn fail(&mut self) {
        self.end();
        fs::write(self.folder.join("zone"), "nonsense").unwrap();
        self.process = run(&self.folder);
    }

    /// Ends it.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn control(&self, command: &str) -> bool {
        control(&self.folder, &[command, "example"])
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn zone(serial: &Cell<u32>, ttl_s: u32, records: &str) -> String {
    serial.set(serial.get() + 1);
    let serial = serial.get();
    format!(
        "$ORIGIN example.\n$TTL {ttl_s}\n@ SOA ns hostmaster {serial} 60 60 3600 1\n@ NS ns\nns A 192.0.2.53\n{records}\n"
    )
}

fn run(folder: &Path) -> Child {
    let config = folder.join("config");
    let process = program("knotd").arg("-c").arg(config).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !control(folder, &["status"]) {
        assert!(Instant::now() < deadline, "Knot does not run");
        sleep(Duration::from_millis(20));
    }
    process
}

fn control(folder: &Path, words: &[&str]) -> bool {
    let mut command = program("knotc");
    command.arg("-s").arg(folder.join("control")).arg("-b").args(words);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Debian puts daemons into /usr/sbin, which is not on every user's PATH.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", format!("{}:/usr/sbin:/usr/local/sbin", env::var("PATH").unwrap_or_default()));
    command
}
