//! A second process takes over from the first: nothing is lost, nobody is refused, and a failed attempt changes nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use viaduct::io::channel::Channel;

use crate::load::Load;
use crate::sip::{Backend, Client, ok, options, request, request_with};
use crate::viaduct::{PATIENCE, Place, Viaduct, ask, until};

/// The path by which processes meet.
struct Meeting(PathBuf);

impl Meeting {
    fn new(name: &str) -> Self {
        Meeting(std::env::temp_dir().join(format!("viaduct-{name}-{}.socket", std::process::id())))
    }

    fn setting(&self) -> (&str, &str) {
        ("VIADUCT_UPGRADE_SOCKET", self.0.to_str().unwrap())
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// From which engine to which.
fn engines() -> Vec<[&'static str; 2]> {
    match viaduct::io::probe(&viaduct::io::Options::default()) {
        Ok(()) => vec![["uring", "uring"], ["poll", "poll"], ["uring", "poll"], ["poll", "uring"]],
        Err(unavailable) => {
            eprintln!("SKIPPED on io_uring: {unavailable}");
            vec![["poll", "poll"]]
        }
    }
}

#[test]
fn not_one_datagram_is_lost_under_load_on_any_engine() {
    for [from, to] in engines() {
        let meeting = Meeting::new("load");
        let backend = Backend::start("127.9.0.10");
        let place = Place::before(backend.address);
        let mut first = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_IO", from)]);
        let load = Load::on(place.sip);
        until("no load", || load.sent() > 1000);
        let mut second = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_IO", to)]);
        let at_takeover = load.sent();
        assert!(first.ends_within(PATIENCE), "the first one does not end");
        first.logs("another process has taken over");
        until("no load", || load.sent() > at_takeover + 3000);
        assert!(
            second.metric("viaduct_messages_received_total", "client") > 2000.0,
            "it is the second one that receives"
        );
        assert_eq!(second.metric("viaduct_kernel_drops_total", ""), 0.0);
        let (sent, answered) = load.end();
        assert_eq!((backend.count(), answered), (sent, sent), "from {from} to {to}");
        second.terminate();
        assert!(second.ends_within(PATIENCE), "it does not end");
        assert!(!meeting.0.exists(), "it leaves its socket behind");
    }
}

#[test]
fn no_connection_is_refused_while_listeners_go_over() {
    for [from, to] in engines() {
        let meeting = Meeting::new("listeners");
        let backend = Backend::start("127.9.0.11");
        let place = Place::before(backend.address);
        let mut first = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_IO", from)]);
        let is_over = AtomicBool::new(false);
        let connections = thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let mut connections = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let mut connection = TcpStream::connect(place.sip).expect("nobody is refused");
                    connection.set_read_timeout(Some(PATIENCE)).unwrap();
                    connection.write_all(options(place.sip, "TCP").as_bytes()).unwrap();
                    assert!(read(&mut connection).starts_with("SIP/2.0 200 "));
                    connections += 1;
                }
                connections
            });
            sleep(Duration::from_millis(200));
            let second = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_IO", to)]);
            assert!(first.ends_within(PATIENCE), "the first one does not end");
            until("it accepts nothing", || second.metric("viaduct_shard_accepts_total", "") > 20.0);
            is_over.store(true, Ordering::Relaxed);
            connecting.join().unwrap()
        });
        assert!(connections > 40, "{connections} from {from} to {to}");
    }
}

