//! Certificates and keys from PEM files, whole and checked, or the file and its fault in words.
//!
//! To take a file as it is and let the first handshake find its fault looked simpler. By then the old certificate is
//! gone, and whoever replaced the file has left.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::fault::{Fault, FileFault};
use super::identity::served_names;

/// The longest file that is read, in bytes. The authorities of all browsers are a quarter of it.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The longest chain: more would not fit a peer's limits either.
pub const MAX_CHAIN: usize = 10;

/// A chain of certificates, the own one first, and its private key. One file may hold both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// The chain, in PEM.
    pub chain: PathBuf,
    /// The key, in PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// What is to be known of a certificate that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The file that its chain stands in.
    pub file: PathBuf,
    /// The names that it is chosen by, in lower case, with wildcards.
    pub names: Vec<Box<str>>,
    /// The last moment that it is valid.
    pub not_after: SystemTime,
    /// Whether every user of the host may read the key. It is no fault, since Kubernetes mounts secrets so; a warning
    /// is right.
    pub key_readable_by_all: bool,
}

/// A chain and its key, ready for use, and what is to be known of it.
pub(super) struct Pair {
    pub(super) key: CertifiedKey,
    pub(super) loaded: Loaded,
}

/// Reads a chain and its key. The own certificate must be valid at `now`, and be the key's.
pub(super) fn load_pair(files: &PairFiles, provider: &CryptoProvider, now: SystemTime) -> Result<Pair, FileFault> {
    let (text, _) = read(&files.chain)?;
    let chain = certificates(&files.chain, &text)?;
    if chain.len() > MAX_CHAIN {
        return Err(Fault::ChainTooLong(chain.len()).of(&files.chain));
    }
    let (names, not_after) = examine(&chain[0], now).map_err(|fault| fault.of(&files.chain))?;
    let (text, metadata) = read(&files.key)?;
    if metadata.mode() & WRITABLE_BY_ALL != 0 {
        return Err(Fault::WritableByAll(metadata.mode() & 0o777).of(&files.key));
    }
    let key = private_key(&text).map_err(|fault| fault.of(&files.key))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| fault_of_key(files, &error))?;
    let key_readable_by_all = metadata.mode() & READABLE_BY_ALL != 0;
    Ok(Pair { key, loaded: Loaded { file: files.chain.clone(), names, not_after, key_readable_by_all } })
}

/// Reads the certificates of authorities. Their dates do not count (RFC 5280 §6.1.1 d), so that one that runs out
/// beside its successor is no fault.
pub(super) fn load_authorities(files: &[PathBuf]) -> Result<RootCertStore, FileFault> {
    let mut roots = RootCertStore::empty();
    for file in files {
        let (text, _) = read(file)?;
        for certificate in certificates(file, &text)? {
            roots.add(certificate).map_err(|error| Fault::NotUsable(error.to_string()).of(file))?;
        }
    }
    Ok(roots)
}

const WRITABLE_BY_ALL: u32 = 0o002;
const READABLE_BY_ALL: u32 = 0o004;

/// Reads a file up to the limit. What is measured is what was opened, so that a file that is exchanged meanwhile is one
/// or the other.
fn read(path: &Path) -> Result<(Vec<u8>, Metadata), FileFault> {
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
        Ok((text, metadata))
    };
    let (text, metadata) = open().map_err(|error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied => Fault::NotPermitted(std::fs::metadata(path).ok().map(owner)).of(path),
        _ => Fault::Unreadable(error.to_string()).of(path),
    })?;
    match text.len() as u64 > MAX_FILE_BYTES {
        true => Err(Fault::TooLarge.of(path)),
        false => Ok((text, metadata)),
    }
}

fn owner(metadata: Metadata) -> (u32, u32, u32) {
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(nothing_in(text, Fault::NoCertificate).of(path)),
        Ok(found) => Ok(found),
        Err(error) => Err(Fault::BadPem(error.to_string()).of(path)),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(text, b"ENCRYPTED PRIVATE KEY") => Fault::EncryptedKey,
        pem::Error::NoItemsFound => nothing_in(text, Fault::NoKey),
        error => Fault::BadPem(error.to_string()),
    })
}

/// Nothing of the kind is in the file: because it is no PEM at all, or because it holds something else.
fn nothing_in(text: &[u8], missing: Fault) -> Fault {
    if contains(text, b"-----BEGIN ") { missing } else { Fault::NoPem }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(text, what).is_some()
}

/// The names of a certificate and the last moment that it is valid, where that is not past and its first one has come.
fn examine(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<(Vec<Box<str>>, SystemTime), Fault> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|error| Fault::BadPem(error.to_string()))?;
    let validity = certificate.validity();
    let (first, last) = (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
    if now > last {
        return Err(Fault::Expired(validity.not_after.to_string()));
    }
    if now < first {
        return Err(Fault::NotYetValid(validity.not_before.to_string()));
    }
    Ok((served_names(&certificate), last))
}

/// Seconds of the epoch as a moment; before the epoch is the epoch.
fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs())
}

fn fault_of_key(files: &PairFiles, error: &rustls::Error) -> FileFault {
    match error {
        rustls::Error::InconsistentKeys(_) => Fault::KeyMismatch(files.chain.clone()).of(&files.key),
        error => Fault::NotUsable(error.to_string()).of(&files.key),
    }
}
