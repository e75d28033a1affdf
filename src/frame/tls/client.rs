//! Who a backend must prove to be, and who we are towards it.
//!
//! The library's own verifier looked enough. It takes wildcards in a backend's certificate, which SIP forbids (RFC 5922
//! §7.2), and does not read `sip:` URIs, which count before DNS names (§7.1). Chain, dates and purpose are still the
//! library's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use bytes::BytesMut;

use super::fault::{Fault, FileFault};
use super::files::{Loaded, PairFiles, load_authorities, load_pair};
use super::identity::Identity;
use super::{Tls, TlsError, VERSIONS, provider};

/// The name or address that a backend's certificate must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerName(ServerName<'static>);

impl PeerName {
    /// A host name or a literal address, without brackets; `None` where it is neither.
    pub fn new(host: &str) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        ServerName::try_from(host).ok().map(Self)
    }
}

/// What a client's configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct ClientFiles {
    /// The authorities that issue the backends' certificates. None: those that the system trusts.
    pub authorities: Vec<PathBuf>,
    /// The certificate and key to show to backends that ask for one.
    pub pair: Option<PairFiles>,
}

/// A client's configuration: immutable, shared by all shards, replaced whole. Connections keep the one that they began
/// with.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    certificate: Option<Loaded>,
}

impl ClientTls {
    /// Reads the files. Certificates must be valid at `now`.
    pub fn load(files: &ClientFiles, now: SystemTime) -> Result<Self, FileFault> {
        let provider = provider();
        let roots = match files.authorities.is_empty() {
            true => system_authorities()?,
            false => load_authorities(&files.authorities)?,
        };
        let verifier = Verifier { roots, algorithms: provider.signature_verification_algorithms };
        let pair = files.pair.as_ref().map(|pair| load_pair(pair, &provider, now)).transpose()?;
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(VERSIONS);
        let builder = builder.map_err(|error| Fault::NotUsable(error.to_string()).of("".as_ref()))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let (mut config, certificate) = match pair {
            None => (builder.with_no_client_auth(), None),
            Some(pair) => {
                (builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key))), Some(pair.loaded))
            }
        };
        config.resumption = Resumption::in_memory_sessions(REMEMBERED_BACKENDS);
        Ok(ClientTls { config: Arc::new(config), certificate })
    }

    /// A connection to a backend, which must prove to be `name`; writes the first message of the handshake.
    pub fn connect(&self, name: &PeerName, wire: &mut BytesMut) -> Result<Tls, TlsError> {
        let mut tls = Tls::client(UnbufferedClientConnection::new(Arc::clone(&self.config), name.0.clone())?);
        tls.feed(b"", |_| (), wire)?;
        Ok(tls)
    }

    /// The certificate that is shown to backends.
    pub fn certificate(&self) -> Option<&Loaded> {
        self.certificate.as_ref()
    }
}

/// How many backends' sessions are remembered for resumption.
const REMEMBERED_BACKENDS: usize = 1_024;

/// The authorities of the system. A list compiled in looked handier for containers; it would outlive the authorities
/// that it names, and an operator could take none away. `SSL_CERT_FILE` and `SSL_CERT_DIR` count.
fn system_authorities() -> Result<RootCertStore, FileFault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let what = if errors.is_empty() { "none was found".into() } else { errors.join(", ") };
        return Err(Fault::NoAuthorities(what).of("".as_ref()));
    }
    Ok(roots)
}

/// Verifies a backend: the chain by the library, the name by the rules for SIP domains.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, self.algorithms.all)?;
        let identity = Identity::of(end_entity).ok_or(CertificateError::BadEncoding)?;
        match is_named(&identity, server_name) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_named(identity: &Identity, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::DnsName(name) => identity.is_domain(name.as_ref()),
        ServerName::IpAddress(address) => identity.addresses().contains(&(*address).into()),
        _ => false,
    }
}
