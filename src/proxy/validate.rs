//! Request validation (§16.3), in its order; only what Viaduct itself needs must be well-formed. Anything else that is
//! malformed is the backends' to judge, and is forwarded as it came.

use crate::sip::Span;
use crate::sip::header::{HeaderName, is_address, parse_call_id, parse_cseq, parse_number};
use crate::sip::reply::Status;
use crate::sip::scan::{Field, Head};
use crate::sip::start_line::Method;
use crate::sip::uri::{Scheme, Uri};

use super::verdict::Fault;

/// A request that may be forwarded.
pub(super) struct Valid<'a> {
    pub(super) uri: &'a Uri,
    pub(super) max_forwards: Option<MaxForwards>,
    /// Where the message ends: what follows its body in the datagram is not part of it (§18.3).
    pub(super) end: u32,
}

/// A Max-Forwards value and where it stands.
pub(super) struct MaxForwards {
    pub(super) value: Span,
    pub(super) hops: u32,
}

/// A request that is answered instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) detail: Option<&'static str>,
    pub(super) fault: Option<Fault>,
    /// Headers of the answer's own, each with its line end.
    pub(super) headers: &'static str,
    /// After how many seconds the request may be tried again; 0 is not said.
    pub(super) retry_after_s: u16,
}

impl Refusal {
    pub(super) fn new(status: Status) -> Self {
        Refusal { status, detail: None, fault: None, headers: "", retry_after_s: 0 }
    }

    pub(super) fn because(status: Status, detail: &'static str) -> Self {
        Refusal { detail: Some(detail), ..Refusal::new(status) }
    }

    pub(super) fn malformed(fault: Fault) -> Self {
        let detail = match fault {
            Fault::Repeated(name) | Fault::Header(name) => name.name(),
            Fault::RequestUri => "Request-URI",
            _ => "Request-Line",
        };
        Refusal { fault: Some(fault), ..Refusal::because(Status::BadRequest, detail) }
    }
}

/// Where a message ends by its Content-Length; `None` where that cannot be read or tells more than there is (§18.3).
pub(super) fn message_end(message: &[u8], head: &Head) -> Option<u32> {
    let available = message.len() as u32 - head.body_start;
    let Some(field) = head.first(HeaderName::ContentLength) else { return Some(message.len() as u32) };
    let length = parse_number(message, field.value).filter(|length| *length <= available)?;
    Some(head.body_start + length)
}

/// Validates a request whose topmost Via has been read, and whose Request-URI is `uri`, if it can be read.
pub(super) fn request<'a>(
    message: &[u8],
    head: &Head,
    method: Method,
    name: Span,
    uri: Option<&'a Uri>,
) -> Result<Valid<'a>, Refusal> {
    let malformed = |name| Refusal::malformed(Fault::Header(name));
    if let Some(name) = head.repeated() {
        return Err(Refusal::malformed(Fault::Repeated(name)));
    }
    for header in [HeaderName::From, HeaderName::To] {
        let field = required(head, header)?;
        is_address(message, field.value).then_some(()).ok_or_else(|| malformed(header))?;
    }
    parse_call_id(message, required(head, HeaderName::CallId)?.value).ok_or_else(|| malformed(HeaderName::CallId))?;
    let cseq = required(head, HeaderName::CSeq)?;
    let cseq = parse_cseq(message, cseq.value).ok_or_else(|| malformed(HeaderName::CSeq))?;
    if !may_stand_in_cseq(method, name.of(message), cseq.method.of(message)) {
        return Err(malformed(HeaderName::CSeq));
    }
    let max_forwards = max_forwards(message, head)?;
    let end = message_end(message, head).ok_or_else(|| malformed(HeaderName::ContentLength))?;
    let uri = uri.ok_or_else(|| Refusal::malformed(Fault::RequestUri))?;
    if uri.scheme == Scheme::Unknown {
        return Err(Refusal::new(Status::UnsupportedUriScheme));
    }
    let out_of_hops = max_forwards.as_ref().is_some_and(|max_forwards| max_forwards.hops == 0);
    if out_of_hops {
        // §16.3 item 3: an OPTIONS that ends here may be answered as if it were for us.
        return Err(Refusal::new(if method == Method::Options { Status::Ok } else { Status::TooManyHops }));
    }
    if head.first(HeaderName::ProxyRequire).is_some() && !matches!(method, Method::Ack | Method::Cancel) {
        return Err(Refusal::new(Status::BadExtension));
    }
    Ok(Valid { uri, max_forwards, end })
}

/// A request's own method stands in its CSeq (§8.1.1.5). An ACK may have all of its INVITE's CSeq: so RFC 2543 §6.17
/// could be read, and nobody can be told that it is malformed.
fn may_stand_in_cseq(method: Method, own: &[u8], found: &[u8]) -> bool {
    found == own || method == Method::Ack && found == b"INVITE"
}

fn required(head: &Head, name: HeaderName) -> Result<&Field, Refusal> {
    head.first(name).ok_or_else(|| Refusal::malformed(Fault::Header(name)))
}

fn max_forwards(message: &[u8], head: &Head) -> Result<Option<MaxForwards>, Refusal> {
    let Some(field) = head.first(HeaderName::MaxForwards) else { return Ok(None) };
    // §20.22: 0 to 255.
    let hops = parse_number(message, field.value).filter(|hops| *hops <= 255);
    let hops = hops.ok_or_else(|| Refusal::malformed(Fault::Header(HeaderName::MaxForwards)))?;
    Ok(Some(MaxForwards { value: field.value, hops }))
}
