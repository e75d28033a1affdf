//! What of a message is not told to others: credentials, keys, and if so wished its body.
//!
//! To parse the message looked safer. What a parser refuses would pass as it came, and this must hold for the worst message of all;
//! so each line is looked at by itself, wherever it stands.

/// The headers that hold credentials, or what proves that a server has them too (RFC 3261 §20.6, §20.7, §20.28; RFC 7615). They have
/// no short form.
const CREDENTIALS: [&[u8]; 4] =
    [b"authorization", b"proxy-authorization", b"authentication-info", b"proxy-authentication-info"];

/// What keys stand behind in a session description: of SRTP (RFC 4568), of MIKEY (RFC 4567), of ICE (RFC 8839 §5.4), and of old
/// (RFC 4566 §5.12).
const KEYS: [&[u8]; 4] = [b"a=crypto:", b"a=key-mgmt:", b"a=ice-pwd:", b"k="];

/// What stands for each byte that is withheld: lengths stay as they are.
const MASK: u8 = b'*';

/// Masks what is secret in a message, in its place: the values of headers with credentials, and in bodies the keys of media. A digest
/// can be tried against a list of passwords, and a key opens what was recorded.
pub fn mask(message: &mut [u8]) {
    let mut in_credentials = false;
    for line in message.split_mut(|byte| *byte == b'\n') {
        let is_folded = matches!(line.first(), Some(b' ' | b'\t'));
        let value_at = match is_folded {
            true if in_credentials => Some(0),
            true => None,
            false => credentials_at(line),
        };
        in_credentials = value_at.is_some();
        if let Some(from) = value_at.or_else(|| key_at(line)) {
            line[from..].iter_mut().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).for_each(|byte| *byte = MASK);
        }
    }
}

/// The length of a message without its body: up to and with the empty line. All of it where there is none.
pub fn head_bytes(message: &[u8]) -> usize {
    let blank = message.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut end = blank;
    for line in message[blank..].split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line == b"\n" || line == b"\r\n" {
            break;
        }
    }
    end
}

/// Where the value begins in a line that is a header with credentials.
fn credentials_at(line: &[u8]) -> Option<usize> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii();
    CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known)).then_some(colon + 1)
}

/// Where the key begins in a line of a session description that has one.
fn key_at(line: &[u8]) -> Option<usize> {
    let start =
        KEYS.iter().find(|start| line.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start)))?;
    Some(start.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(message: &str) -> String {
        let mut bytes = message.as_bytes().to_vec();
        mask(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn credentials_are_masked_in_any_dress_and_nothing_else_is() {
        let message = "REGISTER sip:b SIP/2.0\r\nAuthorization: Digest response=\"1\",\r\n\tnonce=\"2\"\r\n \
                       cnonce=3\r\nVia: v\r\n folded\r\npROXY-authorization \t:Basic eDp5\r\nTo: x\n\
                       WWW-Authenticate: Digest nonce=\"n\"\r\nX-Authorization: kept\r\nAuthentication-Info: rspauth=\"1\"\r\n\
                       Proxy-Authentication-Info:rspauth=2\r\n\r\n";
        let expected = "REGISTER sip:b SIP/2.0\r\nAuthorization: ****** *************\r\n\t*********\r\n \
                        ********\r\nVia: v\r\n folded\r\npROXY-authorization \t:***** ****\r\nTo: x\n\
                        WWW-Authenticate: Digest nonce=\"n\"\r\nX-Authorization: kept\r\nAuthentication-Info: ***********\r\n\
                        Proxy-Authentication-Info:*********\r\n\r\n";
        assert_eq!(masked(message), expected);
    }

    #[test]
    fn keys_of_media_are_masked() {
        let body = "v=0\r\nk=clear:key\r\na=ice-pwd:asd88\r\na=crypto:1 AES_CM inline:PS1u|2^20\r\na=key-mgmt:mikey AQ==\r\n\
                    a=rtpmap:0 PCMU\r\n";
        let expected = "v=0\r\nk=*********\r\na=ice-pwd:*****\r\na=crypto:* ****** ****************\r\n\
             a=key-mgmt:***** ****\r\na=rtpmap:0 PCMU\r\n";
        assert_eq!(masked(&format!("\r\n\r\n{body}")), format!("\r\n\r\n{expected}"));
    }

    #[test]
    fn a_head_ends_behind_its_empty_line() {
        for (message, head) in
            [("\r\nA\r\nB: c\r\n\r\nbody\r\n\r\n", "\r\nA\r\nB: c\r\n\r\n"), ("A\nB\n\nc", "A\nB\n\n"), ("A", "A")]
        {
            assert_eq!(&message[..head_bytes(message.as_bytes())], head);
        }
    }

    proptest! {
        #[test]
        fn a_message_keeps_its_length_and_its_lines(message in "([aA]uthorization: |k=|[ -~]|\r\n|\n|\r|\t| ){0,60}") {
            let after = masked(&message);
            prop_assert_eq!(after.len(), message.len());
            let blanks = |text: &str| {
                let is_blank = |(_, byte): &(usize, u8)| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                text.bytes().enumerate().filter(is_blank).collect::<Vec<_>>()
            };
            prop_assert_eq!(blanks(&after), blanks(&message));
        }
    }
}
