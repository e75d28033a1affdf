//! Kamailio as a collector: its module for Homer reads what Viaduct tells, and hands each message to its script as if it had come
//! from where the packet says.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::viaduct::{Viaduct, backend, request};

/// Where it takes packets: a port of its own on an address of its own.
const COLLECTOR: &str = "127.17.0.8:9060";

struct Kamailio {
    child: Child,
    directory: std::path::PathBuf,
}

impl Kamailio {
    /// `None`, loudly, where it is not installed and need not be.
    fn start() -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("viaduct-hep-kamailio-{}", std::process::id()));
        fs::create_dir_all(directory.join("db")).unwrap();
        let config = include_str!("kamailio.cfg").replace("@LISTEN@", COLLECTOR);
        fs::write(directory.join("kamailio.cfg"), config.replace("@DIRECTORY@", directory.to_str().unwrap())).unwrap();
        let log = fs::File::create(directory.join("log")).unwrap();
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("kamailio");
        command
            .env("PATH", path)
            .args(["-DD", "-E", "-m", "32", "-M", "4", "-w"])
            .arg(&directory)
            .arg("-Y")
            .arg(&directory);
        command.arg("-f").arg(directory.join("kamailio.cfg")).stdout(Stdio::null()).stderr(log);
        match command.spawn() {
            Ok(child) => Some(Kamailio { child, directory }),
            Err(error) => {
                let is_required = std::env::var("VIADUCT_TEST_PEERS").is_ok_and(|word| word == "required");
                assert!(!is_required, "kamailio is required and cannot be started: {error}");
                eprintln!("SKIPPED: kamailio cannot be started: {error}");
                None
            }
        }
    }

    /// What it has seen, line by line.
    fn seen(&self) -> Vec<String> {
        let log = fs::read_to_string(self.directory.join("log")).unwrap();
        log.lines().filter_map(|line| Some(line.split_once("viaduct-test ")?.1.to_owned())).collect()
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn kamailio_reads_each_message_and_where_it_came_from() {
    let Some(kamailio) = Kamailio::start() else { return };
    let backend = backend();
    let viaduct = Viaduct::start(&[("VIADUCT_BACKENDS", &backend), ("VIADUCT_HEP", &format!("udp://{COLLECTOR}"))]);
    // It is there once it answers for something.
    let begun = std::time::Instant::now();
    for number in 0.. {
        assert!(begun.elapsed().as_secs() < 20, "kamailio takes nothing");
        viaduct.send(request("OPTIONS", &format!("knock-{number}@a.example"), "", ""));
        viaduct.answer();
        std::thread::sleep(std::time::Duration::from_millis(50));
        if !kamailio.seen().is_empty() {
            break;
        }
    }
    viaduct.send(request("OPTIONS", "read@a.example", "", ""));
    viaduct.answer();
    let of_call = || kamailio.seen().into_iter().filter(|line| line.contains("read@a.example")).collect::<Vec<_>>();
    viaduct.until("kamailio sees the call", || of_call().len() == 4);
    let spaced = |address: String| address.replace(':', " ");
    let (client, sip) = (spaced(viaduct.client.local_addr().unwrap().to_string()), spaced(viaduct.sip.to_string()));
    let backend = spaced(backend.strip_prefix("udp://").unwrap().to_owned());
    let expected = [
        format!("OPTIONS read@a.example {client}"),
        format!("OPTIONS read@a.example {sip}"),
        format!("200 read@a.example {backend}"),
        format!("200 read@a.example {sip}"),
    ];
    assert_eq!(of_call(), expected);
}
