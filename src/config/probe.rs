//! What an operator can set of probes: how often backends are asked whether they are alive, and what their answers mean.

use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::{Args, value_parser};

use super::Switch;

/// The settings of probes.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ProbeSettings {
    /// Whether backends are asked by OPTIONS whether they are alive. A fleet that shares one address towards its backends needs it
    /// off: an answer comes to any of its members
    #[arg(long, env = "VIADUCT_PROBE", global = true, default_value = "on", value_name = "WORD")]
    pub probe: Switch,

    /// How often a backend is asked, in milliseconds from 50 to 3600000, that sends no responses to real requests. The time to find
    /// out a death is this times VIADUCT_PROBE_FALL at most
    #[arg(long, env = "VIADUCT_PROBE_INTERVAL_MS", global = true, default_value_t = 2_000, value_parser = value_parser!(u32).range(50..=3_600_000), value_name = "MILLISECONDS")]
    pub probe_interval_ms: u32,

    /// How long an answer may take, in milliseconds from 10 to 60000. It is shortened where the time to find out a death would be
    /// longer than VIADUCT_PROBE_INTERVAL_MS times VIADUCT_PROBE_FALL
    #[arg(long, env = "VIADUCT_PROBE_TIMEOUT_MS", global = true, default_value_t = 1_000, value_parser = value_parser!(u32).range(10..=60_000), value_name = "MILLISECONDS")]
    pub probe_timeout_ms: u32,

    /// How many probes in a row, from 1 to 100, fail before a backend is down. Where its address takes no connection or its port
    /// is closed, one suffices
    #[arg(long, env = "VIADUCT_PROBE_FALL", global = true, default_value_t = 3, value_parser = value_parser!(u32).range(1..=100), value_name = "NUMBER")]
    pub probe_fall: u32,

    /// How many probes in a row, from 1 to 100, are answered before a backend is up again
    #[arg(long, env = "VIADUCT_PROBE_RISE", global = true, default_value_t = 2, value_parser = value_parser!(u32).range(1..=100), value_name = "NUMBER")]
    pub probe_rise: u32,

    /// Which answers prove life: a comma list of codes and ranges of codes. 503, where it is not among them, is a backend that takes
    /// no new calls and keeps those that it has
    #[arg(long, env = "VIADUCT_PROBE_CODES", global = true, default_value = "200-499", value_name = "LIST")]
    pub probe_codes: Codes,
}

/// Status codes of final responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes(pub Vec<RangeInclusive<u16>>);

/// The most ranges in a list.
const RANGES_MAX: usize = 64;

impl FromStr for Codes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty()).map(range);
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        if ranges.is_empty() || ranges.len() > RANGES_MAX {
            return Err(format!("not 1 to {RANGES_MAX} codes or ranges, as 200-499"));
        }
        Ok(Codes(ranges))
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let code = |text: &str| text.trim().parse().ok().filter(|code| (200..=699).contains(code));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (code(first), code(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("`{text}` is not a code from 200 to 699 or a range of them, as 200-499")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_single_ones_and_ranges() {
        assert_eq!("200-499".parse(), Ok(Codes(vec![200..=499])));
        assert_eq!(" 200, 404 ,480-489,".parse(), Ok(Codes(vec![200..=200, 404..=404, 480..=489])));
        for wrong in ["", ",", "100", "2xx", "499-200", "200-", "-200", "200-700", "200 300"] {
            assert!(wrong.parse::<Codes>().is_err(), "{wrong}");
        }
    }
}
