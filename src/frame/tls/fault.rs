//! What can be wrong with a certificate's or a key's file, in words that an operator can act on.
//!
//! The library's error alone looked enough. It names neither the file, nor the owner, nor what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read.
    Unreadable(String),
    /// This process may not read it. Its owner, group and mode, where they could be seen.
    NotPermitted(Option<(u32, u32, u32)>),
    /// Every user of the host may change the key. Its mode.
    WritableByAll(u32),
    /// It is longer than [`MAX_FILE_BYTES`](super::files::MAX_FILE_BYTES).
    TooLarge,
    /// There is no PEM in it: it is empty, DER, or something else.
    NoPem,
    /// The PEM in it is damaged, or its content is.
    BadPem(String),
    /// It has no certificate.
    NoCertificate,
    /// It has no private key.
    NoKey,
    /// The private key is encrypted.
    EncryptedKey,
    /// It has more certificates than a chain may have; how many.
    ChainTooLong(usize),
    /// The certificate is past its last day.
    Expired(String),
    /// The certificate's first day has not come.
    NotYetValid(String),
    /// The key is not the certificate's that stands in this file.
    KeyMismatch(PathBuf),
    /// Cryptography refuses it: an algorithm or a length that is not supported, for instance.
    NotUsable(String),
    /// The system has no trusted authorities.
    NoAuthorities(String),
    /// Clients are to be asked for certificates, and no authority is named that could have issued them.
    NoClientAuthority,
    /// A listener has no certificate.
    NoPair,
}

impl Fault {
    pub(super) fn of(self, file: &Path) -> FileFault {
        FileFault { file: file.to_owned(), fault: self }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file.as_os_str().is_empty() {
            true => self.fault.fmt(f),
            false => write!(f, "{}: {}", self.file.display(), self.fault),
        }
    }
}

impl std::error::Error for FileFault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::NotPermitted(None) => f.write_str("this process may not read it"),
            Self::NotPermitted(Some((user, group, mode))) => {
                write!(
                    f,
                    "this process may not read it; it belongs to user {user}, group {group}, with mode {mode:04o}"
                )
            }
            Self::WritableByAll(mode) => {
                write!(f, "every user of this host may change this key (mode {mode:04o}); take that right away")
            }
            Self::TooLarge => f.write_str("it is longer than a file of certificates can be"),
            Self::NoPem => f.write_str("there is no PEM in it (a text that begins with -----BEGIN)"),
            Self::BadPem(error) => write!(f, "it is damaged: {error}"),
            Self::NoCertificate => f.write_str("there is no certificate in it"),
            Self::NoKey => f.write_str("there is no private key in it"),
            Self::EncryptedKey => f.write_str("its private key is encrypted; store it without a password"),
            Self::ChainTooLong(found) => write!(f, "it has {found} certificates, too many for a chain"),
            Self::Expired(last) => write!(f, "the certificate has expired: its last day was {last}"),
            Self::NotYetValid(first) => write!(f, "the certificate is not valid yet: its first day is {first}"),
            Self::KeyMismatch(chain) => write!(f, "the key is not that of the certificate in {}", chain.display()),
            Self::NotUsable(error) => write!(f, "it cannot be used: {error}"),
            Self::NoAuthorities(error) => write!(
                f,
                "the system has no trusted authorities ({error}); install the package ca-certificates, set \
                 SSL_CERT_FILE, or name the authorities of the backends"
            ),
            Self::NoClientAuthority => {
                f.write_str("clients are asked for certificates, but no authority for them is named")
            }
            Self::NoPair => f.write_str("TLS needs a certificate and its key"),
        }
    }
}
