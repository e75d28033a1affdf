//! Requests, responses to them, and where messages end in a stream.

use std::io::{self, ErrorKind, Read};

/// A request of a call. Its Via names an address that nobody can be reached at, as that of a client behind address
/// translation does: a response has no way but the connection.
pub fn request(method: &str, call: &str) -> String {
    request_to(method, call, "bob")
}

/// An OPTIONS that is answered with a body of so many bytes.
pub fn request_for_body(call: &str, bytes: usize) -> String {
    request_to("OPTIONS", call, &format!("{FILL}{bytes}"))
}

fn request_to(method: &str, call: &str, user: &str) -> String {
    format!(
        "{method} sip:{user}@b.example SIP/2.0\r\nVia: SIP/2.0/TCP 10.9.8.7:5060;branch=z9hG4bK{method}{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: {call}\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// What a backend answers to a request, in order; nothing to an ACK.
pub fn responses(request: &str) -> Vec<String> {
    match method(request) {
        "ACK" => Vec::new(),
        "INVITE" => vec![response(request, "180 Ringing", 0), response(request, "200 OK", 0)],
        _ => {
            let fill = request.split_once(&format!(":{FILL}")).and_then(|(_, rest)| rest.split('@').next());
            vec![response(request, "200 OK", fill.and_then(|bytes| bytes.parse().ok()).unwrap_or(0))]
        }
    }
}

/// The first word of a message.
pub fn method(message: &str) -> &str {
    message.split(' ').next().unwrap_or_default()
}

/// The value of a header.
pub fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    message.split("\r\n").find_map(value).unwrap_or_default()
}

/// The status of a response and the method that it answers.
pub fn answered(response: &str) -> (u16, &str) {
    let status = response.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status.unwrap_or(0), header(response, "CSeq").split(' ').nth(1).unwrap_or_default())
}

const FILL: &str = "fill-";

fn response(request: &str, status: &str, body_bytes: usize) -> String {
    const KEPT: [&str; 6] = ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"];
    let is_kept = |line: &&str| line.split_once(": ").is_some_and(|(name, _)| KEPT.contains(&name));
    let kept: Vec<&str> = request.split("\r\n").filter(is_kept).collect();
    let body = "x".repeat(body_bytes);
    format!("SIP/2.0 {status}\r\n{}\r\nContent-Length: {body_bytes}\r\n\r\n{body}", kept.join("\r\n"))
}

/// What was read of a stream and not yet given.
#[derive(Default)]
pub struct Held(Vec<u8>);

impl Held {
    /// The next message; an error of kind `UnexpectedEof` where the stream ends.
    pub fn message(&mut self, mut stream: impl Read) -> io::Result<String> {
        let mut piece = [0; 16 << 10];
        loop {
            if let Some(len) = self.message_len() {
                let rest = self.0.split_off(len);
                let message = std::mem::replace(&mut self.0, rest);
                return String::from_utf8(message).map_err(|_| ErrorKind::InvalidData.into());
            }
            match stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => self.0.extend_from_slice(&piece[..len]),
            }
        }
    }

    fn message_len(&self) -> Option<usize> {
        let head_len = self.0.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&self.0[..head_len]).ok()?;
        let len = head_len + header(head, "Content-Length").parse::<usize>().ok()?;
        (self.0.len() >= len).then_some(len)
    }
}
