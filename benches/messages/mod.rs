//! Messages to measure with: INVITEs of about 1 kB with 18 headers, and what answers them.
//!
//! Measuring one message over and over looks simpler. The branch predictor then learns it by heart, and the figure is the
//! half of what real traffic costs; so there are many messages that differ in order, lengths and words.

use std::fmt::Write;

/// How many messages a set has: more than a branch predictor learns, few enough to stay in the cache.
pub const SET: usize = 256;

/// A set of INVITEs, no two alike.
pub fn invites() -> Vec<Vec<u8>> {
    (0..SET).map(|number| invite(number).into_bytes()).collect()
}

/// The 200 OK that a backend gives to `request`, with no body.
pub fn ok(request: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(request).expect("the messages are text");
    let mut response = String::from("SIP/2.0 200 OK\r\n");
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
    for line in text.split("\r\n").skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if copied.contains(&name) {
            let tag = if name == "To" { ";tag=8f3a91" } else { "" };
            let _ = write!(response, "{line}{tag}\r\n");
        }
    }
    response.push_str("Contact: <sip:bob@127.0.0.11:5060>\r\nContent-Length: 0\r\n\r\n");
    response.into_bytes()
}

/// The order of the headers and the lengths of their values depend on the number.
fn invite(number: usize) -> String {
    let draw = |range: usize| number.wrapping_mul(0x9e37_79b9).rotate_left(7) % range;
    let padding = "abcdefghijklmnopqrstuvwxyz".get(..draw(17)).unwrap_or_default();
    let mut headers = headers(number, padding);
    let count = headers.len();
    headers[1..count - 1].rotate_left(draw(count - 2));
    let body = body(number);
    let mut text = format!("INVITE sip:bob{number}@example.com SIP/2.0\r\n");
    for header in headers {
        let _ = write!(text, "{header}\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// Seventeen; Content-Length is the eighteenth. The Via stays first, as clients write it.
fn headers(number: usize, padding: &str) -> Vec<String> {
    vec![
        format!("Via: SIP/2.0/UDP 192.0.2.{}:5062;rport;branch=z9hG4bK{number:08x}{padding}", number % 250 + 1),
        "Max-Forwards: 70".to_owned(),
        format!("From: \"Alice {padding}\" <sip:alice@example.com>;tag={number:x}1928301774"),
        format!("To: Bob <sip:bob{number}@example.com>"),
        format!("Call-ID: {number:08x}a84b4c76e66710{padding}@pc33.example.com"),
        format!("CSeq: {} INVITE", 314_159 + number),
        "Contact: <sip:alice@192.0.2.1:5062;transport=udp>;+sip.instance=\"<urn:uuid:0c67446e>\"".to_owned(),
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, NOTIFY".to_owned(),
        "Supported: replaces, timer, path, outbound".to_owned(),
        "Session-Expires: 1800;refresher=uac".to_owned(),
        "Min-SE: 90".to_owned(),
        format!("User-Agent: Measured Phone {padding}"),
        "Accept: application/sdp".to_owned(),
        "Privacy: none".to_owned(),
        "P-Asserted-Identity: <sip:alice@example.com>".to_owned(),
        "Date: Sat, 13 Nov 2010 23:29:00 GMT".to_owned(),
        "Content-Type: application/sdp".to_owned(),
    ]
}

fn body(number: usize) -> String {
    format!(
        "v=0\r\no=alice {number} 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 49170 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
    )
}
