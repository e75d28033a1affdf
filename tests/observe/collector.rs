//! A collector of HEP, with a decoder of its own.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a packet says.
#[derive(Clone, Debug)]
pub struct Told {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub protocol: u8,
    pub seconds: u32,
    pub agent: u32,
    pub key: Vec<u8>,
    pub correlation: String,
    pub message: String,
}

/// What has come.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<Told>>>);

impl Heard {
    pub fn all(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Those of one call.
    pub fn of(&self, call_id: &str) -> Vec<Told> {
        self.all().into_iter().filter(|told| told.correlation == call_id).collect()
    }

    /// How many of each call there are.
    pub fn by_call(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.all().into_iter().for_each(|told| *counts.entry(told.correlation).or_default() += 1);
        counts
    }

    fn hear(&self, packet: &[u8]) {
        let told = decode(packet);
        self.0.lock().unwrap().push(told);
    }
}

/// Takes packets over UDP; gives its URL.
pub fn over_udp() -> (String, Heard) {
    let socket = UdpSocket::bind("127.17.0.6:0").unwrap();
    let (url, heard) = (format!("udp://{}", socket.local_addr().unwrap()), Heard::default());
    let kept = heard.clone();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((len, _)) = socket.recv_from(&mut buffer) {
            kept.hear(&buffer[..len]);
        }
    });
    (url, heard)
}

/// A collector over TCP.
pub struct OverTcp {
    pub url: String,
    pub heard: Heard,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl OverTcp {
    pub fn start() -> Self {
        OverTcp::start_at("127.17.0.6:0".parse().unwrap())
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let collector = OverTcp { url, heard: Heard::default(), connections: Arc::default() };
        let (heard, connections) = (collector.heard.clone(), collector.connections.clone());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                let heard = heard.clone();
                thread::spawn(move || {
                    while read_packet(&mut stream).is_some_and(|packet| {
                        heard.hear(&packet);
                        true
                    }) {}
                });
            }
        });
        collector
    }

    /// Ends all connections that there are.
    pub fn hang_up(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        connections.iter().for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    }

    /// How many there are that were not ended here.
    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut packet = vec![0; 6];
    stream.read_exact(&mut packet).ok()?;
    assert_eq!(&packet[..4], b"HEP3", "a packet begins where the one before ends");
    packet.resize(usize::from(u16::from_be_bytes([packet[4], packet[5]])), 0);
    stream.read_exact(&mut packet[6..]).ok()?;
    Some(packet)
}

fn decode(packet: &[u8]) -> Told {
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
    let (mut rest, mut chunks) = (&packet[6..], BTreeMap::new());
    while !rest.is_empty() {
        let field = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        assert_eq!(field(0), 0, "the vendor of generic chunks");
        let (kind, len) = (field(2), usize::from(field(4)));
        assert!(chunks.insert(kind, rest[6..len].to_vec()).is_none(), "chunk {kind} stands twice");
        rest = &rest[len..];
    }
    let number = |kind: u16| chunks[&kind].iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
    let address = |ip: u16, port: u16| {
        let octets: [u8; 4] = chunks[&ip][..].try_into().unwrap();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), number(port) as u16)
    };
    assert_eq!((number(1), number(0xb)), (2, 1), "IPv4 and SIP");
    assert!(number(0xa) < 1_000_000, "less than a second");
    let text = |kind: u16| String::from_utf8_lossy(chunks.get(&kind).map_or(&[][..], |bytes| bytes)).into_owned();
    Told {
        source: address(3, 7),
        destination: address(4, 8),
        protocol: number(2) as u8,
        seconds: number(9),
        agent: number(0xc),
        key: chunks.get(&0xe).cloned().unwrap_or_default(),
        correlation: text(0x11),
        message: text(0xf),
    }
}

/// A port of this machine where nobody listens.
pub fn nowhere() -> SocketAddr {
    let socket = TcpListener::bind("127.17.0.7:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    thread::sleep(Duration::from_millis(1));
    address
}
