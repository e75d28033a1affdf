//! What of a request is hashed to choose its backend: the Call-ID, unless the operator or the request says otherwise.
//!
//! In this order:
//! 1. the Call-ID that an INVITE's Replaces (RFC 3891) or Join (RFC 3911) names, or any request's Target-Dialog (RFC 4538):
//!    the request concerns a dialog that has an owner;
//! 2. the rule for the request's method, by VIADUCT_HASH;
//! 3. the Call-ID, also where what a rule names is not there.
//!
//! An ACK and a CANCEL follow the rule of INVITE, whose transaction they belong to. They have no Replaces or Join
//! (§9.1), so that where one of these sent their INVITE to another owner, they go to that of their own Call-ID.

use arrayvec::ArrayVec;

use crate::balance::key::Key;
use crate::sip::Span;
use crate::sip::header::{HeaderName, address_uri, named_call_id};
use crate::sip::scan::Head;
use crate::sip::start_line::Method;
use crate::sip::uri::Uri;

use super::inbound::{Inbound, Side};
use super::request::Request;
use super::snapshot::Snapshot;
use super::trace::{Hashed, HashedBy};

/// What of a request is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HashKey {
    /// The Call-ID.
    #[default]
    CallId,
    /// The user and host of To's URI: all registrations of one address meet.
    ToUri,
    /// The user and host of From's URI.
    FromUri,
    /// The user of the Request-URI.
    RequestUser,
    /// The address that the request came from, without the port.
    Source,
}

/// For each method, what of a request is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashRules {
    by_method: [HashKey; Method::COUNT],
}

impl HashRules {
    /// Sets the rule of one method. That of INVITE is CANCEL's and ACK's too.
    pub fn set(&mut self, method: Method, key: HashKey) {
        self.by_method[method as usize] = key;
        if method == Method::Invite {
            self.by_method[Method::Ack as usize] = key;
            self.by_method[Method::Cancel as usize] = key;
        }
    }

    /// Sets the rule of every method.
    pub fn set_all(&mut self, key: HashKey) {
        self.by_method = [key; Method::COUNT];
    }

    fn of(&self, method: Method) -> HashKey {
        self.by_method[method as usize]
    }
}

/// The longest user and host that are told apart by all their bytes.
const MAX_KEY_BYTES: usize = 512;

/// The hash of a request's Call-ID, where it is likely to place the request: before anything else is read, so that its place in the
/// table, which is seldom in a cache, is on its way meanwhile. To read it that early does not help: a processor goes on only so far
/// behind a read that waits.
#[inline]
pub(super) fn foresee(snapshot: &Snapshot, inbound: &Inbound<'_>, side: Side, head: &Head) -> Option<u64> {
    if side == Side::Backend || head.first(HeaderName::Route).is_some() {
        return None;
    }
    let call_id = head.first(HeaderName::CallId)?.value.of(inbound.bytes);
    let hash = snapshot.keys().table.hash(call_id);
    snapshot.table().prefetch(hash);
    Some(hash)
}

fn call_id_hash(request: &Request<'_>, key: &Key) -> u64 {
    request.call_id_hash.unwrap_or_else(|| key.hash(request.call_id()))
}

/// The hash that places a request.
pub(super) fn hash(request: &Request<'_>, uri: &Uri) -> Hashed {
    let key = &request.snapshot.keys().table;
    if let Some(call_id) = owner_named(request) {
        return Hashed { by: HashedBy::NamedDialog, hash: key.hash(call_id) };
    }
    let rule = request.snapshot.policy().hash.of(request.method);
    match by_rule(request, uri, rule, key) {
        Some(hash) => Hashed { by: HashedBy::Rule(rule), hash },
        None => Hashed { by: HashedBy::InPlaceOf(rule), hash: call_id_hash(request, key) },
    }
}

/// The Call-ID of the dialog that a request concerns though it is not in it.
fn owner_named<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let of_invite = matches!(request.method, Method::Invite | Method::Cancel | Method::Ack);
    let names = if of_invite {
        &[HeaderName::Replaces, HeaderName::Join, HeaderName::TargetDialog][..]
    } else {
        &[HeaderName::TargetDialog]
    };
    let field = names.iter().find_map(|name| request.head.first(*name))?;
    named_call_id(request.inbound.bytes, field.value)
}

fn by_rule(request: &Request<'_>, uri: &Uri, rule: HashKey, key: &Key) -> Option<u64> {
    let message = request.inbound.bytes;
    match rule {
        HashKey::CallId => Some(call_id_hash(request, key)),
        HashKey::ToUri => user_and_host(message, address(request, HeaderName::To)?, key),
        HashKey::FromUri => user_and_host(message, address(request, HeaderName::From)?, key),
        HashKey::RequestUser => uri.user.map(|user| key.hash(user.of(message))),
        HashKey::Source => Some(match request.inbound.peer.ip() {
            std::net::IpAddr::V4(ip) => key.hash(&ip.octets()),
            std::net::IpAddr::V6(ip) => key.hash(&ip.octets()),
        }),
    }
}

fn address(request: &Request<'_>, name: HeaderName) -> Option<Span> {
    address_uri(request.inbound.bytes, request.head.first(name)?.value)
}

/// `user@host`, the host in lower case (§19.1.4): neither port, parameters nor scheme tell two apart.
fn user_and_host(message: &[u8], span: Span, key: &Key) -> Option<u64> {
    let uri = Uri::parse(message, span)?;
    let mut text: ArrayVec<u8, MAX_KEY_BYTES> = ArrayVec::new();
    if uri.host.is_empty() {
        // A tel URI has no host; all of it is the number.
        return Some(key.hash(span.of(message)));
    }
    let user = uri.user.map_or(&[][..], |user| user.of(message));
    text.extend(user.iter().take(MAX_KEY_BYTES - 257).copied());
    text.push(b'@');
    text.extend(uri.host.of(message).iter().take(256).map(u8::to_ascii_lowercase));
    Some(key.hash(&text))
}
