//! Viaduct's settings in the demo: the operator's, but for those that could keep it from running at once.
//!
//! An embedded command line read by clap looked better, because it is what an operator would write. clap lets the
//! environment speak where the command line is silent, so a forgotten VIADUCT_SECRET_FILE would end the demo.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};

use crate::config::Settings;
use crate::config::backends::Backends;
use crate::config::discovery::DiscoverySettings;
use crate::config::error::ConfigError;
use crate::config::hep::HepSettings;
use crate::config::observe::ObserveSettings;
use crate::config::secrets::SecretText;
use crate::config::value::{Listeners, Networks};

use super::draws::Draws;

/// The backends' names, addresses and weights. One has the double weight, so that weights are seen.
pub const MEMBERS: [(&str, Ipv4Addr, u16); 3] = [
    ("alpha", Ipv4Addr::new(127, 0, 0, 2), 1),
    ("bravo", Ipv4Addr::new(127, 0, 0, 3), 2),
    ("charlie", Ipv4Addr::new(127, 0, 0, 4), 1),
];

/// A backend of the demo.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name in the pool.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u16,
}

/// The operator's settings, with a listener on loopback at a port that the kernel chooses, the demo's backends, no
/// trusted network and a random secret, and nobody who tells of messages. All that concerns engine, shards and metrics stays as set.
pub fn for_demo(settings: &Settings, members: &[Member]) -> Result<Settings, ConfigError> {
    Ok(Settings {
        listen: own("VIADUCT_LISTEN", "udp://127.0.0.1:0", str::parse::<Listeners>)?,
        backends: own("VIADUCT_BACKENDS", &pool(members), str::parse::<Backends>)?,
        discovery: DiscoverySettings { backends_file: None, ..settings.discovery.clone() },
        trusted: Networks::default(),
        secret: Some(SecretText(secret()?)),
        secret_file: None,
        hep: HepSettings { hep: None, ..settings.hep.clone() },
        observe: ObserveSettings { log_problems_per_second: 0 },
        ..settings.clone()
    })
}

fn pool(members: &[Member]) -> String {
    let mut text = String::new();
    for Member { name, address, weight } in members {
        let _ = write!(text, "{name}=udp://{address};weight={weight},");
    }
    text
}

fn own<T>(variable: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
    parse(text).map_err(|error| ConfigError::new(variable, text, error, "what the demo sets"))
}

fn secret() -> Result<String, ConfigError> {
    let draws = Draws::from_system();
    let mut draws = draws.map_err(|error| ConfigError::new("VIADUCT_SECRET", "(random)", error, "a random number"))?;
    Ok(format!("{:016x}{:016x}", draws.number(), draws.number()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::parse;

    #[test]
    fn settings_that_would_hinder_the_demo_are_replaced_and_the_others_stay() {
        let words = "viaduct demo --io poll --shards 3 --listen udp://192.0.2.1:5060 --backends udp://192.0.2.2:5060 \
                     --secret-file /nowhere --trusted 127.0.0.0/8 --admin-listen 127.0.0.1:7";
        let Ok(line) = parse(words.split_whitespace().map(Into::into)) else { panic!("a command line") };
        let member = Member { name: "a", address: "127.0.0.2:7".parse().unwrap(), weight: 2 };
        let settings = for_demo(&line.settings, &[member]).unwrap();
        assert_eq!(settings.listen, "udp://127.0.0.1:0".parse().unwrap());
        assert_eq!(settings.backends, "a=udp://127.0.0.2:7;weight=2".parse().unwrap());
        assert!(settings.trusted.0.is_empty() && settings.secret().is_ok());
        assert_eq!((settings.shards, settings.io), (Some(3), crate::io::Choice::Poll));
        assert_eq!(settings.admin.admin_listen, "127.0.0.1:7".parse().unwrap());
    }
}
