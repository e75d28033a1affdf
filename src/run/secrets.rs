//! The secrets that are in force: as they are set, or drawn where none is.
//!
//! To draw another one at each reading looked simpler. Each dialog is signed by the one that was drawn at the start.

use std::fmt;

use crate::config::Settings;
use crate::config::error::ConfigError;
use crate::config::secrets::SecretSetting;
use crate::proxy::keys::Keys;

/// The secrets. They do not print themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    own: Vec<u8>,
    is_drawn: bool,
    table: Option<Vec<u8>>,
    accepted: Vec<Vec<u8>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Reads them from variables and files; where the fleet's is not set, draws one, if no other process is to know it.
    pub fn read(settings: &Settings) -> Result<Self, ConfigError> {
        Self::read_or(settings, || {
            if settings.upgrade.upgrade_socket.is_some() { Err(unknown()) } else { random_secret() }
        })
    }

    /// The same again. One that was drawn stays while none is set; where one was set that is not any more, nothing is read: calls
    /// in progress would be lost by a line that is missing.
    pub fn read_again(settings: &Settings, before: &Secrets) -> Result<Self, ConfigError> {
        let own = || if before.is_drawn { Ok(before.own.clone()) } else { Err(missing("VIADUCT_SECRET")) };
        let read = Self::read_or(settings, own)?;
        match before.table.is_some() && read.table.is_none() {
            true => Err(missing("VIADUCT_TABLE_SECRET")),
            false => Ok(read),
        }
    }

    /// What they sign and place by.
    pub fn keys(&self) -> Result<Keys, ConfigError> {
        let table = self.table.as_ref().unwrap_or(&self.own);
        Keys::rotating(&self.own, &self.accepted, table).map_err(|error| secret_error(&error))
    }

    fn read_or(settings: &Settings, draw: impl FnOnce() -> Result<Vec<u8>, ConfigError>) -> Result<Self, ConfigError> {
        let table = match settings.table_secret()? {
            SecretSetting::Set(secret) => Some(secret),
            SecretSetting::Missing => None,
        };
        let accepted = settings.secrets_accepted()?;
        let (own, is_drawn) = match settings.secret()? {
            SecretSetting::Set(secret) => (secret, false),
            SecretSetting::Missing => (draw()?, true),
        };
        Ok(Secrets { own, is_drawn, table, accepted })
    }
}

/// A secret or token that was set is not set any more.
pub(super) fn missing(variable: &'static str) -> ConfigError {
    ConfigError::new(variable, "unset", "it was set before", "one, or a restart to go on without")
}

fn random_secret() -> Result<Vec<u8>, ConfigError> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|error| secret_error(&error))?;
    tracing::warn!(
        "no secret is set (VIADUCT_SECRET or VIADUCT_SECRET_FILE), so a random one is used: calls in progress are \
         lost at a restart, and members of a fleet disagree about every call. Draw one by: openssl rand -hex 16"
    );
    Ok(secret)
}

fn unknown() -> ConfigError {
    let wrong = "VIADUCT_UPGRADE_SOCKET is set, and who takes over must know what was signed before";
    ConfigError::new("VIADUCT_SECRET", "unset", wrong, "16 random bytes or more, as from: openssl rand -hex 16")
}

fn secret_error(error: &dyn fmt::Display) -> ConfigError {
    ConfigError::new("VIADUCT_SECRET", "(not shown)", error, "16 random bytes or more, as from: openssl rand -hex 16")
}
