//! Clients that behave: each on its own connection, each taking its own responses and nobody else's, in order.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::message::{Held, answered, header, request};
use crate::viaduct::Viaduct;
use crate::wire::{Way, Wire};

/// A client.
pub struct Client {
    stream: Box<dyn Wire>,
    socket: TcpStream,
    held: Held,
    name: String,
    calls: u32,
}

impl Client {
    /// One that is connected over TCP. Names tell clients' calls apart.
    pub fn connect(to: SocketAddr, name: &str) -> Client {
        let socket = connected(to);
        let stream = Box::new(socket.try_clone().unwrap());
        Client { stream, socket, held: Held::default(), name: name.to_owned(), calls: 0 }
    }

    /// The same, that speaks in that way and has completed its handshakes.
    pub fn connect_by(way: Way, viaduct: &Viaduct, name: &str) -> Client {
        let socket = connected(viaduct.address_of(way));
        let stream = way.wrap(socket.try_clone().unwrap(), viaduct.trusted()).unwrap();
        Client { stream, socket, held: Held::default(), name: name.to_owned(), calls: 0 }
    }

    /// Waits no longer than that for anything that is to come.
    pub fn set_patience(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
    }

    /// Begins the next call.
    pub fn invite(&mut self) {
        self.calls += 1;
        self.send(&request("INVITE", &self.call()));
    }

    /// Takes what answers the INVITE, and ends the call.
    pub fn take_answer_and_bye(&mut self) {
        self.take(180, "INVITE");
        self.take(200, "INVITE");
        self.send(&(request("ACK", &self.call()) + &request("BYE", &self.call())));
    }

    /// Takes what answers the BYE.
    pub fn take_end(&mut self) {
        self.take(200, "BYE");
    }

    /// Asks for something by a request of its own; gives the status of what answers it, an error where nothing does.
    pub fn options(&mut self) -> io::Result<u16> {
        self.calls += 1;
        self.stream.write_all(request("OPTIONS", &self.call()).as_bytes())?;
        self.stream.flush()?;
        Ok(answered(&self.message()?).0)
    }

    /// Sends so many requests of one call at once.
    pub fn pipeline(&mut self, count: usize) {
        self.calls += 1;
        let requests: Vec<String> = (1..=count).map(|nth| self.nth_request(nth)).collect();
        self.send(&requests.concat());
    }

    /// Takes what answers them, in their order.
    pub fn take_pipelined(&mut self, count: usize) {
        for nth in 1..=count {
            let message = self.message().unwrap_or_else(|error| panic!("{}: no answer {nth}: {error}", self.call()));
            assert_eq!(header(&message, "CSeq"), format!("{nth} OPTIONS"), "{message}");
        }
    }

    /// Pings, and takes the pong (RFC 5626 §4.4.1).
    pub fn ping(&mut self) {
        self.send("\r\n\r\n");
        let mut pong = [0; 2];
        self.stream.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\r\n");
    }

    /// The next message that comes, which must be this client's last call's.
    pub fn message(&mut self) -> io::Result<String> {
        let message = self.held.message(&mut self.stream)?;
        assert_eq!(header(&message, "Call-ID"), self.call(), "a stranger's message, or an old one: {message}");
        assert_eq!(message.matches("Via: ").count(), 1, "{message}");
        Ok(message)
    }

    /// The Call-ID of the last call.
    pub fn call(&self) -> String {
        format!("{}-{}", self.name, self.calls)
    }

    fn nth_request(&self, nth: usize) -> String {
        let request = request("OPTIONS", &self.call());
        request.replace("CSeq: 1 ", &format!("CSeq: {nth} ")).replace("z9hG4bK", &format!("z9hG4bK{nth}-"))
    }

    fn take(&mut self, status: u16, method: &str) {
        let message =
            self.message().unwrap_or_else(|error| panic!("{}: no {status} to {method}: {error}", self.call()));
        assert_eq!(answered(&message), (status, method), "{message}");
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush()).unwrap();
    }
}

fn connected(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Has each client place so many calls; in each of `threads` threads, `window` calls are in progress at a time.
pub fn place_calls(clients: &mut [Client], calls: u32, threads: usize, window: usize) {
    let share = clients.len().div_ceil(threads);
    thread::scope(|scope| {
        for clients in clients.chunks_mut(share) {
            scope.spawn(move || {
                for _ in 0..calls {
                    clients.chunks_mut(window).for_each(call_all);
                }
            });
        }
    });
}

/// Has all of them call at the same time.
fn call_all(clients: &mut [Client]) {
    clients.iter_mut().for_each(Client::invite);
    clients.iter_mut().for_each(Client::take_answer_and_bye);
    clients.iter_mut().for_each(Client::take_end);
}

/// Has each of the clients call in its turn, one after another, until `is_over`; gives how many calls there were, and
/// how long the slowest took.
pub fn keep_calling(clients: &mut [Client], is_over: impl Fn() -> bool) -> (u64, Duration) {
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while !is_over() {
        for client in &mut *clients {
            let begun = Instant::now();
            call_all(std::slice::from_mut(client));
            slowest = slowest.max(begun.elapsed());
            calls += 1;
            thread::sleep(Duration::from_millis(2));
        }
    }
    (calls, slowest)
}
