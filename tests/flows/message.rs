//! A SIP message as the nodes of a scenario read and write it: header lines in order, each as it came, and the body.
//!
//! The product's own parser would be shorter to use. A mistake in it would then be made by the peers as well, and no
//! scenario would show it.

use viaduct::sip::Transport;

use crate::mix::{default_port, transport_in};

/// One message. Folded headers keep their folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The request line or status line.
    pub start: String,
    /// The header lines, without their line ends.
    pub lines: Vec<String>,
    /// What follows the empty line.
    pub body: String,
}

impl Message {
    /// A message with these header lines; Content-Length and the body are added.
    pub fn new(start: String, lines: Vec<String>, body: &str) -> Self {
        let mut message = Message { start, lines, body: body.to_owned() };
        message.lines.push(format!("Content-Length: {}", body.len()));
        message
    }

    /// Reads a message.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("messages here are text");
        let (head, body) = text.split_once("\r\n\r\n").expect("an empty line ends the head");
        let (start, fields) = head.split_once("\r\n").expect("headers");
        let mut lines: Vec<String> = Vec::new();
        for line in fields.split("\r\n") {
            match lines.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => *last = format!("{last}\r\n{line}"),
                _ => lines.push(line.to_owned()),
            }
        }
        Message { start: start.to_owned(), lines, body: body.to_owned() }
    }

    /// As it travels.
    pub fn bytes(&self) -> Vec<u8> {
        format!("{}\r\n{}\r\n\r\n{}", self.start, self.lines.join("\r\n"), self.body).into_bytes()
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ").map(|rest| rest[..3].parse().expect("a status code"))
    }

    /// The method of a request, or of the request that a response answers.
    pub fn method(&self) -> String {
        match self.status() {
            Some(_) => self.cseq().1,
            None => self.start.split(' ').next().expect("a method").to_owned(),
        }
    }

    /// The Request-URI.
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).expect("a Request-URI")
    }

    /// Writes another Request-URI.
    pub fn set_uri(&mut self, uri: &str) {
        self.start = format!("{} {uri} SIP/2.0", self.method());
    }

    /// The values of all headers of that name, one a line of the message, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(|line| is_named(line, name)).map(|line| value_of(line))
    }

    /// The first of them; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.lines.iter().find(|line| is_named(line, name)).map_or("", |line| value_of(line))
    }

    /// The values of a header that may be a list, one by one.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.all(name).flat_map(split_list).collect()
    }

    /// Writes the values of such a header anew, each in a line of its own, above everything else.
    pub fn set_values(&mut self, name: &str, values: &[String]) {
        self.lines.retain(|line| !is_named(line, name));
        let lines = values.iter().map(|value| format!("{name}: {value}"));
        self.lines.splice(0..0, lines);
    }

    /// Puts one more value above the others of that header.
    pub fn push(&mut self, name: &str, value: String) {
        let mut values = self.values(name);
        values.insert(0, value);
        self.set_values(name, &values);
    }

    /// Takes the topmost value of that header.
    pub fn pop(&mut self, name: &str) -> String {
        let mut values = self.values(name);
        let first = values.remove(0);
        self.set_values(name, &values);
        first
    }

    /// The number and method of CSeq.
    pub fn cseq(&self) -> (u32, String) {
        let mut words = self.header("CSeq").split_whitespace();
        let number = words.next().expect("a CSeq").parse().expect("a number");
        (number, words.next().expect("a method").to_owned())
    }

    /// The Call-ID.
    pub fn call_id(&self) -> String {
        self.header("Call-ID").to_owned()
    }

    /// The tag of From or To; empty where there is none.
    pub fn tag(&self, name: &str) -> String {
        let value = self.header(name);
        parameter(value.rsplit('>').next().unwrap_or_default(), "tag").unwrap_or_default()
    }

    /// The URI of the first Contact; empty where there is none.
    pub fn contact(&self) -> String {
        uri_in(self.header("Contact"))
    }
}

fn is_named(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.trim_end().eq_ignore_ascii_case(name))
}

fn value_of(line: &str) -> &str {
    line.split_once(':').map_or("", |(_, value)| value.trim())
}

/// The values between commas that stand neither in quotes nor in angle brackets.
fn split_list(list: &str) -> Vec<String> {
    let (mut values, mut current) = (Vec::new(), String::new());
    let (mut quoted, mut bracketed) = (false, false);
    for c in list.chars() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' if !quoted && !bracketed => {
                values.push(std::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    values.push(current.trim().to_owned());
    values
}

/// A parameter's value; empty where it has none, `None` where it is missing.
pub fn parameter(value: &str, name: &str) -> Option<String> {
    let mut parameters = value.split(';').skip(1).map(|text| text.trim().split_once('=').unwrap_or((text.trim(), "")));
    parameters.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// The URI of a name-addr or addr-spec.
pub fn uri_in(address: &str) -> String {
    match address.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default().to_owned(),
        None => address.split(';').next().unwrap_or_default().to_owned(),
    }
}

/// `host:port` of a URI, a Route value or a Via's sent-by; where no port is written, its transport's own.
pub fn host_and_port(text: &str) -> String {
    let text = text.rsplit_once('<').map_or(text, |(_, rest)| rest);
    let of_via = |transport: &Transport| text.strip_prefix(&format!("SIP/2.0/{} ", transport.via_token()));
    let via = Transport::ALL.into_iter().find_map(|transport| Some((transport, of_via(&transport)?)));
    let (transport, text) = via.unwrap_or((transport_in(text), text.strip_prefix("sip:").unwrap_or(text)));
    let text = text.split([';', '?', '>']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if text.contains(':') { text.to_owned() } else { format!("{text}:{}", default_port(transport)) }
}

/// `user@host` of a URI, without port and parameters.
pub fn address_of_record(uri: &str) -> String {
    let text = uri.strip_prefix("sip:").unwrap_or(uri);
    text.split([';', '?', ':']).next().unwrap_or_default().to_owned()
}
