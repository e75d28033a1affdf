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
    let mut digits = [0; 10];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return Decimal { digits, start };
        }
    }
}

/// Decimal digits, right-aligned as they were made.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Deref for Decimal {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

/// An address as it stands in `received`: an IPv6 address without brackets.
pub fn ip_text(ip: IpAddr) -> ArrayVec<u8, 45> {
    let mut text = ArrayVec::new();
    match ip {
        IpAddr::V4(ip) => {
            // Four bytes each, whatever the octet's length: a copy of known length is one instruction.
            let mut room = [0; 16];
            let mut len = 0;
            for octet in ip.octets() {
                let (digits, octet_len) = OCTETS[usize::from(octet)];
                room[len..len + 4].copy_from_slice(&digits);
                len += usize::from(octet_len);
            }
            // Without the last dot; 15 bytes at the most, which fit.
            let _ = text.try_extend_from_slice(&room[..len - 1]);
        }
        // The longest IPv6 address has 45 characters, so there is room.
        IpAddr::V6(ip) => drop(write!(text, "{ip}")),
    }
    text
}

/// Each octet in decimal digits with a dot behind it, and how many bytes that is.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let (hundreds, tens, ones) = (octet / 100, octet / 10 % 10, octet % 10);
        let (text, len) = &mut octets[octet];
        let digits = [hundreds, tens, ones];
        let mut index = if hundreds > 0 {
            0
        } else if tens > 0 {
            1
        } else {
            2
        };
        while index < 3 {
            text[*len as usize] = b'0' + digits[index] as u8;
            *len += 1;
            index += 1;
        }
        text[*len as usize] = b'.';
        *len += 1;
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
