//! Settings become certificates, keys and authorities; what is wrong with a file is told with its variable.

use std::path::Path;

use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::control::certificates::Files;
use crate::frame::tls::{ClientCertificates, ClientFiles, ContextFiles, Fault, FileFault, TlsContext};
use crate::sip::Transport;

/// Reads the files that the settings name. They are also given back, as they are to be read again.
pub fn load(settings: &Settings) -> Result<(TlsContext, Files), ConfigError> {
    let files = files(settings)?;
    let all = Files::now(files.clone());
    match all.load() {
        Ok(context) => Ok((context, all)),
        Err(FileFault { fault: Fault::NoAuthorities(_), .. }) if !connects(settings) => {
            // In a container without the system's authorities Viaduct can still be connected to.
            tracing::info!(
                "nobody is trusted to be connected to over TLS: VIADUCT_TLS_CONNECT_CA is empty, and the system has none"
            );
            let others = Files::now(ContextFiles { connect: None, ..files });
            let context = others.load().map_err(|fault| wrong(settings, fault))?;
            Ok((context, others))
        }
        Err(fault) => Err(wrong(settings, fault)),
    }
}

/// Whether a backend is reached over TLS.
fn connects(settings: &Settings) -> bool {
    // A file that cannot be read is told of elsewhere; a domain may choose TLS.
    let backends = settings.all_backends().unwrap_or_default();
    backends.0.iter().any(|backend| backend.transport.is_none_or(|transport| transport == Transport::Tls))
}

fn files(settings: &Settings) -> Result<ContextFiles, ConfigError> {
    let layers = &settings.layers;
    let secure = || settings.listen.0.iter().filter(|listen| listen.transport.is_secure());
    let Some(first) = secure().next() else { return Ok(ContextFiles::default()) };
    if layers.tls_certificates.0.is_empty() {
        let wrong = format!("{}://{} has no certificate to show", first.transport.label(), first.address);
        let right = "a PEM file with chain and key, as in VIADUCT_TLS_CERTIFICATES=/etc/viaduct/sip.pem";
        return Err(ConfigError::new("VIADUCT_TLS_CERTIFICATES", "", wrong, right));
    }
    let mut clients: Vec<ClientCertificates> = Vec::new();
    for listen in secure() {
        if !clients.contains(&listen.clients) {
            clients.push(listen.clients);
        }
    }
    if layers.tls_client_ca.0.is_empty() && clients.iter().any(|clients| *clients != ClientCertificates::Ignored) {
        let wrong = "a listener asks clients for certificates, and nobody is named who issues them";
        return Err(ConfigError::new("VIADUCT_TLS_CLIENT_CA", "", wrong, "a PEM file with their authorities"));
    }
    let own = &layers.tls_connect_certificate.0;
    if own.len() > 1 {
        let wrong = "there is more than one certificate to show";
        return Err(ConfigError::new("VIADUCT_TLS_CONNECT_CERTIFICATE", own.len(), wrong, "one file"));
    }
    let connect = secure().any(|listen| listen.transport == Transport::Tls);
    let connect =
        connect.then(|| ClientFiles { authorities: layers.tls_connect_ca.0.clone(), pair: own.first().cloned() });
    let client_authorities = layers.tls_client_ca.0.clone();
    Ok(ContextFiles { pairs: layers.tls_certificates.0.clone(), client_authorities, clients, connect })
}

fn wrong(settings: &Settings, fault: FileFault) -> ConfigError {
    let layers = &settings.layers;
    let is = |path: &Path| path == fault.file;
    let is_connects =
        matches!(fault.fault, Fault::NoAuthorities(_)) || layers.tls_connect_ca.0.iter().any(|path| is(path));
    let variable = match () {
        () if layers.tls_certificates.0.iter().any(|pair| is(&pair.chain) || is(&pair.key)) => {
            "VIADUCT_TLS_CERTIFICATES"
        }
        () if layers.tls_client_ca.0.iter().any(|path| is(path)) => "VIADUCT_TLS_CLIENT_CA",
        () if is_connects => "VIADUCT_TLS_CONNECT_CA",
        () => "VIADUCT_TLS_CONNECT_CERTIFICATE",
    };
    ConfigError::new(variable, fault.file.display(), &fault.fault, "a file of PEM that this process may read")
}
