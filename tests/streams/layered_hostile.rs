//! Clients that behave badly in what lies between a connection and its messages: TLS and WebSocket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tungstenite::handshake::client::generate_key;

use crate::authority::NAME;
use crate::hostile::{LARGE_BODY_BYTES, REQUESTS_UNREAD, connect, narrow, reset};
use crate::message::{request, request_for_body};
use crate::viaduct::Viaduct;
use crate::wire::{Way, secure};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayeredConduct {
    /// It says its hello byte by byte, and never to the end.
    DribblesItsHello,
    /// It begins a hello and stays.
    StopsInItsHello(Way),
    /// It begins a hello and resets its connection.
    VanishesInItsHello,
    /// It speaks SIP to the port of TLS.
    SpeaksNoTls,
    /// Behind its handshake it sends a record that no key fits.
    SendsGarbageRecords,
    /// Behind its handshake it sends half a record, and stays.
    StopsInMidRecord,
    /// It says half of its request for WebSocket, and stays.
    StopsInItsUpgrade(Way),
    /// It asks for WebSocket without SIP.
    AsksForNoSip(Way),
    /// Behind its upgrade it sends a frame that is not masked.
    BreaksFrames(Way),
    /// Behind its upgrade it sends half a frame, and stays.
    StopsInMidFrame(Way),
    /// It asks for more than may be queued for it, and reads nothing.
    NeverReads,
    /// It calls, is answered, and resets its connection.
    Resets(Way),
    /// It calls, and closes its connection without a word.
    Leaves(Way),
}

use LayeredConduct::{
    AsksForNoSip, BreaksFrames, DribblesItsHello, Leaves, NeverReads, Resets, SendsGarbageRecords, SpeaksNoTls,
    StopsInItsHello, StopsInItsUpgrade, StopsInMidFrame, StopsInMidRecord, VanishesInItsHello,
};

/// The beginning of a record of a handshake: 512 bytes, of which the first says that a hello follows.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// The pause between bytes of one that dribbles.
const DRIBBLE: Duration = Duration::from_millis(60);

impl LayeredConduct {
    /// The way that it comes by.
    pub fn way(self) -> Way {
        match self {
            StopsInItsHello(way) | StopsInItsUpgrade(way) | AsksForNoSip(way) => way,
            BreaksFrames(way) | StopsInMidFrame(way) | Resets(way) | Leaves(way) => way,
            _ => Way::Tls,
        }
    }

    /// Does it on `count` connections, and gives those that are still open. Names tell calls apart.
    pub fn show(self, viaduct: &Viaduct, name: &str, count: usize) -> Vec<TcpStream> {
        let open: Vec<TcpStream> = (0..count).map(|nth| self.begin(viaduct, &format!("{name}-{nth}"))).collect();
        match self {
            DribblesItsHello => {
                // Longer than the program waits.
                for byte in HELLO.iter().chain(&[0; 20]) {
                    open.iter().for_each(|stream| say(stream, &[*byte]));
                    thread::sleep(DRIBBLE);
                }
            }
            VanishesInItsHello | Resets(_) => {
                open.into_iter().for_each(reset);
                return Vec::new();
            }
            Leaves(_) => return Vec::new(),
            _ => {}
        }
        open
    }

    fn begin(self, viaduct: &Viaduct, name: &str) -> TcpStream {
        let to = viaduct.address_of(self.way());
        let stream = if self == NeverReads { narrow(to) } else { connect(to) };
        match self {
            DribblesItsHello => {}
            StopsInItsHello(_) | VanishesInItsHello => say(&stream, HELLO),
            SpeaksNoTls => say(&stream, request("INVITE", name).as_bytes()),
            SendsGarbageRecords => self.behind_handshake(viaduct, &stream, &record(&[0x5a; 64])),
            StopsInMidRecord => self.behind_handshake(viaduct, &stream, &record(&[0x5a; 64])[..20]),
            StopsInItsUpgrade(_) => self.say_plainly(viaduct, &stream, &upgrade("")[..40]),
            AsksForNoSip(_) => self.say_plainly(viaduct, &stream, upgrade("").as_bytes()),
            BreaksFrames(_) => self.say_plainly(viaduct, &stream, upgraded(b"\x82\x04OPTI")),
            StopsInMidFrame(_) => self.say_plainly(viaduct, &stream, upgraded(b"\x82\xfe\x01\x00mask and a part")),
            NeverReads => {
                let asked =
                    (0..REQUESTS_UNREAD).map(|nth| request_for_body(&format!("{name}-{nth}"), LARGE_BODY_BYTES));
                self.say_plainly(viaduct, &stream, asked.collect::<String>().as_bytes());
            }
            Resets(_) | Leaves(_) => self.call(viaduct, &stream, name),
        }
        stream
    }

    /// Calls, and hears that it is answered.
    fn call(self, viaduct: &Viaduct, stream: &TcpStream, name: &str) {
        let mut wire = self.way().wrap(stream.try_clone().unwrap(), viaduct.trusted()).unwrap();
        wire.write_all(request("INVITE", name).as_bytes()).and_then(|()| wire.flush()).unwrap();
        wire.read_exact(&mut [0]).unwrap();
    }

    /// Says something on the connection itself when TLS is open on it.
    fn behind_handshake(self, viaduct: &Viaduct, stream: &TcpStream, bytes: &[u8]) {
        secure(stream.try_clone().unwrap(), viaduct.trusted()).unwrap();
        say(stream, bytes);
    }

    /// Says something within TLS, where it comes by that, and else on the connection itself.
    fn say_plainly(self, viaduct: &Viaduct, stream: &TcpStream, bytes: impl AsRef<[u8]>) {
        if !self.way().is_secure() {
            return say(stream, bytes.as_ref());
        }
        let mut wire = secure(stream.try_clone().unwrap(), viaduct.trusted()).unwrap();
        wire.write_all(bytes.as_ref()).and_then(|()| wire.flush()).unwrap_or_default();
    }
}

/// A record of application data that is none.
fn record(data: &[u8]) -> Vec<u8> {
    [b"\x17\x03\x03\x00", &[data.len() as u8][..], data].concat()
}

fn upgrade(protocol: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {}\r\n{protocol}\r\n",
        generate_key()
    )
}

/// What follows an upgrade that is granted; the program takes both together.
fn upgraded(frames: &[u8]) -> Vec<u8> {
    [upgrade("Sec-WebSocket-Protocol: sip\r\n").as_bytes(), frames].concat()
}

/// Says it, though the connection may have ended.
fn say(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap_or_default();
}
