//! Headers that few messages are asked for: sought in the head when they are wanted.
//!
//! To note them with the others as the head is read looked simpler. Each message that has one would pay for it, though it is read of a
//! backend's 503, or of a request that is about to be refused, alone.

use super::Span;
use super::cursor::is_lws;
use super::scan::Head;

/// The values of all headers of that name, from the top, as [`Field::value`](super::scan::Field::value) is.
pub fn values<'a>(message: &'a [u8], head: &Head, name: &'a str) -> impl Iterator<Item = Span> + 'a {
    let (start, end) = (head.message_start as usize, head.empty_line().start as usize);
    let mut rest = start..end.min(message.len());
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let line = rest.start..rest.start + header_len(&message[rest.clone()]);
            rest.start = line.end;
            if let Some(value_at) = value_start(&message[line.clone()], name) {
                return Some(trimmed(message, line.start + value_at, line.end));
            }
        }
        None
    })
}

/// The length of the header at the beginning, with its continuation lines (§7.3.1).
fn header_len(bytes: &[u8]) -> usize {
    let is_end = |(place, byte): (usize, &u8)| {
        let continues = bytes.get(place + 1).is_some_and(|next| matches!(next, b' ' | b'\t'));
        *byte == b'\n' && !continues
    };
    bytes.iter().enumerate().position(is_end).map_or(bytes.len(), |place| place + 1)
}

/// Where the value begins in a header of that name.
fn value_start(header: &[u8], name: &str) -> Option<usize> {
    let (found, rest) = header.split_at_checked(name.len())?;
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let is_it = found.eq_ignore_ascii_case(name.as_bytes()) && rest.get(blanks) == Some(&b':');
    is_it.then_some(name.len() + blanks + 1)
}

fn trimmed(message: &[u8], start: usize, end: usize) -> Span {
    let value = &message[start..end];
    let before = value.iter().take_while(|byte| is_lws(**byte)).count();
    let behind = value[before..].iter().rev().take_while(|byte| is_lws(**byte)).count();
    Span::new(start + before, end - behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(message: &'a str, name: &'a str) -> Vec<&'a str> {
        let mut head = Head::default();
        head.scan(message.as_bytes()).unwrap();
        values(message.as_bytes(), &head, name).map(|span| &message[span.start as usize..span.end as usize]).collect()
    }

    #[test]
    fn headers_are_found_in_any_case_folded_and_spaced_and_not_in_the_body() {
        let message = "\r\nSIP/2.0 503 Retry-After: 1\r\nRetry-After-All: 2\r\nX: a\r\n Retry-After: 3\r\nRETRY-after \t:\r\n  4 (a\r\n\tb)  \r\n\
                       Retry-After:5\r\nRetry-After:\r\n\r\nRetry-After: 6\r\n";
        assert_eq!(found(message, "Retry-After"), ["4 (a\r\n\tb)", "5", ""]);
        assert!(found("SIP/2.0 200 OK\r\nVia: x\r\n\r\n", "Retry-After").is_empty());
        assert_eq!(found("SIP/2.0 200 OK\nRetry-After: 7\n\n", "Retry-After"), ["7"]);
    }
}
