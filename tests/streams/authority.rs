//! A certificate authority made on the spot, the certificate of the program, and what clients trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The name in the program's certificate.
pub const NAME: &str = "sip.example.com";

/// An authority and a folder of files, which is gone at the end.
pub struct Authority {
    folder: PathBuf,
    /// What a client trusts who trusts this authority.
    pub client: Arc<ClientConfig>,
}

impl Authority {
    /// One that has issued the program's certificate.
    pub fn new() -> Authority {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("viaduct-streams-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let own = parameters.self_signed(&key).unwrap();
        issue(&Issuer::new(parameters, key), &folder);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(own.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let client = builder.with_root_certificates(roots).with_no_client_auth();
        Authority { folder, client: Arc::new(client) }
    }

    /// The file with the program's certificate and its key.
    pub fn certificate(&self) -> String {
        path_of_certificate(&self.folder).to_str().unwrap().to_owned()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn issue(issuer: &Issuer<'_, KeyPair>, folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let chain = CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, issuer).unwrap().pem();
    fs::write(path_of_certificate(folder), chain + &key.serialize_pem()).unwrap();
}

fn path_of_certificate(folder: &Path) -> PathBuf {
    folder.join("own.pem")
}
