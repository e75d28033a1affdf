//! What an operator can set of overload: what comes of it when backends say that they have too much to do.

use std::str::FromStr;

use clap::{Args, value_parser};

use crate::proxy::shedding::OverloadPolicy;

use super::Switch;

/// The settings of overload.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct OverloadSettings {
    /// Whether a backend that answers a request 503 with Retry-After gets no new calls for that time. Off for backends that pass on
    /// the 503 of what is behind them
    #[arg(long, env = "VIADUCT_RETRY_AFTER", global = true, default_value = "on", value_name = "WORD")]
    pub retry_after: Switch,

    /// For how many seconds, from 1 to 3600, a backend gets no new calls at most, whatever its Retry-After says
    #[arg(long, env = "VIADUCT_RETRY_AFTER_MAX_S", global = true, default_value_t = 60, value_parser = value_parser!(u32).range(1..=3_600), value_name = "SECONDS")]
    pub retry_after_max_s: u32,

    /// How many percent of the pool, up to 100, may be held back from new calls, for whatever reason, before no other Retry-After is
    /// heeded: the calls would go to the few that are left. Of a pool where this is less than one backend, none
    #[arg(long, env = "VIADUCT_RETRY_AFTER_MAX_PERCENT", global = true, default_value_t = 50, value_parser = value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    pub retry_after_max_percent: u8,

    /// Whether backends are offered overload control (RFC 7339, algorithm loss), by oc and oc-algo in Viaduct's own Via on each request
    /// to them. As many in a hundred requests that begin something are refused then as a backend says in its responses
    #[arg(long, env = "VIADUCT_OVERLOAD_CONTROL", global = true, default_value = "off", value_name = "WORD")]
    pub overload_control: Switch,

    /// After how many seconds, up to 3600, who is refused so is to try again, by Retry-After. 0 is not said: a proxy in front that heeds
    /// it may send nothing at all meanwhile
    #[arg(long, env = "VIADUCT_OVERLOAD_RETRY_AFTER_S", global = true, default_value_t = 1, value_parser = value_parser!(u16).range(0..=3_600), value_name = "SECONDS")]
    pub overload_retry_after_s: u16,

    /// Numbers, or other users of a Request-URI, that are never refused so: a comma list. urn:service:sos never is
    #[arg(
        long,
        env = "VIADUCT_OVERLOAD_EXEMPT_NUMBERS",
        global = true,
        default_value = "112,911",
        value_name = "LIST"
    )]
    pub overload_exempt_numbers: Words,

    /// Namespaces of Resource-Priority that are never refused so: a comma list, as esnet,ets,wps. Clients may write them too, so let
    /// the edge of the network take them out
    #[arg(long, env = "VIADUCT_OVERLOAD_EXEMPT_NAMESPACES", global = true, default_value = "", value_name = "LIST")]
    pub overload_exempt_namespaces: Words,
}

impl OverloadSettings {
    /// What is offered to backends that have too much to do.
    pub fn policy(&self) -> OverloadPolicy {
        OverloadPolicy {
            is_offered: self.overload_control == Switch::On,
            retry_after_s: self.overload_retry_after_s,
            exempt_numbers: self.overload_exempt_numbers.0.clone(),
            exempt_namespaces: self.overload_exempt_namespaces.0.clone(),
        }
    }
}

/// A list of words, none of them empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

/// The most words in a list: each request that may be refused is compared with all of them.
const WORDS_MAX: usize = 64;

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<String> =
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let is_wrong =
            |word: &String| word.contains(|letter: char| !letter.is_ascii_graphic() || ";@.".contains(letter));
        match words.iter().find(|word| is_wrong(word)) {
            _ if words.len() > WORDS_MAX => Err(format!("more than {WORDS_MAX} words")),
            Some(word) => Err(format!("`{word}` is neither a number, as 112, nor a namespace, as esnet")),
            None => Ok(Words(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_comma_list_and_none_of_them_can_match_nothing() {
        assert_eq!("112, 911,,+44999".parse(), Ok(Words(vec!["112".into(), "911".into(), "+44999".into()])));
        assert_eq!("".parse(), Ok(Words(Vec::new())));
        for wrong in ["a b", "esnet.0", "sos@b", "1;2", &"1,".repeat(65)] {
            assert!(wrong.parse::<Words>().is_err(), "{wrong}");
        }
    }
}
