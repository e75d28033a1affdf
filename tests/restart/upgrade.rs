//! A second process takes over from the first: nothing is lost, and nobody is refused.

use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::load::Load;
use crate::meeting::{Meeting, engines, read};
use crate::sip::{Backend, Client, ok, options, request, request_with};
use crate::viaduct::{PATIENCE, Place, SECRET, Viaduct, ask, free, until};

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
        assert_eq!((backend.count(), answered), (sent, sent), "from {from} to {to}: {}", second.accounts());
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
        assert!(connections > 20, "{connections} from {from} to {to}");
    }
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
        let handed_on = || second.metric("viaduct_messages_absorbed_total", "\"handed_on\"");
        until("not all were handed on", || handed_on() >= 199.0);
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

#[test]
fn one_upgrade_after_another_loses_nothing_and_connections_of_each_process_are_reached() {
    for [from, to] in engines() {
        let meeting = Meeting::new("row");
        let backend = Backend::start("127.9.0.40");
        let place = Place::before(backend.address);
        let start =
            |engine| Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_GRACE_S", "60"), ("VIADUCT_IO", engine)]);
        let mut row = vec![start(from)];
        let load = Load::on(place.sip);
        let mut connections = vec![TcpStream::connect(place.sip).unwrap()];
        for engine in [to, from, to] {
            talk(&mut connections, 20);
            row.push(start(engine));
            connections.push(TcpStream::connect(place.sip).unwrap());
            talk(&mut connections, 20);
        }
        let newest = row.last().unwrap();
        assert!(
            newest.metric("viaduct_messages_absorbed_total", "\"handed_on\"") >= 60.0,
            "three processes have one each"
        );
        assert_eq!(newest.metric("viaduct_upgrade_predecessors", ""), 1.0);
        drop(connections.drain(..3));
        for first in &mut row[..3] {
            assert!(first.ends_within(PATIENCE), "one of those before does not end");
        }
        talk(&mut connections, 20);
        until("it has none before it", || row[3].metric("viaduct_upgrade_predecessors", "") == 0.0);
        let (sent, answered) = load.end();
        assert!(sent > 1000);
        assert_eq!(answered, sent, "from {from} to {to}: {}", row[3].accounts());
    }
}

#[test]
fn requests_on_connections_are_all_answered_while_sockets_and_listeners_go_over() {
    for [from, to] in engines() {
        let meeting = Meeting::new("stream-load");
        let backend = Backend::start("127.9.0.41");
        let place = Place::before(backend.address);
        let mut first = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_IO", from)]);
        let (is_over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        let go_on = || {
            let before = rounds.load(Ordering::Relaxed);
            until("nothing is answered", || rounds.load(Ordering::Relaxed) > before + 50);
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| talk_until(&is_over, &rounds, &place))).collect();
            go_on();
            let _second = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_IO", to)]);
            first.logs("another process has taken over");
            go_on();
            is_over.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| client.join().unwrap());
            assert!(first.ends_within(PATIENCE), "the first one does not end");
        });
    }
}

#[test]
fn listeners_come_and_go_with_an_upgrade_and_as_many_shards_read_the_sockets_as_before() {
    let meeting = Meeting::new("other");
    let backend = Backend::start("127.9.0.42");
    let place = Place::before(backend.address);
    let mut first = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_SHARDS", "3")]);
    let load = Load::on(place.sip);
    until("no load", || load.sent() > 500);
    let (sip, added) = (place.sip, free());
    let other = Place { sip: added, listen: format!("udp://{sip},tcp://{added},udp://{added}"), ..place.clone() };
    let mut second = Viaduct::start(&other, &[meeting.setting(), ("VIADUCT_SHARDS", "1")]);
    let at_takeover = load.sent();
    assert!(first.ends_within(PATIENCE), "the first one does not end");
    until("no load", || load.sent() > at_takeover + 1000);
    let (sent, answered) = load.end();
    assert_eq!((backend.count(), answered), (sent, sent));
    assert_eq!(second.metric("viaduct_io_engine_info", ""), 3.0, "as many shards as before");
    assert!(TcpStream::connect(sip).is_err(), "nobody listens there any more");
    talk(&mut [TcpStream::connect(added).unwrap()], 3);
    assert!(Client::new("127.9.0.43", added).ask(&request("MESSAGE", "UDP", 1 << 50)).starts_with("SIP/2.0 200 "));
    second.terminate();
    assert!(second.ends_within(PATIENCE), "it does not end");
}

#[test]
fn the_first_one_ends_with_the_one_that_took_over_and_leaves_the_address_to_the_next() {
    let meeting = Meeting::new("both");
    let backend = Backend::start("127.9.0.44");
    let place = Place::before(backend.address);
    let mut first = Viaduct::start(&place, &[meeting.setting(), ("VIADUCT_GRACE_S", "60")]);
    let mut connections = [TcpStream::connect(place.sip).unwrap()];
    talk(&mut connections, 1);
    let second = Viaduct::start(&place, &[meeting.setting()]);
    first.logs("another process has taken over");
    // Killed: nobody tells the first one.
    drop(second);
    first.logs("the process that has taken over has ended");
    assert!(first.ends_within(PATIENCE), "it does not end");
    // The kernel takes its time to close what a ring had whose process was killed.
    until("the address is not free", || UdpSocket::bind(place.sip).and(TcpListener::bind(place.sip)).is_ok());
    let _third = Viaduct::start(&place, &[meeting.setting()]);
    assert!(Client::new("127.9.0.45", place.sip).ask(&request("MESSAGE", "UDP", 1)).starts_with("SIP/2.0 200 "));
}

#[test]
fn a_secret_is_changed_with_an_upgrade_where_the_one_before_is_still_accepted() {
    let meeting = Meeting::new("rotation");
    let backend = Backend::start("127.9.0.46");
    let place = Place::before(backend.address);
    let mut first = Viaduct::start(&place, &[meeting.setting()]);
    let rotated = [
        ("VIADUCT_SECRET", "another secret, for tests"),
        ("VIADUCT_SECRETS_ACCEPTED", SECRET),
        ("VIADUCT_TABLE_SECRET", SECRET),
    ];
    let second = Viaduct::start(&place, &[&rotated[..], &[meeting.setting()]].concat());
    assert!(first.ends_within(PATIENCE) && second.is_ready());
}

/// So many requests on each connection, each answered; each connection has its own numbers.
fn talk(connections: &mut [TcpStream], requests: u64) {
    static NUMBER: AtomicU64 = AtomicU64::new(1 << 40);
    for connection in connections {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let first = NUMBER.fetch_add(requests, Ordering::Relaxed);
        for number in first..first + requests {
            connection.write_all(request("MESSAGE", "TCP", number).as_bytes()).unwrap();
            let answer = read(connection);
            assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(&format!("Call-ID: {number}@")), "{answer}");
        }
    }
}

/// Requests on a connection of its own, again and again; counts how often.
fn talk_until(is_over: &AtomicBool, rounds: &AtomicU64, place: &Place) {
    let mut connection = [TcpStream::connect(place.sip).unwrap()];
    while !is_over.load(Ordering::Relaxed) {
        talk(&mut connection, 5);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}
