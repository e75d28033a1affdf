//! A client of the library's that notes which certificate it is shown, and goes.

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use viaduct::frame::tls::ServerTls;

use crate::certificates::Authority;
use crate::link::{End, Reference};

/// What the server shows to a client that asks for a name.
pub fn certificate_shown(server: &ServerTls, authority: &Authority, name: &str) -> CertificateDer<'static> {
    let mut config = Reference::config(authority, &TLS13);
    let seen = Arc::new(Witness::default());
    config.dangerous().set_certificate_verifier(Arc::clone(&seen) as _);
    let mut end = End::new(server.accept().unwrap(), BytesMut::new());
    Reference::new(&Arc::new(config), name).settle(&mut end);
    seen.0.lock().unwrap().take().unwrap()
}

#[derive(Debug, Default)]
struct Witness(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = Some(end_entity.clone().into_owned());
        Err(Error::General("seen".into()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("not looked at".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("not looked at".into()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
