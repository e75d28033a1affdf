//! What all connections of a process have in common of TLS: replaced whole when files change, so that connections that are
//! open notice nothing.
//!
//! A context for each listener looked more exact. Certificates are chosen by the name that a client asks for, so one set
//! serves all; only whether clients must show one differs, and there are three answers to that.

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::BytesMut;

use super::{
    ClientCertificates, ClientFiles, ClientTls, FileFault, Loaded, PairFiles, PeerName, ServerFiles, ServerTls, Tls,
    TlsError,
};

/// The files of a context.
#[derive(Clone, Debug, Default)]
pub struct ContextFiles {
    /// Our certificates and keys towards those who connect; none where nobody may over TLS.
    pub pairs: Vec<PairFiles>,
    /// The authorities of clients' certificates.
    pub client_authorities: Vec<PathBuf>,
    /// What listeners want of clients, each answer once.
    pub clients: Vec<ClientCertificates>,
    /// What we trust, and show, where we connect; `None` where we do not.
    pub connect: Option<ClientFiles>,
}

/// Certificates, keys and authorities, ready for use.
#[derive(Clone, Debug, Default)]
pub struct TlsContext {
    /// By what is wanted of clients.
    servers: Vec<(ClientCertificates, ServerTls)>,
    client: Option<ClientTls>,
}

impl TlsContext {
    /// Reads the files, all or nothing. Certificates must be valid at `now`.
    pub fn load(files: &ContextFiles, now: SystemTime) -> Result<Self, FileFault> {
        let server = |clients: &ClientCertificates| {
            let (pairs, client_authorities) = (files.pairs.clone(), files.client_authorities.clone());
            let files = ServerFiles { pairs, clients: *clients, client_authorities };
            ServerTls::load(&files, now).map(|server| (*clients, server))
        };
        let servers = files.clients.iter().map(server).collect::<Result<_, _>>()?;
        let client = files.connect.as_ref().map(|files| ClientTls::load(files, now)).transpose()?;
        Ok(TlsContext { servers, client })
    }

    /// A connection that a client has opened, to a listener that wants this of clients; `None` where there is no
    /// certificate for it.
    pub fn accept(&self, clients: ClientCertificates) -> Option<Result<Tls, TlsError>> {
        let (_, server) = self.servers.iter().find(|(wanted, _)| *wanted == clients)?;
        Some(server.accept())
    }

    /// A connection to a peer that must prove to be `name`, with the first message of the handshake; `None` where we
    /// trust nobody.
    pub fn connect(&self, name: &PeerName, wire: &mut BytesMut) -> Option<Result<Tls, TlsError>> {
        self.client.as_ref().map(|client| client.connect(name, wire))
    }

    /// The certificates in use: those for clients in the order of the files, then the one that is shown where we connect.
    pub fn certificates(&self) -> impl Iterator<Item = &Loaded> {
        let of_server = self.servers.first().map_or(&[][..], |(_, server)| server.certificates());
        of_server.iter().chain(self.client.as_ref().and_then(ClientTls::certificate))
    }
}
