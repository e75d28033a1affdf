//! The certificate that devices show, and the authority that clients trust.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use viaduct::frame::tls::{ClientFiles, ClientTls};

/// Files in PEM.
pub struct Certificate {
    /// The device's certificate.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
    authority: PathBuf,
}

impl Certificate {
    /// One for 127.0.0.1 on the curve P-256, with its authority.
    pub fn issue(directory: &Path) -> Result<Certificate, String> {
        let certificate = Certificate {
            chain: directory.join("own.crt"),
            key: directory.join("own.key"),
            authority: directory.join("authority.crt"),
        };
        certificate.write().map_err(|error| format!("the certificate: {error}"))?;
        Ok(certificate)
    }

    /// What clients trust.
    pub fn trusted(&self) -> Result<ClientTls, String> {
        let files = ClientFiles { authorities: vec![self.authority.clone()], pair: None };
        ClientTls::load(&files, SystemTime::now()).map_err(|fault| format!("the authority: {fault:?}"))
    }

    fn write(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        parameters.distinguished_name.push(DnType::CommonName, "the authority of this run");
        let key = KeyPair::generate()?;
        fs::write(&self.authority, parameters.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(parameters, key);
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
        fs::write(&self.chain, own.pem())?;
        fs::write(&self.key, key.serialize_pem())?;
        Ok(())
    }
}
