//! Kamailio as a member of the pool: a stateful proxy that records its route and logs every request it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::{env, fs};

use super::certificate::Authority;
use super::process::Process;
use super::scene::{Scene, until_bound};

/// Whether it asks callers who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// It lets everybody call.
    Nobody,
    /// It answers 401 or 407 with a nonce that no other Kamailio takes.
    Everybody,
}

/// A running Kamailio.
pub struct Kamailio {
    /// Where it is.
    pub address: SocketAddr,
    /// Another address of it, by which a pool may come to know it.
    pub other_address: SocketAddr,
    host: u8,
    process: Process,
}

/// How many hosts further on the scene its other address is.
const OTHER: u8 = 100;

/// The methods that one proxy has seen of each Call-ID.
pub type Seen = BTreeMap<String, BTreeSet<String>>;

impl Kamailio {
    /// Starts it on `host` of the scene; it relays new calls for `service` to `called`.
    pub fn start(scene: &Scene, host: u8, called: SocketAddr, challenge: Challenge) -> Kamailio {
        let defined: &[&str] = if challenge == Challenge::Everybody { &["CHALLENGE"] } else { &[] };
        Kamailio::start_as(scene, host, called, defined)
    }

    /// The same, reached over TCP and over UDP.
    pub fn start_over_tcp(scene: &Scene, host: u8, called: SocketAddr) -> Kamailio {
        Kamailio::start_as(scene, host, called, &["TCP"])
    }

    /// Starts one that takes registrations and relays calls to those who are registered.
    pub fn start_registrar(scene: &Scene, host: u8) -> Kamailio {
        let nobody = scene.endpoint(host);
        Kamailio::start_as(scene, host, nobody, &["REGISTRAR"])
    }

    /// The same, reached over TCP and over UDP.
    pub fn start_registrar_over_tcp(scene: &Scene, host: u8) -> Kamailio {
        let nobody = scene.endpoint(host);
        Kamailio::start_as(scene, host, nobody, &["REGISTRAR", "TCP"])
    }

    /// One that is reached over TLS and over UDP: it shows this certificate, and wants one of the same authority's.
    pub fn start_over_tls(
        scene: &Scene,
        host: u8,
        called: SocketAddr,
        authority: &Authority,
        issue_for: Option<IpAddr>,
    ) -> Kamailio {
        let address = scene.endpoint(host);
        let own = authority.issue(issue_for.unwrap_or(address.ip()));
        let files = [("@CERTIFICATE@", &own.chain), ("@KEY@", &own.key), ("@AUTHORITY@", &authority.path)];
        let files = files.map(|(place, path)| (place, path.display().to_string()));
        Kamailio::start_with(scene, host, address, called, &["TLS"], &files)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was; what it has logged is forgotten.
    pub fn start_again(&mut self, scene: &Scene, called: SocketAddr) {
        *self = Kamailio::start_with(scene, self.host, self.address, called, &[], &[]);
    }

    fn start_as(scene: &Scene, host: u8, called: SocketAddr, defined: &[&str]) -> Kamailio {
        Kamailio::start_with(scene, host, scene.endpoint(host), called, defined, &[])
    }

    fn start_with(
        scene: &Scene,
        host: u8,
        address: SocketAddr,
        called: SocketAddr,
        defined: &[&str],
        files: &[(&str, String)],
    ) -> Kamailio {
        let other_address = scene.endpoint(host + OTHER);
        let directory = scene.directory.join(format!("kamailio-{host}"));
        fs::create_dir_all(&directory).unwrap();
        let mut text = include_str!("kamailio.cfg").to_owned();
        for (place, address) in [("@LISTEN@", address), ("@OTHER@", other_address), ("@CALLED@", called)] {
            text = text.replace(place, &address.to_string());
        }
        for (place, path) in files {
            text = text.replace(place, path);
        }
        fs::write(directory.join("kamailio.cfg"), text).unwrap();
        let path = format!("{}:/usr/sbin:/usr/local/sbin", env::var("PATH").unwrap_or_default());
        let mut command = Command::new("kamailio");
        command.env("PATH", path).args(["-DD", "-E", "-m", "32", "-M", "4", "-w"]).arg(&directory);
        command.arg("-Y").arg(&directory).arg("-f").arg(directory.join("kamailio.cfg"));
        for name in defined {
            command.args(["-A", name]);
        }
        let mut process = Process::start(scene, &format!("kamailio-{host}"), &mut command);
        for address in [address, other_address] {
            until_bound(address, || process.assert_running());
        }
        Kamailio { address, other_address, host, process }
    }

    /// What it logged under this heading, line by line.
    pub fn logged(&self, heading: &str) -> Vec<String> {
        let heading = format!("viaduct-test {heading} ");
        let output = self.process.output();
        output.lines().filter_map(|line| Some(line.split_once(&heading)?.1.to_owned())).collect()
    }

    /// What it has seen, from its log.
    pub fn seen(&self) -> Seen {
        let stray = self.logged("stray");
        assert!(stray.is_empty(), "requests that belong to no transaction here: {stray:?}");
        let mut seen = Seen::new();
        for event in self.logged("seen") {
            if let Some((method, call_id)) = event.split_once(' ') {
                seen.entry(call_id.to_owned()).or_default().insert(method.to_owned());
            }
        }
        seen
    }
}

/// Asserts that these proxies saw so many Call-IDs, each of them at one proxy only and with all these methods, and that
/// none of the proxies was idle.
pub fn assert_one_proxy_for_each_call(proxies: &[Kamailio], calls: u32, methods: &[&str]) {
    let expected: BTreeSet<String> = methods.iter().map(|method| method.to_string()).collect();
    let mut home = BTreeMap::new();
    for proxy in proxies {
        let seen = proxy.seen();
        assert!(seen.len() * proxies.len() * 2 > calls as usize, "{} saw {} calls", proxy.address, seen.len());
        for (call_id, methods) in seen {
            assert_eq!(methods, expected, "{call_id} at {}", proxy.address);
            let other = home.insert(call_id.clone(), proxy.address);
            assert_eq!(other, None, "{call_id} was seen by {} too", proxy.address);
        }
    }
    assert_eq!(home.len(), calls as usize);
}
