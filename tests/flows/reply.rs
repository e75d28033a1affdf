//! What every server does with a request's Via, and how every response is made of its request.

use std::net::SocketAddr;

use crate::message::{Message, host_and_port, parameter};
use crate::network::{Outgoing, To};

/// Writes what a server writes into the topmost Via of a request (§18.2.1, RFC 3581 §4).
pub fn stamp(message: &mut Message, from: SocketAddr) {
    let mut vias = message.values("Via");
    let rport = parameter(&vias[0], "rport");
    if rport.is_some() {
        vias[0] = vias[0].replacen(";rport", &format!(";rport={}", from.port()), 1);
    }
    if rport.is_some() || !host_and_port(&vias[0]).starts_with(&format!("{}:", from.ip())) {
        vias[0] += &format!(";received={}", from.ip());
    }
    message.set_values("Via", &vias);
}

/// Where a response goes: to what the topmost Via says (§18.2.2).
pub fn way_back(response: &Message) -> To {
    let via = &response.values("Via")[0];
    let sent_by = host_and_port(via);
    let (host, port) = sent_by.rsplit_once(':').expect("a port");
    let host = parameter(via, "received").unwrap_or(host.to_owned());
    let port = parameter(via, "rport").unwrap_or(port.to_owned());
    match format!("{host}:{port}").parse() {
        Ok(address) => To::Address(address),
        Err(_) => To::Uri(via.clone()),
    }
}

/// A response (§8.2.6.2): the request's Vias, From, To, Call-ID and CSeq, a To tag but for a 100, and these headers.
pub fn reply(request: &Message, status: u16, reason: &str, tag: &str, headers: &[String]) -> Outgoing {
    reply_with_body(request, status, reason, tag, headers, "")
}

/// The same with a body.
pub fn reply_with_body(
    request: &Message,
    status: u16,
    reason: &str,
    tag: &str,
    headers: &[String],
    body: &str,
) -> Outgoing {
    let mut lines: Vec<String> = request.values("Via").iter().map(|via| format!("Via: {via}")).collect();
    let mut to = request.header("To").to_owned();
    if request.tag("To").is_empty() && !tag.is_empty() {
        to += &format!(";tag={tag}");
    }
    lines.push(format!("From: {}", request.header("From")));
    lines.push(format!("To: {to}"));
    lines.push(format!("Call-ID: {}", request.call_id()));
    lines.push(format!("CSeq: {}", request.header("CSeq")));
    lines.extend_from_slice(headers);
    let message = Message::new(format!("SIP/2.0 {status} {reason}"), lines, body);
    Outgoing { to: way_back(&message), message }
}
