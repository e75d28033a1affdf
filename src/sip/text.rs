//! Numbers and addresses in writing.
//!
//! The standard library's formatting looked better, as it is there. It serves widths and alignments too, and three numbers
//! by it cost more than the hash that chooses the backend.

use std::io::Write;
use std::net::IpAddr;
use std::ops::Deref;

use arrayvec::ArrayVec;

/// A number in decimal digits.
pub fn decimal_text(number: u32) -> Decimal {
    let mut digits = 0;
    let mut len = 0;
    let mut rest = number;
    loop {
        digits = digits << 8 | u128::from(b'0' + (rest % 10) as u8);
        len += 1;
        rest /= 10;
        if rest == 0 {
            return Decimal { digits: digits.to_le_bytes(), len };
        }
    }
}

/// Decimal digits. They are put together in a register and stored at once: what is stored byte by byte cannot be read together
/// until it has reached the cache, and it is read at once, by who copies it.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 16],
    len: usize,
}

impl Deref for Decimal {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }
}

/// An address as it stands in `received`: an IPv6 address without brackets.
pub fn ip_text(ip: IpAddr) -> ArrayVec<u8, 45> {
    let mut text = ArrayVec::new();
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets().map(|octet| OCTETS[usize::from(octet)]);
            let (head, tail) = (a.followed_by(b), c.followed_by(d));
            // Two octets with their dots fit a machine word.
            let digits = u128::from(head.digits) | u128::from(tail.digits) << (8 * head.len);
            // 16 bytes at the most, which fit; then without the last dot.
            let _ = text.try_extend_from_slice(&digits.to_le_bytes());
            text.truncate(head.len + tail.len - 1);
        }
        // The longest IPv6 address has 45 characters, so there is room.
        IpAddr::V6(ip) => drop(write!(text, "{ip}")),
    }
    text
}

/// One or two octets in decimal digits, each with a dot behind it, the first character in the lowest byte.
#[derive(Clone, Copy)]
struct Octets {
    digits: u64,
    len: usize,
}

impl Octets {
    const fn of(octet: u8) -> Self {
        let mut octets = Octets { digits: b'.' as u64, len: 1 };
        let mut rest = octet;
        loop {
            octets = Octets { digits: octets.digits << 8 | (b'0' + rest % 10) as u64, len: octets.len + 1 };
            rest /= 10;
            if rest == 0 {
                return octets;
            }
        }
    }

    fn followed_by(self, next: Octets) -> Self {
        Octets { digits: self.digits | next.digits << (8 * self.len), len: self.len + next.len }
    }
}

static OCTETS: [Octets; 256] = {
    let mut octets = [Octets::of(0); 256];
    let mut octet = 0;
    while octet < octets.len() {
        octets[octet] = Octets::of(octet as u8);
        octet += 1;
    }
    octets
};

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
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 0, 255 - octet, octet]);
            assert_eq!(ip_text(ip)[..], *ip.to_string().as_bytes());
        }
        for text in ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::9", "::ffff:192.0.2.1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(ip_text(ip)[..], *ip.to_string().as_bytes());
        }
    }
}
