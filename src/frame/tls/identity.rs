//! Who a certificate says its holder is, by the rules for SIP domains (RFC 5922 §7).
//!
//! The library's own comparison of names looked better. It takes wildcards, which RFC 5922 §7.2 forbids, and does not
//! read URIs, which RFC 5922 §7.1 prefers.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The most names that are read of one certificate. What stands behind them is not looked at.
pub const MAX_NAMES: usize = 256;

/// The identities of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    domains: Box<[Box<str>]>,
    addresses: Box<[IpAddr]>,
}

impl Identity {
    /// Reads a certificate; `None` where it cannot be read.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let extension = certificate.subject_alternative_name().ok()?;
        let names = extension.as_ref().map_or(&[][..], |extension| &extension.value.general_names);
        Some(Self { domains: domains(names), addresses: addresses(names) })
    }

    /// The SIP domains, in lower case: the hosts of `sip:` URIs without a user part; where there are none, the DNS
    /// names. Wildcards and the common name are none (RFC 5922 §7.1; the common name is a MAY that invites confusion).
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(AsRef::as_ref)
    }

    /// The addresses, for peers that are configured by address (RFC 5280 §4.2.1.6).
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Whether one of the domains is this one (RFC 5922 §7.2: the whole name, letter case apart).
    pub fn is_domain(&self, domain: &str) -> bool {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        self.domains().any(|own| own.eq_ignore_ascii_case(domain))
    }
}

/// The names that a server's certificate is chosen by: every DNS name, wildcards too, since browsers speak to us by
/// their rules (RFC 6125), and every SIP domain.
pub(super) fn served_names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name_of = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(plain(name)),
        GeneralName::URI(uri) => sip_domain(uri),
        _ => None,
    };
    let mut names: Vec<_> = extension.value.general_names.iter().take(MAX_NAMES).filter_map(name_of).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn domains(names: &[GeneralName<'_>]) -> Box<[Box<str>]> {
    let names = &names[..names.len().min(MAX_NAMES)];
    let by_uri: Box<[_]> = names.iter().filter_map(uri_domain).collect();
    match by_uri.is_empty() {
        false => by_uri,
        true => names.iter().filter_map(dns_domain).collect(),
    }
}

fn addresses(names: &[GeneralName<'_>]) -> Box<[IpAddr]> {
    let of = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    names.iter().take(MAX_NAMES).filter_map(of).collect()
}

fn uri_domain(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::URI(uri) => sip_domain(uri),
        _ => None,
    }
}

fn dns_domain(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) => Some(plain(name)).filter(|name| is_host(name)),
        _ => None,
    }
}

/// The host of a `sip:` URI that has no user part; parameters and a port do not belong to the domain.
fn sip_domain(uri: &str) -> Option<Box<str>> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([':', ';', '?', '/']).next()?;
    Some(plain(host)).filter(|host| is_host(host))
}

/// In lower case, without the dot at the end.
fn plain(name: &str) -> Box<str> {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into()
}

/// Not empty, no wildcard of any form, nothing that could be taken for two names.
fn is_host(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn identity(names: Vec<SanType>) -> Identity {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = names;
        let certificate = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Identity::of(certificate.der()).unwrap()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    #[test]
    fn a_sip_uri_is_a_domain_and_dns_names_beside_it_are_none() {
        let identity = identity(vec![dns("host.example.net"), uri("sip:Example.COM")]);
        assert_eq!(identity.domains().collect::<Vec<_>>(), ["example.com"]);
        assert!(identity.is_domain("EXAMPLE.com") && identity.is_domain("example.com."));
        assert!(!identity.is_domain("host.example.net"));
    }

    #[test]
    fn dns_names_are_domains_where_no_sip_uri_is_and_wildcards_never() {
        let names =
            vec![dns("a.example.com"), dns("*.example.com"), uri("sips:b.example.com"), uri("sip:c@example.com")];
        let identity = identity(names);
        assert_eq!(identity.domains().collect::<Vec<_>>(), ["a.example.com"]);
        assert!(!identity.is_domain("x.example.com") && !identity.is_domain("b.example.com"));
    }

    #[test]
    fn port_and_parameters_of_a_uri_are_not_of_the_domain() {
        for text in ["sip:example.com:5061", "SIP:example.com;transport=tls", "sip:example.com?a=b"] {
            assert!(identity(vec![uri(text)]).is_domain("example.com"), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_of_both_families() {
        let wanted: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let identity = identity(wanted.map(SanType::IpAddress).to_vec());
        assert_eq!(identity.addresses(), wanted);
        assert_eq!(identity.domains().count(), 0);
    }

    #[test]
    fn a_certificate_without_names_has_no_identity_and_garbage_is_none() {
        assert_eq!(identity(vec![]), Identity::default());
        assert_eq!(Identity::of(b"garbage"), None);
    }
}
