//! Why a WebSocket connection is refused or ended, with labels for counters and words for clients.
//!
//! The library's error looked enough. It has no word for what RFC 7118 adds, and counters need labels that do not
//! change.

use std::fmt;

use tungstenite::protocol::frame::coding::CloseCode;

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// What comes is not HTTP: plain SIP or TLS on a port for WebSocket.
    NotHttp,
    /// The request's head is longer than the limit, or has too many headers.
    HeadTooLong,
    /// The method is not GET.
    WrongMethod,
    /// The request does not ask for WebSocket: a browser's address line, or a health check.
    NoUpgrade,
    /// The version is not 13.
    WrongVersion,
    /// The key is missing or no key.
    BadKey,
    /// The sub-protocol `sip` is not offered.
    NotSip,
    /// The page that the client belongs to is not on the list.
    WrongOrigin,
    /// A frame breaks RFC 6455.
    BrokenFrame,
    /// A message is longer than the limit.
    MessageTooLong,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::NotHttp,
        Self::HeadTooLong,
        Self::WrongMethod,
        Self::NoUpgrade,
        Self::WrongVersion,
        Self::BadKey,
        Self::NotSip,
        Self::WrongOrigin,
        Self::BrokenFrame,
        Self::MessageTooLong,
    ];

    /// The label of a counter. It does not change.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotHttp => "not_http",
            Self::HeadTooLong => "head_too_long",
            Self::WrongMethod => "wrong_method",
            Self::NoUpgrade => "no_upgrade",
            Self::WrongVersion => "wrong_version",
            Self::BadKey => "bad_key",
            Self::NotSip => "not_sip",
            Self::WrongOrigin => "wrong_origin",
            Self::BrokenFrame => "broken_frame",
            Self::MessageTooLong => "message_too_long",
        }
    }

    /// The code to close with, once the connection is open (RFC 6455 §7.4.1).
    pub(super) fn close_code(self) -> u16 {
        match self {
            Self::MessageTooLong => CloseCode::Size.into(),
            _ => CloseCode::Protocol.into(),
        }
    }

    /// Status line, headers of its own, and text of the answer to the request.
    pub(super) fn answer(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::HeadTooLong => ("431 Request Header Fields Too Large", "", "The head of the request is too long."),
            Self::WrongMethod => ("405 Method Not Allowed", "Allow: GET\r\n", "WebSocket begins with GET."),
            Self::NoUpgrade => (
                "426 Upgrade Required",
                UPGRADE,
                "This is a SIP server for WebSocket clients (RFC 7118). Connect by WebSocket, sub-protocol sip.",
            ),
            Self::WrongVersion => ("426 Upgrade Required", UPGRADE, "The version of WebSocket here is 13 (RFC 6455)."),
            Self::BadKey => ("400 Bad Request", "", "Sec-WebSocket-Key is missing, or is not 16 bytes in Base64."),
            Self::NotSip => (
                "400 Bad Request",
                "",
                "Sec-WebSocket-Protocol must offer sip (RFC 7118): new WebSocket(url, \"sip\").",
            ),
            Self::WrongOrigin => ("403 Forbidden", "", "Pages of this origin may not connect."),
            _ => ("400 Bad Request", "", "This is not a request of HTTP/1.1."),
        }
    }
}

const UPGRADE: &str = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_refusal_has_its_own_label_and_its_place_in_the_list() {
        let labels: HashSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.label()).collect();
        assert_eq!(labels.len(), Refusal::ALL.len());
        for (place, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, place);
        }
    }
}
