//! The real process among others: it does not share its port with a second one, a check takes nothing from it, and it ends
//! when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A Viaduct that runs, with the address it listens at and that of its admin listener.
struct Running {
    child: Child,
    sip: SocketAddr,
    admin: SocketAddr,
}

impl Running {
    fn start() -> Self {
        let (sip, admin) = (free_udp(), free_tcp());
        Self::of(command(sip, admin), sip, admin)
    }

    /// One that also listens over TCP, at the same address and port.
    fn start_with_tcp() -> Self {
        let (sip, admin) = (free_tcp(), free_tcp());
        let mut command = command(sip, admin);
        command.env("VIADUCT_LISTEN", format!("udp://{sip},tcp://{sip}"));
        Self::of(command, sip, admin)
    }

    fn of(mut command: Command, sip: SocketAddr, admin: SocketAddr) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("metrics at /metrics")), "it does not start");
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, sip, admin }
    }

    fn terminate(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(sip: SocketAddr, admin: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
        command.env_remove(name);
    }
    command.env("VIADUCT_LISTEN", format!("udp://{sip}")).env("VIADUCT_ADMIN_LISTEN", admin.to_string());
    command.env("VIADUCT_SECRET", "a secret for tests only").env("VIADUCT_BACKENDS", "udp://127.0.0.2:5060");
    command
}

fn free_udp() -> SocketAddr {
    UdpSocket::bind((own_ip(), 0)).unwrap().local_addr().unwrap()
}

fn free_tcp() -> SocketAddr {
    TcpListener::bind((own_ip(), 0)).unwrap().local_addr().unwrap()
}

/// An address that nothing else here listens at: a port that is free on it stays free.
fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    Ipv4Addr::new(127, 5, 0, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn get(admin: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: viaduct\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_second_one_on_the_same_port_is_refused_and_a_check_beside_it_is_not() {
    let running = Running::start();
    let second = command(running.sip, free_tcp()).output().unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(error.contains("another program, perhaps a Viaduct, has it"), "{error}");

    let check = command(running.sip, running.admin).arg("check").output().unwrap();
    assert!(check.status.success());
    assert!(String::from_utf8(check.stdout).unwrap().contains("is in use"));
}

#[test]
fn it_tells_its_health_and_ends_when_told_even_while_a_client_dawdles() {
    let mut running = Running::start();
    assert!(get(running.admin, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(running.admin, "/readyz").starts_with("HTTP/1.1 200"));
    let page = get(running.admin, "/metrics");
    assert!(page.contains("viaduct_messages_received_total{"), "{page}");
    let mut dawdler = TcpStream::connect(running.admin).unwrap();
    dawdler.write_all(b"GET /metr").unwrap();
    running.terminate();
    assert!(running.ends_within(Duration::from_secs(5)), "it does not end");
    UdpSocket::bind(running.sip).expect("its port is free");
}

#[test]
fn it_listens_over_tcp_beside_udp_and_shares_neither_with_a_second_one() {
    let mut running = Running::start_with_tcp();
    let connections: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(running.sip).unwrap()).collect();
    let begun = Instant::now();
    while sum(&get(running.admin, "/metrics"), "viaduct_shard_accepts_total{") < 3 {
        assert!(begun.elapsed() < Duration::from_secs(5), "they are not accepted");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut second = command(running.sip, free_tcp());
    let second = second.env("VIADUCT_LISTEN", format!("tcp://{}", running.sip));
    let second = second.env("VIADUCT_BACKENDS", "tcp://127.0.0.2:5060").output().unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(error.contains(&format!("`tcp://{}`: another program, perhaps a Viaduct, has it", running.sip)), "{error}");
    drop(connections);
    running.terminate();
    assert!(running.ends_within(Duration::from_secs(5)), "it does not end");
    assert!(TcpStream::connect(running.sip).is_err(), "nobody listens");
}

#[test]
fn told_to_end_it_lets_connections_go_on_until_they_are_closed_and_accepts_no_more() {
    let mut running = Running::start_with_tcp();
    let mut connection = TcpStream::connect(running.sip).unwrap();
    let client = UdpSocket::bind("127.5.0.2:0").unwrap();
    for limit in [client.set_read_timeout(Some(PATIENCE)), connection.set_read_timeout(Some(PATIENCE))] {
        limit.unwrap();
    }
    connection.write_all(options(running.sip, "TCP").as_bytes()).unwrap();
    assert!(read(&mut connection).starts_with("SIP/2.0 200 "));
    running.terminate();
    let begun = Instant::now();
    while !get(running.admin, "/readyz").starts_with("HTTP/1.1 503") {
        assert!(begun.elapsed() < PATIENCE, "it stays ready");
    }
    while TcpStream::connect(running.sip).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it accepts more connections");
    }
    connection.write_all(options(running.sip, "TCP").as_bytes()).unwrap();
    let answer = read(&mut connection);
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("Retry-After: "), "{answer}");
    client.send_to(options(running.sip, "UDP").as_bytes(), running.sip).unwrap();
    let mut buffer = [0; 2048];
    let len = client.recv(&mut buffer).expect("datagrams go on");
    assert!(buffer[..len].starts_with(b"SIP/2.0 503 "));
    drop(connection);
    assert!(running.ends_within(Duration::from_secs(5)), "nothing is open, and it does not end");
}

#[test]
fn told_to_end_it_waits_no_longer_than_its_grace_and_no_longer_at_all_when_told_again() {
    for (grace, again) in [("1", false), ("60", true)] {
        let (sip, admin) = (free_tcp(), free_tcp());
        let mut command = command(sip, admin);
        command.env("VIADUCT_LISTEN", format!("udp://{sip},tcp://{sip}")).env("VIADUCT_GRACE_S", grace);
        let mut running = Running::of(command, sip, admin);
        let mut connection = TcpStream::connect(sip).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.write_all(options(sip, "TCP").as_bytes()).unwrap();
        read(&mut connection);
        running.terminate();
        assert!(!running.ends_within(Duration::from_millis(500)), "a connection is open, and it ends");
        if again {
            running.terminate();
        }
        assert!(running.ends_within(Duration::from_secs(4)), "it does not end");
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

fn options(sip: SocketAddr, transport: &str) -> String {
    format!(
        "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.5.0.2:9;rport;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:a@a>;tag=1\r\nTo: <sip:{sip}>\r\nCall-ID: 1@a\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The next answer on a connection, as far as one read brings it.
fn read(connection: &mut TcpStream) -> String {
    let mut buffer = [0; 2048];
    let len = connection.read(&mut buffer).expect("an answer");
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

/// The values of a metric, over all labels, on a page of metrics.
fn sum(page: &str, metric: &str) -> u64 {
    let rows = page.lines().filter(|line| line.starts_with(metric));
    rows.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
