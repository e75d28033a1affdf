//! What is logged, and how.

use clap::ValueEnum;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Refuses words that the log's filter would take for the name of a module, and so log nothing.
pub fn filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let level_of = |item: &str| item.rsplit('=').next().map(str::trim).unwrap_or_default().to_owned();
    match text.split(',').find(|item| !is_level(&level_of(item))) {
        None => Ok(text.to_owned()),
        Some(item) => Err(format!("`{item}` has no level of {}", LEVELS.join(", "))),
    }
}
