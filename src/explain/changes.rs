//! What of a head is added, changed and removed, found by comparing what came in with what would go out.
//!
//! Telling from the steps of the decision looked better, because it would name each step's own change. It would be a
//! second description of the same edits, and could differ from the bytes.

/// The difference of two heads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Headers that stand only in the second.
    pub(super) added: Vec<String>,
    /// Headers, or the first line, as they were and as they became.
    pub(super) changed: Vec<(String, String)>,
    /// Headers that stand only in the first.
    pub(super) removed: Vec<String>,
}

impl Changes {
    /// What becomes of the first message's head in the second. Values that only change their order are no change.
    pub(super) fn between(before: &str, after: &str) -> Self {
        let mut added = headers(after);
        let mut gone = Vec::new();
        for header in headers(before) {
            match added.iter().position(|other| *other == header) {
                Some(place) => drop(added.remove(place)),
                None => gone.push(header),
            }
        }
        let mut changes = Changes::default();
        for header in gone {
            let alike = added.iter().enumerate().filter(|(_, other)| name(other) == name(&header));
            match alike.max_by_key(|(_, other)| common_start(other, &header)).map(|(place, _)| place) {
                Some(place) => changes.changed.push((header, added.remove(place))),
                None => changes.removed.push(header),
            }
        }
        changes.added = added;
        changes
    }
}

/// The lines of a head, folded ones in one piece.
fn headers(message: &str) -> Vec<String> {
    let message = message.trim_start_matches(['\r', '\n']);
    let mut headers: Vec<String> = Vec::new();
    for line in message.lines().take_while(|line| !line.is_empty()) {
        match headers.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
            Some(above) => {
                above.push(' ');
                above.push_str(line.trim());
            }
            None => headers.push(line.to_owned()),
        }
    }
    headers
}

/// A header's name; a first line has none and is only like another.
fn name(header: &str) -> String {
    let name = header.split(':').next().unwrap_or_default().trim();
    if name.contains(' ') { String::new() } else { name.to_ascii_lowercase() }
}

fn common_start(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_above_and_a_stamp_in_the_one_below_are_an_addition_and_a_change() {
        let before = "BYE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP pc;rport\r\nRoute: <sip:us>\r\nTo: b\r\n\r\nVia: body";
        let after = "BYE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP us\r\nVia: SIP/2.0/UDP pc;rport=9\r\nTo: b\r\n\r\nbody";
        let changes = Changes::between(before, after);
        assert_eq!(changes.added, ["Via: SIP/2.0/UDP us"]);
        assert_eq!(changes.changed, [("Via: SIP/2.0/UDP pc;rport".into(), "Via: SIP/2.0/UDP pc;rport=9".into())]);
        assert_eq!(changes.removed, ["Route: <sip:us>"]);
    }

    #[test]
    fn a_first_line_becomes_another_and_a_folded_header_is_one() {
        let before = "BYE sip:b SIP/2.0\r\nRoute: <sip:us>,\r\n <sip:c>\r\n\r\n";
        let changes = Changes::between(before, "BYE sip:c SIP/2.0\r\n\r\n");
        assert_eq!(changes.changed, [("BYE sip:b SIP/2.0".into(), "BYE sip:c SIP/2.0".into())]);
        assert_eq!(changes.removed, ["Route: <sip:us>, <sip:c>"]);
    }
}
