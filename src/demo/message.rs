//! Reading SIP as far as the demo's agents need it: the first line, and header values by name.
//!
//! Viaduct's own scanner looked better, because it is there. It notes only what routing reads, so Contact is beyond it;
//! and a peer that shares no code with Viaduct notices what Viaduct writes wrongly.

/// A message, borrowed from the datagram that it came in.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What the first line says.
    pub start: Start<'a>,
    headers: &'a str,
}

/// A first line (RFC 3261 §7.1, §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request's.
    Request {
        /// Its method.
        method: &'a str,
    },
    /// A response's.
    Response {
        /// Its status code.
        status: u16,
    },
}

impl<'a> Message<'a> {
    /// Reads a datagram; `None` where it is not SIP or its body is shorter than it says (§18.3).
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (first, headers) = head.split_once("\r\n")?;
        let message = Message { start: read_start(first)?, headers };
        let body_bytes = message.header("Content-Length").map_or(Some(0), |value| value.parse::<usize>().ok())?;
        (body.len() >= body_bytes).then_some(message)
    }

    /// The first value of a header. Names are taken in full, in any case: the agents write no compact forms, and a
    /// proxy changes none.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The values of a header, a line each, from the top.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.filter(move |(found, _)| found.trim_end().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The method that CSeq names.
    pub fn cseq_method(&self) -> Option<&'a str> {
        self.header("CSeq")?.split_whitespace().nth(1)
    }

    /// The branch of the only Via; `None` where there is not just one, because then the response is not for a client
    /// (§8.1.3.3).
    pub fn only_branch(&self) -> Option<&'a str> {
        let mut vias = self.all("Via");
        let via = vias.next()?;
        if vias.next().is_some() || via.contains(',') {
            return None;
        }
        via.split(';').find_map(|part| part.trim().strip_prefix("branch="))
    }

    /// The tag of a From or To value.
    pub fn tag(&self, name: &str) -> Option<&'a str> {
        let (_, parameters) = self.header(name)?.rsplit_once('>')?;
        parameters.split(';').find_map(|part| part.trim().strip_prefix("tag="))
    }

    /// The URI of Contact.
    pub fn contact(&self) -> Option<&'a str> {
        let (_, rest) = self.header("Contact")?.split_once('<')?;
        rest.split_once('>').map(|(uri, _)| uri)
    }

    /// The Record-Route values, from the top, wherever commas and lines divide them.
    pub fn record_routes(&self) -> impl Iterator<Item = &'a str> {
        self.all("Record-Route").flat_map(|line| line.split_inclusive('>')).filter_map(|value| {
            let start = value.find('<')?;
            value.ends_with('>').then(|| &value[start..])
        })
    }
}

fn read_start(line: &str) -> Option<Start<'_>> {
    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
        let status = rest.get(..3)?.parse().ok()?;
        return Some(Start::Response { status });
    }
    let mut words = line.split(' ');
    let method = words.next()?;
    let version = words.nth(1)?;
    (version == "SIP/2.0" && words.next().is_none()).then_some(Start::Request { method })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"SIP/2.0 200 OK\r\nVIA: SIP/2.0/UDP 127.0.0.1:7;rport=7;branch=z9hG4bKa;x=y\r\n\
        Record-Route: <sip:one;lr>, <sip:two;lr>;p=1\r\nRecord-Route: <sip:three;lr>\r\nTo: <sip:b@c>;tag=t\r\n\
        From: \"A\" <sip:a@b>;tag=f\r\nCSeq: 1 INVITE\r\nContact: <sip:b@127.0.0.2:9>\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn a_response_is_read_as_far_as_an_agent_needs_it() {
        let message = Message::read(RESPONSE).unwrap();
        assert_eq!(message.start, Start::Response { status: 200 });
        assert_eq!(message.only_branch(), Some("z9hG4bKa"));
        assert_eq!((message.tag("To"), message.tag("From")), (Some("t"), Some("f")));
        assert_eq!(message.cseq_method(), Some("INVITE"));
        assert_eq!(message.contact(), Some("sip:b@127.0.0.2:9"));
        assert_eq!(message.record_routes().collect::<Vec<_>>(), ["<sip:one;lr>", "<sip:two;lr>", "<sip:three;lr>"]);
    }

    #[test]
    fn what_is_cut_short_or_not_sip_is_not_read() {
        assert!(Message::read(&RESPONSE[..RESPONSE.len() - 1]).is_none());
        for text in
            ["", "\r\n\r\n", "INVITE sip:b\r\n\r\n", "GET / HTTP/1.1\r\nVia: x\r\n\r\n", "SIP/2.0 \r\nA: b\r\n\r\n"]
        {
            assert!(Message::read(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_response_with_a_second_via_is_for_somebody_else() {
        let text = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nVia: SIP/2.0/UDP b\r\n\r\n";
        assert_eq!(Message::read(text.as_bytes()).unwrap().only_branch(), None);
    }
}
