//! What an operator can set of upgrades: where a process that takes over meets the one that runs.

use std::path::PathBuf;

use clap::Args;

/// The settings of upgrades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct UpgradeSettings {
    /// The path of a Unix socket by which a second Viaduct, started with the same path, takes over from the first: sockets and
    /// listeners go over with all that waits in them, and the first one ends once its connections have, or after
    /// VIADUCT_GRACE_S. Only processes of the same user and of root can. Without it, a second one is refused the address
    #[arg(long, env = "VIADUCT_UPGRADE_SOCKET", global = true, value_name = "PATH")]
    pub upgrade_socket: Option<PathBuf>,
}
