//! Numbers and addresses in writing.
//!
//! The standard library's formatting looked better, as it is there. It serves widths and alignments too, and three numbers
//! by it cost more than the hash that chooses the backend.

use std::io::Write;
use std::net::IpAddr;

use arrayvec::ArrayVec;

/// A number in decimal digits.
pub fn decimal_text(number: u32) -> ArrayVec<u8, 10> {
    let mut text = ArrayVec::new();
    let mut rest = number;
    while rest > 0 || text.is_empty() {
        text.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    text.reverse();
    text
}

/// An address as it stands in `received`: an IPv6 address without brackets.
pub fn ip_text(ip: IpAddr) -> ArrayVec<u8, 45> {
    let mut text = ArrayVec::new();
    match ip {
        IpAddr::V4(ip) => {
            for octet in ip.octets() {
                text.extend(decimal_text(octet.into()));
                text.push(b'.');
            }
            text.pop();
        }
        // The longest IPv6 address has 45 characters, so there is room.
        IpAddr::V6(ip) => drop(write!(text, "{ip}")),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 1, 9, 10, 69, 255, 5060, 65_535, u32::MAX] {
            assert_eq!(decimal_text(number)[..], *number.to_string().as_bytes());
        }
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for text in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::9", "::ffff:192.0.2.1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(ip_text(ip)[..], *ip.to_string().as_bytes());
        }
    }
}
