//! Two TLS codecs that talk to each other, or one and the library's own client, through pieces of any size.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use viaduct::frame::tls::{ClientTls, PeerName, ServerTls, Tls, TlsError};

use crate::certificates::{Authority, Issued};

/// One end: its codec, what it has to send, what it has heard, how it is doing.
pub struct End {
    pub tls: Tls,
    pub wire: BytesMut,
    pub heard: Vec<u8>,
    pub times_established: u32,
    pub times_closed: u32,
    pub failure: Option<TlsError>,
}

impl End {
    pub fn new(tls: Tls, wire: BytesMut) -> Self {
        End { tls, wire, heard: Vec::new(), times_established: 0, times_closed: 0, failure: None }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let heard = &mut self.heard;
        match self.tls.feed(bytes, |plaintext| heard.extend_from_slice(plaintext), &mut self.wire) {
            Ok(progress) => {
                self.times_established += u32::from(progress.is_established);
                self.times_closed += u32::from(progress.has_peer_closed);
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    pub fn say(&mut self, plaintext: &[u8]) {
        self.tls.seal(plaintext, &mut self.wire).unwrap();
    }
}

/// A client and a server that have not yet spoken.
pub fn pair(client: &ClientTls, server: &ServerTls, name: &str) -> (End, End) {
    let mut wire = BytesMut::new();
    let tls = client.connect(&PeerName::new(name).unwrap(), &mut wire).unwrap();
    (End::new(tls, wire), End::new(server.accept().unwrap(), BytesMut::new()))
}

/// Carries bytes both ways until there are none, in pieces as `cuts` says, over and over.
pub fn settle_in_pieces(a: &mut End, b: &mut End, cuts: &[usize]) {
    let mut cuts = cuts.iter().copied().cycle();
    while !(a.wire.is_empty() && b.wire.is_empty()) {
        for _ in 0..2 {
            let (from, to) = (&mut *a, &mut *b);
            let length = cuts.next().unwrap_or(usize::MAX).clamp(1, from.wire.len().max(1));
            if !from.wire.is_empty() {
                let piece = from.wire.split_to(length);
                to.feed(&piece);
            }
            let (from, to) = (&mut *b, &mut *a);
            let length = cuts.next().unwrap_or(usize::MAX).clamp(1, from.wire.len().max(1));
            if !from.wire.is_empty() {
                let piece = from.wire.split_to(length);
                to.feed(&piece);
            }
        }
    }
}

pub fn settle(a: &mut End, b: &mut End) {
    settle_in_pieces(a, b, &[]);
}

/// The library's own client, of one version only.
pub struct Reference {
    pub connection: ClientConnection,
    pub heard: Vec<u8>,
    pub failure: Option<rustls::Error>,
}

impl Reference {
    pub fn config(authority: &Authority, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        builder.with_root_certificates(roots).with_no_client_auth()
    }

    pub fn config_with(
        authority: &Authority,
        version: &'static SupportedProtocolVersion,
        issued: &Issued,
    ) -> ClientConfig {
        let mut config = Self::config(authority, version);
        let chain = vec![CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let key = CertifiedKey::from_der(chain, key, config.crypto_provider()).unwrap();
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
        config
    }

    pub fn new(config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = name.to_owned().try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Reference { connection, heard: Vec::new(), failure: None }
    }

    pub fn say(&mut self, plaintext: &[u8]) {
        self.connection.writer().write_all(plaintext).unwrap();
    }

    /// Carries bytes both ways until there are none.
    pub fn settle(&mut self, end: &mut End) {
        while self.failure.is_none() && (self.connection.wants_write() || !end.wire.is_empty()) {
            let mut wire = Vec::new();
            while self.connection.wants_write() {
                self.connection.write_tls(&mut wire).unwrap();
            }
            end.feed(&wire);
            self.take_all(&mut end.wire);
        }
    }

    pub fn take_all(&mut self, wire: &mut BytesMut) {
        while !wire.is_empty() && self.failure.is_none() {
            self.take(wire);
        }
    }

    fn take(&mut self, wire: &mut BytesMut) {
        let read = self.connection.read_tls(&mut &wire[..]).unwrap();
        drop(wire.split_to(read));
        self.failure = self.connection.process_new_packets().err();
        let mut plaintext = [0; 1024];
        while let Ok(length @ 1..) = self.connection.reader().read(&mut plaintext) {
            self.heard.extend_from_slice(&plaintext[..length]);
        }
    }
}
