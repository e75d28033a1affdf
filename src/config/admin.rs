//! What an operator can set of the admin listener: where it is, and who may change anything there.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::secrets::SecretText;

/// The settings of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AdminSettings {
    /// Where operators and Prometheus ask: the status page, the API, /metrics, /livez, /readyz
    #[arg(
        long,
        env = "VIADUCT_ADMIN_LISTEN",
        global = true,
        default_value = "127.0.0.1:9060",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: SocketAddr,

    /// The token that changes by the API need, at least 16 bytes. Without one, programs of this machine may change the pool,
    /// and nobody else
    #[arg(long, env = "VIADUCT_ADMIN_TOKEN", global = true, hide_env_values = true, value_name = "TEXT")]
    pub admin_token: Option<SecretText>,

    /// A file that holds the token; white space at its end is not part of it
    #[arg(long, env = "VIADUCT_ADMIN_TOKEN_FILE", global = true, value_name = "PATH")]
    pub admin_token_file: Option<PathBuf>,
}
