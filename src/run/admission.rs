//! A backend that joins the pool while Viaduct runs: its entry is read, its address found, and what cannot work refused.

use crate::config::error::ConfigError;
use crate::config::value::{BackendSetting, Backends};
use crate::control::admin::api::Purpose;
use crate::control::pool::MemberSpec;
use crate::proxy::snapshot::Listener;

use super::plan;

/// The members of a list as VIADUCT_BACKENDS has it, before these listeners. Looks up host names, so it may take seconds. Where
/// they are to join, none may take TCP besides UDP: who does is fixed at the start.
pub fn members(list: &str, purpose: Purpose, listeners: &[Listener]) -> Result<Vec<MemberSpec>, ConfigError> {
    let grammar = "[name=]transport://host:port[;weight=n]";
    let Backends(backends) = list.parse().map_err(|wrong: String| ConfigError::new("backend", list, wrong, grammar))?;
    let member = |setting: &BackendSetting| {
        if setting.also_by_tcp && purpose == Purpose::Join {
            let wrong = "which backends take TCP besides UDP is fixed at the start";
            return Err(ConfigError::new("backend", list, wrong, "an entry without ;also=tcp"));
        }
        let backend = plan::resolve(setting)?;
        plan::is_reachable(listeners, &backend, setting.transport)?;
        plan::is_no_loop(listeners, &backend, setting.transport)?;
        Ok(MemberSpec { backend, transport: setting.transport })
    };
    backends.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    fn refused(list: &str) -> String {
        let listener = Listener::new(Transport::Udp, ([127, 0, 0, 1], 5060).into(), "127.0.0.1", 5060);
        members(list, Purpose::Join, &[listener]).map(|members| members.len()).unwrap_err().to_string()
    }

    #[test]
    fn what_no_listener_reaches_what_is_viaduct_itself_and_what_is_no_entry_is_refused() {
        assert!(refused("a=tcp://127.0.0.2:5060").contains("no listener is tcp:// and IPv4"));
        assert!(refused("a=udp://127.0.0.1:5060").contains("a listener of Viaduct's own"));
        assert!(refused("a=udp://127.0.0.2:5060;also=tcp").contains("fixed at the start"));
        assert!(refused("a=sctp://127.0.0.2:5060").contains("not a transport"));
    }
}
