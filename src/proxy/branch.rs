//! Our branch, and the To tag of our own answers: keyed hashes of what stays the same over a transaction (§16.11).

use arrayvec::ArrayVec;

use crate::balance::key::{FieldHasher, Key};
use crate::sip::header::{HeaderName, parse_cseq, parse_tag};
use crate::sip::scan::Head;
use crate::sip::via::Via;

use super::base64url;

/// What follows the magic cookie in a branch of ours: 11 characters of signature; before them, for a request in RFC 2543
/// dress, 6 characters that stand for its Request-URI.
pub type Branch = ArrayVec<u8, 17>;

/// A To tag of our own.
pub type Tag = ArrayVec<u8, 13>;

const SIGNATURE_CHARS: usize = 11;
const URI_CHARS: usize = 6;
const TAG_PREFIX: [u8; 2] = *b"vd";

/// The branch of a request whose topmost Via, as it came, is `via`.
///
/// Where that Via has a branch of RFC 3261's kind, ours is a hash of that branch, of its sent-by and of the Call-ID: all
/// three are the same in a retransmission, in the CANCEL and in the ACK for a non-2xx (§9.1, §17.1.1.3), and none depends
/// on the address or connection it came by. Else (RFC 2543) it is a hash of the Via, the From tag, the Call-ID,
/// the CSeq number without the method, and the Request-URI. The To tag that §16.11 lists too is left out: the ACK for
/// a non-2xx has one where its INVITE had none, and backends match it by the branch (§17.2.3).
pub fn of_request(key: &Key, message: &[u8], head: &Head, via: &Via, uri: &[u8]) -> Branch {
    if via.rfc3261_branch(message).is_some() {
        return signed(Branch::new(), over_via(&mut key.over_fields(), message, head, via).finish_quick());
    }
    let mut branch = Branch::new();
    let uri_hash = key.over_fields().field(b"uri").field(uri).finish() as u32;
    push_base64(&mut branch, &uri_hash.to_be_bytes());
    let signature = over_rfc2543(&mut key.over_fields(), message, head, via, &branch).finish_quick();
    signed(branch, signature)
}

/// Whether `branch`, found in a Via of ours behind the cookie, is the one that the request had to whose response
/// `message` is; `below` is the Via below ours.
pub fn verifies(key: &Key, message: &[u8], head: &Head, below: &Via, branch: &[u8]) -> bool {
    if below.rfc3261_branch(message).is_some() {
        let expected = signed(Branch::new(), over_via(&mut key.over_fields(), message, head, below).finish_quick());
        return branch == expected.as_slice();
    }
    let Some(Ok(uri)) = branch.get(..URI_CHARS).map(Branch::try_from) else { return false };
    let signature = over_rfc2543(&mut key.over_fields(), message, head, below, &uri).finish_quick();
    branch == signed(uri, signature).as_slice()
}

/// The To tag of our own answer to a request, the same for a retransmission, on every replica (§8.2.7). It covers
/// nothing that may be unreadable, so that a request refused for a malformed header has one too.
pub fn own_tag(key: &Key, message: &[u8], head: &Head, via: &Via) -> Tag {
    let mut tag = Tag::new();
    tag.extend(TAG_PREFIX);
    let signature = over_via(&mut key.over_fields(), message, head, via).field(from_tag(message, head)).finish();
    push_base64(&mut tag, &signature.to_be_bytes());
    tag
}

/// Whether a To tag looks like one of our own, at a glance.
pub fn may_be_own_tag(tag: &[u8]) -> bool {
    tag.len() == TAG_PREFIX.len() + SIGNATURE_CHARS && tag.starts_with(&TAG_PREFIX)
}

/// Takes in what of a Via and its message stays the same over a transaction.
fn over_via<'h>(hasher: &'h mut FieldHasher, message: &[u8], head: &Head, via: &Via) -> &'h mut FieldHasher {
    hasher
        .field_in_small_letters(via.host.of(message))
        .number(u64::from(via.port_or_default()))
        .field(via.branch.map_or(&[], |branch| branch.of(message)))
        .field(head.first(HeaderName::CallId).map_or(&[], |field| field.value.of(message)))
}

fn over_rfc2543<'h>(
    hasher: &'h mut FieldHasher,
    message: &[u8],
    head: &Head,
    via: &Via,
    uri: &[u8],
) -> &'h mut FieldHasher {
    let cseq = head.first(HeaderName::CSeq).and_then(|field| parse_cseq(message, field.value));
    over_via(hasher, message, head, via)
        .field(from_tag(message, head))
        .number(cseq.map_or(u64::MAX, |cseq| u64::from(cseq.number)))
        .field(uri)
}

fn from_tag<'a>(message: &'a [u8], head: &Head) -> &'a [u8] {
    let tag = head.first(HeaderName::From).map(|field| parse_tag(message, field.value));
    tag.and_then(Result::ok).flatten().unwrap_or_default()
}

fn signed(mut branch: Branch, signature: u64) -> Branch {
    push_base64(&mut branch, &signature.to_be_bytes());
    branch
}

/// A type of text that is made for these bytes has room for them.
#[inline]
fn push_base64<const N: usize>(text: &mut ArrayVec<u8, N>, bytes: &[u8]) {
    let has_room = base64url::push(text, bytes);
    debug_assert!(has_room);
}

const _: () = assert!(URI_CHARS + SIGNATURE_CHARS == 17);