#[test]
fn one_that_cannot_start_leaves_the_first_as_it_was() {
    let meeting = Meeting::new("failing");
    let backend = Backend::start("127.9.0.12");
    let place = Place::before(backend.address);
    let first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    until("no load", || load.sent() > 500);
    let listen = format!("{},udp://192.0.2.77:5060", place.listen);
    let wrong = place.command(&[meeting.setting(), ("VIADUCT_LISTEN", &listen)]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    first.logs("has ended, so this one goes on");
    let at_failure = load.sent();
    until("no load", || load.sent() > at_failure + 500);
    assert!(first.is_ready());
    let (sent, answered) = load.end();
    assert_eq!((backend.count(), answered), (sent, sent));
    let mut first = first;
    let second = Viaduct::start(&place, &[meeting.setting()]);
    assert!(first.ends_within(PATIENCE) && second.is_ready(), "the next one takes over");
}

#[test]
fn one_that_ends_before_it_runs_gives_back_what_it_was_handed() {
    let meeting = Meeting::new("giving-back");
    let backend = Backend::start("127.9.0.13");
    let place = Place::before(backend.address);
    let first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    until("no load", || load.sent() > 500);
    let channel = Channel::open(&meeting.0).unwrap().expect("it offers itself");
    channel.send(b"viaduct 1 0.0.0", &[]).unwrap();
    let (mut buffer, mut descriptors) = (vec![0; 64 << 10], 0);
    loop {
        let packet = channel.receive(&mut buffer).unwrap();
        descriptors += packet.descriptors.len();
        if &buffer[..packet.length] == b"complete" {
            break;
        }
    }
    assert_eq!(descriptors, 5, "two shards with two listeners each, and the admin listener");
    channel.send(b"ready", &[]).unwrap();
    let packet = channel.receive(&mut buffer).unwrap();
    assert_eq!(&buffer[..packet.length], b"released");
    // What comes in this time waits in the sockets.
    sleep(Duration::from_millis(100));
    drop(channel);
    first.logs("has ended, so this one goes on");
    let at_failure = load.sent();
    until("no load", || load.sent() > at_failure + 500);
    let (sent, answered) = load.end();
    assert_eq!((backend.count(), answered), (sent, sent));
    let mut connection = TcpStream::connect(place.sip).unwrap();
    connection.write_all(options(place.sip, "TCP").as_bytes()).unwrap();
    assert!(read(&mut connection).starts_with("SIP/2.0 200 "), "it accepts connections again");
}

#[test]
fn one_of_another_protocol_is_told_so_and_changes_nothing() {
    let meeting = Meeting::new("protocol");
    let backend = Backend::start("127.9.0.14");
    let place = Place::before(backend.address);
    let first = Viaduct::start(&place, &[meeting.setting()]);
    for (hello, answer) in
        [("viaduct 999 9.9.9", "hands over by protocol 1, and Viaduct 9.9.9"), ("hello", "not understood")]
    {
        let channel = Channel::open(&meeting.0).unwrap().expect("it offers itself");
        channel.send(hello.as_bytes(), &[]).unwrap();
        let mut buffer = [0; 1024];
        let packet = channel.receive(&mut buffer).unwrap();
        let told = std::str::from_utf8(&buffer[..packet.length]).unwrap();
        assert!(told.starts_with("refused ") && told.contains(answer), "{told}");
        first.logs("was refused to take over");
    }
    let client = Client::new("127.9.0.15", place.sip);
    assert!(client.ask(&request("MESSAGE", "UDP", 1)).starts_with("SIP/2.0 200 "));
}

#[test]
fn connections_stay_where_they_are_and_what_comes_for_them_gets_there() {
    for [from, to] in engines() {
        let meeting = Meeting::new("connections");
        let backend = Backend::start("127.9.0.16");
        let place = Place::before(backend.address);
        let settings = [meeting.setting(), ("VIADUCT_GRACE_S", "30")];
        let mut first = Viaduct::start(&place, &[&settings[..], &[("VIADUCT_IO", from)]].concat());
        let mut connection = TcpStream::connect(place.sip).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.write_all(request("INVITE", "TCP", 1).as_bytes()).unwrap();
        let invited = read(&mut connection);
        let route = invited.lines().find_map(|line| line.strip_prefix("Record-Route: ")).unwrap();
        let second = Viaduct::start(&place, &[&settings[..], &[("VIADUCT_IO", to)]].concat());
        first.logs("another process has taken over");
        // Responses come by datagrams, which the second one receives.
        for number in 2..200 {
            connection.write_all(request("MESSAGE", "TCP", number).as_bytes()).unwrap();
            let answer = read(&mut connection);
            assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(&format!("Call-ID: {number}@")), "{answer}");
        }
        // And so do requests of the dialog, which follow the client's flow.
        let other_side = Client::new("127.9.0.16", place.sip);
        let info = request_with("INFO", "UDP", 1, "<sip:a@a.example>;tag=1", &format!("Route: {route}\r\n"));
        other_side.send(&info);
        let came = read(&mut connection);
        assert!(came.starts_with("INFO "), "{came}");
        connection.write_all(ok(&came).as_bytes()).unwrap();
        assert!(other_side.read().is_some_and(|answer| answer.starts_with("SIP/2.0 200 ")));
        assert!(second.metric("viaduct_messages_absorbed_total", "\"handed_on\"") >= 199.0);
        drop(connection);
        assert!(first.ends_within(PATIENCE), "it has no connections left, and does not end");
    }
}

#[test]
fn the_pool_stands_as_the_administrator_and_probes_left_it() {
    let meeting = Meeting::new("standing");
    let (backend, dead) = (Backend::start("127.9.0.17"), "127.9.0.18:5060");
    let place = Place::before(backend.address);
    let place = Place { backends: format!("{},two=udp://{dead},three=udp://127.9.0.19:5060", place.backends), ..place };
    let settings = [
        meeting.setting(),
        ("VIADUCT_PROBE", "on"),
        ("VIADUCT_PROBE_INTERVAL_MS", "60000"),
        ("VIADUCT_PROBE_FALL", "1"),
    ];
    let mut first = Viaduct::start(&place, &[&settings[..3], &[("VIADUCT_PROBE_INTERVAL_MS", "200")]].concat());
    let document = |name: &str| ask(place.admin, &format!("GET /api/backends/{name}"), "");
    let stands = |name: &str, how: &str| document(name).contains(&format!(r#""standing":"{how}""#));
    until("the dead one is not found out", || stands("two", "down") && stands("one", "up"));
    assert!(ask(place.admin, "POST /api/backends/one/drain", "Viaduct-Admin: 1\r\n").starts_with("HTTP/1.1 200"));
    let _second = Viaduct::start(&place, &settings);
    assert!(first.ends_within(PATIENCE), "the first one does not end");
    assert!(stands("one", "draining"), "{}", document("one"));
    assert!(stands("two", "down"), "{}", document("two"));
}

/// The next answer on a connection, as far as one read brings it.
fn read(connection: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let len = connection.read(&mut buffer).expect("an answer");
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}
