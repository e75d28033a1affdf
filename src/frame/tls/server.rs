//! Who we are towards clients: certificates chosen by the name that a client asks for, and whether it must show one of
//! its own.
//!
//! A configuration per listener and shard looked simpler. Tickets of one would be strange to the others, and a client
//! that comes back, to whichever shard, would pay the whole handshake.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use ahash::AHashMap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};

use super::fault::{Fault, FileFault};
use super::files::{Loaded, Pair, PairFiles, load_authorities, load_pair};
use super::{Tls, TlsError, VERSIONS, provider};

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Ignored,
    /// They are asked and may have none. One that they show must be good.
    Optional,
    /// They must have one.
    Required,
}

/// What a server's configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct ServerFiles {
    /// Certificates and keys. The first is for clients that ask for no name, or for one that no certificate has.
    /// Several may have the same name, with keys of different kinds: the first that the client can verify is taken.
    pub pairs: Vec<PairFiles>,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
    /// The authorities that issue them.
    pub client_authorities: Vec<PathBuf>,
}

/// A server's configuration: immutable, shared by all shards, replaced whole. Connections keep the one that they began
/// with.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificates: Arc<[Loaded]>,
}

impl ServerTls {
    /// Reads the files. Certificates must be valid at `now`.
    ///
    /// Tickets for resumption are of this configuration alone: after a reload clients shake hands in full once, and so
    /// are held against the authorities that count then. ALPN is not negotiated: a client that offers `sip` or
    /// `http/1.1` gets no answer to it and goes on (RFC 7301 §3.2); a list of ours would turn away whoever offers only
    /// something else.
    pub fn load(files: &ServerFiles, now: SystemTime) -> Result<Self, FileFault> {
        let provider = provider();
        let load = |files: &PairFiles| load_pair(files, &provider, now);
        let pairs = files.pairs.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(VERSIONS);
        let builder = builder.map_err(|error| Fault::NotUsable(error.to_string()).of("".as_ref()))?;
        let (choice, certificates) = Choice::of(pairs)?;
        let builder = match files.clients {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            clients => with_clients(builder, provider, files, clients)?,
        };
        let mut config = builder.with_cert_resolver(Arc::new(choice));
        config.ticketer = Ticketer::new().map_err(|error| Fault::NotUsable(error.to_string()).of("".as_ref()))?;
        config.send_tls13_tickets = TICKETS;
        Ok(ServerTls { config: Arc::new(config), certificates: certificates.into() })
    }

    /// A connection that a client has opened.
    pub fn accept(&self) -> Result<Tls, TlsError> {
        Ok(Tls::server(UnbufferedServerConnection::new(Arc::clone(&self.config))?))
    }

    /// The certificates in use, in the order of the files.
    pub fn certificates(&self) -> &[Loaded] {
        &self.certificates
    }
}

/// A ticket is for one resumption, and each resumption brings another.
const TICKETS: usize = 1;

type AfterClients = ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>;

fn with_clients(
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    provider: Arc<CryptoProvider>,
    files: &ServerFiles,
    clients: ClientCertificates,
) -> Result<AfterClients, FileFault> {
    let Some(first) = files.client_authorities.first() else {
        return Err(Fault::NoClientAuthority.of("".as_ref()));
    };
    let roots = Arc::new(load_authorities(&files.client_authorities)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let verifier = match clients {
        ClientCertificates::Required => verifier,
        _ => verifier.allow_unauthenticated(),
    };
    let verifier = verifier.build().map_err(|error| Fault::NotUsable(error.to_string()).of(first))?;
    Ok(builder.with_client_cert_verifier(verifier))
}

/// Chooses the certificate by the name that the client asks for.
#[derive(Debug)]
struct Choice {
    default: Arc<CertifiedKey>,
    by_name: AHashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl Choice {
    fn of(pairs: Vec<Pair>) -> Result<(Self, Vec<Loaded>), FileFault> {
        let mut by_name: AHashMap<Box<str>, Vec<Arc<CertifiedKey>>> = AHashMap::new();
        let mut default = None;
        let mut certificates = Vec::new();
        for Pair { key, loaded } in pairs {
            let key = Arc::new(key);
            for name in &loaded.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(&key));
            }
            default.get_or_insert(key);
            certificates.push(loaded);
        }
        let default = default.ok_or_else(|| Fault::NoPair.of("".as_ref()))?;
        Ok((Choice { default, by_name }, certificates))
    }

    /// The certificates for a name: those that have it, else those that have a wildcard in place of its first label.
    fn named(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let exact = self.by_name.get(name);
        let wildcard = || self.by_name.get(format!("*.{}", name.split_once('.')?.1).as_str());
        exact.or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
        let named = name.as_deref().map_or(&[][..], |name| self.named(name));
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        Some(Arc::clone(named.iter().find(usable).unwrap_or(&self.default)))
    }
}
