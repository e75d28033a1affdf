//! A certificate authority of one test, and the certificates that it issues.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

use super::scene::Scene;

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
    /// The file of its own certificate, in PEM.
    pub path: PathBuf,
}

/// Files in PEM.
pub struct Certificate {
    /// The certificate.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// One whose files are in the scene's directory.
    pub fn new(scene: &Scene) -> Authority {
        let mut parameters = named("the authority of a test");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let path = scene.directory.join("authority.crt");
        fs::write(&path, parameters.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(parameters, key), directory: scene.directory.clone(), path }
    }

    /// A certificate for whoever is at `address`.
    pub fn issue(&self, address: IpAddr) -> Certificate {
        let mut parameters = named(&address.to_string());
        parameters.subject_alt_names = vec![SanType::IpAddress(address)];
        let key = KeyPair::generate().unwrap();
        let chain = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        let write = |ending: &str, pem: String| {
            let path = self.directory.join(format!("{address}.{ending}"));
            fs::write(&path, pem).unwrap();
            path
        };
        Certificate { chain: write("crt", chain), key: write("key", key.serialize_pem()) }
    }
}

/// OpenSSL takes a certificate for its own issuer's whose names are the same.
fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

impl Certificate {
    /// As a setting of Viaduct's has it.
    pub fn setting(&self) -> String {
        format!("{};key={}", self.chain.display(), self.key.display())
    }
}
