//! What an operator can set of TLS, WebSocket and the PROXY protocol.
//!
//! A certificate for each listener, written behind its address, looked more direct. A client asks for a certificate by name,
//! whichever listener it comes to, and a list of files inside a list of listeners cannot be read at three in the morning.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, value_parser};

use crate::frame::tls::PairFiles;

use super::value::{Networks, items};

/// The settings of layers.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LayerSettings {
    /// The certificates of tls and wss listeners: a comma list of PEM files, each with its whole chain, and with ;key=path
    /// behind it where the key is not in the same file. One is chosen by the name that a client asks for, the first where no
    /// other fits. They are read again on SIGHUP and when they change; connections that are open keep what they have
    #[arg(
        long,
        env = "VIADUCT_TLS_CERTIFICATES",
        global = true,
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub tls_certificates: Pairs,

    /// The authorities that issue clients' certificates: a comma list of PEM files. For listeners with
    /// ;client-certificates=optional or required
    #[arg(
        long,
        env = "VIADUCT_TLS_CLIENT_CA",
        global = true,
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub tls_client_ca: Files,

    /// The authorities that issue the certificates of those that Viaduct connects to over TLS: a comma list of PEM files.
    /// Those that the system trusts if it is empty. A backend must have the name or address by which VIADUCT_BACKENDS names
    /// it, and no wildcard (RFC 5922)
    #[arg(
        long,
        env = "VIADUCT_TLS_CONNECT_CA",
        global = true,
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub tls_connect_ca: Files,

    /// The certificate that Viaduct shows where it connects and is asked for one, as in VIADUCT_TLS_CERTIFICATES. None if it is
    /// empty
    #[arg(
        long,
        env = "VIADUCT_TLS_CONNECT_CERTIFICATE",
        global = true,
        default_value = "",
        hide_default_value = true,
        value_name = "FILE"
    )]
    pub tls_connect_certificate: Pairs,

    /// How often the files of certificates are looked at for changes, in seconds, up to 86400; 0 is never
    #[arg(long, env = "VIADUCT_TLS_RELOAD_S", global = true, default_value_t = 10, value_parser = value_parser!(u32).range(0..=86_400), value_name = "SECONDS")]
    pub tls_reload_s: u32,

    /// For how many milliseconds, from 100 to 60000, a connection may be in its handshakes: those of TLS and WebSocket, and the
    /// head of the PROXY protocol
    #[arg(long, env = "VIADUCT_HANDSHAKE_TIMEOUT_MS", global = true, default_value_t = 5_000, value_parser = value_parser!(u32).range(100..=60_000), value_name = "MILLISECONDS")]
    pub handshake_timeout_ms: u32,

    /// How many connections may be in their handshakes at a time, from 1 to 65536, shared equally among the shards and rounded
    /// up, and those of one source network at most a quarter of them, or 16; further ones are reset. Each costs a signature, and memory
    /// of some 30 KiB
    #[arg(long, env = "VIADUCT_HANDSHAKES_MAX", global = true, default_value_t = 1_024, value_parser = value_parser!(u32).range(1..=65_536), value_name = "NUMBER")]
    pub handshakes_max: u32,

    /// The web pages whose scripts may connect over ws and wss: a comma list of origins, each a scheme and a host. All if it is
    /// empty. A client that is no browser need not say what page it is of
    #[arg(
        long,
        env = "VIADUCT_WEBSOCKET_ORIGINS",
        global = true,
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub websocket_origins: Origins,

    /// The load balancers in front of Viaduct that tell for whom they speak, by the PROXY protocol, version 1 or 2: a comma
    /// list of networks. On listeners with ;proxy-protocol what comes from them must begin with its head; others speak for
    /// themselves
    #[arg(
        long,
        env = "VIADUCT_PROXY_PROTOCOL_FROM",
        global = true,
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS"
    )]
    pub proxy_protocol_from: Networks,
}

/// A comma list of certificates with their keys; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<PairFiles>);

/// A comma list of files; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub Vec<PathBuf>);

/// A comma list of origins; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

impl FromStr for Pairs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |item: &str| match item.split_once(';') {
            None => Ok(PairFiles { chain: item.into(), key: item.into() }),
            Some((chain, rest)) => match rest.strip_prefix("key=").filter(|key| !key.is_empty() && !chain.is_empty()) {
                Some(key) => Ok(PairFiles { chain: chain.into(), key: key.into() }),
                None => Err(format!("`{item}` is not a file, or a file;key=file")),
            },
        };
        items(text).map(parse).collect::<Result<_, _>>().map(Pairs)
    }
}

impl FromStr for Files {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Files(items(text).map(PathBuf::from).collect()))
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |item: &str| {
            let is_origin =
                ["http://", "https://"].iter().any(|scheme| item.len() > scheme.len() && item.starts_with(scheme))
                    && item.matches('/').count() <= 3
                    && item.trim_end_matches('/').matches('/').count() == 2;
            let wrong = || format!("`{item}` is not an origin, as https://phone.example.com: no path belongs to it");
            is_origin.then(|| item.to_owned()).ok_or_else(wrong)
        };
        items(text).map(parse).collect::<Result<_, _>>().map(Origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_in_the_file_of_its_chain_unless_another_is_named() {
        let Pairs(pairs) = "/a.pem, /b.pem;key=/b.key".parse().unwrap();
        let files: Vec<_> =
            pairs.iter().map(|pair| (pair.chain.to_str().unwrap(), pair.key.to_str().unwrap())).collect();
        assert_eq!(files, [("/a.pem", "/a.pem"), ("/b.pem", "/b.key")]);
        for text in ["/a.pem;b", "/a.pem;key=", ";key=/b"] {
            assert!(text.parse::<Pairs>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_has_a_scheme_and_no_path() {
        assert!("https://a.example, http://localhost:8080/".parse::<Origins>().is_ok());
        for text in ["a.example", "https://", "https://a.example/phone", "wss://a.example"] {
            assert!(text.parse::<Origins>().is_err(), "{text}");
        }
    }
}
