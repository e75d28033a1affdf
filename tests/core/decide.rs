//! Golden messages: each file under tests/cases holds what comes in and what goes out, side by side, byte for byte.
//!
//! A line `>>> from ADDRESS` begins a message that comes in; `listener N` and `local IP` may follow, and `raw` for one whose
//! line ends and odd bytes are written as escapes; `at N` gives the time in microseconds and has backends timed;
//! `connection PROCESS/NUMBER` tells which connection it comes on. A line
//! `<<<` begins what is decided about it, and behind it what is
//! sent; `on connection PROCESS/NUMBER` tells which connection it must go by, and `or a new one to ADDRESS` where a new
//! one may be opened to. `{own-via}`, `{own-routes}` and `{own-path}` stand for the Via, the Record-Route URIs (from the
//! top, as Route values; `{own-routes-reversed}`: from the bottom) and the Path URI that Viaduct wrote on the last request
//! that had them, `{own-uri}` for the first of these URIs without its brackets. A line `=== ` tells what the listeners and
//! backends speak from there on: `udp`, which holds without one, `udp and tcp`, or `udp and tcp, backends by tcp`; or, with
//! `udp, backends want no more`, that all of them have asked to be sent nothing that begins something (RFC 7339). Lines
//! that begin with `#` are the reader's. To write the decisions down anew after a change of the format, run with VIADUCT_BLESS=1 and
//! read the difference.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use viaduct::balance::backend::BackendIndex;
use viaduct::proxy::View;
use viaduct::proxy::inbound::{ConnectionRef, Inbound, ListenerIndex};
use viaduct::proxy::latency::Instance;
use viaduct::proxy::snapshot::Snapshot;
use viaduct::proxy::verdict::{Decision, DropReason, MessageKind, NextHop, Verdict};
use viaduct::sip::Transport;

#[test]
fn every_case_is_decided_as_written() {
    let worlds = worlds();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(!cases.is_empty(), "the cases are missing");
    for path in cases {
        let written = fs::read_to_string(&path).unwrap();
        let decided = decide_all(&worlds, &written);
        if env::var_os("VIADUCT_BLESS").is_some() {
            fs::write(&path, &decided).unwrap();
        } else if decided != written {
            wrong.push(format!("{}:\n{}", path.display(), first_difference(&written, &decided)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// What a line `=== ` may say, and the snapshot for it.
fn worlds() -> [(&'static str, Snapshot); 4] {
    let pool = crate::support::pool;
    let streams = |backends| crate::support::snapshot_with_streams(pool(), backends);
    [
        ("udp", crate::support::snapshot_of(pool())),
        ("udp and tcp", streams(Transport::Udp)),
        ("udp and tcp, backends by tcp", streams(Transport::Tcp)),
        ("udp, backends want no more", crate::overload::wanting(100)),
    ]
}

/// The case with its decisions written anew.
fn decide_all(worlds: &[(&str, Snapshot)], case: &str) -> String {
    let mut untimed = &worlds[0].1;
    let mut out = String::new();
    let mut own = Own::default();
    let names = crate::support::names();
    let mut lines = case.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(from) = line.strip_prefix(">>> ") else {
            if let Some(spoken) = line.strip_prefix("=== ") {
                untimed = &worlds.iter().find(|(name, _)| *name == spoken).expect("what is spoken").1;
            }
            if line.starts_with(['#', '=']) || line.is_empty() && out.ends_with('\n') && !out.contains(">>>") {
                writeln!(out, "{line}").unwrap();
            }
            continue;
        };
        writeln!(out, "{line}").unwrap();
        let mut message = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("<<<") && !line.starts_with(">>>")) {
            writeln!(out, "{line}").unwrap();
            message.push(line);
        }
        let bytes = bytes_of(from, &message, &own);
        let timed = from.contains(" at ").then(|| untimed.clone().with_latency(Instance(0x1234)));
        let snapshot = timed.as_ref().unwrap_or(untimed);
        let (decision, sent) = crate::support::decided_with(View { snapshot, names: &names }, &inbound(from, &bytes));
        writeln!(out, "<<< {}{}", describe(snapshot, &decision, &bytes), sample(snapshot, &decision)).unwrap();
        let text = String::from_utf8_lossy(&sent).replace("\r\n", "\n").replace('\r', "\\r").replace('\0', "\\0");
        if !text.is_empty() {
            writeln!(out, "{text}{}", if text.ends_with('\n') { "" } else { "\\" }).unwrap();
        }
        if matches!(decision.kind, MessageKind::Request(_)) {
            own.read(&text);
        }
    }
    out
}

/// What Viaduct wrote into the requests that it forwarded.
#[derive(Default)]
struct Own {
    via: String,
    routes: String,
    path: String,
}

impl Own {
    fn read(&mut self, text: &str) {
        let values = |name: &str| -> Vec<&str> {
            let ours = |value: &&str| {
                value.contains("sip.example.com") || value.contains("2001:db8::100") || value.contains("192.0.2.101")
            };
            text.lines().filter_map(|line| line.strip_prefix(name)).filter(ours).collect()
        };
        if let Some(via) = text.lines().find(|line| line.contains(";vd=")) {
            self.via = via.to_owned();
        }
        for (place, name) in [(&mut self.routes, "Record-Route: "), (&mut self.path, "Path: ")] {
            if !values(name).is_empty() {
                *place = values(name).join(", ");
            }
        }
    }

    fn fill_in(&self, line: &str) -> String {
        let uri = self.routes.trim_start_matches('<').split('>').next().unwrap_or_default();
        let reversed: Vec<&str> = self.routes.rsplit(", ").collect();
        let line = line.replace("{own-uri}", uri).replace("{own-routes-reversed}", &reversed.join(", "));
        line.replace("{own-via}", &self.via).replace("{own-routes}", &self.routes).replace("{own-path}", &self.path)
    }
}

fn bytes_of(from: &str, lines: &[&str], own: &Own) -> Vec<u8> {
    if from.ends_with(" raw") {
        return unescape(&lines.concat());
    }
    let lines = lines.strip_suffix(&[""]).filter(|rest| rest.contains(&"")).unwrap_or(lines);
    let mut text = String::new();
    for line in lines {
        text.push_str(&own.fill_in(line));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'r') => bytes.push(b'\r'),
            Some(b'n') => bytes.push(b'\n'),
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => panic!("an unknown escape: {other:?}"),
        }
    }
    bytes
}

fn inbound<'a>(from: &str, bytes: &'a [u8]) -> Inbound<'a> {
    let mut words = from.split_whitespace();
    let (mut peer, mut listener, mut local, mut connection, mut now_us) = (None, 0, None, None, 0);
    while let Some(word) = words.next() {
        match word {
            "from" => peer = words.next().map(|word| word.parse().unwrap()),
            "listener" => listener = words.next().unwrap().parse().unwrap(),
            "local" => local = Some(words.next().unwrap().parse().unwrap()),
            "connection" => connection = words.next().map(connection_named),
            "at" => now_us = words.next().unwrap().parse().unwrap(),
            "raw" => {}
            _ => panic!("an unknown word: {word}"),
        }
    }
    Inbound { bytes, peer: peer.unwrap(), listener: ListenerIndex(listener), local, connection, relay: None, now_us }
}

