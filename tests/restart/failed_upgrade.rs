//! A second process that does not take over, for whatever reason: the first one goes on as if nothing had happened.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use viaduct::io::channel::Channel;

use crate::load::Load;
use crate::meeting::{Meeting, read};
use crate::sip::{Backend, Client, options, request};
use crate::viaduct::{PATIENCE, Place, Viaduct, free, until};

#[test]
fn one_with_settings_that_cannot_be_used_leaves_the_first_as_it_was() {
    let meeting = Meeting::new("settings");
    let (backend, place) = scene("127.9.0.12");
    let mut first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    until("no load", || load.sent() > 500);
    let not_here = format!("{},udp://192.0.2.77:5060", place.listen);
    let other_program = UdpSocket::bind("127.9.0.12:0").unwrap();
    let taken = format!("{},udp://{}", place.listen, other_program.local_addr().unwrap());
    let wrong = [
        ("VIADUCT_LISTEN", not_here.as_str(), "VIADUCT_LISTEN"),
        ("VIADUCT_LISTEN", taken.as_str(), "VIADUCT_LISTEN"),
        ("VIADUCT_ADMIN_LISTEN", "192.0.2.77:9060", "VIADUCT_ADMIN_LISTEN"),
        ("VIADUCT_ADMIN_TOKEN_FILE", "/nowhere/token", "VIADUCT_ADMIN_TOKEN_FILE"),
        ("VIADUCT_BACKENDS", "one=udp://nobody.invalid:5060", "no backend is found by"),
        ("VIADUCT_SECRET", "a secret that is another", "signs by another"),
    ];
    for (attempt, (variable, value, told)) in wrong.into_iter().enumerate() {
        let mut second = place.command(&[meeting.setting(), ("VIADUCT_RESOLVERS", "127.9.0.12:9"), (variable, value)]);
        let ended = second.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains(told), "{variable}={value}: {said}");
        first.logs("has ended, so this one goes on");
        assert_eq!(first.metric("viaduct_upgrades_failed_total", "ended"), attempt as f64 + 1.0);
    }
    let at_failure = load.sent();
    until("no load", || load.sent() > at_failure + 500);
    assert!(first.is_ready());
    let (sent, answered) = load.end();
    assert_eq!((backend.count(), answered), (sent, sent));
    let second = Viaduct::start(&place, &[meeting.setting()]);
    assert!(first.ends_within(PATIENCE) && second.is_ready(), "the next one takes over");
}

#[test]
fn one_that_is_killed_before_it_runs_leaves_the_first_as_it_was() {
    let meeting = Meeting::new("killed");
    let (backend, place) = scene("127.9.0.21");
    let first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    // A name server that never answers keeps them from getting any further.
    let silent = UdpSocket::bind("127.9.0.21:0").unwrap();
    let resolver = silent.local_addr().unwrap().to_string();
    let settings =
        [meeting.setting(), ("VIADUCT_RESOLVERS", resolver.as_str()), ("VIADUCT_BACKENDS", "one=udp://b.example:5060")];
    for _ in 0..3 {
        let mut second = place.command(&settings).stderr(Stdio::null()).spawn().unwrap();
        first.logs("another Viaduct is to take over");
        second.kill().unwrap();
        second.wait().unwrap();
        first.logs("has ended, so this one goes on");
    }
    let at_failure = load.sent();
    until("no load", || load.sent() > at_failure + 500);
    let (sent, answered) = load.end();
    assert_eq!((backend.count(), answered), (sent, sent));
}

#[test]
fn one_that_ends_before_it_runs_gives_back_what_it_was_handed() {
    let meeting = Meeting::new("giving-back");
    let (backend, place) = scene("127.9.0.13");
    let first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    until("no load", || load.sent() > 500);
    let channel = released(&meeting);
    // What comes in this time waits in the sockets.
    sleep(Duration::from_millis(100));
    drop(channel);
    first.logs("has ended, so this one goes on");
    goes_on(&place, &backend, load);
}

