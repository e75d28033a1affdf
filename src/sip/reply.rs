//! What a stateless UAS answers (§8.2.6, §8.2.7): final responses only, built from the request and nothing else.

use std::net::SocketAddr;

use super::draft::{Draft, DraftFull};
use super::header::HeaderName;
use super::scan::Head;
use super::text::decimal_text;
use super::via::Via;

/// The answers Viaduct gives of its own. The order is that of the metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Ok,
    BadRequest,
    Forbidden,
    UnsupportedUriScheme,
    BadExtension,
    FlowFailed,
    NoSuchCall,
    TooManyHops,
    ServerError,
    ServiceUnavailable,
    VersionNotSupported,
    MessageTooLarge,
}

impl Status {
    /// Every status, in the order of [`Status::index`].
    pub const ALL: [Status; 12] = [
        Status::Ok,
        Status::BadRequest,
        Status::Forbidden,
        Status::UnsupportedUriScheme,
        Status::BadExtension,
        Status::FlowFailed,
        Status::NoSuchCall,
        Status::TooManyHops,
        Status::ServerError,
        Status::ServiceUnavailable,
        Status::VersionNotSupported,
        Status::MessageTooLarge,
    ];

    /// This status's place in [`Status::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The status code (§21).
    pub fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::Forbidden => 403,
            Status::UnsupportedUriScheme => 416,
            Status::BadExtension => 420,
            Status::FlowFailed => 430,
            Status::NoSuchCall => 481,
            Status::TooManyHops => 483,
            Status::ServerError => 500,
            Status::ServiceUnavailable => 503,
            Status::VersionNotSupported => 505,
            Status::MessageTooLarge => 513,
        }
    }

    /// The reason phrase where there is nothing more to say.
    pub fn reason(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::BadRequest => "Bad Request",
            Status::Forbidden => "Forbidden",
            Status::UnsupportedUriScheme => "Unsupported URI Scheme",
            Status::BadExtension => "Bad Extension",
            Status::FlowFailed => "Flow Failed",
            Status::NoSuchCall => "Call/Transaction Does Not Exist",
            Status::TooManyHops => "Too Many Hops",
            Status::ServerError => "Server Internal Error",
            Status::ServiceUnavailable => "Service Unavailable",
            Status::VersionNotSupported => "Version Not Supported",
            Status::MessageTooLarge => "Message Too Large",
        }
    }
}

/// One answer: what it says besides what it copies from the request.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Its code.
    pub status: Status,
    /// The reason phrase's second half: what of the request is wrong.
    pub detail: Option<&'static str>,
    /// The tag for To where the request has none (§8.2.6.2).
    pub tag: &'a [u8],
    /// Whether To has a tag already.
    pub has_tag: bool,
    /// Headers of its own, each with its line end.
    pub headers: &'static str,
    /// After how many seconds the request may be tried again (§20.33); 0 is not said.
    pub retry_after_s: u16,
}

impl Reply<'_> {
    /// Writes the answer to the request `message`, which came from `peer` with `via` on top.
    ///
    /// Via, From, To, Call-ID and CSeq are copied (§8.2.6.2), as far as the request has them; headers of the answer's
    /// own and `Content-Length: 0` follow.
    pub fn write(
        &self,
        message: &[u8],
        head: &Head,
        via: &Via,
        peer: SocketAddr,
        draft: &mut Draft,
    ) -> Result<(), DraftFull> {
        self.write_unstamped(head, draft)?;
        via.stamp(via.sent_by_ip(message), peer, draft)
    }

    /// The same, with the Vias as they stand.
    pub fn write_unstamped(&self, head: &Head, draft: &mut Draft) -> Result<(), DraftFull> {
        let code = decimal_text(self.status.code().into());
        let (dash, detail) = self.detail.map_or(("", ""), |detail| (" - ", detail));
        let reason = self.status.reason().as_bytes();
        draft.write([b"SIP/2.0 ", &code, b" ", reason, dash.as_bytes(), detail.as_bytes(), b"\r\n"])?;
        for field in head.all(HeaderName::Via) {
            draft.keep(field.line)?;
        }
        for name in [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
            if let Some(field) = head.first(name) {
                draft.keep(field.line)?;
            }
        }
        if let (Some(to), false) = (head.first(HeaderName::To), self.has_tag) {
            draft.insert(to.value.after(), [b";tag=", self.tag])?;
        }
        if self.status == Status::BadExtension {
            write_unsupported(head, draft)?;
        }
        if self.retry_after_s > 0 {
            draft.write([b"Retry-After: ", &decimal_text(self.retry_after_s.into()), b"\r\n"])?;
        }
        draft.write([self.headers.as_bytes(), b"Content-Length: 0\r\n\r\n"])
    }
}

/// Names every extension that the request demands of proxies: Viaduct understands none (§8.2.2.3).
fn write_unsupported(head: &Head, draft: &mut Draft) -> Result<(), DraftFull> {
    for field in head.all(HeaderName::ProxyRequire) {
        draft.write([b"Unsupported: "])?;
        draft.keep(field.value)?;
        draft.write([b"\r\n"])?;
    }
    Ok(())
}
