//! The opening handshake, from the server's side (RFC 6455 §4.2, RFC 7118 §4.1): the request, and the answer.
//!
//! The library's own handshake looked enough. It cannot name a sub-protocol that is missing, nor answer a plain GET
//! with what to do instead, and puts no limit of ours on the head.

use bytes::BytesMut;
use memchr::memmem;
use tungstenite::handshake::derive_accept_key;

use super::Refusal;

/// The longest head of a request, in bytes. Browsers send the cookies of the whole domain along.
pub const MAX_HEAD_BYTES: usize = 16 << 10;

/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;

/// The pages whose scripts may connect.
///
/// Browsers tell the truth of the page's origin; other clients tell none, or what they like. So the list keeps foreign
/// pages from using their visitors' addresses, and a client without Origin passes it, unless `is_required` says
/// otherwise (RFC 6455 §10.2).
#[derive(Clone, Debug, Default)]
pub struct Origins {
    allowed: Vec<Box<str>>,
    is_required: bool,
}

impl Origins {
    /// Every page, and every other client.
    pub fn any() -> Self {
        Self::default()
    }

    /// The origins in `allowed` (`https://phone.example.com`, with the port where it is not the usual one); letter case
    /// and a slash at the end do not count. An empty list allows all.
    pub fn only(allowed: impl IntoIterator<Item = impl AsRef<str>>, is_required: bool) -> Self {
        let allowed = allowed.into_iter().map(|origin| origin.as_ref().trim().trim_end_matches('/').into());
        Origins { allowed: allowed.collect(), is_required }
    }

    fn allows(&self, origin: Option<&[u8]>) -> bool {
        match origin {
            _ if self.allowed.is_empty() => true,
            None => !self.is_required,
            Some(origin) => self.allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }
}

/// Takes what has arrived of a request. Once it is whole it is answered; if it is good, what stands behind it is
/// returned.
pub(super) fn read<'b>(
    head: &mut Vec<u8>,
    bytes: &'b [u8],
    origins: &Origins,
    wire: &mut BytesMut,
) -> Result<Option<&'b [u8]>, Refusal> {
    let outcome = complete(head, bytes).and_then(|used| match used {
        None => Ok(None),
        Some(used) => answer(head, origins, wire).map(|()| Some(&bytes[used..])),
    });
    outcome.inspect_err(|refusal| refuse(*refusal, wire))
}

/// Adds to the head; tells how many of `bytes` belong to it, once it is whole.
fn complete(head: &mut Vec<u8>, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    const END: &[u8] = b"\r\n\r\n";
    let kept = head.len();
    // A head that ends behind the limit is refused all the same; no more than that is kept.
    head.extend_from_slice(&bytes[..bytes.len().min(MAX_HEAD_BYTES + 1 - kept)]);
    if head.first().is_some_and(|first| !first.is_ascii_uppercase()) {
        return Err(Refusal::NotHttp);
    }
    let from = kept.saturating_sub(END.len() - 1);
    match memmem::find(&head[from..], END).map(|place| from + place + END.len()) {
        Some(end) if end <= MAX_HEAD_BYTES => {
            head.truncate(end);
            Ok(Some(end - kept))
        }
        None if head.len() <= MAX_HEAD_BYTES => Ok(None),
        _ => Err(Refusal::HeadTooLong),
    }
}

fn answer(head: &[u8], origins: &Origins, wire: &mut BytesMut) -> Result<(), Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) if request.version == Some(1) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        _ => return Err(Refusal::NotHttp),
    }
    let key = examine(&request, origins)?;
    wire.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    wire.extend_from_slice(b"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: ");
    wire.extend_from_slice(derive_accept_key(key).as_bytes());
    wire.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

/// Holds a request against the rules; returns its key. Extensions are not taken up.
fn examine<'r>(request: &'r httparse::Request<'_, '_>, origins: &Origins) -> Result<&'r [u8], Refusal> {
    let has = |name: &str, token: &str| tokens(request, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()));
    if request.method != Some("GET") {
        return Err(Refusal::WrongMethod);
    }
    if !has("Upgrade", "websocket") || !has("Connection", "Upgrade") {
        return Err(Refusal::NoUpgrade);
    }
    if value(request, "Sec-WebSocket-Version") != Some(b"13") {
        return Err(Refusal::WrongVersion);
    }
    let key = value(request, "Sec-WebSocket-Key").filter(|key| is_key(key)).ok_or(Refusal::BadKey)?;
    // Letter case counts: a browser gives up where the answer is not letter by letter what it has offered.
    if !tokens(request, "Sec-WebSocket-Protocol").any(|token| token == b"sip") {
        return Err(Refusal::NotSip);
    }
    match origins.allows(value(request, "Origin")) {
        true => Ok(key),
        false => Err(Refusal::WrongOrigin),
    }
}

fn value<'r>(request: &'r httparse::Request<'_, '_>, name: &str) -> Option<&'r [u8]> {
    let header = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(header.value.trim_ascii())
}

/// The members of a list, which may stand in several headers.
fn tokens<'r>(request: &'r httparse::Request<'_, '_>, name: &str) -> impl Iterator<Item = &'r [u8]> {
    let headers = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    headers.flat_map(|header| header.value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// 16 bytes in Base64 (RFC 6455 §4.1).
fn is_key(key: &[u8]) -> bool {
    use base64::Engine;
    let mut bytes = [0; 18];
    base64::engine::general_purpose::STANDARD.decode_slice(key, &mut bytes) == Ok(16)
}

fn refuse(refusal: Refusal, wire: &mut BytesMut) {
    let (status, headers, text) = refusal.answer();
    let connection = if headers.contains("Upgrade") { "Upgrade, close" } else { "close" };
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}Connection: {connection}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{text}\n",
        text.len() + 1
    );
    wire.extend_from_slice(answer.as_bytes());
}
