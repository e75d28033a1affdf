//! Authorities and certificates made on the spot, and a folder of their files.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType,
    date_time_ymd,
};
use viaduct::frame::tls::{ClientFiles, ClientTls, PairFiles, ServerFiles, ServerTls};

/// An authority and what it issues.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(parameters, key), pem }
    }

    /// A certificate for names: addresses, `sip:` URIs, or DNS names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| ())
    }

    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        parameters.subject_alt_names = names.iter().map(|name| alternative(name)).collect();
        change(&mut parameters);
        self.sign(&parameters, &KeyPair::generate().unwrap())
    }

    /// A certificate whose key is of a kind that some clients do not know.
    pub fn issue_ed25519(&self, names: &[&str]) -> Issued {
        let parameters = CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
        self.sign(&parameters, &KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    fn sign(&self, parameters: &CertificateParams, key: &KeyPair) -> Issued {
        let chain = parameters.signed_by(key, &self.issuer).unwrap().pem();
        Issued { chain, key: key.serialize_pem() }
    }

    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |parameters| {
            parameters.not_before = date_time_ymd(2020, 1, 1);
            parameters.not_after = date_time_ymd(2021, 1, 1);
        })
    }
}

fn alternative(name: &str) -> SanType {
    match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains(':') => SanType::URI(name.try_into().unwrap()),
        Err(_) => SanType::DnsName(name.try_into().unwrap()),
    }
}

/// A folder of its own, gone at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("viaduct-codecs-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        self.set_mode(name, 0o600);
        path
    }

    pub fn write_pair(&self, name: &str, issued: &Issued) -> PairFiles {
        PairFiles {
            chain: self.write(&format!("{name}.crt"), &issued.chain),
            key: self.write(&format!("{name}.key"), &issued.key),
        }
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server with these certificates, which asks its clients for none.
pub fn server(issued: &[&Issued]) -> ServerTls {
    let folder = Folder::new();
    let pair = |(place, issued): (usize, &&Issued)| folder.write_pair(&place.to_string(), issued);
    let pairs = issued.iter().enumerate().map(pair).collect();
    ServerTls::load(&ServerFiles { pairs, ..ServerFiles::default() }, SystemTime::now()).unwrap()
}

/// A client that trusts an authority, and shows a certificate if it has one.
pub fn client(authority: &Authority, issued: Option<&Issued>) -> ClientTls {
    let folder = Folder::new();
    let authorities = vec![folder.write("ca.crt", &authority.pem)];
    let pair = issued.map(|issued| folder.write_pair("client", issued));
    ClientTls::load(&ClientFiles { authorities, pair }, SystemTime::now()).unwrap()
}
