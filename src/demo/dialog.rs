//! The caller's requests: what a user agent client knows of a dialog (RFC 3261 §12.1.2), and the requests it makes by it.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::draws::Draws;
use super::message::Message;

/// The caller's end of a dialog.
#[derive(Debug)]
pub struct Dialog {
    /// The Call-ID.
    pub call_id: Rc<str>,
    me: SocketAddr,
    from_tag: String,
    /// The To value: with the backend's tag once it is known.
    to: String,
    /// The Request-URI: Viaduct's, then the backend's Contact.
    target: String,
    /// The Route values, from the top.
    routes: Vec<String>,
}

/// What tells one request of a dialog from another.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// Its method.
    pub method: &'a str,
    /// The number of its CSeq.
    pub number: u32,
    /// The branch of its Via.
    pub branch: &'a str,
}

impl Dialog {
    /// A call from `me` to whoever answers behind Viaduct, before it is answered.
    pub fn new(me: SocketAddr, viaduct: SocketAddr, draws: &mut Draws) -> Self {
        let target = format!("sip:reception@{viaduct}");
        Dialog {
            call_id: format!("{}@{}", draws.word(), me.ip()).into(),
            me,
            from_tag: draws.word(),
            to: format!("<{target}>"),
            target,
            routes: Vec::new(),
        }
    }

    /// Takes over what a 2xx says: the backend's tag and Contact, and the route set in reverse order (§12.1.2).
    pub fn answered(&mut self, response: &Message<'_>) -> Option<()> {
        self.target = response.contact()?.to_owned();
        self.refused(response)?;
        self.routes = response.record_routes().map(str::to_owned).collect();
        self.routes.reverse();
        Some(())
    }

    /// Takes over the To of a response that ends the INVITE; all else stays as it was in the INVITE (§17.1.1.3).
    pub fn refused(&mut self, response: &Message<'_>) -> Option<()> {
        self.to = response.header("To")?.to_owned();
        Some(())
    }

    /// A request. An INVITE carries an offer, any other has no body.
    pub fn request(&self, line: RequestLine<'_>) -> Bytes {
        let mut out = BytesMut::with_capacity(1024);
        // A BytesMut grows as it is written to, so writing does not fail.
        let _ = self.write(line, &mut out);
        out.freeze()
    }

    fn write(&self, RequestLine { method, number, branch }: RequestLine<'_>, out: &mut BytesMut) -> fmt::Result {
        let Dialog { call_id, me, from_tag, to, target, routes } = self;
        write!(out, "{method} {target} SIP/2.0\r\n")?;
        write!(out, "Via: SIP/2.0/UDP {me};rport;branch={branch}\r\n")?;
        for route in routes {
            write!(out, "Route: {route}\r\n")?;
        }
        write!(out, "Max-Forwards: 70\r\nFrom: <sip:caller@{me}>;tag={from_tag}\r\nTo: {to}\r\n")?;
        write!(out, "Call-ID: {call_id}\r\nCSeq: {number} {method}\r\n")?;
        match method {
            "INVITE" => {
                write!(out, "Contact: <sip:caller@{me}>\r\n")?;
                write_body(out, &session_description(*me))
            }
            _ => out.write_str("Content-Length: 0\r\n\r\n"),
        }
    }
}

/// Writes the last headers and the body.
pub fn write_body(out: &mut impl Write, body: &str) -> fmt::Result {
    write!(out, "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A session description of one audio stream that stays silent: the demo carries signalling only.
pub fn session_description(me: SocketAddr) -> String {
    let ip = me.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
         a=inactive\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog() -> Dialog {
        let address = |text: &str| text.parse().unwrap();
        Dialog::new(address("127.0.0.1:4000"), address("127.0.0.1:5060"), &mut Draws::from_key((1, 2)))
    }

    fn text(dialog: &Dialog, method: &str, number: u32) -> String {
        let line = RequestLine { method, number, branch: "z9hG4bKx" };
        String::from_utf8(dialog.request(line).to_vec()).unwrap()
    }

    #[test]
    fn an_invite_has_every_header_that_a_request_needs_and_an_offer() {
        let text = text(&dialog(), "INVITE", 1);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("INVITE sip:reception@127.0.0.1:5060 SIP/2.0\r\n"));
        for line in [
            "Via: SIP/2.0/UDP 127.0.0.1:4000;rport;branch=z9hG4bKx".to_owned(),
            "Max-Forwards: 70".to_owned(),
            "To: <sip:reception@127.0.0.1:5060>".to_owned(),
            "CSeq: 1 INVITE".to_owned(),
            "Contact: <sip:caller@127.0.0.1:4000>".to_owned(),
            format!("Content-Length: {}", body.len()),
        ] {
            assert!(head.lines().any(|found| found == line), "{line} in {head}");
        }
        assert!(Message::read(text.as_bytes()).unwrap().tag("From").is_some());
        assert!(body.starts_with("v=0\r\n"));
    }

    #[test]
    fn after_the_answer_requests_go_to_the_contact_by_the_route_set_in_reverse() {
        let mut dialog = dialog();
        let answer = b"SIP/2.0 200 OK\r\nRecord-Route: <sip:near;lr>,<sip:far;lr>\r\nTo: <sip:b@c>;tag=t\r\n\
            Contact: <sip:b@127.0.0.2:9>\r\n\r\n";
        dialog.answered(&Message::read(answer).unwrap()).unwrap();
        let text = text(&dialog, "BYE", 2);
        assert!(text.starts_with("BYE sip:b@127.0.0.2:9 SIP/2.0\r\n"));
        assert!(text.contains("Route: <sip:far;lr>\r\nRoute: <sip:near;lr>\r\n"));
        assert!(text.contains("To: <sip:b@c>;tag=t\r\n"));
        assert!(text.ends_with("CSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"));
    }
}
