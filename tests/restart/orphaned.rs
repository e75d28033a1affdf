//! A first process that dies, or loses patience, while a second one takes over, played by the test: one of them has the sockets afterwards,
//! never both and never none.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::thread;

use socket2::SockRef;
use viaduct::io::channel::{Channel, ChannelListener};
use viaduct::io::socket::{SocketOptions, StreamSocketOptions, open_tcp, open_udp};
use viaduct::proxy::keys::Keys;
use viaduct::run::upgrade::protocol::Seal;

use crate::meeting::{Meeting, read};
use crate::sip::{Backend, Client, options, request};
use crate::viaduct::{PATIENCE, Place, SECRET, Viaduct};

#[test]
fn one_whose_predecessor_has_died_takes_what_waits_and_listens_again() {
    for last_word in ["ready", "running"] {
        let (meeting, backend) = (Meeting::new(&format!("died-{last_word}")), Backend::start("127.9.0.30"));
        let place = Place::before(backend.address);
        let first = First::new(&meeting, &place);
        let settings = [meeting.setting()];
        let second = thread::scope(|scope| {
            let dying = scope.spawn(|| {
                let channel = first.hand_over_until(last_word);
                let client = Client::new("127.9.0.31", place.sip);
                client.send(&request("MESSAGE", "UDP", 1));
                if last_word == "ready" {
                    // Who drains has its listeners end for everybody who has them.
                    SockRef::from(&first.listener).shutdown(Shutdown::Read).unwrap();
                }
                drop((channel, first));
                client
            });
            let second = Viaduct::start(&place, &settings);
            let client = dying.join().unwrap();
            assert!(client.read().is_some_and(|answer| answer.starts_with("SIP/2.0 200 ")), "after {last_word}");
            second
        });
        let mut connection = TcpStream::connect(place.sip).expect("it listens again");
        connection.write_all(options(place.sip, "TCP").as_bytes()).unwrap();
        assert!(read(&mut connection).starts_with("SIP/2.0 200 "), "after {last_word}");
        drop(second);
    }
}

#[test]
fn one_whose_predecessor_has_lost_patience_leaves_it_the_sockets() {
    for last_word in ["ready", "running"] {
        let meeting = Meeting::new(&format!("impatient-{last_word}"));
        let place = Place::before("127.9.0.32:5060".parse().unwrap());
        let first = First::new(&meeting, &place);
        let second = start(&place, &meeting);
        drop(first.hand_over_until(last_word));
        // It asks whether the first one is there.
        let again = first.accept();
        assert!(hear(&again).starts_with("viaduct "), "after {last_word}");
        again.send(b"refused the test is done with it", &[]).unwrap();
        let ended = second.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains("it has waited for too long"), "after {last_word}: {said}");
        first.has_sockets(&place);
    }
}

#[test]
fn one_whose_predecessor_says_what_is_not_its_turn_leaves_it_the_sockets() {
    let place = Place::before("127.9.0.33:5060".parse().unwrap());
    for (number, word) in
        ["yours", "running", "member", "offer 0 0 0", "nonsense", "sockets 0 udp 127.0.0.1:5060"].iter().enumerate()
    {
        let meeting = Meeting::new(&format!("odd-{number}"));
        let first = First::new(&meeting, &place);
        let second = start(&place, &meeting);
        let channel = first.hand_over_until("ready");
        channel.send(word.as_bytes(), &[]).unwrap();
        let ended = second.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && said.contains("nothing was taken over"), "{word}: {said}");
        first.has_sockets(&place);
    }
}

/// A first process with one shard.
struct First {
    offered: ChannelListener,
    socket: UdpSocket,
    listener: TcpListener,
}

impl First {
    fn new(meeting: &Meeting, place: &Place) -> Self {
        let socket = open_udp(place.sip, &SocketOptions::default()).unwrap();
        let listener = open_tcp(place.sip, &StreamSocketOptions::default()).unwrap();
        let offered = ChannelListener::bind(&meeting.0).unwrap();
        offered.name().unwrap();
        First { offered, socket, listener }
    }

    fn accept(&self) -> Channel {
        let channel = self.offered.accept().unwrap();
        channel.set_patience(Some(PATIENCE)).unwrap();
        channel
    }

    /// Hands over until the second one has said that.
    fn hand_over_until(&self, last: &str) -> Channel {
        let channel = self.accept();
        assert!(hear(&channel).starts_with("viaduct "));
        let Seal { signing, table } = Seal::of(&Keys::derive(SECRET.as_bytes()).unwrap());
        channel.send(format!("offer 1 {signing:x} {table:x} 7").as_bytes(), &[]).unwrap();
        let at = self.socket.local_addr().unwrap();
        let labels = format!("sockets 0 udp {at} 0 tcp {at}");
        channel.send(labels.as_bytes(), &[self.socket.as_fd(), self.listener.as_fd()]).unwrap();
        channel.send(b"complete", &[]).unwrap();
        assert_eq!(hear(&channel), "ready");
        if last == "running" {
            channel.send(b"released 0", &[]).unwrap();
            assert_eq!(hear(&channel), "running");
        }
        channel
    }

    /// What is sent comes to nobody else.
    fn has_sockets(&self, place: &Place) {
        let client = UdpSocket::bind("127.9.0.34:0").unwrap();
        for _ in 0..20 {
            client.send_to(b"here", place.sip).unwrap();
            let mut buffer = [0; 16];
            assert_eq!(self.socket.recv(&mut buffer).expect("it is on loopback"), 4);
        }
        let _connection = TcpStream::connect(place.sip).unwrap();
        self.listener.set_nonblocking(true).unwrap();
        self.listener.accept().expect("it is on loopback");
    }
}

fn start(place: &Place, meeting: &Meeting) -> Child {
    place.command(&[meeting.setting()]).stderr(Stdio::piped()).spawn().unwrap()
}

fn hear(channel: &Channel) -> String {
    let mut buffer = [0; 1024];
    let packet = channel.receive(&mut buffer).unwrap();
    String::from_utf8(buffer[..packet.length].to_vec()).unwrap()
}
