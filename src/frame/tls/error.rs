//! Why a TLS connection failed, in few words that counters can have as labels.
//!
//! The library's own error looked better as the interface. It has well over a hundred variants, changes with the
//! library, and does not know plain SIP on a TLS port, which is the fault that operators meet most.

use std::fmt;

use rustls::{CertificateError, Error, PeerIncompatible};

/// A TLS connection failed: it is over, and what was written for the peer meanwhile (an alert) is all that is to be
/// sent.
#[derive(Clone, Debug)]
pub struct TlsError {
    reason: Reason,
    cause: Option<Box<Error>>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The peer does not speak TLS at all: plain SIP or HTTP on a port for TLS.
    NotTls,
    /// No version in common: the peer knows neither TLS 1.2 nor 1.3.
    NoCommonVersion,
    /// No cipher suite, group or signature scheme in common.
    NoCommonCipher,
    /// A client certificate is required and none came.
    ClientCertificateMissing,
    /// The peer's certificate was issued by nobody that is trusted.
    UnknownCa,
    /// The peer's certificate is expired or not valid yet.
    CertificateExpired,
    /// The peer's certificate does not name the host that was meant (RFC 5922 §7.2).
    WrongName,
    /// The peer's certificate is wrong in another way.
    BadCertificate,
    /// The peer gave up and said so by an alert: it does not like our certificate, for instance.
    AlertFromPeer,
    /// The peer broke the protocol, or a record was changed on its way.
    Malformed,
    /// The peer sent a handshake message or record longer than the limit.
    TooLarge,
    /// Something was to be sent before the handshake was complete, or after the close.
    NotOpen,
    /// None of these: our own configuration, clock or random numbers.
    Other,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::NotTls,
        Self::NoCommonVersion,
        Self::NoCommonCipher,
        Self::ClientCertificateMissing,
        Self::UnknownCa,
        Self::CertificateExpired,
        Self::WrongName,
        Self::BadCertificate,
        Self::AlertFromPeer,
        Self::Malformed,
        Self::TooLarge,
        Self::NotOpen,
        Self::Other,
    ];

    /// The label of a counter. It does not change.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::NoCommonVersion => "no_common_version",
            Self::NoCommonCipher => "no_common_cipher",
            Self::ClientCertificateMissing => "client_certificate_missing",
            Self::UnknownCa => "unknown_ca",
            Self::CertificateExpired => "certificate_expired",
            Self::WrongName => "wrong_name",
            Self::BadCertificate => "bad_certificate",
            Self::AlertFromPeer => "alert_from_peer",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NotOpen => "not_open",
            Self::Other => "other",
        }
    }
}

impl TlsError {
    /// The kind of failure.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<Reason> for TlsError {
    fn from(reason: Reason) -> Self {
        TlsError { reason, cause: None }
    }
}

impl From<Error> for TlsError {
    fn from(cause: Error) -> Self {
        TlsError { reason: reason_of(&cause), cause: Some(Box::new(cause)) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.reason.label()),
            None => f.write_str(self.reason.label()),
        }
    }
}

impl std::error::Error for TlsError {}

fn reason_of(error: &Error) -> Reason {
    match error {
        Error::PeerIncompatible(what) => incompatible(what),
        Error::NoCertificatesPresented => Reason::ClientCertificateMissing,
        Error::InvalidCertificate(what) => certificate(what),
        Error::AlertReceived(_) => Reason::AlertFromPeer,
        Error::PeerSentOversizedRecord => Reason::TooLarge,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::DecryptError => Reason::Malformed,
        _ => Reason::Other,
    }
}

fn incompatible(what: &PeerIncompatible) -> Reason {
    match what {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic => Reason::NoCommonVersion,
        _ => Reason::NoCommonCipher,
    }
}

fn certificate(what: &CertificateError) -> Reason {
    match what {
        CertificateError::UnknownIssuer => Reason::UnknownCa,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Reason::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Reason::WrongName,
        _ => Reason::BadCertificate,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_reason_has_its_own_label_and_its_place_in_the_list() {
        let labels: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }

    #[test]
    fn the_text_begins_with_the_label_and_names_the_cause() {
        let error = TlsError::from(Error::from(PeerIncompatible::NoCipherSuitesInCommon));
        assert_eq!(error.reason(), Reason::NoCommonCipher);
        assert!(error.to_string().starts_with("no_common_cipher: "), "{error}");
        assert_eq!(TlsError::from(Reason::NotTls).to_string(), "not_tls");
    }
}
