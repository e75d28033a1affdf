//! The secrets as they are set: in a variable, or in a file.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::proxy::keys::{MAX_OLDER, MIN_SECRET_BYTES, SecretTooShort};

use super::error::ConfigError;
use super::{Settings, file};

/// A secret as it was set. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(SecretText(text.to_owned()))
    }
}

/// The fleet's secret and where it came from.
#[derive(Clone)]
pub enum SecretSetting {
    /// Set by the operator.
    Set(Vec<u8>),
    /// None is set.
    Missing,
}

/// The longest file with a secret, or with some.
const FILE_BYTES_MAX: usize = 64 << 10;

impl Settings {
    /// The fleet's secret, from its variable or its file.
    pub fn secret(&self) -> Result<SecretSetting, ConfigError> {
        one_secret(["VIADUCT_SECRET", "VIADUCT_SECRET_FILE"], self.secret.as_ref(), self.secret_file.as_ref())
    }

    /// The secret that places calls, from its variable or its file.
    pub fn table_secret(&self) -> Result<SecretSetting, ConfigError> {
        let variables = ["VIADUCT_TABLE_SECRET", "VIADUCT_TABLE_SECRET_FILE"];
        one_secret(variables, self.table_secret.as_ref(), self.table_secret_file.as_ref())
    }

    /// The administrator's token, from its variable or its file.
    pub fn admin_token(&self) -> Result<SecretSetting, ConfigError> {
        let variables = ["VIADUCT_ADMIN_TOKEN", "VIADUCT_ADMIN_TOKEN_FILE"];
        one_secret(variables, self.admin.admin_token.as_ref(), self.admin.admin_token_file.as_ref())
    }

    /// The other secrets that are accepted, from their variable or their file.
    pub fn secrets_accepted(&self) -> Result<Vec<Vec<u8>>, ConfigError> {
        let variable = "VIADUCT_SECRETS_ACCEPTED";
        let text = match (&self.secrets_accepted, &self.secrets_accepted_file) {
            (Some(list), _) => list.0.replace(',', "\n"),
            (None, Some(path)) => file::read_text(path, FILE_BYTES_MAX).map_err(|error| {
                ConfigError::new("VIADUCT_SECRETS_ACCEPTED_FILE", path.display(), error, "a readable file")
            })?,
            (None, None) => String::new(),
        };
        let secrets: Vec<Vec<u8>> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.as_bytes().to_vec()).collect();
        if secrets.len() > MAX_OLDER || secrets.iter().any(|secret| secret.len() < MIN_SECRET_BYTES) {
            let wrong = "it has a secret that is too short, or too many";
            return Err(ConfigError::new(
                variable,
                "(not shown)",
                wrong,
                "at most 3 secrets of at least 16 bytes each",
            ));
        }
        Ok(secrets)
    }
}

/// A secret from its variable or its file, but not from both.
fn one_secret(
    [variable, file_variable]: [&str; 2],
    text: Option<&SecretText>,
    file: Option<&PathBuf>,
) -> Result<SecretSetting, ConfigError> {
    let (variable, secret) = match (text, file) {
        (Some(_), Some(path)) => {
            let wrong = format!("{variable} is set too");
            return Err(ConfigError::new(file_variable, path.display(), wrong, "one of the two, not both"));
        }
        (Some(secret), None) => (variable, secret.0.clone().into_bytes()),
        (None, Some(path)) => {
            let unreadable = |error| ConfigError::new(file_variable, path.display(), error, "a readable file");
            (file_variable, file::read(path, FILE_BYTES_MAX).map_err(unreadable)?.trim_ascii_end().to_vec())
        }
        (None, None) => return Ok(SecretSetting::Missing),
    };
    if secret.len() < MIN_SECRET_BYTES {
        let right = "16 random bytes or more, as from: openssl rand -hex 16";
        return Err(ConfigError::new(variable, "(not shown)", SecretTooShort, right));
    }
    Ok(SecretSetting::Set(secret))
}
