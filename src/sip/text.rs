//! Numbers and addresses in writing.
//!
//! The standard library's formatting looked better, as it is there. It serves widths and alignments too, and three numbers
//! by it cost more than the hash that chooses the backend.

use std::io::Write;
use std::net::IpAddr;

use arrayvec::ArrayVec;

/// A number in decimal digits.
pub fn decimal_text(number: u32) -> ArrayVec<u8, 10> {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits[at..].iter().copied().collect()
}

/// An address as it stands in `received`: an IPv6 address without brackets.
pub fn ip_text(ip: IpAddr) -> ArrayVec<u8, 45> {
    let mut text = ArrayVec::new();
    match ip {
        IpAddr::V4(ip) => {
            for octet in ip.octets() {
                let (digits, len) = OCTETS[usize::from(octet)];
                // At most 4 octets of 4 bytes, which fit.
                let _ = text.try_extend_from_slice(&digits[..usize::from(len)]);
            }
            text.pop();
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
