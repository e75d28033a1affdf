//! What Viaduct writes into messages to find it there again, signed with the fleet's secret.
//!
//! | module | stands in | says |
//! | --- | --- | --- |
//! | [`return_path`] | our Via | how a response finds its way back |
//! | [`pin`] | our Record-Route's user part | which backend has the dialog, and the client's flow |
//! | [`probe`] | the branch of a probe | which backend is asked whether it is alive |
//! | [`flow`] | our Path's user part | the flow by which a registered client is reached |
//!
//! A cookie in a URI parameter looked better than one in the user part. Some user agents drop the parameters of a Route, or
//! put them outside of its brackets; none changes the user part.

pub mod flow;
pub mod pin;
pub mod probe;
pub mod return_path;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arrayvec::ArrayVec;

use super::base64url;
use super::inbound::ConnectionRef;

/// The bytes of a token before they are written as text. The longest is a pin with a flow between IPv6 addresses.
type Bytes = ArrayVec<u8, 52>;

/// A token's text.
pub type Token = ArrayVec<u8, 72>;

const SIGNATURE_BYTES: usize = 8;

/// Bytes and their signature as text, all of whose characters may stand in a token and in a user part.
#[inline]
fn write(prefix: &[u8], mut bytes: Bytes, signature: u64) -> Token {
    let mut token = Token::new();
    let has_room = bytes.try_extend_from_slice(&signature.to_be_bytes()).is_ok()
        && token.try_extend_from_slice(prefix).is_ok()
        && base64url::push(&mut token, &bytes);
    debug_assert!(has_room);
    token
}

/// A token's bytes and its signature; `None` where the text is none.
fn read(text: &[u8]) -> Option<(Bytes, u64)> {
    let mut bytes: Bytes = base64url::read(text)?;
    let signed = bytes.len().checked_sub(SIGNATURE_BYTES)?;
    let signature = u64::from_be_bytes(bytes.get(signed..)?.try_into().ok()?);
    bytes.truncate(signed);
    Some((bytes, signature))
}

/// What else is to be known of the way back: at most one of these, since a connection has both its ends fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NearEnd {
    /// The address that the peer sent to, where the listener has several.
    pub(super) local: Option<IpAddr>,
    /// The connection that it sent by.
    pub(super) connection: Option<ConnectionRef>,
}

impl NearEnd {
    /// Which of them there is, in two bits.
    fn kind(&self) -> u8 {
        self.connection.map_or(family(self.local), |_| CONNECTION)
    }

    fn push(&self, bytes: &mut Bytes) {
        match (self.connection, self.local) {
            (Some(connection), _) => {
                bytes.extend(connection.process.to_be_bytes());
                bytes.extend(connection.number.to_be_bytes());
            }
            (None, Some(local)) => push_ip(bytes, local),
            (None, None) => {}
        }
    }

    fn take(fields: &mut Fields<'_>, kind: u8) -> Option<Self> {
        if kind & 3 != CONNECTION {
            return fields.ip(kind).map(|local| NearEnd { local, connection: None });
        }
        let (process, number) = (u32::from_be_bytes(fields.take()?), u64::from_be_bytes(fields.take()?));
        Some(NearEnd { local: None, connection: Some(ConnectionRef { process, number }) })
    }
}

/// In the place of an address' family: that a connection is meant.
const CONNECTION: u8 = 3;

/// The family of an address, or that there is none, in two bits.
fn family(ip: Option<IpAddr>) -> u8 {
    match ip {
        None => 0,
        Some(IpAddr::V4(_)) => 1,
        Some(IpAddr::V6(_)) => 2,
    }
}

fn push_ip(bytes: &mut Bytes, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
}

fn push_address(bytes: &mut Bytes, address: SocketAddr) {
    push_ip(bytes, address.ip());
    bytes.extend(address.port().to_be_bytes());
}

/// Reads a token's fields from left to right.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn ip(&mut self, family: u8) -> Option<Option<IpAddr>> {
        match family & 3 {
            0 => Some(None),
            1 => self.take::<4>().map(|octets| Some(IpAddr::V4(Ipv4Addr::from(octets)))),
            2 => self.take::<16>().map(|octets| Some(IpAddr::V6(Ipv6Addr::from(octets)))),
            _ => None,
        }
    }

    fn address(&mut self, family: u8) -> Option<Option<SocketAddr>> {
        let Some(ip) = self.ip(family)? else { return Some(None) };
        self.take::<2>().map(|port| Some(SocketAddr::new(ip, u16::from_be_bytes(port))))
    }

    /// The address that all of the rest is.
    fn last_address(&mut self) -> Option<SocketAddr> {
        self.address(if self.0.len() == 6 { 1 } else { 2 })?
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
