//! The backend's responses (RFC 3261 §8.2.6), with what the top Via is owed (§18.2.1, RFC 3581 §4).

use std::fmt::{self, Write};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::dialog::{session_description, write_body};
use super::message::Message;

/// A response to be written.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Its status code.
    pub status: u16,
    /// What the status says.
    pub reason: &'a str,
    /// The tag that To gets where it has none.
    pub to_tag: &'a str,
    /// The backend's address, where the response makes a dialog: it then carries Contact and Record-Route (§12.1.1).
    pub contact: Option<SocketAddr>,
    /// Whether it carries an answer to the offer.
    pub has_body: bool,
}

impl Reply<'_> {
    /// The response to `request`, which came from `peer`. Headers that the request lacks are left out.
    pub fn write(&self, request: &Message<'_>, peer: SocketAddr) -> Bytes {
        let mut out = BytesMut::with_capacity(1024);
        // A BytesMut grows as it is written to, so writing does not fail.
        let _ = self.write_to(request, peer, &mut out);
        out.freeze()
    }

    fn write_to(&self, request: &Message<'_>, peer: SocketAddr, out: &mut BytesMut) -> fmt::Result {
        write!(out, "SIP/2.0 {} {}\r\n", self.status, self.reason)?;
        for (index, via) in request.all("Via").enumerate() {
            match index {
                0 => write!(out, "Via: {}\r\n", stamped(via, peer))?,
                _ => write!(out, "Via: {via}\r\n")?,
            }
        }
        for name in ["From", "Call-ID", "CSeq"] {
            if let Some(value) = request.header(name) {
                write!(out, "{name}: {value}\r\n")?;
            }
        }
        match (request.header("To"), request.tag("To")) {
            (Some(to), Some(_)) => write!(out, "To: {to}\r\n")?,
            (Some(to), None) => write!(out, "To: {to};tag={}\r\n", self.to_tag)?,
            (None, _) => {}
        }
        if let Some(contact) = self.contact {
            for route in request.all("Record-Route") {
                write!(out, "Record-Route: {route}\r\n")?;
            }
            write!(out, "Contact: <sip:reception@{contact}>\r\n")?;
        }
        match self.contact.filter(|_| self.has_body) {
            Some(contact) => write_body(out, &session_description(contact)),
            None => out.write_str("Content-Length: 0\r\n\r\n"),
        }
    }
}

/// A Via that asks for `rport` gets it, and `received` with it.
fn stamped(via: &str, peer: SocketAddr) -> String {
    let stamp = |part: &str| match part.trim() {
        "rport" => format!("rport={};received={}", peer.port(), peer.ip()),
        _ => part.to_owned(),
    };
    via.split(';').map(stamp).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bKa\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:4000;rport=4000;received=127.0.0.1;branch=z9hG4bKb\r\nRecord-Route: <sip:r;lr>\r\n\
        From: <sip:a@b>;tag=f\r\nTo: <sip:b@c>\r\nCall-ID: id\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";

    fn written(reply: Reply<'_>, request: &[u8]) -> String {
        let bytes = reply.write(&Message::read(request).unwrap(), "127.0.0.1:5061".parse().unwrap());
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn every_via_is_copied_and_the_top_one_stamped() {
        let reply = Reply { status: 180, reason: "Ringing", to_tag: "t", contact: None, has_body: false };
        assert_eq!(
            written(reply, INVITE),
            "SIP/2.0 180 Ringing\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5060;rport=5061;received=127.0.0.1;branch=z9hG4bKa\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:4000;rport=4000;received=127.0.0.1;branch=z9hG4bKb\r\n\
             From: <sip:a@b>;tag=f\r\nCall-ID: id\r\nCSeq: 1 INVITE\r\nTo: <sip:b@c>;tag=t\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_response_that_makes_a_dialog_carries_contact_the_route_set_and_an_answer() {
        let contact = Some("127.0.0.2:9".parse().unwrap());
        let text = written(Reply { status: 200, reason: "OK", to_tag: "t", contact, has_body: true }, INVITE);
        assert!(text.contains("Record-Route: <sip:r;lr>\r\nContact: <sip:reception@127.0.0.2:9>\r\n"));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }

    #[test]
    fn a_tag_that_to_has_is_kept() {
        let bye = "BYE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nTo: <sip:b@c>;tag=own\r\n\r\n";
        let reply = Reply { status: 200, reason: "OK", to_tag: "t", contact: None, has_body: false };
        assert!(written(reply, bye.as_bytes()).contains("To: <sip:b@c>;tag=own\r\n"));
    }
}
