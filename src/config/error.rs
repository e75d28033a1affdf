//! One clear error that names the variable, the value and what would be right.

use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Parser};

use super::CommandLine;

/// A setting that cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    variable: String,
    value: String,
    wrong: String,
    right: String,
}

/// The exit code for a wrong setting.
pub const EXIT_CODE: u8 = 2;

impl ConfigError {
    /// `variable` has `value`, of which `wrong` is said; `right` would do.
    pub fn new(variable: &str, value: impl fmt::Display, wrong: impl fmt::Display, right: &str) -> Self {
        ConfigError {
            variable: variable.to_owned(),
            value: value.to_string(),
            wrong: wrong.to_string(),
            right: right.to_owned(),
        }
    }
}

impl ConfigError {
    /// What is wrong with the value.
    pub fn wrong(&self) -> &str {
        &self.wrong
    }

    /// What would be right.
    pub fn right(&self) -> &str {
        &self.right
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { variable, value, wrong, right } = self;
        match value.is_empty() {
            true => write!(f, "{variable} is empty: {wrong}. Right would be: {right}."),
            false => write!(f, "{variable} is `{value}`: {wrong}. Right would be: {right}."),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why the command line was not taken.
#[derive(Debug)]
pub enum Refused {
    /// A setting is wrong.
    Setting(ConfigError),
    /// Help was asked for, or the command line is not understood; clap has the words.
    Usage(clap::Error),
}

/// Reads the command line and the environment.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<CommandLine, Refused> {
    CommandLine::try_parse_from(arguments).map_err(refused)
}

/// What clap says, in words of ours where a setting is wrong.
pub(super) fn refused(error: clap::Error) -> Refused {
    match setting_error(&error) {
        Some(setting) => Refused::Setting(setting),
        None => Refused::Usage(error),
    }
}

/// clap names the option; an operator has set a variable, so the error is told by the variable's name.
fn setting_error(error: &clap::Error) -> Option<ConfigError> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg)?;
    let (variable, help) = variable_of(&CommandLine::command(), &option)?;
    let wrong = std::error::Error::source(error).map(ToString::to_string).unwrap_or("it is none of the words".into());
    let right = text(ContextKind::ValidValue).map_or(help, |words| format!("one of {words}"));
    Some(ConfigError::new(&variable, text(ContextKind::InvalidValue)?, wrong, &right))
}

/// The variable, with its option, and the help of an option that clap names as `--shards <NUMBER>`.
fn variable_of(command: &Command, option: &str) -> Option<(String, String)> {
    let long = option.split_whitespace().next()?.strip_prefix("--")?;
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(long))?;
    let variable = argument.get_env()?.to_string_lossy();
    let help = argument.get_help()?.to_string();
    let (first, rest) = help.split_at_checked(1)?;
    Some((format!("{variable} (--{long})"), first.to_ascii_lowercase() + rest))
}
