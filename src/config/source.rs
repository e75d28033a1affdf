//! What the settings are read from, as often as they are: the command line, a file of variables, the environment, in this order.
//!
//! To let the environment come before the file looked right, as it does before most files. What systemd or a shell reads from the same
//! file is in the environment as well, as it was at the start, and no change of the file would ever be heard.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::error::{ConfigError, Refused, refused};
use super::{CommandLine, Settings, file};

/// The command line, as it was given.
#[derive(Clone, Debug)]
pub struct Source {
    arguments: Vec<OsString>,
}

/// What was read.
#[derive(Debug)]
pub struct Reading {
    /// The settings, and what to do.
    pub line: CommandLine,
    /// The settings as they are written.
    pub variables: Variables,
}

/// Settings as they are written, by their variables. It does not print them: there are secrets among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

const ENV_FILE: &str = "VIADUCT_ENV_FILE";

/// The longest file of variables.
const FILE_BYTES_MAX: usize = 1 << 20;

impl Source {
    /// This command line.
    pub fn new(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Source { arguments: arguments.into_iter().collect() }
    }

    /// Reads all of it.
    pub fn read(&self) -> Result<Reading, Refused> {
        let (matches, line) = parse(&self.arguments)?;
        let Some(path) = &line.settings.env_file else {
            return Ok(Reading { variables: Variables::of(&matches), line });
        };
        let text = read_file(path).map_err(Refused::Setting)?;
        let given = options(&text, &matches).map_err(|wrong| Refused::Setting(wrong_file(path, &wrong)))?;
        let (matches, line) = parse(&[self.arguments.clone(), given].concat())?;
        Ok(Reading { variables: Variables::of(&matches), line })
    }
}

impl Variables {
    /// Which differ, and how each was written before.
    pub fn changes<'a>(
        &'a self,
        newer: &'a Variables,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>, Option<&'a str>)> {
        let names = self.0.keys().chain(newer.0.keys().filter(|name| !self.0.contains_key(*name)));
        let both = names.map(|name| (name.as_str(), self.get(name), newer.get(name)));
        both.filter(|(_, before, after)| before != after)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn of(matches: &ArgMatches) -> Self {
        let command = CommandLine::command();
        let value = |argument: &clap::Arg| {
            let variable = argument.get_env()?.to_str()?.to_owned();
            let raw: Vec<_> = matches.get_raw(argument.get_id().as_str())?.map(|text| text.to_string_lossy()).collect();
            Some((variable, raw.join(",")))
        };
        Variables(command.get_arguments().filter_map(value).collect())
    }
}

impl Settings {
    /// The files that settings are read from, besides those of certificates.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = [
            &self.env_file,
            &self.admin.admin_token_file,
            &self.discovery.backends_file,
            &self.hep.hep_key_file,
            &self.secret_file,
            &self.secrets_accepted_file,
            &self.table_secret_file,
        ];
        files.into_iter().flatten().cloned().collect()
    }
}

fn parse(arguments: &[OsString]) -> Result<(ArgMatches, CommandLine), Refused> {
    let matches = CommandLine::command().try_get_matches_from(arguments).map_err(refused)?;
    let line = CommandLine::from_arg_matches(&matches).map_err(refused)?;
    Ok((matches, line))
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    file::read_text(path, FILE_BYTES_MAX).map_err(|error| wrong_file(path, &error))
}

fn wrong_file(path: &Path, wrong: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::new(
        ENV_FILE,
        path.display(),
        wrong,
        "a readable file with one VARIABLE=value a line, and # before comments",
    )
}

/// The file's variables as options, but for those that the command line has. Variables of other programs may stand in it.
fn options(text: &str, matches: &ArgMatches) -> Result<Vec<OsString>, String> {
    let command = CommandLine::command();
    let mut options = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (variable, value) = line.split_once('=').ok_or_else(|| format!("line {number} is not VARIABLE=value"))?;
        // A shell may read the same file.
        let variable = variable.trim();
        let variable = variable.strip_prefix("export ").map_or(variable, str::trim_start);
        if !variable.starts_with("VIADUCT_") {
            continue;
        }
        let mut known =
            command.get_arguments().filter(|argument| argument.get_env().is_some_and(|env| env == variable));
        let Some(argument) = known.next().filter(|_| variable != ENV_FILE) else {
            return Err(format!("line {number}: there is no setting {variable} here"));
        };
        let is_given = matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
        if let Some(long) = argument.get_long().filter(|_| !is_given) {
            options.push((variable.to_owned(), format!("--{long}={}", unquoted(value.trim())).into()));
        }
    }
    // The last line of a variable holds, as in a shell.
    let mut last: BTreeMap<String, OsString> = BTreeMap::new();
    last.extend(options);
    Ok(last.into_values().collect())
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads a command line and a file.
    fn read(words: &str, file: &str) -> Result<Reading, String> {
        let name = format!("viaduct-source-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, file).unwrap();
        let words = format!("viaduct {words} --env-file {}", path.display());
        let reading = Source::new(words.split_whitespace().map(Into::into)).read();
        fs::remove_file(&path).unwrap();
        reading.map_err(|refused| match refused {
            Refused::Setting(error) => error.to_string(),
            Refused::Usage(usage) => usage.to_string(),
        })
    }

    #[test]
    fn the_command_line_comes_before_the_file_and_the_file_before_the_default() {
        let file = "# the fleet\nVIADUCT_GRACE_S = 7\nRUST_BACKTRACE=1\nVIADUCT_SHARDS='3'\n\nexport VIADUCT_LOST_PIN=\"481\"\nVIADUCT_GRACE_S=9";
        let Reading { line, .. } = read("check --shards 2", file).unwrap();
        assert_eq!((line.settings.shards, line.settings.drain.grace_s), (Some(2), 9));
        assert_eq!(line.settings.lost_pin, crate::proxy::snapshot::OnLostPin::Refuse);
        assert!(line.command.is_some());
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_line_or_its_variable() {
        for (file, told) in [
            ("VIADUCT_SHARD=3", "line 1: there is no setting VIADUCT_SHARD here"),
            ("\nnothing", "line 2 is not VARIABLE=value"),
            ("VIADUCT_SHARDS=0", "VIADUCT_SHARDS (--shards) is `0`"),
            ("VIADUCT_ENV_FILE=/etc/other", "there is no setting VIADUCT_ENV_FILE here"),
        ] {
            let error = read("", file).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_differs_between_two_readings_is_told_by_its_variable() {
        let variables = |file| read("", file).unwrap().variables;
        let (before, after) =
            (variables("VIADUCT_PATH=on\nVIADUCT_SHARDS=2"), variables("VIADUCT_PATH=off\nVIADUCT_SHARDS=2"));
        let changes: Vec<_> = before.changes(&after).collect();
        assert_eq!(changes, [("VIADUCT_PATH", Some("on"), Some("off"))]);
        assert!(!format!("{before:?}").contains("on\""));
    }
}
