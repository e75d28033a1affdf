//! A certificate authority of one test, and the certificate that it issues for a listener.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use crate::peers::scene::Scene;

/// Files in PEM.
pub struct Certificate {
    /// The authority's own certificate.
    pub authority: PathBuf,
    /// The listener's certificate.
    pub chain: PathBuf,
    /// The listener's key.
    pub key: PathBuf,
}

impl Certificate {
    /// One for a listener at `address`, by an authority made for it, in the scene's directory.
    pub fn issue(scene: &Scene, address: IpAddr) -> Certificate {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut listener = CertificateParams::default();
        listener.subject_alt_names = vec![SanType::IpAddress(address)];
        let key = KeyPair::generate().unwrap();
        let chain = listener.signed_by(&key, &issuer).unwrap().pem();
        let write = |name: &str, pem: String| {
            let path = scene.directory.join(name);
            fs::write(&path, pem).unwrap();
            path
        };
        Certificate {
            authority: write("authority.crt", authority_pem),
            chain: write("listener.crt", chain),
            key: write("listener.key", key.serialize_pem()),
        }
    }
}
