//! The grammar of the limit on connections of one source network.
//!
//! Three settings looked plainer. The number means nothing without the size of a network, and who changes one of them should
//! have the others before his eyes.

use std::fmt;
use std::str::FromStr;

/// How many connections one source network may have, and how large a network is: `number[;ipv4=bits][;ipv6=bits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerNetworkSetting {
    /// The most connections; 0 is no limit.
    pub connections_max: u32,
    /// How many leading bits of an IPv4 address are its network's, 8 to 32.
    pub ipv4_bits: u8,
    /// How many leading bits of an IPv6 address are its network's, 16 to 128.
    pub ipv6_bits: u8,
}

impl Default for PerNetworkSetting {
    fn default() -> Self {
        PerNetworkSetting { connections_max: 4096, ipv4_bits: 32, ipv6_bits: 64 }
    }
}

impl FromStr for PerNetworkSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let number = parts.next().unwrap_or_default();
        let connections_max = number.parse().map_err(|_| format!("`{number}` is not a number of connections"))?;
        let mut setting = PerNetworkSetting { connections_max, ..PerNetworkSetting::default() };
        for part in parts {
            let bits = |value: &str, range: std::ops::RangeInclusive<u8>| {
                let bits = value.parse().ok().filter(|bits| range.contains(bits));
                bits.ok_or_else(|| {
                    format!("`{part}` names no number of bits from {} to {}", range.start(), range.end())
                })
            };
            match part.split_once('=') {
                Some(("ipv4", value)) => setting.ipv4_bits = bits(value, 8..=32)?,
                Some(("ipv6", value)) => setting.ipv6_bits = bits(value, 16..=128)?,
                _ => return Err(format!("`{part}` is neither ipv4=bits nor ipv6=bits")),
            }
        }
        Ok(setting)
    }
}

impl fmt::Display for PerNetworkSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};ipv4={};ipv6={}", self.connections_max, self.ipv4_bits, self.ipv6_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_of_single_ipv4_addresses_and_of_what_an_ipv6_customer_has() {
        let setting = "500".parse();
        assert_eq!(setting, Ok(PerNetworkSetting { connections_max: 500, ipv4_bits: 32, ipv6_bits: 64 }));
        let setting = "0;ipv6=56;ipv4=24".parse();
        assert_eq!(setting, Ok(PerNetworkSetting { connections_max: 0, ipv4_bits: 24, ipv6_bits: 56 }));
    }

    #[test]
    fn what_is_printed_is_read_and_what_cannot_be_is_refused() {
        let setting = PerNetworkSetting::default();
        assert_eq!(setting.to_string().parse(), Ok(setting));
        for text in ["", "many", "-1", "10;ipv4=33", "10;ipv4=0", "10;ipv6=x", "10;24"] {
            assert!(text.parse::<PerNetworkSetting>().is_err(), "{text}");
        }
    }
}