fn connection_named(word: &str) -> ConnectionRef {
    let (process, number) = word.split_once('/').unwrap();
    ConnectionRef { process: process.parse().unwrap(), number: number.parse().unwrap() }
}

fn describe(snapshot: &Snapshot, decision: &Decision, bytes: &[u8]) -> String {
    match decision.verdict {
        Verdict::Forward { hop, backend, .. } => {
            let backend = backend
                .map_or(String::new(), |index| format!(", backend {}", snapshot.pool().get(index).unwrap().name));
            format!("forward to {}{backend}", describe_hop(&hop))
        }
        Verdict::Answer { hop, status, fault } => {
            let fault = fault.map_or(String::new(), |fault| format!(", fault {fault:?}"));
            format!("answer {} to {}{fault}", status.code(), describe_hop(&hop))
        }
        Verdict::Absorb(reason) => format!("absorb {}", reason.label()),
        Verdict::Drop(reason @ DropReason::NameBeingResolved) => {
            let name = decision.named.and_then(|named| named.name(bytes)).unwrap();
            format!("drop {reason:?}, {name}")
        }
        Verdict::Drop(reason) => format!("drop {reason:?}"),
    }
}

fn describe_hop(hop: &NextHop) -> String {
    let from = hop.from.map_or(String::new(), |from| format!(" from {from}"));
    let name = |ConnectionRef { process, number }| format!(" on connection {process}/{number}");
    let connection = hop.connection.map_or(String::new(), name);
    let reconnect = hop.reconnect.map_or(String::new(), |address| format!(" or a new one to {address}"));
    format!("{} by listener {}{from}{connection}{reconnect}", hop.to, hop.listener.0)
}

fn sample(snapshot: &Snapshot, decision: &Decision) -> String {
    let told = decision.sample.map(|sample| {
        let backend = &snapshot.pool().get(BackendIndex(sample.backend.0)).unwrap().name;
        let phases: Vec<&str> = sample.phases.iter().map(|phase| phase.label()).collect();
        format!("; {} of {backend} after {} us, {}", phases.join(" and "), sample.elapsed_us, sample.class.label())
    });
    told.unwrap_or_default()
}

fn first_difference(written: &str, decided: &str) -> String {
    let (mut a, mut b) = (written.lines(), decided.lines());
    for number in 1.. {
        match (a.next(), b.next()) {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => return format!("line {number}\n  written: {left:?}\n  decided: {right:?}"),
        }
    }
    "only line ends differ".to_owned()
}