#[test]
fn one_that_is_silent_once_it_has_the_sockets_is_not_waited_for() {
    let meeting = Meeting::new("silent");
    let (backend, place) = scene("127.9.0.22");
    let first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    until("no load", || load.sent() > 500);
    let (begun, channel) = (Instant::now(), released(&meeting));
    first.logs("no other Viaduct has taken over, so this one goes on");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(first.metric("viaduct_upgrades_failed_total", "unheard"), 1.0);
    // It is too late for that.
    let _ = channel.send(b"running", &[]);
    goes_on(&place, &backend, load);
}

#[test]
fn one_of_another_protocol_is_told_so_and_changes_nothing() {
    let meeting = Meeting::new("protocol");
    let (_backend, place) = scene("127.9.0.14");
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
    assert_eq!(first.metric("viaduct_upgrades_failed_total", "refused"), 2.0);
}

#[test]
fn nobody_takes_over_from_one_that_was_told_to_end() {
    let meeting = Meeting::new("ending");
    let (_backend, place) = scene("127.9.0.23");
    let mut first = Viaduct::start(&place, &[meeting.setting()]);
    let mut connection = TcpStream::connect(place.sip).unwrap();
    connection.write_all(options(place.sip, "TCP").as_bytes()).unwrap();
    assert!(read(&mut connection).starts_with("SIP/2.0 200 "));
    first.terminate();
    first.logs("draining");
    let second = place.command(&[meeting.setting()]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("it is about to end"), "{said}");
    drop(connection);
    assert!(first.ends_within(PATIENCE), "it does not end");
}

#[test]
fn a_process_of_another_user_is_kept_out_by_the_file_and_by_who_it_is() {
    if !is_root() {
        eprintln!("SKIPPED: only root can start a process of another user");
        return;
    }
    let meeting = Meeting::new("stranger");
    let (backend, place) = scene("127.9.0.24");
    let first = Viaduct::start(&place, &[meeting.setting()]);
    let load = Load::on(place.sip);
    let stranger = || {
        let ended = place.command(&[meeting.setting()]).uid(NOBODY).gid(NOBODY).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let (code, said) = stranger();
    assert!(code == Some(2) && said.contains("VIADUCT_UPGRADE_SOCKET") && said.contains("Permission denied"), "{said}");
    std::fs::set_permissions(&meeting.0, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (code, said) = stranger();
    assert!(code.is_some_and(|code| code != 0) && said.contains("nothing was taken over"), "{said}");
    first.logs(&format!("it is of a process of user {NOBODY}"));
    goes_on(&place, &backend, load);
}

#[test]
fn who_may_take_over_must_know_the_secret() {
    let meeting = Meeting::new("secret");
    let place = Place::before(free());
    let mut command = place.command(&[meeting.setting()]);
    let ended = command.env_remove("VIADUCT_SECRET").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(2) && said.contains("VIADUCT_SECRET is `unset`"), "{said}");
}

const NOBODY: u32 = 65534;

fn scene(backend: &str) -> (Backend, Place) {
    let backend = Backend::start(backend);
    let place = Place::before(backend.address);
    (backend, place)
}

fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0"
}

/// Takes the part of a second process, up to where the first one has released its sockets.
fn released(meeting: &Meeting) -> Channel {
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
    assert!(buffer[..packet.length].starts_with(b"released "));
    channel
}

/// Everything is answered, over UDP and on connections.
fn goes_on(place: &Place, backend: &Backend, load: Load) {
    let at_failure = load.sent();
    until("no load", || load.sent() > at_failure + 500);
    let (sent, answered) = load.end();
    assert_eq!((backend.count(), answered), (sent, sent));
    let mut connection = TcpStream::connect(place.sip).unwrap();
    connection.write_all(options(place.sip, "TCP").as_bytes()).unwrap();
    assert!(read(&mut connection).starts_with("SIP/2.0 200 "), "it accepts connections again");
}
