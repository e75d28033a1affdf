//! Kamailio as a member of the pool: a stateful proxy that records its route and logs every request it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::{env, fs};

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
    process: Process,
}

/// The methods that one proxy has seen of each Call-ID.
type Seen = BTreeMap<String, BTreeSet<String>>;

impl Kamailio {
    /// Starts it on `host` of the scene; it relays every new call to `called`.
    pub fn start(scene: &Scene, host: u8, called: SocketAddr, challenge: Challenge) -> Kamailio {
        let address = scene.endpoint(host);
        let directory = scene.directory.join(format!("kamailio-{host}"));
        fs::create_dir_all(&directory).unwrap();
        let text = include_str!("kamailio.cfg").replace("@LISTEN@", &address.to_string());
        fs::write(directory.join("kamailio.cfg"), text.replace("@CALLED@", &called.to_string())).unwrap();
        let path = format!("{}:/usr/sbin:/usr/local/sbin", env::var("PATH").unwrap_or_default());
        let mut command = Command::new("kamailio");
        command.env("PATH", path).args(["-DD", "-E", "-m", "32", "-M", "4", "-w"]).arg(&directory);
        command.arg("-Y").arg(&directory).arg("-f").arg(directory.join("kamailio.cfg"));
        if challenge == Challenge::Everybody {
            command.args(["-A", "CHALLENGE"]);
        }
        let mut process = Process::start(scene, &format!("kamailio-{host}"), &mut command);
        until_bound(address, || process.assert_running());
        Kamailio { address, process }
    }

    /// What it has seen, from its log.
    fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        for line in self.process.output().lines() {
            assert!(!line.contains("viaduct-test stray"), "a request that belongs to no transaction here: {line}");
            if let Some((_, event)) = line.split_once("viaduct-test seen ")
                && let Some((method, call_id)) = event.split_once(' ')
            {
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
