//! A name server of a few lines: UDP, and a table that a test changes while it runs.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NAPTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The server. It runs until the test's process ends.
pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, (u32, Vec<RData>)>,
    asked: Vec<(String, RecordType)>,
    fails: bool,
}

impl Dns {
    /// Starts it with an empty table.
    pub fn start(ip: Ipv4Addr) -> Dns {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let served = zone.clone();
        thread::spawn(move || serve(&socket, &served));
        Dns { address, zone }
    }

    /// Gives a name these records, in the place of any others.
    pub fn set(&self, name: &str, ttl_s: u32, records: Vec<RData>) {
        self.zone.lock().unwrap().records.insert(name.to_owned(), (ttl_s, records));
    }

    /// Whether every question is answered SERVFAIL.
    pub fn fail(&self, fails: bool) {
        self.zone.lock().unwrap().fails = fails;
    }

    /// How often a name was asked for, whatever the kind.
    pub fn asked(&self, name: &str) -> usize {
        self.zone.lock().unwrap().asked.iter().filter(|(asked, _)| asked == name).count()
    }

    /// How often a name's NAPTR records were asked for.
    pub fn asked_naptr(&self, name: &str) -> usize {
        let zone = self.zone.lock().unwrap();
        zone.asked.iter().filter(|(asked, kind)| asked == name && *kind == RecordType::NAPTR).count()
    }
}

/// An A record.
pub fn a(ip: Ipv4Addr) -> RData {
    RData::A(A(ip))
}

/// An AAAA record.
pub fn aaaa(ip: &str) -> RData {
    RData::AAAA(AAAA(ip.parse().unwrap()))
}

/// An SRV record.
pub fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, domain(target)))
}

/// A NAPTR record that leads to SRV records.
pub fn naptr(order: u16, services: &str, replacement: &str) -> RData {
    let bytes = |text: &str| text.as_bytes().into();
    RData::NAPTR(NAPTR::new(order, 1, bytes("s"), bytes(services), bytes(""), domain(replacement)))
}

fn domain(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = [0; 4096];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        let Ok(question) = Message::from_vec(&buffer[..len]) else { continue };
        let answer = zone.lock().unwrap().answer(&question);
        socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
    }
}

impl Zone {
    fn answer(&mut self, question: &Message) -> Message {
        let query = question.queries[0].clone();
        let name = query.name().to_ascii().to_lowercase();
        let name = name.trim_end_matches('.').to_owned();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        self.asked.push((name.clone(), query.query_type()));
        match self.records.get(&name) {
            _ if self.fails => answer.metadata.response_code = ResponseCode::ServFail,
            None => answer.metadata.response_code = ResponseCode::NXDomain,
            Some((ttl_s, records)) => {
                let of_kind = records.iter().filter(|data| data.record_type() == query.query_type());
                answer.add_answers(of_kind.map(|data| Record::from_rdata(query.name().clone(), *ttl_s, data.clone())));
            }
        }
        if answer.answers.is_empty() && !self.fails {
            // What does not exist is known not to for a second.
            let soa = SOA::new(domain("ns.example"), domain("admin.example"), 1, 60, 60, 60, 1);
            answer.add_authority(Record::from_rdata(domain("example"), 1, RData::SOA(soa)));
        }
        answer.add_query(query);
        answer
    }
}
