//! A backend that joins the pool while Viaduct runs: its entry is read, its address found, and what cannot work refused.

use crate::config::backends::Backends;
use crate::config::error::ConfigError;
use crate::control;
use crate::control::discovery::entry::Reach;
use crate::control::discovery::{Discovery, FIRST_LOOK};
use crate::control::pool::MemberSpec;
use crate::control::resolve::servers::Servers;
use crate::proxy::snapshot::Listener;

use super::{discovery, reach};

/// The members of a list as VIADUCT_BACKENDS has it, before these listeners. Names are looked up once, which may take seconds, on a
/// thread that may wait.
pub fn members(list: &str, listeners: &[Listener], servers: Servers) -> Result<Vec<MemberSpec>, ConfigError> {
    let wrong = |wrong: &dyn std::fmt::Display, right: &str| ConfigError::new("backend", list, wrong, right);
    let grammar = "[name=]transport://host:port[;weight=n][;also=tcp]";
    let backends: Backends = list.parse().map_err(|error: String| wrong(&error, grammar))?;
    let reach = Reach::of(listeners.iter().map(|listener| (listener.transport, listener.address)));
    let entries = discovery::entries_of(&backends, &reach)?;
    let tools = discovery::tools(servers, reach);
    let (mut discovery, _) = Discovery::new(entries, tools);
    let found = control::block_on(false, async { discovery.begin(FIRST_LOOK).await.members.clone() });
    let members = found.map_err(|error| wrong(&error, "an address in the place of the name"))?;
    match discovery.missing().first() {
        Some(name) => Err(wrong(&format!("nothing is found of {name}"), "a name that resolves here, or an address")),
        None => members.iter().try_for_each(|member| reach::check(listeners, member)).map(|()| members),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    fn admitted(list: &str) -> Result<Vec<String>, String> {
        let listener = Listener::new(Transport::Udp, ([127, 0, 0, 1], 5060).into(), "127.0.0.1", 5060);
        let members = members(list, &[listener], Servers::none()).map_err(|error| error.to_string())?;
        Ok(members.into_iter().map(|member| member.backend.name).collect())
    }

    #[test]
    fn what_no_listener_reaches_what_is_viaduct_itself_and_what_is_no_entry_is_refused() {
        assert_eq!(
            admitted("b=udp://127.0.0.2:5060,udp://127.0.0.3:5060"),
            Ok(vec!["b".into(), "127.0.0.3:5060".into()])
        );
        let refused = |list: &str| admitted(list).unwrap_err();
        assert!(refused("a=tcp://127.0.0.2:5060").contains("no listener is tcp:// and IPv4"));
        assert!(refused("a=udp://127.0.0.1:5060").contains("a listener of Viaduct's own"));
        assert!(refused("a=udp://127.0.0.2:5060;also=tcp").contains("no listener is tcp:// and IPv4"));
        assert!(refused("a=sctp://127.0.0.2:5060").contains("not a transport"));
        assert!(refused("a=udp://nowhere.example:5060").contains("nothing is found of a"));
    }
}
