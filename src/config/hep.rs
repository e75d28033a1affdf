//! What an operator can set of the copies of messages that Homer gets.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::sip::Transport;

use super::Switch;
use super::error::ConfigError;
use super::file;
use super::value::HostPort;

/// The settings of copies of messages.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct HepSettings {
    /// Where copies of messages go, by HEP version 3, as to Homer: udp://host:port or tcp://host:port. Each message of a call is
    /// copied twice, as it came and as it went. A name is looked up by this machine's own resolver, at each connection, and over UDP once a
    /// minute. Without it nothing is copied
    #[arg(long, env = "VIADUCT_HEP", global = true, value_name = "URL")]
    pub hep: Option<HepCollector>,

    /// Which part of all calls is copied, from 0 to 1, chosen by a keyed hash of the Call-ID: each call whole or not at all, on every
    /// member of a fleet alike
    #[arg(long, env = "VIADUCT_HEP_SAMPLE", global = true, default_value = "1", value_parser = part, value_name = "PART")]
    pub hep_sample: f64,

    /// The number by which the collector tells this Viaduct from others
    #[arg(long, env = "VIADUCT_HEP_AGENT_ID", global = true, default_value_t = 1, value_name = "NUMBER")]
    pub hep_agent_id: u32,

    /// A file that holds the key that the collector asks for; white space at its end is not part of it. It travels in clear text, as
    /// HEP has it
    #[arg(long, env = "VIADUCT_HEP_KEY_FILE", global = true, value_name = "PATH")]
    pub hep_key_file: Option<PathBuf>,

    /// Whether copies have the bodies of messages: session descriptions, and what people write to each other
    #[arg(long, env = "VIADUCT_HEP_BODIES", global = true, default_value = "on", value_name = "WORD")]
    pub hep_bodies: Switch,
}

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HepCollector {
    /// UDP or TCP.
    pub transport: Transport,
    /// The host and port.
    pub target: HostPort,
}

/// The longest file with a key, white space and all.
const FILE_BYTES_MAX: usize = 64 << 10;

/// A key longer than this is none.
const KEY_BYTES_MAX: usize = 1024;

impl HepSettings {
    /// The key, from its file; empty where none is set.
    pub fn key(&self) -> Result<Vec<u8>, ConfigError> {
        let Some(path) = &self.hep_key_file else { return Ok(Vec::new()) };
        let wrong = |error: &dyn fmt::Display| {
            ConfigError::new("VIADUCT_HEP_KEY_FILE", path.display(), error, "a readable file with the collector's key")
        };
        let key = file::read(path, FILE_BYTES_MAX).map_err(|error| wrong(&error))?.trim_ascii_end().to_vec();
        match key.len() {
            1..=KEY_BYTES_MAX => Ok(key),
            0 => Err(wrong(&"it is empty")),
            _ => Err(wrong(&format!("it has more than {KEY_BYTES_MAX} bytes"))),
        }
    }
}

impl FromStr for HepCollector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, target) = text.split_once("://").unwrap_or(("", text));
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(format!("`{text}` is not udp://host:port or tcp://host:port")),
        };
        let target = target.parse::<HostPort>()?;
        match target.port {
            0 => Err(format!("port 0 in `{text}` is no port to send to")),
            _ => Ok(HepCollector { transport, target }),
        }
    }
}

impl fmt::Display for HepCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport.label(), self.target)
    }
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.trim().parse::<f64>().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "not a number from 0 to 1, as 0.1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_transport_a_host_and_a_port() {
        for text in ["udp://homer.example:9060", "tcp://192.0.2.1:9061", "udp://[2001:db8::1]:9060"] {
            assert_eq!(text.parse::<HepCollector>().unwrap().to_string(), text);
        }
        for wrong in
            ["homer.example:9060", "tls://homer.example:9060", "udp://homer.example", "udp://h:0", "udp://:9060"]
        {
            assert!(wrong.parse::<HepCollector>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_is_a_number_from_0_to_1() {
        assert_eq!((part("0"), part("0.25"), part("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
        for wrong in ["-0.1", "1.1", "NaN", "", "10%", "inf"] {
            assert!(part(wrong).is_err(), "{wrong}");
        }
    }
}
