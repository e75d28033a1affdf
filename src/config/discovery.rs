//! What an operator can set of names of backends, and of backends in a file.

use std::path::PathBuf;

use clap::{Args, value_parser};

use super::backends::Backends;
use super::error::ConfigError;
use super::{Settings, file};

/// The settings of names of backends.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DiscoverySettings {
    /// A file with further backends, one a line as in VIADUCT_BACKENDS; what stands behind a # is a comment. It is read again
    /// when it changes
    #[arg(long, env = "VIADUCT_BACKENDS_FILE", global = true, value_name = "PATH")]
    pub backends_file: Option<PathBuf>,

    /// For how many seconds, up to a day, the backends of a name stay in use while the name servers say that it leads nowhere.
    /// The last backends of all stay for longer
    #[arg(long, env = "VIADUCT_DNS_HOLD_S", global = true, default_value_t = 60, value_parser = value_parser!(u32).range(0..=86_400), value_name = "SECONDS")]
    pub dns_hold_s: u32,

    /// How often the files of settings, backends and secrets are looked at for changes, in seconds; 0 is never, SIGHUP always
    #[arg(long, env = "VIADUCT_RELOAD_S", global = true, default_value_t = 2, value_parser = value_parser!(u32).range(0..=86_400), value_name = "SECONDS")]
    pub reload_s: u32,
}

/// The longest file of backends: some twenty thousand, of which a pool has 4096 at most.
const FILE_BYTES_MAX: usize = 1 << 20;

impl Settings {
    /// All backends: those of the list, then those of the file, which is read.
    pub fn all_backends(&self) -> Result<Backends, ConfigError> {
        let mut all = self.backends.clone();
        if let Some(path) = &self.discovery.backends_file {
            let wrong = |error: &dyn std::fmt::Display| {
                let right = "a readable file with one [name=]transport://host[:port][;weight=n] a line";
                ConfigError::new("VIADUCT_BACKENDS_FILE", path.display(), error, right)
            };
            let text = file::read_text(path, FILE_BYTES_MAX).map_err(|error| wrong(&error))?;
            let of_file = Backends::of_lines(&text).map_err(|error| wrong(&error))?;
            all.0.extend(of_file.0);
        }
        Ok(all)
    }
}
