//! The messages that clients send, ready made but for the number of the transaction, so that making them costs the
//! generator next to nothing.

use std::fmt::Write;
use std::net::SocketAddr;

use memchr::memmem;

use crate::line::Transport;

/// What kind of traffic is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Traffic {
    /// OPTIONS to a backend, and its 200.
    Options,
    /// Six calls in ten exchanges, with INVITEs of 1.3 kB; the others are REGISTER and OPTIONS.
    Mix,
}

impl Traffic {
    /// As printed.
    pub fn label(self) -> &'static str {
        match self {
            Traffic::Options => "options",
            Traffic::Mix => "mix",
        }
    }

    /// What the exchange of that number begins with.
    pub fn first_step(self, number: u32) -> Step {
        let lot = number.wrapping_mul(0x9e37_79b9) >> 16;
        match (self, lot % 10) {
            (Traffic::Options, _) | (Traffic::Mix, 8..) => Step::Options,
            (Traffic::Mix, 0..6) => Step::Invite,
            (Traffic::Mix, _) => Step::Register,
        }
    }
}

/// One request of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Options,
    Register,
    Invite,
    Ack,
    Bye,
}

impl Step {
    const ALL: [Step; 5] = [Step::Options, Step::Register, Step::Invite, Step::Ack, Step::Bye];

    fn method(self) -> &'static str {
        ["OPTIONS", "REGISTER", "INVITE", "ACK", "BYE"][self as usize]
    }
}

/// What names a request: the slot of the window, the number of the exchange, and the step. It stands in the branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The slot of the window.
    pub slot: u16,
    /// The exchange's number.
    pub number: u32,
    /// Which request of the exchange.
    pub step: Step,
}

impl Name {
    /// Reads the name from the branch of the topmost Via of a response.
    pub fn of_response(message: &[u8]) -> Option<Name> {
        let start = memmem::find(message.get(..400.min(message.len()))?, MARK)? + MARK.len();
        let text = std::str::from_utf8(message.get(start..start + ID_CHARS + 1)?).ok()?;
        let slot = u16::from_str_radix(&text[..4], 16).ok()?;
        let number = u32::from_str_radix(&text[4..ID_CHARS], 16).ok()?;
        let step = *Step::ALL.get(usize::from(text.as_bytes()[ID_CHARS] - b'0'))?;
        Some(Name { slot, number, step })
    }

    fn digits(self) -> [u8; ID_CHARS] {
        let id = u64::from(self.slot) << 32 | u64::from(self.number);
        std::array::from_fn(|place| HEX[(id >> ((ID_CHARS - 1 - place) * 4)) as usize & 15])
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const ID_CHARS: usize = 12;
const PLACEHOLDER: &[u8; ID_CHARS] = b"############";
const MARK: &[u8] = b"branch=z9hG4bKbench";

/// The requests of one client.
#[derive(Debug)]
pub struct Requests(Vec<Template>);

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Requests {
    /// Requests of a client at that address.
    pub fn new(transport: Transport, client: SocketAddr) -> Self {
        Requests(Step::ALL.into_iter().map(|step| Template::new(text(step, transport, client))).collect())
    }

    /// Writes the request of that name and gives its length.
    pub fn write(&self, name: Name, out: &mut [u8]) -> usize {
        let template = &self.0[name.step as usize];
        let out = &mut out[..template.bytes.len()];
        out.copy_from_slice(&template.bytes);
        let digits = name.digits();
        template.places.iter().for_each(|place| out[*place..place + ID_CHARS].copy_from_slice(&digits));
        out.len()
    }
}

impl Template {
    fn new(text: String) -> Self {
        let bytes = text.into_bytes();
        let places = memmem::find_iter(&bytes, PLACEHOLDER).collect();
        Template { bytes, places }
    }
}

fn text(step: Step, transport: Transport, client: SocketAddr) -> String {
    let (method, id) = (step.method(), "#".repeat(ID_CHARS));
    let sequence = if step == Step::Bye { 2 } else { 1 };
    let to_tag = if matches!(step, Step::Ack | Step::Bye) { TO_TAG } else { "" };
    let (via, scheme) = (transport.via(), if transport.is_web_socket() { "ws" } else { transport.scheme() });
    let mut text = format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/{via} {client};branch=z9hG4bKbench{id}{};rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@example.com>;tag={id}\r\n\
         To: \"Bob\" <sip:bob@example.com>{to_tag}\r\n\
         Call-ID: {id}a84b4c76e66710@pc33.example.com\r\n\
         CSeq: {sequence} {method}\r\n\
         Contact: <sip:alice@{client};transport={scheme}>\r\n\
         User-Agent: Measured Phone 1.0\r\n",
        step as usize
    );
    let body = if step == Step::Invite { sdp() } else { String::new() };
    text.push_str(if step == Step::Invite { INVITE_HEADERS } else { "" });
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// The tag that backends put into To.
pub const TO_TAG: &str = ";tag=8f3a91c2";

const INVITE_HEADERS: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, NOTIFY, REFER, SUBSCRIBE, INFO\r\n\
     Supported: replaces, timer, path, outbound, gruu\r\n\
     Session-Expires: 1800;refresher=uac\r\n\
     Min-SE: 90\r\n\
     P-Asserted-Identity: \"Alice\" <sip:alice@example.com>\r\n\
     P-Early-Media: supported\r\n\
     Accept: application/sdp\r\n\
     Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
     Content-Type: application/sdp\r\n";

/// A session description as phones write it, about 500 bytes.
pub fn sdp() -> String {
    let codecs =
        [(0, "PCMU/8000"), (8, "PCMA/8000"), (9, "G722/8000"), (18, "G729/8000"), (101, "telephone-event/8000")];
    let mut text = String::from(
        "v=0\r\no=- 2890844526 2890844526 IN IP4 192.0.2.101\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n\
         m=audio 49172 RTP/AVP 0 8 9 18 101\r\na=rtcp:49173\r\n",
    );
    for (number, name) in codecs {
        let _ = write!(text, "a=rtpmap:{number} {name}\r\n");
    }
    text.push_str("a=fmtp:18 annexb=no\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n");
    for candidate in 1..=2 {
        let _ =
            write!(text, "a=candidate:{candidate} {candidate} UDP 2130706431 192.0.2.101 4917{candidate} typ host\r\n");
    }
    text
}
