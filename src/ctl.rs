//! `viaduct ctl`: asks a running Viaduct, and has it changed, from the command line.
//!
//! | module | charge |
//! | --- | --- |
//! | `client` | one request to the admin listener |
//! | `show` | answers as text for people |
//! | `table` | rows and columns |
//!
//! A socket in the file system with a protocol of its own looked simpler, as other programs have it. There would be two ways to
//! change a pool, and two things to guard and describe.

mod client;
mod show;
mod table;

use std::fmt;
use std::io::Read;

use hyper::Method;
use serde_json::{Value, json};

use crate::config::ctl::{CtlOrder, CtlSettings, PreviewOrder};
use crate::config::error::{self, ConfigError};
use crate::config::secrets::SecretSetting;
use crate::config::{ExplainSettings, Settings};
use crate::control::admin::percent_encoded;

use client::{Client, Question};

/// Why nothing came of it.
#[derive(Debug)]
pub enum CtlError {
    /// A setting cannot be used, or standard input not be read.
    Setting(ConfigError),
    /// Viaduct refuses.
    Refused {
        /// By this status.
        status: u16,
        /// With these words.
        text: String,
    },
    /// Viaduct does not answer.
    Unreachable(String),
}

impl CtlError {
    /// 1 where Viaduct refuses, 2 where a setting is wrong, 3 where Viaduct does not answer.
    pub fn exit_code(&self) -> u8 {
        match self {
            CtlError::Refused { .. } => 1,
            CtlError::Setting(_) => error::EXIT_CODE,
            CtlError::Unreachable(_) => 3,
        }
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CtlError::Setting(error) => error.fmt(f),
            CtlError::Refused { status, text } => f.write_str(&show::problem(*status, text)),
            CtlError::Unreachable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for CtlError {}

impl From<ConfigError> for CtlError {
    fn from(error: ConfigError) -> Self {
        CtlError::Setting(error)
    }
}

/// The longest message that is read for an explanation: the listener refuses longer ones.
const MESSAGE_MAX_BYTES: u64 = 128 << 10;

/// Does what is asked, and gives what is to be printed.
pub fn ctl(settings: &Settings, asked: &CtlSettings, input: impl Read) -> Result<String, CtlError> {
    let token = match settings.admin_token()? {
        SecretSetting::Set(token) => Some(token),
        SecretSetting::Missing => None,
    };
    let client = Client::new(&asked.admin_url, token)?;
    let question = question(asked, input)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CtlError::Unreachable(error.to_string()))?;
    let answer = runtime.block_on(client.ask(question))?;
    if asked.json {
        return Ok(answer);
    }
    Ok(told(&asked.order, answer))
}

fn question(asked: &CtlSettings, input: impl Read) -> Result<Question, ConfigError> {
    let accept = "application/json";
    let get = |path: &str| Question { method: Method::GET, path: path.to_owned(), accept, body: None };
    let json = |method, path: &str, body: Value| {
        let body = Some(("application/json", body.to_string().into_bytes()));
        Question { method, path: path.to_owned(), accept, body }
    };
    let of = |name: &str| format!("/api/backends/{}", percent_encoded(name));
    let say = |name: &str, word: &str| Question {
        method: Method::POST,
        path: format!("{}/{word}", of(name)),
        accept,
        body: None,
    };
    Ok(match &asked.order {
        CtlOrder::Pool => get("/api/pool"),
        CtlOrder::Status => get("/api/status"),
        CtlOrder::Drain(of) => say(&of.name, "drain"),
        CtlOrder::Undrain(of) => say(&of.name, "undrain"),
        CtlOrder::Disable(of) => say(&of.name, "disable"),
        CtlOrder::Enable(of) => say(&of.name, "enable"),
        CtlOrder::Weight(to) => {
            json(Method::PUT, &format!("{}/weight", of(&to.name)), json!({ "weight": to.weight.0 }))
        }
        CtlOrder::Add(entry) => json(Method::POST, "/api/backends", json!({ "backend": entry.backend })),
        CtlOrder::Remove(named) => Question { method: Method::DELETE, path: of(&named.name), accept, body: None },
        CtlOrder::DrainViaduct => Question { method: Method::POST, path: "/api/drain".to_owned(), accept, body: None },
        CtlOrder::Preview { change } => json(Method::POST, "/api/preview", proposal(change)),
        CtlOrder::Explain(message) => explain(message, asked.json, input)?,
        CtlOrder::Reload => Question { method: Method::POST, path: "/api/reload".to_owned(), accept, body: None },
        CtlOrder::Log { level: None } => get("/api/log"),
        CtlOrder::Log { level: Some(level) } => json(Method::PUT, "/api/log", json!({ "level": level })),
    })
}

fn proposal(change: &PreviewOrder) -> Value {
    let say = |action: &str, name: &str| json!({ "action": action, "name": name });
    let change = match change {
        PreviewOrder::List { list } => return json!({ "backends": list }),
        PreviewOrder::Drain(of) => say("drain", &of.name),
        PreviewOrder::Undrain(of) => say("undrain", &of.name),
        PreviewOrder::Disable(of) => say("disable", &of.name),
        PreviewOrder::Enable(of) => say("enable", &of.name),
        PreviewOrder::Remove(of) => say("remove", &of.name),
        PreviewOrder::Weight(to) => json!({ "action": "weight", "name": to.name, "weight": to.weight.0 }),
        PreviewOrder::Add(entry) => json!({ "action": "add", "backend": entry.backend }),
    };
    json!({ "changes": [change] })
}

fn explain(asked: &ExplainSettings, is_json: bool, input: impl Read) -> Result<Question, ConfigError> {
    let mut message = Vec::new();
    let read = input.take(MESSAGE_MAX_BYTES).read_to_end(&mut message);
    read.map_err(|error| ConfigError::new("standard input", "unreadable", error, "one SIP message"))?;
    let mut path = format!("/api/explain?source={}", percent_encoded(&asked.source.to_string()));
    if let Some(listener) = asked.listener {
        path += &format!("&listener={listener}");
    }
    if let Some(local) = asked.local {
        path += &format!("&local={}", percent_encoded(&local.to_string()));
    }
    let accept = if is_json { "application/json" } else { "text/plain" };
    Ok(Question { method: Method::POST, path, accept, body: Some(("message/sip", message)) })
}

/// An answer as text. One that is not JSON stands as it came.
fn told(order: &CtlOrder, answer: String) -> String {
    let Ok(value) = serde_json::from_str::<Value>(&answer) else { return answer };
    match order {
        CtlOrder::Pool => show::pool(&value),
        CtlOrder::Status => show::status(&value),
        CtlOrder::Preview { .. } => show::preview(&value),
        CtlOrder::Log { .. } => value["level"].as_str().map_or(answer, |level| format!("{level}\n")),
        CtlOrder::Reload => show::reload(&value),
        CtlOrder::Explain(_) => answer,
        CtlOrder::DrainViaduct => "Viaduct drains, and ends when nothing is forwarded any more\n".to_owned(),
        _ => show::backend(&value),
    }
}
