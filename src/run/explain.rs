//! `viaduct explain`: reads one message and tells what a running Viaduct with these settings would do with it.

use std::io::Read;

use crate::config::error::ConfigError;
use crate::config::{ExplainSettings, Settings};
use crate::explain::{self, Asked, MAX_MESSAGE_BYTES};
use crate::proxy::names::Names;

use super::{discovery, plan};

/// Reads a message and tells what would be done with it. Where the settings or what is asked cannot be used, the error says
/// what would be right.
pub fn explain(settings: &Settings, asked: &ExplainSettings, input: impl Read) -> Result<String, ConfigError> {
    let mut message = Vec::new();
    let read = input.take(MAX_MESSAGE_BYTES as u64 + 1).read_to_end(&mut message);
    read.map_err(|error| ConfigError::new("standard input", "unreadable", error, RIGHT))?;
    let snapshot = plan::snapshot_as_set(settings, discovery::look_up(settings)?)?;
    let asked = Asked { source: asked.source, listener: asked.listener, local: asked.local };
    let told = explain::explain(&snapshot, &Names::default(), &asked, &message);
    told.map(|explanation| explanation.to_string()).map_err(|refused| match refused.what {
        "message" => ConfigError::new("standard input", refused.value, refused.wrong, RIGHT),
        option => ConfigError::new(&format!("--{option}"), refused.value, refused.wrong, &refused.right),
    })
}

const RIGHT: &str = "one SIP message of at most 65536 bytes, as: < message.txt";
